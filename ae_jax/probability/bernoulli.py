"""Independent Bernoulli variables, given by their logits (log-odds)."""

import jax
import jax.numpy as jnp

from ae_jax.core import Array
from ae_jax.probability._examples import matched, sum_dimensions, widened


def log_prob(x: Array, logits: Array) -> Array:
    """Log-probability of x; values between 0 and 1 give the expected log-probability.

    Args:
      x: [B, ...] in [0, 1].
      logits: [B, ...]; finite results for any finite logits.

    Returns:
      [B], nats, summed over an example's dimensions.

    Raises:
      InputError: if the shapes differ.
    """
    logits, x = matched("logits x", logits, x)
    return sum_dimensions(_log_prob(logits, x))


@jax.custom_jvp
def _log_prob(logits: Array, x: Array) -> Array:
    # log p = x l - log(1 + e^l), and log(1 + e^l) = max(l, 0) + log(1 + e^-|l|)
    return x * logits - jnp.maximum(logits, 0) - jnp.log1p(jnp.exp(-jnp.abs(logits)))


@_log_prob.defjvp
def _log_prob_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple:
    # d log p = (x - sigmoid(l)) dl + l dx: the terms above have no derivative at l = 0
    logits, x = primals
    by_logits, by_x = tangents
    return _log_prob(logits, x), (x - jax.nn.sigmoid(logits)) * by_logits + logits * by_x


def mean(logits: Array) -> Array:
    """The probabilities of a one, [B, ...]."""
    return jax.nn.sigmoid(logits)


def sample(key: Array, logits: Array) -> Array:
    """Draws zeros and ones.

    Args:
      key: PRNG key.
      logits: [B, ...].

    Returns:
      [B, ...] of the logits' dtype, each entry 0 or 1.
    """
    (logits,) = matched("logits", logits, widen=False)
    # half precision has too few digits for a uniform number: none lies below 1/128 but 0
    return jax.random.bernoulli(key, jax.nn.sigmoid(widened(logits))).astype(logits.dtype)


def kl(logits: Array, other_logits: Array) -> Array:
    """Kullback-Leibler divergence from Bernoulli(logits) to Bernoulli(other_logits).

    Args:
      logits: [B, ...].
      other_logits: [B, ...].

    Returns:
      [B], nats, summed over an example's dimensions.

    Raises:
      InputError: if the shapes differ.
    """
    logits, other_logits = matched("logits other_logits", logits, other_logits)
    log_sigmoid = jax.nn.log_sigmoid
    # KL = p log(p / q) + (1 - p) log((1 - p) / (1 - q))
    ones = jax.nn.sigmoid(logits) * (log_sigmoid(logits) - log_sigmoid(other_logits))
    zeros = jax.nn.sigmoid(-logits) * (log_sigmoid(-logits) - log_sigmoid(-other_logits))
    return sum_dimensions(ones + zeros)


def entropy(logits: Array) -> Array:
    """Entropy.

    Args:
      logits: [B, ...].

    Returns:
      [B], nats, summed over an example's dimensions.
    """
    (logits,) = matched("logits", logits)
    # H = -p log p - (1 - p) log(1 - p)
    ones = jax.nn.sigmoid(logits) * jax.nn.log_sigmoid(logits)
    zeros = jax.nn.sigmoid(-logits) * jax.nn.log_sigmoid(-logits)
    return -sum_dimensions(ones + zeros)
