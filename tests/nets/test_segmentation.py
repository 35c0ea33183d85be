import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import nets
from ae_jax.core import InputError


def test_values_go_back_to_their_places(x64):
    """One level of 1x1 convolutions: pooled, put back and weighed by hand."""
    network = nets.segnet(2, (3,), kernel=1)
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 2))
    params = network.init(jax.random.key(0), x)
    down, up, last = (params["params"][f"Conv_{i}"] for i in range(3))
    mean = {f"BatchNorm_{i}": {"mean": jnp.full(3, 0.1), "var": jnp.full(3, 2.0)} for i in (0, 1)}
    params = {**params, "batch_stats": mean}

    def normalised(x):
        return (x - 0.1) / np.sqrt(2 + 1e-5)

    hidden = np.maximum(normalised(x @ np.asarray(down["kernel"])[0, 0]), 0)
    values, places = nets.max_pool_with_places(hidden, padding="SAME")
    back = np.asarray(nets.unpool(values, places, (5, 4), padding="SAME"))
    expected = normalised(back @ np.asarray(up["kernel"])[0, 0])
    expected = expected @ np.asarray(last["kernel"])[0, 0] + np.asarray(last["bias"])
    np.testing.assert_allclose(network.apply(params, x), expected, rtol=1e-10)


@pytest.mark.parametrize("relu", [False, True])
def test_features_are_handed_across(relu, x64):
    """Beside pixels that are repeated, in an odd image of which the last ones are cut off."""
    network = nets.segnet(2, (3,), kernel=1, unpooling="features", relu=relu)
    x = np.random.default_rng(1).normal(size=(2, 5, 3, 2))
    params = network.init(jax.random.key(0), x)
    down, up, last = (params["params"][f"Conv_{i}"] for i in range(3))
    hidden = np.maximum(x @ np.asarray(down["kernel"])[0, 0] / np.sqrt(1 + 1e-5), 0)
    padded = np.pad(hidden, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=-1)
    pooled = padded.reshape(2, 3, 2, 2, 2, 3).max(axis=(2, 4))
    repeated = pooled.repeat(2, axis=1).repeat(2, axis=2)[:, :5, :3]
    both = np.concatenate([repeated, hidden], axis=-1)
    made = both @ np.asarray(up["kernel"])[0, 0] / np.sqrt(1 + 1e-5)
    made = np.maximum(made, 0) if relu else made
    expected = made @ np.asarray(last["kernel"])[0, 0] + np.asarray(last["bias"])
    np.testing.assert_allclose(network.apply(params, x), expected, rtol=1e-10)


@pytest.mark.parametrize("unpooling", ["places", "nearest"])
def test_sides_need_not_be_even(unpooling):
    network = nets.segnet(4, (2, 3), kernel=3, unpooling=unpooling, dropout=0.5)
    x = jnp.ones((2, 7, 5, 1))
    params = jax.eval_shape(network.init, jax.random.key(0), x)
    assert jax.eval_shape(network.apply, params, x).shape == (2, 7, 5, 4)
    y, moved = jax.eval_shape(network.train, jax.random.key(0), params, x)
    assert y.shape == (2, 7, 5, 4)
    assert set(moved) == {"batch_stats"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": ()}, "one level or more"),
        ({"channels": (0,)}, "channels is 0"),
        ({"unpooling": "bilinear"}, "unknown unpooling 'bilinear'; use places, nearest, features"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_what_makes_no_network(options, words):
    with pytest.raises(InputError, match=words):
        nets.segnet(2, **options)


def test_images_too_small_for_the_levels():
    with pytest.raises(InputError, match="2 levels needs images of 4 pixels a side or more, got 3"):
        jax.eval_shape(nets.segnet(2, (2, 2)).init, jax.random.key(0), jnp.ones((1, 3, 8, 1)))
