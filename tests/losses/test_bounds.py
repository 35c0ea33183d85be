import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.special import softmax
from scipy.stats import norm

from ae_jax import losses
from ae_jax.core import InputError
from ae_jax.probability import gaussian

pytestmark = pytest.mark.usefixtures("x64")

elbo, beta_elbo, iwae_bound = map(jax.jit, (losses.elbo, losses.beta_elbo, losses.iwae_bound))


def _linear_model(count, key=0):
    """p(z) = N(0, 1), p(x | z) = N(z, 1), so p(x) = N(0, 2), with a posterior that is off."""
    random = np.random.default_rng(key)
    x = np.sqrt(2) * random.standard_normal((5, 1))
    mean, log_var = 0.4 * x, np.full_like(x, -0.3)
    std = np.exp(log_var / 2)
    z = mean + std * random.standard_normal((count, 5, 1))
    weights = norm.logpdf(x, z) + norm.logpdf(z) - norm.logpdf(z, mean, std)
    return x, mean, log_var, weights[..., 0]


def test_elbo_by_hand():
    log_px_z, kl = np.array([-10.0, -3.0]), np.array([2.0, 0.5])
    np.testing.assert_array_equal(elbo(log_px_z, kl), [-12.0, -3.5])
    # -10 - 4 * 2, -3 - 4 * 0.5
    np.testing.assert_array_equal(beta_elbo(log_px_z, kl, 4.0), [-18.0, -5.0])
    np.testing.assert_array_equal(beta_elbo(log_px_z, kl, 1.0), elbo(log_px_z, kl))


def _beta_vae_loss(parameters, x, noise, variance, beta, reconstruction=losses.gaussian_nll):
    """A linear VAE with a Gaussian decoder: -log p(x | z) + beta KL, the mean over examples."""
    weights, bias, decoder = parameters
    mean, log_var = jnp.split(x @ weights, 2, axis=1)
    log_var = log_var + bias[None, :]
    z = mean + jnp.exp(0.5 * log_var) * noise
    bound = losses.beta_elbo(
        -reconstruction(z @ decoder, x, variance), gaussian.kl_standard(mean, log_var), beta
    )
    return -jnp.mean(bound)


beta_vae_slope = jax.jit(jax.value_and_grad(_beta_vae_loss), static_argnames="reconstruction")


@jax.jit
def _vae_problem():
    keys = jax.random.split(jax.random.key(3), 5)
    shapes = [(6, 4), (2,), (2, 6)]
    parameters = [jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=False)]
    return parameters, jax.random.normal(keys[3], (7, 6)), jax.random.normal(keys[4], (7, 2))


@pytest.mark.parametrize("variance", [0.1, 0.5, 3.0])
@pytest.mark.parametrize("beta", [0.5, 4.0])
def test_decoder_variance_and_beta_are_one_knob(variance, beta):
    # c (nll_c + beta KL) = squared_error / 2 + c beta KL + c (D/2) log(2 pi c)
    parameters, x, noise = _vae_problem()
    value, gradient = jax.device_get(beta_vae_slope(parameters, x, noise, variance, beta))
    same, direction = jax.device_get(beta_vae_slope(parameters, x, noise, 1.0, variance * beta))
    constant = 0.5 * 6 * (variance * np.log(2 * np.pi * variance) - np.log(2 * np.pi))
    np.testing.assert_allclose(variance * value, same + constant, rtol=1e-10)
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(variance * ours, theirs, rtol=1e-9),
        gradient,
        direction,
    )


def test_a_mean_over_pixels_changes_what_beta_means():
    # the widely copied mean over D pixels trains with D beta in place of beta
    parameters, x, noise = _vae_problem()
    dimensions = x.shape[1]

    def mean_over_pixels(x_hat, x, variance):
        return losses.gaussian_nll(x_hat, x, variance) / dimensions

    def direction(beta, **reconstruction):
        _, gradient = beta_vae_slope(parameters, x, noise, 1.0, beta, **reconstruction)
        flat = np.concatenate([np.ravel(leaf) for leaf in jax.device_get(gradient)])
        return flat / np.linalg.norm(flat)

    wrong = direction(1.0, reconstruction=mean_over_pixels)
    np.testing.assert_allclose(wrong, direction(float(dimensions)), rtol=1e-9)
    assert np.dot(wrong, direction(1.0)) < 0.95


