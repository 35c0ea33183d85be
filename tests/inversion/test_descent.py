"""Descents whose end is known: least squares, a Gaussian's conditional mean, Laplace's equation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import inversion, losses
from ae_jax.core import InputError
from ae_jax.inversion import fills

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
SHAPE = (3, 4, 1)
SIZE = 12
IMAGES = RNG.normal(size=(3, *SHAPE))
MASK = RNG.uniform(size=(3, *SHAPE)) < 0.6
PLAIN = optax.identity()
plain = functools.partial(inversion.inpainting, low=None, high=None, optimizer=PLAIN)


def gaussian():
    """A mean [D] and a covariance [D, D] that is well conditioned."""
    root = RNG.normal(size=(SIZE, SIZE))
    return RNG.normal(size=SIZE), np.eye(SIZE) + root @ root.T / SIZE


def conditional(mean, covariance, ridge=0.0):
    """Each image's unknown pixels given the known ones, in NumPy."""
    filled = IMAGES.reshape(3, -1).copy()
    for row, k in zip(filled, MASK.reshape(3, -1), strict=True):
        within = covariance[np.ix_(k, k)] + ridge * np.eye(k.sum())
        row[~k] = mean[~k] + covariance[np.ix_(~k, k)] @ np.linalg.solve(within, row[k] - mean[k])
    return filled.reshape(IMAGES.shape)


def test_under_a_gaussian_the_descent_ends_at_the_conditional_mean(x64):
    mean, covariance = gaussian()
    precision = np.linalg.inv(covariance)

    def improbable(x):
        gap = x.reshape(len(x), -1) - mean[None]
        return jnp.sum(gap @ precision * gap, axis=1) / 2

    rate = 1 / np.linalg.eigvalsh(precision).max()
    found = plain(inversion.keyless(improbable), 400)(KEY, IMAGES, MASK, rate)
    np.testing.assert_allclose(found.x, conditional(mean, covariance), atol=1e-9)
    assert found.trace.shape == (401, 3)
    assert np.all(np.diff(found.trace, axis=0) <= 1e-12)


def test_the_score_of_the_best_denoiser_leads_to_the_mean_given_noisy_pixels(x64):
    # of N(m, S) the best denoiser is r(x) = m + S (S + s^2 I)^-1 (x - m), whose score is that of
    # N(m, S + s^2 I); the gradient of |r(x) - x|^2 ends elsewhere
    mean, covariance = gaussian()
    deviation = 0.7
    noisy = covariance + deviation**2 * np.eye(SIZE)
    wiener = np.linalg.solve(noisy, covariance)

    def reconstruct(x):
        flat = mean[None] + (x.reshape(len(x), -1) - mean[None]) @ wiener
        return flat.reshape(x.shape)

    score = inversion.denoising_score(reconstruct, deviation)
    np.testing.assert_allclose(
        jax.grad(lambda x: jnp.sum(score(KEY, x)))(IMAGES).reshape(3, -1),
        (IMAGES.reshape(3, -1) - mean) @ np.linalg.inv(noisy),
        atol=1e-12,
    )
    gap = reconstruct(IMAGES) - IMAGES
    expected = np.sum(np.asarray(gap) ** 2, axis=(1, 2, 3)) / (2 * deviation**2)
    np.testing.assert_allclose(score(KEY, IMAGES), expected, rtol=1e-12)
    fill = functools.partial(plain, steps=1000)
    found = fill(score)(KEY, IMAGES, MASK, deviation**2)
    np.testing.assert_allclose(found.x, conditional(mean, noisy), atol=1e-9)
    error = fill(inversion.reconstruction_error(reconstruct))(KEY, IMAGES, MASK, 0.4)
    assert np.abs(error.x - conditional(mean, noisy)).max() > 0.05


def test_under_a_linear_autoencoder_the_descent_ends_at_the_least_squares_fit(x64):
    mean = RNG.normal(size=SIZE)
    rows = np.linalg.qr(RNG.normal(size=(SIZE, 2)))[0].T

    def reconstruct(x):
        flat = mean[None] + (x.reshape(len(x), -1) - mean[None]) @ rows.T @ rows
        return flat.reshape(x.shape)

    found = plain(inversion.reconstruction_error(reconstruct), 3000)(KEY, IMAGES, MASK, 0.5)
    expected = IMAGES.reshape(3, -1).copy()
    for row, k in zip(expected, MASK.reshape(3, -1), strict=True):
        latent = np.linalg.lstsq(rows[:, k].T, row[k] - mean[k], rcond=None)[0]
        row[~k] = (mean + latent @ rows)[~k]
    np.testing.assert_allclose(found.x, expected.reshape(IMAGES.shape), atol=1e-8)
    closed = fills.principal(IMAGES, MASK, mean, rows)
    np.testing.assert_allclose(closed, expected.reshape(IMAGES.shape), atol=1e-12)


def test_squared_differences_lead_to_laplaces_equation(x64):
    smooth = inversion.keyless(lambda x: losses.total_variation(x, 2.0))
    found = plain(smooth, 600)(KEY, IMAGES, MASK, 0.1)
    np.testing.assert_allclose(found.x, fills.harmonic(IMAGES, MASK), atol=1e-9)


PULL = inversion.keyless(lambda x: jnp.sum((x - 3.0) ** 2, axis=(1, 2, 3)))


