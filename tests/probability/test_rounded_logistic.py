"""Rounded mixtures of logistics: masses, and the density of the variable with noise added."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from ae_jax.probability import rounded_logistic

LOCATION = np.array([[-1.5, 0.2, 3.0], [0.0, 0.0, 0.4]])
LOG_SCALE = np.array([[0.5, -3.0, -1.0], [1.0, -6.0, 0.0]])
LOGITS = np.array([[0.0, 1.0, -1.0], [2.0, 0.0, 0.5]])
WEIGHTS = special.softmax(LOGITS, axis=1)
log_probs = jax.jit(rounded_logistic.log_probs)


def below(z):
    """The distribution function of the two mixtures, [N, 2]."""
    parts = special.expit((z[:, None, None] - LOCATION) * np.exp(-LOG_SCALE))
    return np.sum(WEIGHTS * parts, axis=2)


@pytest.mark.usefixtures("x64")
def test_masses_of_whole_numbers_add_up_to_one():
    z = np.arange(-200.0, 201.0)
    nats = log_probs(np.stack([z, z], 1), LOCATION, LOG_SCALE, LOGITS)
    np.testing.assert_allclose(np.exp(nats), below(z + 0.5) - below(z - 0.5), atol=1e-14)
    np.testing.assert_allclose(np.exp(nats).sum(axis=0), 1, rtol=1e-12)
    total = rounded_logistic.log_prob(np.stack([z, z], 1), LOCATION, LOG_SCALE, LOGITS)
    np.testing.assert_allclose(total, np.sum(nats, axis=1), rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_between_them_it_is_the_density_of_the_variable_with_noise():
    z = np.linspace(-4, 4, 7)
    nats = log_probs(np.stack([z, z], 1), LOCATION, LOG_SCALE, LOGITS)

    def density(x, dimension):
        scale = np.exp(LOG_SCALE[dimension])
        return WEIGHTS[dimension] @ stats.logistic.pdf(x, LOCATION[dimension], scale)

    for dimension in range(2):
        for at, found in zip(z, np.exp(nats[:, dimension]), strict=True):
            smoothed, _ = integrate.quad(
                density, at - 0.5, at + 0.5, (dimension,), points=LOCATION[dimension], limit=400
            )
            np.testing.assert_allclose(found, smoothed, rtol=1e-7)


def test_draws_have_that_density():
    given = [jnp.asarray(x, jnp.float32) for x in (LOCATION, LOG_SCALE, LOGITS)]
    drawn = np.asarray(rounded_logistic.sample(jax.random.key(1), 20_000, *given))
    edges = np.arange(-6.0, 7.0, 0.25)
    grid = np.linspace(-6, 6.75, 12_751)
    nats = log_probs(np.stack([grid, grid], 1), LOCATION, LOG_SCALE, LOGITS)
    for dimension in range(2):
        found, _ = np.histogram(drawn[:, dimension], edges)
        mass = integrate.cumulative_trapezoid(np.exp(nats[:, dimension]), grid, initial=0)
        expected = np.diff(np.interp(edges, grid, mass))
        counts = np.append(found, 20_000 - found.sum())
        shares = np.append(expected, 1 - expected.sum())
        assert stats.chisquare(counts, 20_000 * shares).pvalue > 0.01


def test_far_tails_and_their_slopes_stay_finite_in_single_precision():
    z = np.array([[-900.0, 900.0]], np.float32)
    given = [np.asarray(x, np.float32) for x in (LOCATION, LOG_SCALE, LOGITS)]
    value, slopes = jax.value_and_grad(
        lambda *given: jnp.sum(rounded_logistic.log_prob(z, *given)), (0, 1, 2)
    )(*given)
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(slope)) for slope in slopes)
    # the widest component alone is left: -(|z - m| - 1/2) / s + log w + log(1 - e^(-1/s))
    widths = np.exp(LOG_SCALE[:, 0])
    far = -(np.abs(z[0] - LOCATION[:, 0]) - 0.5) / widths
    far += np.log(WEIGHTS[:, 0]) + np.log(-np.expm1(-1 / widths))
    np.testing.assert_allclose(value, far.sum(), rtol=1e-5)
    # a difference of distribution functions has lost them
    ends = [special.expit(np.float32((900 + s) / widths[1])) for s in (0.5, -0.5)]
    assert ends[0] == ends[1]
