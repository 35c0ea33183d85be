"""The continuous Bernoulli distribution, above all around logits of 0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from ae_jax.probability import continuous_bernoulli

#: log p(0.3), and its slope in the logit, to 40 digits and rounded.
EXACT = {
    -40.0: (-8.31112054589, 0.275),
    -2.0: (0.238560638429, -0.0434823572503),
    -0.04: (0.0079333342222, -0.196666755552),
    -0.001: (0.000199958333334, -0.199916666668),
    -1e-06: (1.99999958333e-07, -0.199999916667),
    0.0: (0.0, -0.2),
    1e-06: (-2.00000041667e-07, -0.200000083333),
    0.02: (-0.00401666661111, -0.201666655556),
    3.0: (-0.950318530389, -0.419062363158),
    10000.0: (-6990.78965963, -0.6999),
}


@jax.jit
def log_prob(x, logits):
    def total(logits, x):
        nats = continuous_bernoulli.log_prob(x, logits)
        return jnp.sum(nats), nats

    (by_logits, by_x), nats = jax.grad(total, (0, 1), has_aux=True)(logits, x)
    return nats, by_logits, by_x


@jax.jit
def popular(x, logits):
    """The formula in sigmoid(l), and its expansion where that is between 0.49 and 0.51."""

    def total(logits):
        p = jax.nn.sigmoid(logits)
        far = (p < 0.49) | (p > 0.51)
        safe = jnp.where(far, p, 0.49)
        constant = jnp.log(jnp.abs(2 * jnp.arctanh(1 - 2 * safe))) - jnp.log(jnp.abs(1 - 2 * safe))
        near = jnp.log(2.0) + 4 / 3 * (p - 0.5) ** 2 + 104 / 45 * (p - 0.5) ** 4
        constant = jnp.where(far, constant, near)
        return jnp.sum(x * jnp.log(p) + (1 - x) * jnp.log(1 - p) + constant)

    return jax.grad(total)(logits)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_values_and_slopes_are_exact_at_all_logits(dtype):
    logits = jnp.asarray(list(EXACT), dtype)[:, None]
    nats, by_logits, by_x = log_prob(jnp.full_like(logits, 0.3), logits)
    expected = np.array(list(EXACT.values())).T
    rtol, atol = (2e-6, 3e-7) if dtype == jnp.float32 else (1e-10, 1e-12)
    np.testing.assert_allclose(nats, expected[0], rtol=rtol, atol=atol)
    np.testing.assert_allclose(by_logits[:, 0], expected[1], rtol=rtol, atol=1e-7 * (rtol > 1e-9))
    np.testing.assert_array_equal(by_x, logits)
    assert nats.dtype == dtype
    # the variance is the mean's slope: 1 / 12 at 0
    slope = jax.grad(lambda logit: continuous_bernoulli.mean(logit))(jnp.zeros((), dtype))
    np.testing.assert_allclose(slope, 1 / 12, rtol=1e-6)


def test_the_popular_formula_is_wrong_near_its_seams_and_no_number_far_out():
    # from 0.49 on it cancels, and sigmoid(20) is 1 in single precision
    logits = np.linspace(-0.2, 0.2, 401, dtype=np.float32)[:, None]
    x = np.full_like(logits, 0.3)
    y = logits[:, 0].astype(float) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(np.abs(y) < 1e-3, 0.5 + y / 6, 0.5 + (1 / np.tanh(y) - 1 / y) / 2)
    ours = np.abs(log_prob(x, logits)[1][:, 0] - (x[:, 0] - mean)).max()
    theirs = np.abs(popular(x, logits)[:, 0] - (x[:, 0] - mean)).max()
    assert ours < 2e-7
    assert theirs > 1e-6
    far = np.full((1, 1), 20, np.float32)
    assert np.isnan(popular(np.ones_like(far), far))
    np.testing.assert_allclose(log_prob(np.ones_like(far), far)[1], 1 / 20, rtol=1e-5)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("logit", [-7.0, 0.0, 1.9, 2.1])
def test_it_is_a_density_with_that_mean(logit):
    x = np.linspace(0, 1, 2001)[:, None]
    density = np.exp(log_prob(x, np.full_like(x, logit))[0])
    np.testing.assert_allclose(integrate.simpson(density, x=x[:, 0]), 1, rtol=1e-9)
    mean = continuous_bernoulli.mean(logit)
    np.testing.assert_allclose(integrate.simpson(density * x[:, 0], x=x[:, 0]), mean, rtol=1e-9)
    # which is not the parameter, sigmoid(l)
    assert logit == 0 or abs(mean - 0.5) < 0.75 * abs(jax.nn.sigmoid(logit) - 0.5)


@pytest.mark.parametrize("logit", [-30.0, 0.0, 1e-4, 3.0])
def test_samples_follow_the_distribution(logit):
    logits = jnp.full((3000, 1), logit)
    draws = np.asarray(continuous_bernoulli.sample(jax.random.key(1), logits)[:, 0], float)
    assert draws.min() >= 0
    assert draws.max() <= 1

    def law(x):
        return x if logit == 0 else np.expm1(logit * x) / np.expm1(logit)

    assert stats.kstest(draws, law).pvalue > 0.01