def test_known_pixels_are_the_same_bit_for_bit_and_the_others_in_range():
    images = IMAGES.astype(np.float32)  # known ones lie outside of the range
    fill = inversion.inpainting(PULL, 50)
    found = np.asarray(fill(KEY, images, MASK, 0.1).x)
    # nothing is learned from what is not known
    other = np.where(MASK, images, np.float32(7))
    np.testing.assert_array_equal(fill(KEY, other, MASK, 0.1).x, found)
    np.testing.assert_array_equal(found[MASK], images[MASK])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[~MASK], 1)
    found = inversion.inpainting(PULL, 500, low=-1, high=None)(KEY, images, MASK, 0.1)
    np.testing.assert_allclose(np.asarray(found.x)[~MASK], 3, atol=1e-3)


@pytest.mark.parametrize("optimizer", [None, PLAIN])
def test_no_steps_return_the_start(optimizer):
    start = RNG.normal(size=IMAGES.shape).astype(np.float32)
    found = inversion.descent(PULL, 0, optimizer=optimizer)(KEY, start, 0.1)
    np.testing.assert_array_equal(found.x, start)
    np.testing.assert_allclose(found.trace, PULL(KEY, start)[None], rtol=1e-6)
    fill = inversion.inpainting(PULL, 0, optimizer=optimizer)
    images = IMAGES.astype(np.float32)
    found = fill(KEY, images, MASK, 0.1, start)
    np.testing.assert_array_equal(found.x, np.where(MASK, images, start))
    own = np.asarray(fill(KEY, images, MASK, 0.1).x)
    for image, filled, k in zip(images, own, MASK, strict=True):
        np.testing.assert_allclose(filled[~k], image[k].mean(), rtol=1e-5)


def test_a_batch_is_its_images_one_by_one():
    fill = inversion.inpainting(PULL, 20, low=-2, high=2)
    images = IMAGES.astype(np.float32)
    together = fill(KEY, images, MASK, 0.1)
    for i in range(3):
        alone = fill(KEY, images[i : i + 1], MASK[i : i + 1], 0.1)
        np.testing.assert_allclose(alone.x[0], together.x[i], rtol=1e-6)
        np.testing.assert_allclose(alone.trace[:, 0], together.trace[:, i], rtol=1e-5)


def test_images_that_are_known_come_back():
    images = IMAGES.astype(np.float32)
    found = inversion.inpainting(PULL, 5)(KEY, images, np.ones((*SHAPE[:2], 1), bool), 0.1)
    np.testing.assert_array_equal(found.x, images)
    np.testing.assert_array_equal(found.trace, found.trace[:1].repeat(6, axis=0))


def test_numbers_are_traced_also_those_of_objectives():
    traces = []

    @jax.jit
    def filled(images, weight, rate):
        traces.append(weight)
        objective = inversion.weighted((PULL, 1.0), (inversion.keyless(total), weight))
        return inversion.inpainting(objective, 5)(KEY, images, MASK, rate).x

    total = losses.total_variation
    images = IMAGES.astype(np.float32)
    found = [filled(images, weight, rate) for weight, rate in ((0.0, 0.1), (9.0, 0.1), (0.0, 0.2))]
    assert len(traces) == 1
    assert np.any(found[0] != found[1])
    assert np.any(found[0] != found[2])


def test_steps_draw_anew_and_a_single_number_is_an_objective_too():
    drawn = inversion.descent(lambda key, x: jnp.sum(x * 0) + jax.random.uniform(key), 4)
    trace = drawn(KEY, np.zeros((2, 3), np.float32), 0.1).trace
    assert trace.shape == (5,)
    assert len(np.unique(trace)) == 5


def test_ascent_on_a_ball_of_one_linear_unit(x64):
    # ends at r w / |w|, where the unit is at r |w|
    w, radius = RNG.normal(size=5), 2.0

    def on_ball(x):
        return x * radius / jnp.linalg.norm(x, axis=1, keepdims=True)

    climb = inversion.descent(lambda key, x: -x @ w, 200, optimizer=PLAIN, project=on_ball)
    found = climb(KEY, RNG.normal(size=(2, 5)), 0.3)
    expected = np.broadcast_to(radius * w / np.linalg.norm(w), (2, 5))
    np.testing.assert_allclose(found.x, expected, atol=1e-9)
    np.testing.assert_allclose(found.trace[-1], -radius * np.linalg.norm(w), rtol=1e-12)


def test_ascent_of_an_activation_is_a_power_iteration(x64):
    weights = RNG.normal(size=(6, 5))
    climb = inversion.descent(
        inversion.activation(lambda x: x @ weights),
        300,
        optimizer=PLAIN,
        project=lambda x: x / jnp.linalg.norm(x, axis=1, keepdims=True),
    )
    found = climb(KEY, np.ones((1, 6)) / 6**0.5, 100.0)
    first = np.linalg.svd(weights)[0][:, 0]
    assert abs(found.x[0] @ first) > 1 - 1e-9


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: inversion.descent(PULL, -1), "steps of a descent are -1"),
        (lambda: inversion.inpainting(PULL, 2.5), "steps of a descent are 2.5"),
        (lambda: inversion.inpainting(PULL, 2, low=1, high=1), "are from 1 to 1"),
        (lambda: inversion.descent(PULL, 1)(KEY, np.zeros(3, int), 0.1), "starts from floats"),
        (
            lambda: inversion.inpainting(PULL, 1)(KEY, IMAGES, np.zeros(SHAPE, bool), 0.1),
            "without a known pixel",
        ),
        (
            lambda: inversion.inpainting(PULL, 1)(KEY, IMAGES, np.ones((4, 4, 1), bool), 0.1),
            "a mask of images",
        ),
        (
            lambda: inversion.inpainting(PULL, 1)(KEY, IMAGES, MASK, 0.1, IMAGES[:2]),
            "what is to fill them",
        ),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
