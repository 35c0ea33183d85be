"""Independent continuous Bernoulli variables on [0, 1], given by their logits.

The density of one is exp(l x) / Z(l), Z(l) = (e^l - 1) / l. In logits nothing is cut out around
l = 0, where the parameter is 1/2 and the usual formula is 0 / 0.

Reference:
  Loaiza-Ganem and Cunningham (2019), The continuous Bernoulli: fixing a pervasive error in
  variational autoencoders.
"""

import jax
import jax.numpy as jnp

from ae_jax.core import Array
from ae_jax.probability._examples import matched, sum_dimensions, widened
from ae_jax.probability.sampling.inverse import uniform


def log_prob(x: Array, logits: Array) -> Array:
    """Log-density of x.

    Args:
      x: [B, ...] in [0, 1].
      logits: [B, ...]; values and gradients are finite for any finite logits.

    Returns:
      [B], nats, summed over an example's dimensions; it may be above 0.

    Raises:
      InputError: if the shapes differ.

    Reference:
      Loaiza-Ganem and Cunningham (2019).
    """
    logits, x = matched("logits x", logits, x)
    return sum_dimensions(_log_prob(logits, x))


@jax.custom_jvp
def _log_prob(logits: Array, x: Array) -> Array:
    # log p = l x - max(l, 0) - log((1 - e^-|l|) / |l|)
    size = jnp.abs(logits)
    zero = size == 0
    ratio = jnp.where(zero, 1, -jnp.expm1(-size) / jnp.where(zero, 1, size))
    return x * logits - jnp.maximum(logits, 0) - jnp.log(ratio)


@_log_prob.defjvp
def _log_prob_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple:
    # d log p = (x - E[x]) dl + l dx: of the terms above the parts that cancel are 1 / l large
    logits, x = primals
    by_logits, by_x = tangents
    return _log_prob(logits, x), (x - mean(logits)) * by_logits + logits * by_x


def mean(logits: Array) -> Array:
    """The mean of each variable, [B, ...]: nearer to 1/2 than the parameter sigmoid(l) is."""
    # E[x] = 1/2 + (coth y - 1 / y) / 2, y = l / 2
    return 0.5 + 0.5 * _langevin(logits / 2)


def _langevin(y: Array) -> Array:
    """coth y - 1 / y; below 1 by its continued fraction y / (3 + y^2 / (5 + y^2 / (7 + ...)))."""
    small = jnp.abs(y) < 1
    near, far = jnp.where(small, y, 0), jnp.where(small, 1, y)
    rest = jnp.zeros_like(y)
    for odd in range(17, 3, -2):
        rest = near**2 / (odd + rest)
    return jnp.where(small, near / (3 + rest), 1 / jnp.tanh(far) - 1 / far)


def sample(key: Array, logits: Array) -> Array:
    """Draws numbers between 0 and 1 by their quantile function.

    Args:
      key: PRNG key.
      logits: [B, ...].

    Returns:
      [B, ...] of the logits' dtype.
    """
    (logits,) = matched("logits", logits, widen=False)
    wide = widened(logits)
    u = uniform(key, wide.shape, wide.dtype)
    # F^-1(u) = log(1 + u (e^l - 1)) / l, at -|l|; the density at l is that at -l, turned over
    falling = -jnp.abs(wide)
    flat = falling == 0
    falling = jnp.where(flat, -1, falling)
    x = jnp.where(flat, u, jnp.log1p(u * jnp.expm1(falling)) / falling)
    return jnp.where(wide > 0, 1 - x, x).astype(logits.dtype)
