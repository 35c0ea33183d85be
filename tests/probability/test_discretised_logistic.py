"""Logistic variables rounded to levels: sums, edges, and differences that do not cancel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from ae_jax.core import InputError
from ae_jax.probability import discretised_logistic

LEVELS = np.arange(256)[:, None] / 255


@jax.jit
def log_prob(x, location, log_scale):
    def total(location, log_scale):
        nats = discretised_logistic.log_prob(x, location, log_scale)
        return jnp.sum(nats), nats

    (by_location, by_scale), nats = jax.grad(total, (0, 1), has_aux=True)(location, log_scale)
    return nats, by_location, by_scale


def given(location, log_scale, dtype=float):
    return [np.full((256, 1), value, dtype) for value in (location, log_scale)]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("location", "log_scale"), [(0.3, -3.0), (0.5, 1.0), (-0.2, -4.0), (1.5, -2.0), (0.4, -9.0)]
)
def test_probabilities_are_those_of_the_cells_and_add_up_to_one(location, log_scale):
    nats = np.asarray(log_prob(LEVELS, *given(location, log_scale))[0])
    ends = np.concatenate([[-np.inf], (np.arange(255) + 0.5) / 255, [np.inf]])
    below = special.expit((ends - location) * np.exp(-log_scale))
    np.testing.assert_allclose(np.exp(nats), np.diff(below), rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(np.exp(nats).sum(), 1, rtol=1e-13)


def test_single_precision_keeps_cells_that_a_difference_loses():
    # 0.4 is 800 scales from the end: there s(a) - s(b) is 0, and its logarithm minus infinity
    location, log_scale = given(0.4, np.log(5e-4), np.float32)
    x = LEVELS.astype(np.float32)
    nats, by_location, by_scale = map(np.asarray, log_prob(x, location, log_scale))
    rate = np.float32(2000)
    a, b = ((x + np.float32(s / 510) - location) * rate for s in (1, -1))
    with np.errstate(divide="ignore"):
        naive = np.log(special.expit(a) - special.expit(b))[1:-1, 0]
    assert np.sum(naive == -np.inf) > 200
    # log p = -|x - m| / s + ... far out, and its slope is the sign of x - m over s
    np.testing.assert_allclose(nats[254], -(254 / 255 - 1 / 510 - 0.4) * 2000, rtol=1e-4)
    np.testing.assert_allclose(by_location[[5, 250], 0], [-2000, 2000], rtol=1e-4)
    assert np.all(np.isfinite(by_scale))
    wide = log_prob(x, *given(0.4, 20.0, np.float32))
    assert all(np.all(np.isfinite(value)) for value in wide)


@pytest.mark.usefixtures("x64")
def test_slopes_equal_finite_differences():
    location, log_scale = given(0.45, -2.5)
    _, by_location, by_scale = log_prob(LEVELS, location, log_scale)
    h = 1e-5
    for slope, shift in ((by_location, (h, 0)), (by_scale, (0, h))):
        ahead, behind = (
            log_prob(LEVELS, location + s * shift[0], log_scale + s * shift[1])[0] for s in (1, -1)
        )
        np.testing.assert_allclose(slope[:, 0], (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("location", [0.02, 0.6])
def test_samples_have_those_probabilities(location):
    count, levels = 4000, 6
    shape = (count, 1)
    draws = discretised_logistic.sample(
        jax.random.key(2), jnp.full(shape, location), jnp.full(shape, -1.5), levels
    )
    found = np.bincount(np.round(np.asarray(draws)[:, 0] * 5).astype(int), minlength=levels)
    np.testing.assert_allclose(draws * 5, np.round(draws * 5), atol=1e-6)
    x = np.arange(levels, dtype=np.float32)[:, None] / 5
    nats = discretised_logistic.log_prob(
        x, np.full_like(x, location), np.full_like(x, -1.5), levels
    )
    probabilities = np.exp(np.asarray(nats, float))
    np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-6)
    assert stats.chisquare(found, count * probabilities / probabilities.sum()).pvalue > 0.01


def test_data_are_rounded_to_the_nearest_level_and_levels_are_two_or_more():
    half, exact = np.array([[0.4]], np.float32), np.array([[0.5]], np.float32)
    arguments = np.array([[0.2]], np.float32), np.array([[-1.0]], np.float32)
    near, at = (discretised_logistic.log_prob(x, *arguments, 3) for x in (half, exact))
    np.testing.assert_array_equal(near, at)
    for levels in (1, 2.5):
        with pytest.raises(InputError, match="use a whole number, 2 or more"):
            discretised_logistic.log_prob(half, *arguments, levels)
        with pytest.raises(InputError, match="use a whole number, 2 or more"):
            discretised_logistic.sample(jax.random.key(0), *arguments, levels)
