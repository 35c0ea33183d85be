"""Mixtures of logistic variables, one for each dimension, rounded to whole numbers.

The mass of a whole number is what the mixture has within half a unit of it. Between whole numbers
the same expression is a density: that of the variable with noise added, uniform from -1/2 to 1/2.
So what is trained with noise in the place of rounding is measured by it either way.

Reference:
  Balle, Laparra and Simoncelli (2017), End-to-end Optimized Image Compression, section 3;
  Balle et al. (2018), Variational Image Compression with a Scale Hyperprior, appendix 6.1.
"""

import jax
import jax.numpy as jnp

from ae_jax.core import Array
from ae_jax.probability._examples import sum_dimensions, widened


def log_probs(z: Array, location: Array, log_scale: Array, logits: Array) -> Array:
    """Logarithm of the mass of whole numbers, or of the density between them.

    Args:
      z: [B, Z].
      location: [Z, K], of each dimension's K components.
      log_scale: [Z, K], the logarithm of their scales.
      logits: [Z, K], of their weights.

    Returns:
      [B, Z], nats.

    Reference:
      Balle et al. (2018), equation 28: c(z + 1/2) - c(z - 1/2).
    """
    z = widened(z)
    location, log_scale, logits = (x[None].astype(z.dtype) for x in (location, log_scale, logits))
    rate = jnp.exp(-log_scale)
    above = (z[..., None] + 0.5 - location) * rate
    # s(a) - s(b) = s(a) s(-b) (1 - e^(b - a)): three logarithms, of which none cancels another
    inside = jax.nn.log_sigmoid(above) + jax.nn.log_sigmoid(rate - above)
    mass = inside + jnp.log(-jnp.expm1(-rate))
    return jax.nn.logsumexp(jax.nn.log_softmax(logits, axis=-1) + mass, axis=-1)


def log_prob(z: Array, location: Array, log_scale: Array, logits: Array) -> Array:
    """The sum of `log_probs` over dimensions, [B], nats; arguments as there."""
    return sum_dimensions(log_probs(z, location, log_scale, logits))


def sample(key: Array, count: int, location: Array, log_scale: Array, logits: Array) -> Array:
    """Draws the variables with the noise of which `log_prob` is the density.

    Args:
      key: PRNG key.
      count: how many examples; static.
      location: as for `log_probs`, and the others too.
      log_scale: [Z, K].
      logits: [Z, K].

    Returns:
      [count, Z].
    """
    which_key, key, noise_key = jax.random.split(key, 3)
    shape = (count, location.shape[0])
    which = jax.random.categorical(which_key, logits, shape=shape)
    dimension = jnp.arange(location.shape[0])[None]
    centre, log_scale = location[dimension, which], log_scale[dimension, which]
    drawn = jax.random.logistic(key, shape, location.dtype)
    noise = jax.random.uniform(noise_key, shape, location.dtype, -0.5, 0.5)
    return centre + jnp.exp(log_scale) * drawn + noise
