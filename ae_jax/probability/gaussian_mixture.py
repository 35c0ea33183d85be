"""Mixtures of Gaussians with diagonal covariances, of which each component is a cluster."""

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.probability import gaussian
from ae_jax.probability._examples import widened


def log_joint(z: Array, mean: Array, log_var: Array, logits: Array) -> Array:
    """Log-density of points together with their component, log p(z | k) + log p(k).

    Args:
      z: [B, Z].
      mean: [K, Z], of the components.
      log_var: [K, Z], the logarithm of their variances.
      logits: [K], of their weights.

    Returns:
      [B, K], nats.

    Raises:
      InputError: if shapes do not fit.
    """
    z, mean, log_var, logits = map(jnp.asarray, (z, mean, log_var, logits))
    count = logits.size
    if z.ndim != 2 or not mean.shape == log_var.shape == (count, z.shape[1]):
        raise InputError(
            f"points are [B, Z], means and log-variances [K, Z] and logits [K], got "
            f"{list(z.shape)}, {list(mean.shape)}, {list(log_var.shape)} and {list(logits.shape)}"
        )
    z = widened(z)
    weights = jax.nn.log_softmax(logits.astype(z.dtype))

    def given(mean: Array, log_var: Array) -> Array:
        return gaussian.log_prob(z, *(jnp.broadcast_to(x[None], z.shape) for x in (mean, log_var)))

    return jax.vmap(given, out_axes=1)(mean, log_var) + weights[None]


def log_prob(z: Array, mean: Array, log_var: Array, logits: Array) -> Array:
    """Log-density of points, log sum_k p(k) N(z; mean_k, var_k): [B], nats; as `log_joint`."""
    return jax.nn.logsumexp(log_joint(z, mean, log_var, logits), axis=1)


def log_responsibilities(z: Array, mean: Array, log_var: Array, logits: Array) -> Array:
    """Log-probabilities that points are of the components, log p(k | z): [B, K]; as `log_joint`."""
    return jax.nn.log_softmax(log_joint(z, mean, log_var, logits), axis=1)


def sample(key: Array, count: int, mean: Array, log_var: Array, logits: Array) -> Array:
    """Draws points, [count, Z]; `count` is static, the others as for `log_joint`."""
    which_key, key = jax.random.split(key)
    which = jax.random.categorical(which_key, logits, shape=(count,))
    return gaussian.sample(key, mean[which], log_var[which])
