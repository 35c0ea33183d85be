"""The Riemannian normal on the Poincare ball: density C exp(-d(mean, z)^2 / (2 v)).

Of all densities of a given mean and mean squared distance from it the one of most entropy.
Densities are with respect to the ball's own volume. The distance from the mean is normalised and
drawn by quadrature, for every dimension.

Reference:
  Said, Bombrun and Berthoumieu (2014), New Riemannian Priors on the Univariate Normal Model;
  Mathieu et al. (2019), Continuous Hierarchical Representations with Poincare Variational
  Auto-Encoders, section 3.2 and appendix B.
"""

import math

import jax
import jax.numpy as jnp

from ae_jax.core import Array
from ae_jax.probability import _radial, poincare, sphere
from ae_jax.probability.sampling.inverse import uniform


def log_prob(z: Array, mean: Array, log_var: Array, curvature: Array | float) -> Array:
    """Log-density of z, with respect to the ball's volume.

    Args:
      z: [B, Z], of the ball; Z is 2 or more.
      mean: [B, Z], likewise.
      log_var: [B], the logarithm of v.
      curvature: c, 0 or more: the ball's curvature is -c.

    Returns:
      [B], nats.

    Raises:
      InputError: if the shapes do not fit, or Z is 1.

    Reference:
      Mathieu et al. (2019), equation 3.
    """
    mean, z = poincare.points("mean z", mean, z)
    log_var = log_var.astype(z.dtype)
    square = jnp.sum(poincare.seen(mean, z, curvature) ** 2, axis=1)
    return -square * jnp.exp(-log_var) / 2 - log_normaliser(log_var, z.shape[1], curvature)


def log_normaliser(log_var: Array, dim: int, curvature: Array | float) -> Array:
    """The logarithm of 1 / C, the integral of exp(-d^2 / (2 v)) over the ball.

    Args:
      log_var: [...], the logarithm of v.
      dim: Z, 2 or more.
      curvature: c.

    Returns:
      [...], nats.

    Raises:
      InputError: if Z is 1.

    Reference:
      Mathieu et al. (2019), appendix B.4, where it is a sum of terms of both signs.
    """
    # area(S^(Z-1)) int exp(-r^2 / (2 v)) (sinh(sqrt(c) r) / sqrt(c))^(Z-1) dr, r = sqrt(v) t
    within = _radial.log_total(_DISTANCE, curvature * jnp.exp(log_var), dim)
    return sphere.log_area(dim) + dim / 2 * log_var + within


def quantile(u: Array, log_var: Array, dim: int, curvature: Array | float) -> Array:
    """The distance from the mean within which there is a mass of u.

    Args:
      u: [...], between 0 and 1.
      log_var: [...], the logarithm of v.
      dim: Z, 2 or more.
      curvature: c.

    Returns:
      [...]. Its slopes are those of the exact function (implicit differentiation).

    Raises:
      InputError: if Z is 1.

    Reference:
      Figurnov, Mohamed and Mnih (2018), Implicit Reparameterization Gradients.
    """
    sphere.require_dim(dim)
    away = _radial.quantile(_DISTANCE, u, curvature * jnp.exp(log_var), dim)
    return jnp.exp(log_var / 2) * away


def sample(key: Array, mean: Array, log_var: Array, curvature: Array | float) -> Array:
    """Draws points, through which gradients flow to both parameters.

    The distance is the quantile of a uniform number, with no rejection, and has the quantile's
    slope: the gradient of an expectation has no bias.

    Args:
      key: PRNG key.
      mean: [B, Z], of the ball; Z is 2 or more.
      log_var: [B].
      curvature: c.

    Returns:
      [B, Z], inside the ball by the margin of `poincare.inside`; float32 at least.

    Raises:
      InputError: if the shapes do not fit, or Z is 1.
    """
    (mean,) = poincare.points("mean", mean)
    log_var = log_var.astype(mean.dtype)
    distance_key, direction_key = jax.random.split(key)
    u = uniform(distance_key, log_var.shape, mean.dtype)
    distance = quantile(u, log_var, mean.shape[1], curvature)
    direction = sphere.unit(jax.random.normal(direction_key, mean.shape, mean.dtype))
    return poincare.reached(mean, distance[:, None] * direction, curvature)


def _log_density(t: Array, k: Array, dim: int) -> Array:
    # exp(-t^2 / 2) (sinh(sqrt(k) t) / sqrt(k))^(Z-1), of the distance in deviations t and k = c v
    least = jnp.finfo(t.dtype).tiny
    powers = jnp.log(jnp.maximum(t, least)) + poincare.log_sinhc(k * t**2)
    return (dim - 1) * powers - t**2 / 2


def _modes(k: Array, dim: int) -> tuple[Array, Array]:
    """Bounds of the mode, t = (Z - 1) sqrt(k) coth(sqrt(k) t), by max(1, 1/x) < coth < 1 + 1/x."""
    far = (dim - 1) * jnp.sqrt(jax.lax.stop_gradient(k))
    return jnp.maximum(far, math.sqrt(dim - 1)), (far + jnp.sqrt(far**2 + 4 * (dim - 1))) / 2


def _window(k: Array, dim: int) -> tuple[Array, Array]:
    # on neither side of the mode it falls more slowly than a Gaussian of deviation 1
    low, high = _modes(k, dim)
    return jnp.maximum(low - _radial.REACH, 0), high + _radial.REACH


_DISTANCE = _radial.Radial(_log_density, _window, lambda k, dim: sum(_modes(k, dim)) / 2)
