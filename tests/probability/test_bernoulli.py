import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import special, stats

from ae_jax.core import InputError
from ae_jax.probability import bernoulli

pytestmark = pytest.mark.usefixtures("x64")

EXTREMES = jnp.array([[1e4, -1e4, 50.0, -50.0, 0.0]])


def _logits(count=2):
    return 2 * jax.random.normal(jax.random.key(0), (count, 3, 4))


def test_log_prob_mean_and_entropy_equal_scipy():
    logits = _logits()[0]
    oracle = stats.bernoulli(special.expit(np.asarray(logits)))
    x = np.arange(12).reshape(3, 4) % 2
    value = bernoulli.log_prob(jnp.asarray(x), logits)
    np.testing.assert_allclose(value, oracle.logpmf(x).sum(axis=1), rtol=1e-10)
    np.testing.assert_allclose(bernoulli.mean(logits), oracle.mean(), rtol=1e-12)
    value = bernoulli.entropy(logits)
    np.testing.assert_allclose(value, oracle.entropy().sum(axis=1), rtol=1e-10)


def test_probabilities_of_all_outcomes_sum_to_one():
    logits = jnp.broadcast_to(_logits()[0, :1, :3], (8, 3))
    outcomes = jnp.asarray(np.indices((2, 2, 2)).reshape(3, 8).T)
    total = jnp.sum(jnp.exp(bernoulli.log_prob(outcomes, logits)))
    np.testing.assert_allclose(total, 1, rtol=1e-12)


def test_kl_by_hand():
    # p = 1/2, q = 1/4: (1/2) log 2 + (1/2) log(2/3) = 0.143841
    value = bernoulli.kl(jnp.zeros((1, 1)), jnp.log(jnp.array([[1 / 3]])))
    np.testing.assert_allclose(value, [0.143841036], rtol=1e-8)


def test_kl_is_the_expected_log_ratio():
    logits, other = _logits()
    p, q = bernoulli.mean(logits), bernoulli.mean(other)
    expected = jnp.sum(special.rel_entr(p, q) + special.rel_entr(1 - p, 1 - q), axis=1)
    np.testing.assert_allclose(bernoulli.kl(logits, other), expected, rtol=1e-10)
    np.testing.assert_array_equal(bernoulli.kl(logits, logits), 0)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_values_and_gradients_are_finite_at_extreme_logits(dtype):
    logits = EXTREMES.astype(dtype)
    x = jnp.array([[1, 1, 0, 0, 1]], dtype)
    for function in (
        lambda logits: bernoulli.log_prob(x, logits),
        lambda logits: bernoulli.kl(logits, -logits),
        lambda logits: bernoulli.kl(jnp.zeros_like(logits), logits),
        bernoulli.entropy,
    ):
        value, gradient = jax.value_and_grad(lambda logits, f=function: f(logits)[0])(logits)
        assert jnp.isfinite(value)
        assert jnp.all(jnp.isfinite(gradient))
    # KL(p || 1 - p) = (2 p - 1) logit: 2e4 + 100 + 0
    np.testing.assert_allclose(bernoulli.kl(logits, -logits), [2e4 + 100], rtol=1e-6)


def test_sample_draws_ones_at_their_probability():
    probabilities = jnp.array([0.0, 0.01, 0.3, 0.5, 0.99, 1.0])
    logits = jnp.broadcast_to(special.logit(probabilities)[None], (4000, 6))
    draws = bernoulli.sample(jax.random.key(1), logits)
    assert draws.dtype == logits.dtype
    assert set(np.unique(draws)) == {0, 1}
    error = jnp.sqrt(probabilities * (1 - probabilities) / 4000)
    assert jnp.all(jnp.abs(jnp.mean(draws, axis=0) - probabilities) <= 4 * error)


@pytest.mark.parametrize("function", [bernoulli.kl, lambda a, b: bernoulli.entropy(a)])
def test_gradients_equal_finite_differences_and_dtype_is_kept(function):
    logits, other = _logits()
    check_grads(jax.jit(function), (logits, other), order=1, rtol=1e-6, atol=1e-6)
    assert function(logits.astype(jnp.float32), other.astype(jnp.float32)).dtype == jnp.float32
    assert function(logits, other).shape == (3,)


def test_log_prob_gradient_equals_finite_differences():
    logits, x = _logits()
    check_grads(
        jax.jit(bernoulli.log_prob), (jax.nn.sigmoid(x), logits), order=1, rtol=1e-6, atol=1e-6
    )


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(InputError, match="shapes must be equal"):
        bernoulli.log_prob(jnp.zeros((2, 3)), jnp.zeros((2, 1)))
