import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import stats

from ae_jax.core import InputError
from ae_jax.probability import gaussian

pytestmark = pytest.mark.usefixtures("x64")


def _parameters(count=2, shape=(3, 4)):
    return jax.random.normal(jax.random.key(0), (count, *shape))


def test_log_prob_and_entropy_equal_scipy():
    x, mean, log_var = _parameters(3, (3, 2, 2))
    oracle = stats.norm(mean, np.exp(0.5 * log_var))
    expected = oracle.logpdf(x).sum(axis=(1, 2))
    np.testing.assert_allclose(gaussian.log_prob(x, mean, log_var), expected, rtol=1e-12)
    expected = oracle.entropy().sum(axis=(1, 2))
    np.testing.assert_allclose(gaussian.entropy(log_var), expected, rtol=1e-12)


def test_kl_standard_by_hand():
    # m = 1, v = 4: (1 + 4 - 1 - log 4) / 2 = 1.306853; m = 0, v = 1: 0
    mean, log_var = jnp.array([[1.0, 0.0], [0.0, 0.0]]), jnp.array([[np.log(4.0), 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(gaussian.kl_standard(mean, log_var), [1.306852819, 0], rtol=1e-8)


def test_kl_standard_is_the_divergence_from_the_standard_gaussian():
    mean, log_var = _parameters()
    zero = jnp.zeros_like(mean)
    expected = gaussian.kl(mean, log_var, zero, zero)
    np.testing.assert_allclose(gaussian.kl_standard(mean, log_var), expected, rtol=1e-12)


def test_kl_by_quadrature():
    mean, log_var, other_mean, other_log_var = _parameters(4, (1, 1))
    grid = np.linspace(-30, 30, 60_001)
    p = stats.norm(mean[0, 0], np.exp(0.5 * log_var[0, 0]))
    q = stats.norm(other_mean[0, 0], np.exp(0.5 * other_log_var[0, 0]))
    expected = np.trapezoid(p.pdf(grid) * (p.logpdf(grid) - q.logpdf(grid)), grid)
    value = gaussian.kl(mean, log_var, other_mean, other_log_var)
    np.testing.assert_allclose(value, [expected], rtol=1e-8)
    np.testing.assert_allclose(gaussian.kl(mean, log_var, mean, log_var), [0], atol=1e-15)


def test_kl_keeps_its_digits_near_the_prior():
    # log v = h: (e^h - 1 - h) / 2 = h^2 / 4 + ..., which float32 loses without expm1
    value = gaussian.kl_standard(
        jnp.zeros((1, 1), jnp.float32), jnp.full((1, 1), 1e-2, jnp.float32)
    )
    np.testing.assert_allclose(value, [0.25e-4 + 1e-6 / 12], rtol=1e-4)


def test_kl_is_a_mean_log_ratio():
    mean, log_var, other_mean, other_log_var = (p[None, 0] for p in _parameters(4))

    def log_ratio(key):
        z = gaussian.sample(key, mean, log_var)
        return gaussian.log_prob(z, mean, log_var) - gaussian.log_prob(z, other_mean, other_log_var)

    ratios = jax.jit(jax.vmap(log_ratio))(jax.random.split(jax.random.key(1), 20_000))[:, 0]
    error = jnp.std(ratios) / np.sqrt(20_000)
    exact = gaussian.kl(mean, log_var, other_mean, other_log_var)[0]
    assert error < 0.05 * exact
    assert abs(jnp.mean(ratios) - exact) < 4 * error


def test_the_product_of_two_densities_is_a_gaussian_but_for_its_height():
    # N(0.3, 0.5) and N(-0.2, 1.5): neither the average of both nor their geometric mean
    (m, s), one = jnp.array([[0.3, -0.2], [0.5, 1.5]]), np.ones((1, 1))
    mean, log_var = gaussian.product(
        m[0] * one, jnp.log(s[0]) * one, m[1] * one, jnp.log(s[1]) * one
    )
    np.testing.assert_allclose([mean[0, 0], np.exp(log_var[0, 0])], [0.175, 0.375], rtol=1e-12)
    axis = np.linspace(-3, 3, 7)
    both = stats.norm.logpdf(axis, m[0], np.sqrt(s[0])) + stats.norm.logpdf(
        axis, m[1], np.sqrt(s[1])
    )
    height = both - stats.norm.logpdf(axis, mean[0, 0], np.exp(log_var[0, 0] / 2))
    np.testing.assert_allclose(height, height[0], rtol=1e-12)


def test_samples_follow_the_distribution_and_carry_gradients():
    mean, log_var = jnp.full((4000, 1), 1.5), jnp.full((4000, 1), -0.7)
    draws = gaussian.sample(jax.random.key(2), mean, log_var)
    assert stats.kstest(draws[:, 0], stats.norm(1.5, np.exp(-0.35)).cdf).pvalue > 0.01
    # d z / d m = 1, d z / d log v = (z - m) / 2
    slopes = jax.grad(lambda m, v: jnp.sum(gaussian.sample(jax.random.key(2), m, v)), (0, 1))
    by_mean, by_log_var = slopes(mean, log_var)
    np.testing.assert_array_equal(by_mean, 1)
    np.testing.assert_allclose(by_log_var, (draws - mean) / 2, rtol=1e-9)


def test_noise_does_not_depend_on_how_it_is_laid_out():
    zeros = jnp.zeros((7, 3, 2))
    np.testing.assert_array_equal(
        gaussian.sample(jax.random.key(2), zeros, zeros),
        jax.random.normal(jax.random.key(2), zeros.shape),
    )


@pytest.mark.parametrize(
    ("function", "count"),
    [(gaussian.log_prob, 3), (gaussian.kl_standard, 2), (gaussian.kl, 4), (gaussian.entropy, 1)],
)
def test_gradients_equal_finite_differences_and_dtype_is_kept(function, count):
    parameters = tuple(_parameters(count))
    check_grads(jax.jit(function), parameters, order=1, rtol=1e-6, atol=1e-6)
    assert function(*(p.astype(jnp.float32) for p in parameters)).dtype == jnp.float32
    assert function(*parameters).shape == (3,)


@pytest.mark.parametrize("log_var", [-100.0, -1000.0])
def test_a_point_at_the_mean_has_a_density_however_narrow_it_is(log_var):
    # exp(100) is beyond float32; a draw of such a posterior is its mean: log N = 50 - log(2 pi) / 2
    mean, narrow = np.full((1, 2), 3, np.float32), np.full((1, 2), log_var, np.float32)
    log_prob = jax.jit(jax.value_and_grad(lambda x, v: gaussian.log_prob(x, mean, v)[0], (0, 1)))
    value, (by_x, by_log_var) = log_prob(mean, narrow)
    np.testing.assert_allclose(value, -log_var - np.log(2 * np.pi), rtol=1e-6)
    np.testing.assert_array_equal(by_x, 0)
    np.testing.assert_array_equal(by_log_var, -0.5)
    np.testing.assert_array_equal(gaussian.kl(mean, narrow, mean, narrow), 0)


def test_curvature_at_the_mean_is_one_over_the_variance():
    mean, log_var = jnp.zeros((1, 1)), jnp.full((1, 1), -20.0)
    curvature = jax.hessian(lambda x: gaussian.log_prob(x, mean, log_var)[0])(mean)
    np.testing.assert_allclose(curvature.item(), -np.exp(20), rtol=1e-12)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(InputError, match=r"mean \[2, 3\], log_var \[2, 1\]"):
        gaussian.kl_standard(jnp.zeros((2, 3)), jnp.zeros((2, 1)))
