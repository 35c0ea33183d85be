"""The variational autoencoder's likelihood, where the exact one is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from ae_jax import methods, nets
from ae_jax.methods.gradient import GradientState

pytestmark = pytest.mark.usefixtures("x64")

VARIANCE = 0.3


def linear_vae(samples, offset):
    """x ~ N(W z + b, 0.3) with orthogonal columns in W, and a posterior that may be off.

    Returns:
      (key, x) -> the bound on log p(x), [B]; and the distribution of x.
    """
    random = np.random.RandomState(0)
    weights = np.linalg.qr(random.normal(size=(5, 2)))[0] * np.array([[1.5, 0.7]])
    bias = random.normal(size=5)
    # z | x ~ N(W^T (x - b) / (s^2 + 0.3), 0.3 / (s^2 + 0.3)), s^2 the columns' squared norms
    total = np.sum(weights**2, axis=0) + VARIANCE
    gain = weights / total[None, :]
    encoder = np.concatenate([gain, np.zeros((5, 2))], axis=1)
    at_zero = np.concatenate([offset - bias @ gain, np.log(VARIANCE / total)])
    method = methods.vae(
        nets.mlp(4, ()),
        nets.mlp(5, ()),
        2,
        likelihood=methods.gaussian(VARIANCE),
        importance_samples=samples,
    )
    state = method.init(jax.random.key(0), {"image": jnp.zeros((1, 5))}, method.hparams)
    leaves, structure = jax.tree.flatten(state.params)
    found = {leaf.shape: leaf for leaf in map(jnp.asarray, (weights.T, bias, encoder, at_zero))}
    params = jax.tree.unflatten(structure, [found[leaf.shape] for leaf in leaves])
    covariance = weights @ weights.T + VARIANCE * np.eye(5)
    view = jax.jit(method.views.log_likelihood)

    def log_likelihood(key, x):
        return view(key, GradientState(params, state.optimizer), {"image": x}, method.hparams)

    return log_likelihood, multivariate_normal(bias, covariance)


def test_the_bound_of_the_exact_posterior_is_the_likelihood():
    x = jnp.asarray(np.random.RandomState(1).normal(size=(4, 5)))
    log_likelihood, exact = linear_vae(1, 0.0)
    np.testing.assert_allclose(log_likelihood(jax.random.key(0), x), exact.logpdf(x), rtol=1e-10)


def test_the_bound_of_another_posterior_rises_to_the_likelihood():
    x = jnp.asarray(np.random.RandomState(1).normal(size=(2000, 5)))
    bounds = []
    for samples in (1, 10, 1000):
        log_likelihood, exact = linear_vae(samples, np.array([0.5, -0.3]))
        bounds.append(float(jnp.mean(log_likelihood(jax.random.key(0), x))))
    # the ELBO is too low by KL(q || p(z | x)), the squared offset over twice the variance
    level = np.mean(exact.logpdf(x))
    gap = np.sum(np.array([0.25, 0.09]) * (np.array([2.25, 0.49]) + VARIANCE) / (2 * VARIANCE))
    np.testing.assert_allclose(bounds[0], level - gap, atol=0.1)
    assert bounds[0] < bounds[1] < bounds[2]
    np.testing.assert_allclose(bounds[2], level, atol=0.02)
