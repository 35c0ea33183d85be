import jax
import numpy as np
import optax
import pytest

from ae_jax import methods, nets
from ae_jax.core import InputError

CLASSES, SHAPE = 3, (3, 4)
WEIGHTS = (0.5, 2.0, 1.5)


def batch():
    drawn = np.random.default_rng(0)
    mask = drawn.integers(-1, CLASSES, (4, *SHAPE)).astype(np.int32)
    mask[3] = -1  # of nothing known
    return {"image": drawn.normal(size=(4, *SHAPE, 2)), "mask": mask}


def linear():
    return nets.mlp((*SHAPE, CLASSES), ())


def by_hand(params, weights):
    """Loss, error, and the slope of the mean loss in the network's weights."""
    given, layer = batch(), jax.tree.map(np.asarray, params["network"]["Dense_0"])
    x, mask = given["image"].reshape(4, -1), given["mask"]
    logits = (x @ layer["kernel"] + layer["bias"]).reshape(4, *SHAPE, CLASSES)
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    loss, error, slope = np.zeros(4), np.zeros(4), np.zeros_like(p)
    for b in range(4):
        known = [at for at in np.ndindex(SHAPE) if mask[(b, *at)] >= 0]
        for at in known:
            k = mask[(b, *at)]
            loss[b] -= weights[k] * np.log(p[(b, *at)][k]) / len(known)
            error[b] += (np.argmax(p[(b, *at)]) != k) / len(known)
            slope[(b, *at)] = weights[k] * (p[(b, *at)] - np.eye(CLASSES)[k]) / len(known) / 4
    slope = slope.reshape(4, -1)
    return loss, error, {"kernel": x.T @ slope, "bias": slope.sum(axis=0)}


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_step_descends_the_weighted_cross_entropy_of_known_pixels(weights, x64):
    method = methods.segmenter(
        linear(), CLASSES, weights=weights, learning_rate=0.25, optimizer=optax.identity()
    )
    hparams = dict(method.hparams)
    state = method.init(jax.random.key(1), batch(), hparams)
    loss, error, slope = by_hand(state.params, weights or (1, 1, 1))
    values = method.evaluate(jax.random.key(0), state, batch(), hparams)
    np.testing.assert_allclose(values["loss"], loss, rtol=1e-12)
    np.testing.assert_allclose(values["error"], error, rtol=1e-12)
    assert loss[3] == 0
    after, _ = jax.jit(method.step)(jax.random.key(2), state, batch(), hparams)
    for name, value in slope.items():
        moved = state.params["network"]["Dense_0"][name] - 0.25 * value
        np.testing.assert_allclose(after.params["network"]["Dense_0"][name], moved, rtol=1e-10)
    assert method.views.predict(state, batch(), hparams).shape == (4, *SHAPE, CLASSES)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": 1}, "classes is 1"),
        ({"weights": (1.0, 2.0)}, "weights are 2 numbers for 3 classes"),
        ({"weights": (1.0, 2.0, -1.0)}, "weights is -1.0"),
        ({"network": "unet"}, "network is"),
    ],
)
def test_what_makes_no_segmenter(options, words):
    options = {"network": linear(), "classes": CLASSES, **options}
    with pytest.raises(InputError, match=words):
        methods.segmenter(**options)


def test_what_does_not_fit_the_data():
    method = methods.segmenter(linear(), CLASSES)
    state = method.init(jax.random.key(0), batch(), method.hparams)

    def evaluated(method, given):
        jax.eval_shape(method.evaluate, jax.random.key(0), state, given, dict(method.hparams))

    with pytest.raises(InputError, match="needs data with masks"):
        evaluated(method, {"image": batch()["image"]})
    with pytest.raises(InputError, match=r"makes \[4, 3, 4, 3\] of images .* \[4, 3, 4\] of 2 cl"):
        evaluated(methods.segmenter(linear(), 2), batch())
