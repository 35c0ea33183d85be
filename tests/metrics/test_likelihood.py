import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, losses
from ae_jax.core import InputError
from ae_jax.metrics import (
    best_log_likelihood,
    importance_bounds,
    importance_log_likelihood,
    parzen_deviation,
    parzen_log_likelihood,
)


def test_images_are_as_probable_as_they_are_frequent():
    images = np.eye(4)[[0, 1, 1, 3]].reshape(4, 2, 2, 1)
    assert best_log_likelihood(images) == pytest.approx(2 * math.log(1 / 4) + 2 * math.log(1 / 2))
    assert best_log_likelihood(images[1:3]) == 0


def test_bars_and_stripes_of_side_three():
    # 16 images of which the blank and the full one come twice: Fischer and Igel's -41.59
    images = data.load("bars_and_stripes", "train")
    seen = images.fetch(images.arrays, np.arange(images.size))["image"]
    assert best_log_likelihood(seen) == pytest.approx(-41.5888, abs=1e-4)


def test_bounds_of_more_samples_are_tighter():
    # x = z + e, both of variance 1: log p(x) = log N(x; 0, 2), with proposals from the prior
    x = jnp.array([[-1.0, 0.5, 2.0]])

    def bound(samples, key):
        z = jax.random.normal(key, (samples, 3))
        return losses.iwae_bound(-0.5 * (x - z) ** 2 - 0.5 * math.log(2 * math.pi))

    find = jax.jit(lambda key: importance_bounds(bound, key, (1, 10, 1000), least=20_000))
    found = find(jax.random.key(0))
    assert list(found) == ["elbo", "iwae_10", "iwae_1000"]
    exact = -0.25 * x[0] ** 2 - 0.5 * math.log(4 * math.pi)
    # the ELBO is E[log p(x | z)] = -(x^2 + 1) / 2 - log(2 pi) / 2
    elbo = -0.5 * (x[0] ** 2 + 1) - 0.5 * math.log(2 * math.pi)
    np.testing.assert_allclose(found["elbo"], elbo, atol=0.06)
    assert np.all(found["elbo"] < found["iwae_10"])
    assert np.all(found["iwae_10"] < found["iwae_1000"])
    np.testing.assert_allclose(found["iwae_1000"], exact, atol=0.02)


def test_the_number_of_draws_is_what_is_asked_for():
    def bound(samples, key):
        return jnp.ones(2) * samples + jax.random.uniform(key)

    key = jax.random.key(5)
    found = importance_bounds(bound, key, (2, 7), least=7)
    own = jax.random.split(jax.random.fold_in(key, 2), 4)  # 4 times 2 are 7 or more
    np.testing.assert_allclose(found["iwae_2"], 2 + np.mean([jax.random.uniform(k) for k in own]))
    (one,) = jax.random.split(jax.random.fold_in(key, 7), 1)
    np.testing.assert_allclose(found["iwae_7"], 7 + jax.random.uniform(one))
    with pytest.raises(InputError, match="from 1"):
        importance_bounds(bound, key, (0,))


def test_parzen_log_likelihood_is_that_of_a_mixture(x64):
    samples, examples = np.random.default_rng(0).standard_normal((2, 5, 3))
    found = parzen_log_likelihood(samples, examples[:4], 0.3)
    squares = np.sum((examples[:4, None] - samples[None]) ** 2, axis=-1)
    densities = np.exp(-squares / (2 * 0.09)) / (2 * np.pi * 0.09) ** 1.5
    np.testing.assert_allclose(found, np.log(densities.mean(axis=1)), rtol=1e-12)
    # far from all samples it is finite, and of deviations several are had at once
    far = jax.jit(jax.vmap(lambda width: parzen_log_likelihood(samples, examples + 1e3, width)))
    assert np.all(np.isfinite(far(jnp.array([0.1, 0.3]))))
    widths = (0.01, 0.3, 1.0, 10.0)
    means = [np.mean(parzen_log_likelihood(samples, examples, width)) for width in widths]
    assert parzen_deviation(samples, examples, widths) == widths[int(np.argmax(means))] == 1
    with pytest.raises(InputError, match="deviation must be positive, got 0"):
        parzen_log_likelihood(samples, examples, 0.0)
    with pytest.raises(InputError, match="deviations must be positive numbers"):
        parzen_deviation(samples, examples, [])


def test_an_importance_estimate_by_hand(x64):
    # weights 1, 3 and 2, 2: means 2; deviations 2^0.5 and 0, over 2 and the root of 2
    log_weights = np.log([[1.0, 2.0], [3.0, 2.0]])
    found = importance_log_likelihood(log_weights)
    np.testing.assert_allclose(found.log_likelihood, np.log([2, 2]), rtol=1e-12)
    np.testing.assert_allclose(found.error, [0.5, 0], atol=1e-12)
    # far below what has a number of its own
    low = jax.jit(importance_log_likelihood)(log_weights - 5000)
    np.testing.assert_allclose(low.log_likelihood, np.log(2) - 5000, rtol=1e-12)
    np.testing.assert_allclose(low.error, [0.5, 0], atol=1e-12)


def test_the_error_of_an_importance_estimate_is_that_of_repeated_ones(x64):
    # log p(x) = log N(x; 0, 2), with proposals of variance 1 around x / 2
    x, rng = 1.3, np.random.default_rng(0)
    z = x / 2 + rng.standard_normal((400, 2000))
    log_weights = -0.5 * (x - z) ** 2 - 0.5 * z**2 + 0.5 * (z - x / 2) ** 2
    found = importance_log_likelihood(log_weights - 0.5 * math.log(2 * math.pi))
    exact = -0.25 * x**2 - 0.5 * math.log(4 * math.pi)
    spread = np.std(found.log_likelihood)
    np.testing.assert_allclose(np.mean(found.error), spread, rtol=0.1)
    # too low by half the squared error
    np.testing.assert_allclose(
        np.mean(found.log_likelihood), exact - spread**2 / 2, atol=4 * spread / 2000**0.5
    )


def test_weights_at_the_exact_posterior_leave_no_error():
    found = importance_log_likelihood(jnp.full((50, 3), -87.25))
    np.testing.assert_array_equal(found.log_likelihood, np.full(3, np.float32(-87.25)))
    np.testing.assert_allclose(found.error, 0, atol=1e-6)


def test_one_sample_says_nothing_of_its_error():
    found = importance_log_likelihood(jnp.ones((1, 2)))
    np.testing.assert_array_equal(found.error, np.inf)
    half = importance_log_likelihood(jnp.ones((4, 2), jnp.bfloat16))
    assert half.error.dtype == half.log_likelihood.dtype == jnp.float32
    assert np.all(np.isnan(importance_log_likelihood(jnp.full((3, 2), jnp.nan)).error))
    for wrong in (np.ones(3), np.ones((0, 3))):
        with pytest.raises(InputError, match=r"\[K, B\]"):
            importance_log_likelihood(wrong)