def test_iwae_bound_by_hand():
    # (1 + 3) / 2 = 2 and (1 + 1) / 2 = 1
    weights = np.log(np.array([[1.0, 1.0], [3.0, 1.0]]))
    np.testing.assert_allclose(iwae_bound(weights), [np.log(2), 0], atol=1e-15)


def test_iwae_bound_of_one_draw_is_its_weight():
    weights = np.array([[-3.0, 800.0]])
    np.testing.assert_array_equal(iwae_bound(weights), weights[0])


def test_iwae_bound_of_one_draw_is_the_elbo_on_average():
    x, mean, log_var, weights = _linear_model(20_000)
    # E log p(x | z) under q = log N(x; m, 1) - v / 2
    log_px_z = norm.logpdf(x, mean)[:, 0] - 0.5 * np.exp(log_var[:, 0])
    expected = elbo(log_px_z, jax.jit(gaussian.kl_standard)(mean, log_var))
    sampled = np.asarray(jax.jit(jax.vmap(losses.iwae_bound))(weights[:, None, :]))
    error = np.std(sampled, axis=0) / np.sqrt(20_000)
    assert np.all(np.abs(np.mean(sampled, axis=0) - np.asarray(expected)) < 4 * error)


def test_iwae_bound_rises_with_draws_to_the_log_likelihood():
    x, _, _, weights = _linear_model(16_384)
    log_px = norm.logpdf(x, scale=np.sqrt(2))

    def bound(draws):
        bounds = jax.jit(jax.vmap(losses.iwae_bound))(weights.reshape(-1, draws, 5))
        return np.mean(np.asarray(bounds))

    bounds = [bound(draws) for draws in (1, 4, 16, 64, 16_384)]
    assert all(low < high for low, high in itertools.pairwise(bounds))
    np.testing.assert_allclose(bounds[-1], np.mean(log_px), atol=0.01)


def test_iwae_gradient_is_the_softmax_of_the_weights():
    weights = _linear_model(6)[3]

    @jax.jit
    def total(weights):
        return jnp.sum(losses.iwae_bound(weights))

    check_grads(iwae_bound, (weights,), order=1, atol=1e-7, rtol=1e-7)
    gradient = jax.jit(jax.grad(total))(weights)
    np.testing.assert_allclose(gradient, softmax(weights, axis=0), rtol=1e-12)
    # the widely copied softmax(-log_weights) trains on the worst draws: it is not the slope
    wrong = softmax(-weights, axis=0)
    step = 1e-6 * np.eye(weights.size).reshape(-1, *weights.shape)
    totals = jax.jit(jax.vmap(total))
    change = np.asarray(totals(weights + step)) - np.asarray(totals(weights - step))
    slope = change.reshape(weights.shape) / 2e-6
    np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-9)
    assert np.max(np.abs(wrong - slope)) > 0.1


@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_iwae_bound_does_not_overflow(offset):
    weights = np.array([[0.0, 1.0], [2.0, -1.0]])
    shifted = iwae_bound(weights + offset)
    np.testing.assert_allclose(shifted, np.asarray(iwae_bound(weights)) + offset, rtol=1e-12)


def test_a_draw_of_zero_weight_counts_as_a_draw():
    weights = np.array([[-np.inf], [0.0]])
    np.testing.assert_allclose(iwae_bound(weights), [-np.log(2)], rtol=1e-12)
    gradient = jax.jit(jax.grad(lambda weights: losses.iwae_bound(weights)[0]))(weights)
    np.testing.assert_array_equal(gradient, [[0.0], [1.0]])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="shapes must be equal"):
        losses.elbo(np.zeros(3), np.zeros((3, 1)))
    for shape in ((3,), (0, 3)):
        with pytest.raises(InputError, match=r"\[K, B\] of at least 1 draw"):
            losses.iwae_bound(np.zeros(shape))
