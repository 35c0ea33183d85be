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
