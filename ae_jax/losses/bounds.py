"""Lower bounds on log p(x), to be maximised: a loss is minus the bound."""

import math

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.probability._examples import matched


def elbo(log_px_z: Array, kl: Array) -> Array:
    """Evidence lower bound.

    Args:
      log_px_z: [B], log p(x | z) of a posterior draw, nats summed over dimensions.
      kl: [B], the posterior's divergence from the prior, nats summed over dimensions.

    Returns:
      [B], nats.

    Raises:
      InputError: if the shapes differ.

    Reference:
      Kingma and Welling, 2014, "Auto-encoding variational Bayes", equation 3.
    """
    log_px_z, kl = matched("log_px_z kl", log_px_z, kl)
    return log_px_z - kl


def beta_elbo(log_px_z: Array, kl: Array, beta: Array | float) -> Array:
    """Evidence lower bound with the divergence weighted by beta.

    Both terms must be sums over an example's dimensions: with a mean over pixels, beta
    would be multiplied by the number of pixels.

    Args:
      log_px_z: [B], nats summed over dimensions.
      kl: [B], nats summed over dimensions.
      beta: scalar; 1 gives the ELBO, and above 1 this is still a lower bound.

    Returns:
      [B], nats.

    Raises:
      InputError: if the shapes differ.

    Reference:
      Higgins et al., 2017, "beta-VAE", equation 4.
    """
    log_px_z, kl = matched("log_px_z kl", log_px_z, kl)
    return log_px_z - jnp.asarray(beta, kl.dtype) * kl


def iwae_bound(log_weights: Array) -> Array:
    """Importance-weighted bound from K posterior draws per example.

    Its gradient weighs draw k by softmax(log_weights)_k: the better a draw, the more.

    Args:
      log_weights: [K, B], log p(x, z_k) - log q(z_k | x).

    Returns:
      [B], nats; K = 1 gives the ELBO with a sampled divergence.

    Raises:
      InputError: if log_weights is not [K, B], or of no draw.

    Reference:
      Burda, Grosse and Salakhutdinov, 2016, "Importance weighted autoencoders",
      equation 8.
    """
    (log_weights,) = matched("log_weights", log_weights)
    if log_weights.ndim != 2 or not log_weights.shape[0]:
        raise InputError(
            f"log_weights must be [K, B] of at least 1 draw, got {list(log_weights.shape)}"
        )
    # log (1/K) sum_k w_k
    return jax.nn.logsumexp(log_weights, axis=0) - math.log(log_weights.shape[0])


def class_marginal(losses: Array, logits: Array) -> Array:
    """Minus the bound on log p(x) where the class is not known: sum_y q(y) (L_y + log q(y)).

    Args:
      losses: [B, C], L_y, minus a bound on log p(x, y) for every class y; nats.
      logits: [B, C], of q(y | x).

    Returns:
      [B], nats: at least -log sum_y exp(-L_y), which it is where q(y) is proportional to
      exp(-L_y).

    Raises:
      InputError: if the shapes differ.

    Reference:
      Kingma et al., 2014, "Semi-supervised learning with deep generative models", equation 7.
    """
    losses, logits = matched("losses logits", losses, logits)
    log_q = jax.nn.log_softmax(logits, axis=1)
    return jnp.sum(jnp.exp(log_q) * (losses + log_q), axis=1)
