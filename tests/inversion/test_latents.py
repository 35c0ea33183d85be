import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import inversion
from ae_jax.core import InputError
from ae_jax.inversion import fills

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
IMAGES = RNG.normal(size=(2, 4, 5, 1))
MASK = RNG.uniform(size=(2, 4, 5, 1)) < 0.7
SIZE = 20
ROWS = RNG.normal(size=(3, SIZE))


def generate(z):
    return (z @ ROWS).reshape(-1, 4, 5, 1)


@pytest.mark.parametrize("window", [3, 7])
def test_weights_are_the_share_of_unknown_neighbours(window, x64):
    reach = window // 2
    expected = np.zeros(MASK.shape)
    for b, i, j, c in np.ndindex(MASK.shape):
        unknown = neighbours = 0
        for k in range(max(0, i - reach), min(4, i + reach + 1)):
            for m in range(max(0, j - reach), min(5, j + reach + 1)):
                neighbours += (k, m) != (i, j)
                unknown += not MASK[b, k, m, c]
        expected[b, i, j, c] = unknown / neighbours * MASK[b, i, j, c]
    found = inversion.context_weights(inversion.known_pixels(IMAGES, MASK), window)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_weights_end_with_the_window():
    known = np.ones((1, 9, 9, 1), bool)
    known[0, 4, 4] = False
    weights = np.asarray(inversion.context_weights(known, 3))[0, ..., 0]
    expected = np.zeros((9, 9))
    expected[3:6, 3:6] = 1 / 8
    expected[4, 4] = 0
    np.testing.assert_allclose(weights, expected)
    for window in (1, 4):
        with pytest.raises(InputError, match=f"a window of {window} pixels"):
            inversion.context_weights(known, window)


def test_errors_of_the_context_count_known_pixels_alone(x64):
    z = RNG.normal(size=(2, 3))
    gap = np.asarray(generate(z)) - IMAGES
    weights = np.asarray(inversion.context_weights(inversion.known_pixels(IMAGES, MASK)))
    for window, expected in ((7, weights), (None, MASK)):
        found = inversion.context_error(IMAGES, MASK, generate, window)(KEY, z)
        np.testing.assert_allclose(found, np.sum(expected * np.abs(gap), (1, 2, 3)), rtol=1e-12)
    found = inversion.squared_context_error(IMAGES, MASK, generate, 0.5)(KEY, z)
    np.testing.assert_allclose(found, np.sum(MASK * gap**2, (1, 2, 3)) / (2 * 0.25), rtol=1e-12)


def test_realism_is_the_logarithm_of_one_minus_the_probability(x64):
    logits = RNG.normal(size=(2, 2, 2, 1))
    found = inversion.realism(lambda x: logits, generate)(KEY, RNG.normal(size=(2, 3)))
    expected = np.log(1 - 1 / (1 + np.exp(-logits))).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_of_a_linear_generator_the_most_probable_latent_is_found(x64):
    # ridge regression: (V_k V_k' / s^2 + I)^-1 V_k x_k / s^2
    deviation = 0.5

    def objective(images, mask):
        error = inversion.squared_context_error(images, mask, generate, deviation)
        return inversion.weighted((error, 1.0), (inversion.normal_prior, 1.0))

    search = inversion.latent_search(generate, 800, objective=objective, optimizer=optax.identity())
    starts = RNG.normal(size=(2, 2, 3))
    rate = 1 / np.linalg.eigvalsh(ROWS @ ROWS.T / deviation**2 + np.eye(3)).max()
    found = search(KEY, IMAGES, MASK, starts, rate)
    for z, image, known in zip(found.x, IMAGES, MASK, strict=True):
        seen = ROWS[:, known.ravel()]
        products = seen @ seen.T / deviation**2 + np.eye(3)
        expected = np.linalg.solve(products, seen @ image[known] / deviation**2)
        np.testing.assert_allclose(z, expected, atol=1e-8)
    # of zero mean and ridges s^2 it is what fills.principal finds
    np.testing.assert_allclose(
        inversion.composed(IMAGES, MASK, generate(found.x)),
        fills.principal(IMAGES, MASK, 0 * IMAGES[0], ROWS, deviation**2),
        atol=1e-8,
    )


