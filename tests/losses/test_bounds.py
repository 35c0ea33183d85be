import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from ae_jax import losses
from ae_jax.core import InputError
from ae_jax.probability import gaussian

pytestmark = pytest.mark.usefixtures("x64")


def _linear_model(count, key=0):
    """p(z) = N(0, 1), p(x | z) = N(z, 1), so p(x) = N(0, 2), with a posterior that is off."""
    key_x, key_z = jax.random.split(jax.random.key(key))
    x = jax.random.normal(key_x, (5, 1)) * jnp.sqrt(2.0)
    mean, log_var = 0.4 * x, jnp.full_like(x, -0.3)

    def log_weights(noise_key):
        z = gaussian.sample(noise_key, mean, log_var)
        zero = jnp.zeros_like(z)
        return (
            gaussian.log_prob(x, z, zero)
            + gaussian.log_prob(z, zero, zero)
            - gaussian.log_prob(z, mean, log_var)
        )

    weights = jax.jit(jax.vmap(log_weights))(jax.random.split(key_z, count))
    return x, mean, log_var, weights


def test_elbo_by_hand():
    log_px_z, kl = jnp.array([-10.0, -3.0]), jnp.array([2.0, 0.5])
    np.testing.assert_array_equal(losses.elbo(log_px_z, kl), [-12.0, -3.5])
    # -10 - 4 * 2, -3 - 4 * 0.5
    np.testing.assert_array_equal(losses.beta_elbo(log_px_z, kl, 4.0), [-18.0, -5.0])
    np.testing.assert_array_equal(losses.beta_elbo(log_px_z, kl, 1.0), losses.elbo(log_px_z, kl))


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
    slope = jax.jit(jax.value_and_grad(_beta_vae_loss))
    value, gradient = slope(parameters, x, noise, variance, beta)
    same, direction = slope(parameters, x, noise, 1.0, variance * beta)
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
        loss = functools.partial(_beta_vae_loss, **reconstruction)
        gradient = jax.jit(jax.grad(loss))(parameters, x, noise, 1.0, beta)
        flat = jnp.concatenate([leaf.ravel() for leaf in gradient])
        return flat / jnp.linalg.norm(flat)

    wrong = direction(1.0, reconstruction=mean_over_pixels)
    np.testing.assert_allclose(wrong, direction(float(dimensions)), rtol=1e-9)
    assert jnp.dot(wrong, direction(1.0)) < 0.95


def test_iwae_bound_by_hand():
    # (1 + 3) / 2 = 2 and (1 + 1) / 2 = 1
    weights = jnp.log(jnp.array([[1.0, 1.0], [3.0, 1.0]]))
    np.testing.assert_allclose(losses.iwae_bound(weights), [np.log(2), 0], atol=1e-15)


def test_iwae_bound_of_one_draw_is_its_weight():
    weights = jnp.array([[-3.0, 800.0]])
    np.testing.assert_array_equal(losses.iwae_bound(weights), weights[0])


def test_iwae_bound_of_one_draw_is_the_elbo_on_average():
    x, mean, log_var, weights = _linear_model(20_000)
    # E log p(x | z) under q = log N(x; m, 1) - v / 2
    zero = jnp.zeros_like(x)
    log_px_z = gaussian.log_prob(x, mean, zero) - 0.5 * jnp.exp(log_var[:, 0])
    elbo = losses.elbo(log_px_z, gaussian.kl_standard(mean, log_var))
    sampled = jax.vmap(losses.iwae_bound)(weights[:, None, :])
    error = jnp.std(sampled, axis=0) / np.sqrt(20_000)
    assert jnp.all(jnp.abs(jnp.mean(sampled, axis=0) - elbo) < 4 * error)


def test_iwae_bound_rises_with_draws_to_the_log_likelihood():
    x, _, _, weights = _linear_model(16_384)
    log_px = gaussian.log_prob(x, jnp.zeros_like(x), jnp.full_like(x, np.log(2.0)))

    def bound(draws):
        return jnp.mean(jax.jit(jax.vmap(losses.iwae_bound))(weights.reshape(-1, draws, 5)))

    bounds = [bound(draws) for draws in (1, 4, 16, 64, 16_384)]
    assert all(low < high for low, high in itertools.pairwise(bounds))
    np.testing.assert_allclose(bounds[-1], jnp.mean(log_px), atol=0.01)


def test_iwae_gradient_is_the_softmax_of_the_weights():
    weights = _linear_model(6)[3]

    @jax.jit
    def total(weights):
        return jnp.sum(losses.iwae_bound(weights))

    check_grads(jax.jit(losses.iwae_bound), (weights,), order=1, atol=1e-7, rtol=1e-7)
    gradient = jax.grad(total)(weights)
    np.testing.assert_allclose(gradient, jax.nn.softmax(weights, axis=0), rtol=1e-12)
    # the widely copied softmax(-log_weights) trains on the worst draws: it is not the slope
    wrong = jax.nn.softmax(-weights, axis=0)
    step = 1e-6 * jnp.eye(weights.size).reshape(-1, *weights.shape)
    change = jax.vmap(total)(weights[None] + step) - jax.vmap(total)(weights[None] - step)
    slope = change.reshape(weights.shape) / 2e-6
    np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-9)
    assert jnp.max(jnp.abs(wrong - slope)) > 0.1


@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_iwae_bound_does_not_overflow(offset):
    weights = jnp.array([[0.0, 1.0], [2.0, -1.0]])
    shifted = losses.iwae_bound(weights + offset)
    np.testing.assert_allclose(shifted, losses.iwae_bound(weights) + offset, rtol=1e-12)


def test_a_draw_of_zero_weight_counts_as_a_draw():
    weights = jnp.array([[-jnp.inf], [0.0]])
    np.testing.assert_allclose(losses.iwae_bound(weights), [-np.log(2)], rtol=1e-12)
    gradient = jax.grad(lambda weights: losses.iwae_bound(weights)[0])(weights)
    np.testing.assert_array_equal(gradient, [[0.0], [1.0]])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="shapes must be equal"):
        losses.elbo(jnp.zeros(3), jnp.zeros((3, 1)))
    with pytest.raises(InputError, match=r"\[K, B\]"):
        losses.iwae_bound(jnp.zeros(3))
