"""Losses and densities of half precision against float64: summed, and returned, in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import losses
from ae_jax.probability import bernoulli, gaussian

pytestmark = pytest.mark.usefixtures("x64")

KERNEL = losses.gaussian_kernel(1.0)
HALVES = [jnp.float16, jnp.bfloat16]
#: Functions of two arrays [B, D] of values between 0 and 1.
FUNCTIONS = {
    "bernoulli_nll": lambda a, b: losses.bernoulli_nll(4 * a, b),
    "continuous_bernoulli_nll": lambda a, b: losses.continuous_bernoulli_nll(4 * a, b),
    "discretised_logistic_nll": lambda a, b: losses.discretised_logistic_nll(a, b, -a),
    "optimal_gaussian_nll": losses.optimal_gaussian_nll,
    "student_nll": lambda a, b: losses.student_nll(a, b, 3.0, 0.1),
    "gaussian_nll": lambda a, b: losses.gaussian_nll(a, b, 0.1),
    "gaussian_nll, a variance each": lambda a, b: losses.gaussian_nll(a, b, a),
    "squared_error": losses.squared_error,
    "absolute_error": losses.absolute_error,
    "correntropy": lambda a, b: losses.correntropy(a, b, 0.5),
    "elbo": lambda a, b: losses.elbo(a[:, 0], b[:, 0]),
    "beta_elbo": lambda a, b: losses.beta_elbo(a[:, 0], b[:, 0], 3.0),
    "iwae_bound": lambda a, b: losses.iwae_bound(a),
    "class_marginal": losses.class_marginal,
    "l1": lambda a, b: losses.l1(a),
    "activation_rate": lambda a, b: losses.activation_rate(a, "relu"),
    "kl_sparsity": lambda a, b: losses.kl_sparsity(a, 0.1),
    "contractive_penalty": lambda a, b: losses.contractive_penalty(lambda x: 40 * x * x[:1], a),
    "contractive_hutchinson": lambda a, b: losses.contractive_hutchinson(
        jax.random.key(0), lambda x: 40 * x**2, a
    ),
    "contractive_sigmoid": lambda a, b: losses.contractive_sigmoid(a, 90 * b),
    "jacobian_singular_values": lambda a, b: losses.jacobian_singular_values(lambda x: x**2, a),
    "adversarial, slopes": lambda a, b: losses.adversarial.slope_penalty(lambda x: x @ b[0], a),
    "total_variation": lambda a, b: losses.total_variation(a[:, :, None, None], 1.5),
    "ssim": lambda a, b: losses.ssim(a.reshape(-1, 4, 4, 1), b.reshape(-1, 4, 4, 1)),
    "multiscale_ssim": lambda a, b: losses.multiscale_ssim(
        a.reshape(-1, 4, 4, 1), b.reshape(-1, 4, 4, 1), (1.0,)
    ),
    "covariance": lambda a, b: losses.covariance(a),
    "covariance_penalties": lambda a, b: sum(losses.covariance_penalties(a, b)),
    "aggregate_log_prob": lambda a, b: sum(losses.aggregate_log_prob(a[None], b)),
    "log_assignments": lambda a, b: losses.log_assignments(a, b[:3], 2.0),
    "log_frequencies": lambda a, b: losses.log_frequencies(-a),
    "log_targets": lambda a, b: losses.log_targets(-a, b[0]),
    "assignment_divergence": lambda a, b: losses.assignment_divergence(-a, -b),
    "density_ratio_loss": lambda a, b: losses.density_ratio_loss(a[:, 0], b[:, 0]),
    "mmd2": lambda a, b: losses.mmd2(a, b, KERNEL),
    "mmd2, linear": lambda a, b: losses.mmd2(a, b, losses.linear_kernel, unbiased=False),
    "mmd": lambda a, b: losses.mmd(a, b, losses.gaussian_mixture_kernel([0.5, 2.0])),
    "mmd, polynomial": lambda a, b: losses.mmd(a, b, losses.polynomial_kernel),
    "moment_distance": losses.moment_distance,
    "sliced_wasserstein": lambda a, b: losses.sliced_wasserstein(a, b, b[:5]),
    "conditional_neighbours": lambda a, b: losses.conditional_neighbours(a, 5.0),
    "joint_neighbours": lambda a, b: losses.joint_neighbours(a, 5.0),
    "neighbour_divergence": lambda a, b: losses.neighbour_divergence(
        losses.joint_neighbours(a, 5.0), b[:, :2]
    ),
    "sinkhorn_divergence": lambda a, b: losses.sinkhorn_divergence(a, b, 0.5, 5),
    "bernoulli.log_prob": lambda a, b: bernoulli.log_prob(a, b),
    "bernoulli.kl": bernoulli.kl,
    "bernoulli.entropy": lambda a, b: bernoulli.entropy(a),
    "gaussian.log_prob": lambda a, b: gaussian.log_prob(a, b, a),
    "gaussian.log_probs": lambda a, b: gaussian.log_probs(a, b, a),
    "gaussian.kl_standard": gaussian.kl_standard,
    "gaussian.kl": lambda a, b: gaussian.kl(a, b, b, a),
    "gaussian.symmetric_kls": lambda a, b: gaussian.symmetric_kls(a, b, b, a),
    "gaussian.entropy": lambda a, b: gaussian.entropy(a),
}


def both_players(objective):
    return lambda a, b: objective.discriminator(a, b, 0.1) + objective.generator(a, b)


FUNCTIONS |= {
    f"adversarial, {name}": both_players(factory())
    for name, factory in losses.adversarial.OBJECTIVES.items()
}


def test_there_is_a_row_for_every_loss():
    rows = {name.partition(",")[0] for name in FUNCTIONS}
    others = {name for name in losses.__all__ if name.endswith("_kernel")}  # of mmd2
    others |= {"random_directions", "aggregate_weights", "permuted_dimensions"}
    assert set(losses.__all__) - others <= rows


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_those_of_double_precision(name, dtype):
    function = jax.jit(FUNCTIONS[name])
    a, b = jnp.asarray(np.random.default_rng(0).random((2, 20, 20)), dtype)
    value, exact = function(a, b), function(a.astype(float), b.astype(float))
    assert value.dtype == jnp.float32
    # what a Jacobian is made of may itself be half precision; sums of it are not
    rtol = 2e-2 if "contractive_" in name or "jacobian" in name else 2e-5
    np.testing.assert_allclose(value, exact, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("dtype", HALVES)
def test_large_errors_do_not_overflow_nor_lose_their_digits(dtype):
    # 300^2 = 90000 is beyond float16; 784 terms of 1.0625 add up to 833, not to a multiple of 4
    error = losses.squared_error(jnp.full((1, 1), 300, dtype), jnp.zeros((1, 1), dtype))
    np.testing.assert_array_equal(error, [90000])
    error = losses.absolute_error(jnp.full((1, 784), 1.0625, dtype), jnp.zeros((1, 784), dtype))
    np.testing.assert_array_equal(error, [833])


@pytest.mark.parametrize("dtype", HALVES)
def test_gradients_come_back_in_half_precision(dtype):
    x_hat = jnp.asarray([[300.0, 2.0]], dtype)
    gradient = jax.grad(lambda x_hat: jnp.sum(losses.squared_error(x_hat, x_hat * 0)))(x_hat)
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(np.asarray(gradient, float), [[600, 4]])


def test_grey_levels_keep_their_digits_beside_logits_of_half_precision():
    # 0.7003 is 0.69921875 in bfloat16
    logits, x = jnp.full((1, 1), 8, jnp.bfloat16), np.full((1, 1), 0.7003, np.float32)
    expected = np.log1p(np.exp(8.0)) - 8 * 0.7003
    np.testing.assert_allclose(losses.bernoulli_nll(logits, x), [expected], rtol=1e-5)


@pytest.mark.parametrize("dtype", HALVES)
def test_samples_keep_the_dtype_and_their_probabilities(dtype):
    # uniform numbers in bfloat16 are multiples of 1 / 128: 0 would come up 8 times too often
    ones = bernoulli.sample(jax.random.key(0), jnp.full((1, 100_000), -6.9, dtype))
    assert ones.dtype == dtype
    rate = np.mean(np.asarray(ones, float))
    assert abs(rate - 1e-3) < 5 * np.sqrt(1e-3 / 100_000)
    shape = (1, 100_000)
    draws = gaussian.sample(jax.random.key(0), jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))
    assert draws.dtype == dtype
    # of so many standard normal numbers the largest is near 4.3
    assert 3.7 < np.max(np.asarray(draws, float)) < 6
