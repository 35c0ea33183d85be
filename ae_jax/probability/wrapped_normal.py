"""The wrapped normal on the Poincare ball: a Gaussian that geodesics carry away from its mean.

Densities are with respect to the ball's own volume, in which that near x is lambda(x)^Z times what
it is in R^Z.

Reference:
  Nagano et al. (2019), A Wrapped Normal Distribution on Hyperbolic Space for Gradient-Based
  Learning; Mathieu et al. (2019), Continuous Hierarchical Representations with Poincare Variational
  Auto-Encoders, section 3.2.
"""

import jax.numpy as jnp

from ae_jax.core import Array
from ae_jax.probability import gaussian, poincare


def log_prob(z: Array, mean: Array, log_var: Array, curvature: Array | float) -> Array:
    """Log-density of z, with respect to the ball's volume.

    Args:
      z: [B, Z], of the ball.
      mean: [B, Z], likewise.
      log_var: [B, Z], logarithms of variances along the axes, as measured at the mean.
      curvature: c, 0 or more: the ball's curvature is -c.

    Returns:
      [B], nats.

    Raises:
      InputError: if the shapes differ.

    Reference:
      Mathieu et al. (2019), equation 4, where a scale is that of tangent vectors at the origin.
    """
    mean, z, log_var = poincare.points("mean z log_var", mean, z, log_var)
    u = poincare.seen(mean, z, curvature)
    return gaussian.log_prob(u, jnp.zeros_like(u), log_var) - poincare.log_stretch(u, curvature)


def sample(key: Array, mean: Array, log_var: Array, curvature: Array | float) -> Array:
    """Draws points, through which gradients flow to both parameters.

    Args:
      key: PRNG key.
      mean: [B, Z], of the ball.
      log_var: [B, Z].
      curvature: c.

    Returns:
      [B, Z], inside the ball by the margin of `poincare.inside`; float32 at least.

    Raises:
      InputError: if the shapes differ.
    """
    mean, log_var = poincare.points("mean log_var", mean, log_var)
    u = gaussian.sample(key, jnp.zeros_like(mean), log_var)
    return poincare.reached(mean, u, curvature)