def test_the_best_of_several_starts_is_kept_for_each_image():
    images = np.full((2, 2, 2, 1), 0.5, np.float32)
    mask = np.ones((2, 2, 1), bool)
    mask[0, 0] = False

    def flat(z):
        return jnp.broadcast_to(z[:, :1, None, None], (len(z), 2, 2, 1))

    starts = np.array([[[0.4], [9.0]], [[9.0], [0.5]]], np.float32)
    search = inversion.latent_search(
        flat, 0, objective=lambda x, m: inversion.context_error(x, m, flat)
    )
    found = search(KEY, images, mask, starts, 0.1)
    np.testing.assert_array_equal(found.x, starts[[0, 1], [0, 1]])
    assert found.trace.shape == (1, 2)
    np.testing.assert_allclose(found.trace[0], [3 * 0.1 / 3, 0], atol=1e-6)


def test_the_best_start_is_so_at_the_end(x64):
    """One stays at 1; the other falls from 2.25, by 0.8^2 a step, and passes it at the second."""
    starts = np.array([[[1.0, 0.0]], [[1.5, 1.0]]])

    def objective(images, mask):
        return lambda key, z: jnp.where(z[:, 1] > 0.5, z[:, 0] ** 2, 1.0)

    search = inversion.latent_search(generate, 4, objective=objective, optimizer=optax.identity())
    found = search(KEY, IMAGES[:1], MASK[:1], starts, 0.1)
    np.testing.assert_allclose(found.x, [[1.5 * 0.8**4, 1.0]], rtol=1e-12)
    np.testing.assert_allclose(found.trace[:, 0], 2.25 * 0.64 ** np.arange(5), rtol=1e-12)


def test_yehs_objective_is_the_default_and_latents_stay_in_their_bounds():
    images = IMAGES.astype(np.float32)
    rows = ROWS.astype(np.float32)
    made = lambda z: (z @ rows).reshape(-1, 4, 5, 1)  # noqa: E731
    logits = lambda x: jnp.sum(x, axis=(1, 2))  # noqa: E731
    starts = np.zeros((1, 2, 3), np.float32)
    error = inversion.context_error(images, MASK, made)(KEY, starts[0])
    for judge, more in ((None, 0.0), (logits, 0.003 * np.log(0.5))):
        search = inversion.latent_search(made, 30, logits=judge, bound=0.2)
        found = search(KEY, images, MASK, starts, 0.1)
        np.testing.assert_allclose(found.trace[0], error + more, rtol=1e-5)
        assert np.abs(found.x).max() == np.float32(0.2)
        assert np.all(found.trace[-1] < found.trace[0])


def test_starts_that_do_not_fit_are_refused():
    search = inversion.latent_search(generate, 1)
    for shape in ((2, 3), (1, 3, 3), (0, 2, 3)):
        with pytest.raises(InputError, match=r"starts are latents \[R, 2, Z\]"):
            search(KEY, IMAGES, MASK, np.zeros(shape), 0.1)


def test_a_start_that_diverges_is_not_the_best():
    """NaN is the least number for argmin."""
    images = jnp.full((1, 2, 2, 1), 0.5).at[0, 0, 0, 0].set(jnp.nan)  # where nothing is known
    mask = np.ones((2, 2, 1), bool)
    mask[0, 0] = False

    def generate(z):
        return jnp.broadcast_to(z[:, :, None, None], (len(z), 2, 2, 1))

    search = inversion.latent_search(generate, 0)
    starts = jnp.array([jnp.nan, 0.0, 0.4])[:, None, None]
    found = search(jax.random.key(0), images, mask, starts, 0.1)
    np.testing.assert_array_equal(found.x, [[starts[2, 0, 0]]])
    assert np.isfinite(found.trace).all()

    wide = inversion.latent_search(lambda z: generate(z)[:, :, :1], 0)
    with pytest.raises(InputError, match="use images of the generator's size"):
        wide(jax.random.key(0), images, mask, starts, 0.1)
    with pytest.raises(InputError, match="bound is -1"):
        inversion.latent_search(generate, 0, bound=-1)
    with pytest.raises(InputError, match="rate of a descent is nan"):
        search(jax.random.key(0), images, mask, starts, float("nan"))
