"""Soft clusters of latents, what they are drawn to, and how far they are from it."""

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.probability._examples import matched, sum_dimensions, widened


def log_assignments(latent: Array, centres: Array, degrees: Array | float = 1.0) -> Array:
    """Log-probabilities that latents belong to clusters, by Student's t around their centres.

    Args:
      latent: [B, Z].
      centres: [K, Z].
      degrees: of freedom, more than 0.

    Returns:
      log q [B, K], nats; each row's probabilities sum to 1.

    Raises:
      InputError: if shapes do not fit.

    Reference:
      Xie, Girshick and Farhadi, 2016, "Unsupervised deep embedding for clustering analysis",
      equation 1.
    """
    latent, centres = widened(jnp.asarray(latent)), jnp.asarray(centres)
    if latent.ndim != 2 or centres.ndim != 2 or latent.shape[1] != centres.shape[1]:
        raise InputError(
            f"latents are [B, Z] and centres [K, Z], got {list(latent.shape)} and "
            f"{list(centres.shape)}"
        )
    degrees = jnp.asarray(degrees, latent.dtype)
    away = latent[:, None] - centres.astype(latent.dtype)[None]
    squared = jnp.sum(away**2, axis=2)
    # q_ij ~ (1 + |z_i - mu_j|^2 / nu)^(-(nu + 1) / 2)
    return jax.nn.log_softmax(-(degrees + 1) / 2 * jnp.log1p(squared / degrees), axis=1)


def log_frequencies(log_q: Array) -> Array:
    """The logarithm of how many examples each cluster has, log sum_i q_ij: [K].

    Args:
      log_q: [N, K], of all examples of a data set. Of a batch the frequencies are other ones.
    """
    return jax.nn.logsumexp(widened(jnp.asarray(log_q)), axis=0)


def log_targets(log_q: Array, log_frequencies: Array) -> Array:
    """Assignments that are surer of themselves, and do not favour large clusters.

    They are those that they were made of where these are certain, or the same for all examples.

    Args:
      log_q: [B, K], from `log_assignments`.
      log_frequencies: [K], of `log_frequencies` of the whole data set.

    Returns:
      log p [B, K], nats, p_ij = (q_ij^2 / f_j) / sum_k (q_ik^2 / f_k).

    Raises:
      InputError: if shapes do not fit.

    Reference:
      Xie, Girshick and Farhadi, 2016, equation 3.
    """
    log_q, frequencies = widened(jnp.asarray(log_q)), widened(jnp.asarray(log_frequencies))
    if log_q.ndim != 2 or frequencies.shape != log_q.shape[1:]:
        raise InputError(
            f"{list(log_q.shape)} assignments need as many frequencies as clusters, got "
            f"{list(frequencies.shape)}"
        )
    return jax.nn.log_softmax(2 * log_q - frequencies.astype(log_q.dtype)[None], axis=1)


def assignment_divergence(log_p: Array, log_q: Array) -> Array:
    """KL(p || q) of each example's target and assignment, nats: [B].

    Args:
      log_p: [B, K], what assignments are to become; no gradient is for it to be lowered by.
      log_q: [B, K].

    Raises:
      InputError: if shapes differ.

    Reference:
      Xie, Girshick and Farhadi, 2016, equation 2.
    """
    log_p, log_q = matched("log_p log_q", log_p, log_q)
    p = jnp.exp(log_p)
    return sum_dimensions(jnp.where(p > 0, p * (log_p - log_q), 0))
