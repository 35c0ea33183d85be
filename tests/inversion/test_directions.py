"""Spectra and balls against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import inversion
from ae_jax.core import InputError

RNG = np.random.default_rng(1)
KEY = jax.random.key(0)


@pytest.mark.parametrize("shape", [(5, 4), (3, 1), (6, 6)])
def test_the_hartley_transform_is_its_sum_and_its_own_inverse(x64, shape):
    x = RNG.normal(size=(2, *shape, 2))
    height, width = shape
    angle = (
        2
        * np.pi
        * np.multiply.outer(
            np.outer(np.arange(height), np.arange(height)) / height, np.ones((width, width))
        )
        + 2 * np.pi * np.outer(np.arange(width), np.arange(width)) / width
    )
    kernel = (np.cos(angle) + np.sin(angle)) / np.sqrt(height * width)  # [k, i, l, j]
    found = inversion.hartley(x)
    np.testing.assert_allclose(found, np.einsum("kilj,bijc->bklc", kernel, x), atol=1e-12)
    np.testing.assert_allclose(inversion.hartley(found), x, atol=1e-12)


def scales(height, width, decay):
    rows, columns = np.fft.fftfreq(height), np.fft.fftfreq(width)
    lowest = 1 / max(height, width)
    frequency = np.maximum(np.hypot(rows[:, None], columns[None]), lowest)
    return ((lowest / frequency) ** decay)[None, :, :, None]


@pytest.mark.parametrize("inner", [optax.identity(), optax.scale_by_adam()])
def test_a_spectrum_is_descended_as_if_it_were_what_is_optimised(x64, inner):
    start = RNG.normal(size=(2, 5, 4, 1))
    target = RNG.normal(size=start.shape)
    near = inversion.keyless(lambda x: jnp.sum((x - target) ** 4, axis=(1, 2, 3)))
    scale = scales(5, 4, 1.5)

    def image(spectrum):
        return inversion.hartley(scale * spectrum)

    within = inversion.descent(near, 5, optimizer=inversion.fourier(inner, 1.5))
    found = within(KEY, start, 0.01)
    spectra = inversion.descent(lambda key, p: near(key, image(p)), 5, optimizer=inner)
    expected = image(spectra(KEY, inversion.hartley(start) / scale, 0.01).x)
    np.testing.assert_allclose(found.x, expected, atol=1e-10)
    np.testing.assert_array_equal(
        inversion.descent(near, 0, optimizer=inner)(KEY, start, 1).x, start
    )


def test_a_plain_step_is_the_gradient_filtered_by_the_squared_scale(x64):
    slope = RNG.normal(size=(1, 8, 6, 1))
    linear = inversion.keyless(lambda x: jnp.sum(slope * x, axis=(1, 2, 3)))
    for decay in (0.0, 1.0):
        step = inversion.descent(linear, 1, optimizer=inversion.fourier(decay=decay))
        moved = -np.asarray(step(KEY, np.zeros(slope.shape), 1.0).x)
        spectrum = np.fft.fft2(slope, axes=(1, 2)) * scales(8, 6, decay) ** 2
        np.testing.assert_allclose(moved, np.fft.ifft2(spectrum, axes=(1, 2)).real, atol=1e-12)
    np.testing.assert_allclose(scales(8, 6, 1.0)[0, 0, 0, 0], 1)  # the mean moves as in pixels


def test_a_ball_keeps_what_is_inside_and_brings_the_rest_to_its_edge(x64):
    x, centre = RNG.normal(size=(2, 3, 2, 1)), RNG.normal(size=(2, 3, 2, 1))
    away = np.linalg.norm((x - centre).reshape(2, -1), axis=1)
    np.testing.assert_array_equal(inversion.ball(away + 1e-3, centre)(x), x)
    near = np.asarray(inversion.ball(away / 3, centre)(x))
    np.testing.assert_allclose(near, centre + (x - centre) / 3, atol=1e-12)
    np.testing.assert_allclose(inversion.ball(0.0)(x), np.zeros_like(x))
    one = np.linalg.norm(np.asarray(inversion.ball(0.5)(x)).reshape(2, -1), axis=1)
    np.testing.assert_allclose(one, 0.5, rtol=1e-12)


def test_a_linear_function_is_largest_along_its_slope(x64):
    slopes, centre = RNG.normal(size=(2, 3, 2, 1)), RNG.normal(size=(2, 3, 2, 1))
    slopes[1] = 0
    radius = np.array([0.7, 2.0])
    found = np.asarray(inversion.most_exciting(slopes, radius, centre))
    length = np.linalg.norm(slopes[0])
    np.testing.assert_allclose(found[0], centre[0] + 0.7 * slopes[0] / length, rtol=1e-12)
    np.testing.assert_array_equal(found[1], centre[1])
    away = np.linalg.norm(inversion.most_exciting(slopes, 2.0)[0])
    np.testing.assert_allclose(away, 2, rtol=1e-12)
    # no other point of the ball has more, as Cauchy and Schwarz say
    others = RNG.normal(size=(50, slopes[0].size))
    others = 0.7 * others / np.linalg.norm(others, axis=1, keepdims=True)
    best = np.sum(slopes[0] * (found[0] - centre[0]))
    np.testing.assert_allclose(best, 0.7 * length, rtol=1e-12)
    assert np.all(others @ slopes[0].ravel() < best)


def test_each_image_moves_by_as_much_and_not_where_nothing_pulls(x64):
    gradient = np.random.default_rng(4).normal(size=(3, 2, 2, 1)) * [[[[1]]], [[[1e-6]]], [[[0]]]]
    moved, _ = inversion.normalised_gradient().update(jnp.asarray(gradient), optax.EmptyState())
    size = np.mean(np.abs(gradient), axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(moved[:2], (gradient / np.maximum(size, 1e-300))[:2], rtol=1e-12)
    np.testing.assert_array_equal(moved[2], 0)


def test_what_gives_no_direction_is_refused():
    with pytest.raises(InputError, match="radius of a ball is -1"):
        inversion.ball(-1.0)
    with pytest.raises(InputError, match="radius of a ball is -2"):
        inversion.most_exciting(np.ones((1, 2)), -2.0)
    with pytest.raises(InputError, match="decay is -1"):
        inversion.fourier(decay=-1.0)
    with pytest.raises(InputError, match=r"spectrum is of images \[B, H, W, C\], got \[2, 3\]"):
        inversion.hartley(jnp.ones((2, 3)))
