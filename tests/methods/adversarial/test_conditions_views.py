"""Labels in a GAN: how they are shown, what they are used for afterwards, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import methods, nets
from ae_jax.core import InputError, Network
from ae_jax.methods import conditions
from tests.methods.adversarial.conditioned import BATCH, CLASSES, KEY, ONE_HOT, built, linear, seen

pytestmark = pytest.mark.usefixtures("x64")


def test_labels_stand_behind_vectors_and_in_planes_behind_images():
    image = np.random.default_rng(0).random((5, 2, 4, 2))
    planes = np.broadcast_to(ONE_HOT[:, None, None], (5, 2, 4, CLASSES))
    whole, flat = (conditions.concatenation(CLASSES, flat=flat) for flat in (False, True))
    np.testing.assert_array_equal(seen(whole, image), np.concatenate([image, planes], -1))
    vectors = image.reshape(5, -1)
    beside = np.concatenate([vectors, ONE_HOT], -1)
    np.testing.assert_array_equal(seen(flat, image), beside)
    for condition in (whole, flat):
        np.testing.assert_array_equal(seen(condition, vectors), beside)
    half = whole.shown(jnp.asarray(image, jnp.bfloat16), jnp.asarray(ONE_HOT))
    assert half.dtype == jnp.bfloat16


def telling(frequencies=None):
    """A GAN that generates (z, y)."""
    method = methods.gan(
        Network(lambda key, x: {"w": jnp.ones(())}, lambda params, x: params["w"] * x),
        linear(1),
        1,
        condition=conditions.concatenation(CLASSES, frequencies=frequencies),
        output=lambda x: x,
    )
    batch = {"image": jnp.zeros((5, 1 + CLASSES)), "label": BATCH["label"]}
    return method, jax.jit(method.init)(KEY, batch, dict(method.hparams))


def test_views():
    method, state = telling()
    found = method.views.generate(KEY, state, {"label": BATCH["label"]}, method.hparams)
    z = jax.random.normal(KEY, (5, 1), float)
    np.testing.assert_array_equal(found, np.concatenate([z, ONE_HOT], axis=1))
    np.testing.assert_array_equal(method.views.decode(state, found, method.hparams), found)
    count = 3000
    for frequencies, expected in ((None, [1, 1, 1]), ((0.2, 0, 0.6), [1, 0, 3])):
        method, state = telling(frequencies)
        drawn = np.asarray(method.views.sample(KEY, state, count, method.hparams))
        np.testing.assert_array_equal(np.sort(drawn[:, 1:], axis=1)[:, -1], 1)
        p = np.asarray(expected) / np.sum(expected)
        errors = np.abs(drawn[:, 1:].mean(axis=0) - p)
        assert np.all(errors <= 4 * np.sqrt(p * (1 - p) / count))
        # what is drawn does not tell the class
        latent = drawn[:, 0]
        assert abs(np.corrcoef(latent, drawn[:, 1])[0, 1]) < 4 / np.sqrt(count)


def test_labels_that_are_no_classes():
    method = built(conditions.concatenation(CLASSES), linear(1))
    hparams = dict(method.hparams)
    with pytest.raises(
        InputError, match=r"need data with labels: use a .*, or leave out condition"
    ):
        method.init(KEY, {"image": BATCH["image"]}, hparams)
    state = jax.jit(method.init)(KEY, BATCH, hparams)
    step = jax.jit(method.step)
    for label, said in (([0, 1, 2, 3, 0], "got 0 to 3"), ([0, -1, 0, 0, 0], "got -1 to 0")):
        wrong = {**BATCH, "label": jnp.asarray(label)}
        for call in (method.init, lambda *args: method.views.generate(args[0], state, *args[1:])):
            with pytest.raises(InputError, match=f"labels must be from 0 to 2, {said}: give"):
                call(KEY, wrong, hparams)
        # where they cannot be looked at, the lane is frozen
        _, info = step(KEY, state, wrong, hparams)
        assert np.isnan(info["discriminator_loss"])
        assert np.isnan(info["generator_loss"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: conditions.concatenation(1), "classes is 1: use a whole number, 2 or more"),
        (lambda: conditions.projection(2.5), "classes is 2.5"),
        (lambda: conditions.auxiliary(0), "classes is 0"),
        (lambda: conditions.concatenation(2, frequencies=[1, 1, 1]), "must be 2 numbers"),
        (lambda: conditions.projection(2, frequencies=[1, -1]), "none below 0"),
        (lambda: conditions.auxiliary(2, frequencies=[0, 0]), "frequencies must be"),
        (lambda: conditions.projection(2, frequencies=[1, np.inf]), "frequencies must be"),
    ],
)
def test_what_is_no_condition_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_features_are_vectors():
    batch = {"image": jnp.zeros((5, 2, 2, 1)), "label": BATCH["label"]}
    method = methods.gan(
        nets.mlp((2, 2, 1), ()), nets.mlp((2, 2, 1), ()), 2, condition=conditions.projection(3)
    )
    with pytest.raises(InputError, match=r"must give features \[B, F\].*gives \[5, 2, 2, 1\]"):
        jax.eval_shape(method.init, KEY, batch, dict(method.hparams))
