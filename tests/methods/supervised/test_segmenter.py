import jax
import numpy as np
import optax
import pytest

from ae_jax import methods, metrics, nets
from ae_jax.core import InputError

CLASSES, SHAPE = 3, (3, 4)
WEIGHTS = (0.5, 2.0, 1.5)


def batch():
    drawn = np.random.default_rng(0)
    mask = drawn.integers(-1, CLASSES, (4, *SHAPE)).astype(np.int32)
    mask[2] = -1
    mask[2, 1, 1] = 0  # of one pixel known
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


def tiny(dropout):
    """A SegNet of one level and one channel of 1x1 convolutions, its parameters and an image."""
    network = nets.segnet(2, (1,), kernel=1, dropout=dropout)
    x = np.random.default_rng(1).uniform(0.5, 2, (1, 4, 4, 1))
    params = network.init(jax.random.key(0), x)
    layers = {
        "Conv_0": {"kernel": np.full((1, 1, 1, 1), 1.5)},
        "Conv_1": {"kernel": np.full((1, 1, 1, 1), 0.8)},
        "Conv_2": {"kernel": np.array([[[[1.0, -0.5]]]]), "bias": np.array([0.3, 0.0])},
    }
    statistics = {f"BatchNorm_{i}": {"mean": np.full(1, -0.4), "var": np.ones(1)} for i in (0, 1)}
    return network, {"params": params["params"] | layers, "batch_stats": statistics}, x


def every_mask(params, x):
    """The probability of the first class for each way to drop: [2, 2, 4, 4], all as likely.

    A value in its place is dropped when it is pooled, and any pixel behind the convolution.
    """

    def normalised(x):
        return (x + 0.4) / np.sqrt(1 + 1e-5)

    hidden = normalised(1.5 * x[0, ..., 0])
    windows = hidden.reshape(2, 2, 2, 2).max(axis=(1, 3)).repeat(2, axis=0).repeat(2, axis=1)
    back = np.where(hidden == windows, hidden, 0)
    found = np.empty((2, 2, 4, 4))
    for i, j in np.ndindex(2, 2):
        h = 2 * j * normalised(0.8 * 2 * i * back)
        found[i, j] = 1 / (1 + np.exp(-(1.5 * h + 0.3)))
    return found


def test_the_bayesian_segnet_is_the_mean_over_all_masks(x64):
    network, params, x = tiny(0.5)
    method = methods.segmenter(network, 2)
    state = method.init(jax.random.key(0), {"image": x, "mask": x[..., 0].astype(int)}, {})
    state = state._replace(params={"network": params})
    count = 4000

    def draw(key):
        return method.views.predict_noisy(key, state, {"image": x}, {})

    found = jax.jit(lambda key: metrics.monte_carlo(draw, key, count))(jax.random.key(1))
    exact = every_mask(params, x).reshape(4, 4, 4)
    mean, variance = exact.mean(axis=0), exact.var(axis=0)
    assert variance.min() > 0.01
    error = found.probabilities[0, ..., 0] - mean
    assert np.all(np.abs(error) < 4.5 * np.sqrt(variance / count))
    np.testing.assert_allclose(found.variance[0, ..., 0], variance, rtol=0.1)

    def entropy(p):
        return -p * np.log(p) - (1 - p) * np.log(1 - p)

    information = entropy(mean) - entropy(exact).mean(axis=0)
    np.testing.assert_allclose(found.mutual_information[0], information, rtol=0.1)
    # what is deterministic is another prediction
    plain = jax.nn.softmax(method.views.predict(state, {"image": x}, {}))[0, ..., 0]
    assert np.max(np.abs(plain - mean) / np.sqrt(variance / count)) > 10


def test_without_dropout_the_bayesian_segnet_is_the_segnet():
    method, shown = methods.segmenter(nets.segnet(3, (2,), kernel=3), 3), batch()
    state = jax.jit(method.init)(jax.random.key(0), shown, {})

    def both(key, state, images):
        views, seen = method.views, {"image": images}
        noisy = metrics.monte_carlo(lambda key: views.predict_noisy(key, state, seen, {}), key, 5)
        return noisy, metrics.monte_carlo(lambda key: views.predict(state, seen, {}), key, 5)

    noisy, plain = jax.jit(both)(jax.random.key(1), state, shown["image"])
    for ours, theirs in zip(noisy, plain, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.any(noisy.variance)
    assert not np.any(noisy.mutual_information)
    assert methods.segmenter(linear(), CLASSES).views.predict_noisy is None
