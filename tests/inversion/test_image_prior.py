import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import inversion, nets
from ae_jax.core import InputError, Network

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0.2, 0.8, size=(2, 4, 4, 1)).astype(np.float32)
MASK = np.ones((4, 4, 1), bool)
MASK[1:3, 1] = False


def constant(level=0.0):
    """One number for all pixels."""

    def init(key, x):
        return {"level": jnp.asarray(level, x.dtype)}

    return Network(init, lambda params, x: jnp.full((*x.shape[:3], 1), params["level"]))


def fitted(steps, network=None, images=IMAGES, mask=MASK, **options):
    fit = inversion.deep_image_prior(network or constant(), steps, channels=2, output=lambda x: x)
    return fit(KEY, images, mask, **options)


def test_a_network_of_one_number_learns_the_mean_of_known_pixels():
    known = np.broadcast_to(MASK, IMAGES.shape)
    found = fitted(400, rate=0.02, decay=0.9, held_out=0.0, truth=IMAGES)
    for image, output, average, k in zip(IMAGES, found.output, found.average, known, strict=True):
        np.testing.assert_allclose(output, image[k].mean(), atol=1e-3)
        np.testing.assert_allclose(average, image[k].mean(), atol=0.01)
    np.testing.assert_array_equal(found.best, found.average)  # none is held out: the last
    np.testing.assert_array_equal(found.best_step, 399)
    assert {name: x.shape for name, x in found.trace.items()} == dict.fromkeys(
        ("loss", "held_out", "output_error", "average_error"), (400, 2)
    )
    np.testing.assert_allclose(
        found.trace["loss"][0], np.mean(IMAGES**2, axis=(1, 2, 3), where=known), rtol=1e-5
    )
    np.testing.assert_allclose(
        found.trace["output_error"][0], np.mean(IMAGES**2, axis=(1, 2, 3), where=~known), rtol=1e-5
    )
    np.testing.assert_allclose(
        found.trace["output_error"][-1],
        np.mean((found.output - IMAGES) ** 2, axis=(1, 2, 3), where=~known),
        rtol=1e-5,
    )


def test_the_average_is_exponential_from_the_first_output():
    # Adam moves by its rate at first: outputs are 0, 0.1, and then 0.2 or a little less
    found = [fitted(steps, rate=0.1, decay=0.75, held_out=0.0) for steps in (1, 2, 3)]
    outputs = [np.asarray(each.output) for each in found]
    np.testing.assert_allclose(outputs[:2], np.stack([0 * IMAGES, 0 * IMAGES + 0.1]), atol=1e-6)
    average = outputs[0]
    for output, each in zip(outputs, found, strict=True):
        average = 0.75 * average + 0.25 * output
        np.testing.assert_allclose(each.average, average, atol=1e-6)


def test_two_steps_at_the_numbers_that_are_the_defaults():
    """Of one known pixel, by Adam, which moves by its rate at first."""
    mask = np.arange(16).reshape(4, 4, 1) == 6
    found = fitted(2, constant(2.0), mask=mask, held_out=0.0)
    np.testing.assert_allclose(found.output, 0 * IMAGES + 1.99, rtol=1e-6)
    np.testing.assert_allclose(found.average, 0 * IMAGES + 0.99 * 2 + 0.01 * 1.99, rtol=1e-6)
    seen = IMAGES[:, mask][:, 0]
    np.testing.assert_allclose(found.trace["loss"], [(2 - seen) ** 2, (1.99 - seen) ** 2], 1e-5)


def test_the_best_average_is_nearest_to_what_was_held_out():
    found = fitted(60, rate=0.1, decay=0.0, held_out=0.3)  # Adam goes beyond, and comes back
    best = np.argmin(found.trace["held_out"], axis=0)
    np.testing.assert_array_equal(found.best_step, best)
    assert np.all(best < 59)
    for i, step in enumerate(best):
        alone = fitted(int(step) + 1, rate=0.1, decay=0.0, held_out=0.3)
        np.testing.assert_allclose(found.best[i], alone.average[i], atol=1e-6)


@pytest.mark.full
def test_nothing_is_learned_from_unknown_pixels_nor_from_the_truth():
    other = np.where(MASK, IMAGES, 0.123).astype(np.float32)
    network = nets.hourglass(1, (3, 3), 2)
    first = fitted(4, network, truth=IMAGES)
    second = fitted(4, network, images=other, truth=1 - IMAGES)
    for name in ("output", "average", "best"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert np.any(first.trace["output_error"] != second.trace["output_error"])
    alone = fitted(4, network, images=IMAGES[:1])
    np.testing.assert_allclose(alone.output[0], first.output[0], atol=1e-4)
    assert np.any(first.output[0] != first.output[1])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fitted(0), "steps of a deep image prior are 0"),
        (lambda: fitted(1, decay=1.0), r"decay of a deep image prior is 1\.0"),
        (lambda: fitted(1, held_out=1.0), r"held_out of a deep image prior is 1\.0"),
        (lambda: fitted(1, input_noise=-1.0), r"input_noise of a deep image prior is -1\.0"),
        (lambda: fitted(1, truth=IMAGES[:1]), "and their truth"),
        (lambda: fitted(1, nets.hourglass(3, (2,))), "use as many outputs as they have channels"),
        (lambda: fitted(1, mask=~MASK & MASK), "without a known pixel"),
        (lambda: fitted(1, mask=np.ones((4, 5, 1), bool)), "a mask of images"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
