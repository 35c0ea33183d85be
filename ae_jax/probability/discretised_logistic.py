"""Independent logistic variables, rounded to equally spaced levels of [0, 1] such as 8-bit images.

The lowest level has all that lies below it, the highest all above: probabilities add up to 1.

Reference:
  Salimans et al. (2017), PixelCNN++; Kingma et al. (2016), Improving Variational
  Inference with Inverse Autoregressive Flow.
"""

import jax
import jax.numpy as jnp

from ae_jax.core import Array, Domain, require
from ae_jax.probability._examples import matched, sum_dimensions, widened

_LEVELS = Domain(2, whole=True)


def log_prob(x: Array, location: Array, log_scale: Array, levels: int = 256) -> Array:
    """Log-probability of x, rounded to the nearest level.

    Args:
      x: [B, ...] in [0, 1].
      location: [B, ...], of the logistic variable, in units of x.
      log_scale: [B, ...], the logarithm of its scale in units of x.
      levels: how many there are, from 0 to 1; static.

    Returns:
      [B], nats, summed over an example's dimensions; never above 0.

    Raises:
      InputError: if the shapes differ or there are fewer than 2 levels.

    Reference:
      Salimans et al. (2017).
    """
    require(_LEVELS, levels=levels)
    location, x, log_scale = matched("location x log_scale", location, x, log_scale)
    level, rate = jnp.round(x * (levels - 1)), jnp.exp(-log_scale)
    above = ((level + 0.5) / (levels - 1) - location) * rate
    width = rate / (levels - 1)
    first, last = level <= 0, level >= levels - 1
    # s(a) - s(b) = s(a) s(-b) (1 - e^(b - a)): three logarithms, of which none cancels another
    inside = jnp.where(first | last, 0, jnp.log(-jnp.expm1(-width)))
    log_below = jnp.where(last, 0, jax.nn.log_sigmoid(above))
    log_above = jnp.where(first, 0, jax.nn.log_sigmoid(width - above))
    return sum_dimensions(inside + log_below + log_above)


def sample(key: Array, location: Array, log_scale: Array, levels: int = 256) -> Array:
    """Draws levels.

    Args:
      key: PRNG key.
      location: [B, ...].
      log_scale: [B, ...].
      levels: how many there are, from 0 to 1; static.

    Returns:
      [B, ...] of the location's dtype, multiples of 1 / (levels - 1) in [0, 1].

    Raises:
      InputError: if the shapes differ or there are fewer than 2 levels.
    """
    require(_LEVELS, levels=levels)
    location, log_scale = matched("location log_scale", location, log_scale, widen=False)
    wide = widened(location)
    noise = jax.random.logistic(key, wide.shape, wide.dtype)
    drawn = wide + jnp.exp(widened(log_scale)) * noise
    level = jnp.round(jnp.clip(drawn, 0, 1) * (levels - 1))
    return (level / (levels - 1)).astype(location.dtype)
