"""Distances from planes of geodesics, against the nearest of many points of such a plane."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import nets
from ae_jax.core import InputError
from ae_jax.probability import poincare

pytestmark = pytest.mark.usefixtures("x64")


def test_a_feature_is_the_distance_from_the_nearest_point_of_a_plane():
    c = 0.6
    network = nets.gyroplanes(2, c, "linear")
    x = np.array([[0.3, -0.2], [-0.5, 0.4], [0.1, 0.6]])
    assert {k: v.shape for k, v in network.init(jax.random.key(0), x).items()} == {
        "kernel": (2, 2),
        "place": (2, 2),
    }
    params = {
        "kernel": jnp.array([[0.6, -1.0], [0.8, 0.5]]),
        "place": jnp.array([[0.4, -0.7], [0.2, 0.3]]),
    }
    found = jax.jit(network.apply)(params, x)
    places, between = (
        jax.jit(lambda x, y, f=f: f(x, y, c)) for f in (poincare.reached, poincare.distance)
    )
    along = np.linspace(-6, 6, 20_001)[:, None]
    for k in range(2):
        normal, place = (np.asarray(params[name][:, k]) for name in ("kernel", "place"))
        length = np.linalg.norm(normal)
        point = poincare.reached(np.zeros(2), place, c)
        across = np.array([-normal[1], normal[0]]) / length
        plane = places(np.asarray(point)[None], along * across)
        for row, value in zip(x, found[:, k], strict=True):
            nearest = np.min(between(plane, row[None]))
            side = np.sign(np.asarray(poincare.seen(point, row, c)) @ normal)
            np.testing.assert_allclose(value, side * length * nearest, rtol=1e-6)


def test_without_curvature_it_is_a_dense_layer():
    x = np.random.default_rng(0).normal(size=(4, 3))
    network = nets.gyroplanes(5, 0.0)
    params = network.init(jax.random.key(1), x)
    params["place"] = jax.random.normal(jax.random.key(2), (3, 5), float)
    kernel, place = (np.asarray(params[name]) for name in ("kernel", "place"))
    expected = np.maximum(2 * x @ kernel - np.sum(place * kernel, axis=0), 0)
    apply = jax.jit(network.apply)
    np.testing.assert_allclose(apply(params, x), expected, rtol=1e-10, atol=1e-12)
    slope = jax.jit(jax.grad(lambda p, x: jnp.sum(apply(p, x))))(
        {**params, "kernel": np.zeros_like(kernel)}, np.zeros_like(x)
    )
    assert all(np.all(np.isfinite(leaf)) for leaf in slope.values())


def test_refuses():
    with pytest.raises(InputError, match="curvature is -1: use 0 or more"):
        nets.gyroplanes(3, -1)
    with pytest.raises(InputError, match="features is 0"):
        nets.gyroplanes(0)
    with pytest.raises(InputError, match="activation"):
        nets.gyroplanes(3, activation="nonsense")
