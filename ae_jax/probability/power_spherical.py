"""The power spherical distribution: density C (1 + mu.x)^k on the unit sphere in R^m.

(1 + mu.x) / 2 follows Beta((m - 1) / 2 + k, (m - 1) / 2). What is a difference of gamma functions,
of which single precision keeps few digits, is had by quadrature over the angle.

Reference:
  De Cao and Aziz (2020), The Power Spherical distribution.
"""

import math

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.probability import _zonal, sphere
from ae_jax.probability._examples import matched, sum_dimensions, widened
from ae_jax.probability.sampling.inverse import uniform


def log_prob(x: Array, mean_direction: Array, concentration: Array) -> Array:
    """Log-density of x, with respect to the sphere's area.

    Args:
      x: [B, m], of length 1.
      mean_direction: [B, m], of length 1. Neither is checked.
      concentration: [B], not negative.

    Returns:
      [B], nats.

    Raises:
      InputError: if the shapes do not fit, or m is below 2.
    """
    mean_direction, k = sphere.directions(mean_direction, concentration)
    mean_direction, x = matched("mean_direction x", mean_direction, x)
    # (1 + mu.x) / 2 = 1 - |mu - x|^2 / 4 = |mu + x|^2 / 4, by the smaller one of the two squares
    apart, near = (
        sum_dimensions((mean_direction - x) ** 2),
        sum_dimensions((mean_direction + x) ** 2),
    )
    close = apart < near
    least = jnp.finfo(k.dtype).eps ** 2
    statistic = jnp.where(
        close,
        jnp.log1p(-jnp.where(close, apart, 0) / 4),
        jnp.log(jnp.maximum(jnp.where(close, 1, near / 4), least)),
    )
    dim, exponent = x.shape[1], k * statistic
    return exponent - _zonal.log_mean(_FAMILY, k, dim) - sphere.log_area(dim)


def log_normaliser(concentration: Array, dim: int) -> Array:
    """The logarithm of C in the density C (1 + mu.x)^k.

    Args:
      concentration: [...], not negative.
      dim: m, 2 or more.

    Returns:
      [...], nats.

    Raises:
      InputError: if m is below 2.
    """
    k = _wide(concentration, dim)
    return -math.log(2) * k - _zonal.log_mean(_FAMILY, k, dim) - sphere.log_area(dim)


def mean_resultant_length(concentration: Array, dim: int) -> Array:
    """The length of the mean of x, E[mu.x] = k / (m - 1 + k).

    Args:
      concentration: [...], not negative.
      dim: m, 2 or more.

    Returns:
      [...], from 0 to 1.

    Raises:
      InputError: if m is below 2.
    """
    k = _wide(concentration, dim)
    return k / (dim - 1 + k)


def kl_uniform(concentration: Array, dim: int) -> Array:
    """Kullback-Leibler divergence to the uniform distribution on the sphere.

    Args:
      concentration: [...], not negative.
      dim: m, 2 or more.

    Returns:
      [...], nats; it keeps its digits where it is small, k^2 / (2 m).

    Raises:
      InputError: if m is below 2.

    Reference:
      De Cao and Aziz (2020).
    """
    return _zonal.kl_uniform(_FAMILY, _wide(concentration, dim), dim)


def entropy(concentration: Array, dim: int) -> Array:
    """Differential entropy, with respect to the sphere's area.

    Args:
      concentration: [...], not negative.
      dim: m, 2 or more.

    Returns:
      [...], nats.

    Raises:
      InputError: if m is below 2.
    """
    return sphere.log_area(dim) - kl_uniform(concentration, dim)


def quantile(u: Array, concentration: Array, dim: int) -> Array:
    """The angle to the mean direction below which there is a mass of u.

    Args:
      u: [...], between 0 and 1.
      concentration: [...], not negative.
      dim: m, 2 or more.

    Returns:
      [...], radians. Its slopes are those of the exact function (implicit differentiation).

    Raises:
      InputError: if m is below 2, or the shapes differ.

    Reference:
      Figurnov, Mohamed and Mnih (2018), Implicit Reparameterization Gradients.
    """
    k = _wide(concentration, dim)
    u = jnp.asarray(u)
    if u.shape != k.shape:
        raise InputError(
            f"u and concentration must have one shape, got {list(u.shape)} and {list(k.shape)}"
        )
    return _zonal.quantile(_FAMILY, u.astype(k.dtype), k, dim)


def sample(key: Array, mean_direction: Array, concentration: Array) -> Array:
    """Draws directions, through which gradients flow to both parameters.

    The angle is the quantile of a uniform number, with no rejection, and has the quantile's slope:
    the gradient of an expectation has no bias.

    Args:
      key: PRNG key.
      mean_direction: [B, m], of length 1.
      concentration: [B], not negative.

    Returns:
      [B, m], of length 1, of the mean direction's dtype.

    Raises:
      InputError: if the shapes do not fit, or m is below 2.
    """
    wide, k = sphere.directions(mean_direction, concentration)
    angle_key, tangent_key = jax.random.split(key)
    u = uniform(angle_key, k.shape, k.dtype)
    angle = _zonal.quantile(_FAMILY, u, k, wide.shape[1])
    return sphere.at_angle(tangent_key, wide, angle).astype(mean_direction.dtype)


def _wide(concentration: Array, dim: int) -> Array:
    sphere.require_dim(dim)
    return widened(jnp.asarray(concentration, dtype=jnp.result_type(float, concentration)))


def _statistic(angle: Array) -> Array:
    # log((1 + cos t) / 2) = log(1 - sin^2(t / 2)) = 2 log cos(t / 2), by the smaller one
    sine, cosine = jnp.sin(angle / 2), jnp.maximum(jnp.cos(angle / 2), jnp.finfo(angle.dtype).tiny)
    return jnp.where(sine < cosine, jnp.log1p(-(sine**2)), 2 * jnp.log(cosine))


def _peak(k: Array, power: int) -> tuple[Array, Array]:
    # cos^(2 k + m - 2)(t / 2) sin^(m - 2)(t / 2)
    mode = 2 * jnp.arctan2(math.sqrt(power), jnp.sqrt(2 * k + power))
    return mode, k + power if power else k / 2


_FAMILY = _zonal.Zonal(_statistic, _peak)
