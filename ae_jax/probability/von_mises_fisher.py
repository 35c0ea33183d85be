"""The von Mises-Fisher distribution: density C exp(k mu.x) on the unit sphere in R^m.

For every dimension from 2 to 512 and every concentration k, in single precision, too: by quadrature
over the angle between x and the mean direction mu, since Bessel functions of high order underflow.

Reference:
  Mardia and Jupp (2000), Directional Statistics; Davidson et al. (2018),
  Hyperspherical Variational Auto-Encoders.
"""

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
    # mu.x - 1 = -|mu - x|^2 / 2, of which rounding leaves more where they are near
    dim, exponent = x.shape[1], -k / 2 * sum_dimensions((mean_direction - x) ** 2)
    return exponent - _zonal.log_mean(_FAMILY, k, dim) - sphere.log_area(dim)


def log_normaliser(concentration: Array, dim: int) -> Array:
    """The logarithm of C in the density C exp(k mu.x).

    Args:
      concentration: [...], not negative.
      dim: m, 2 or more.

    Returns:
      [...], nats.

    Raises:
      InputError: if m is below 2.
    """
    k = _wide(concentration, dim)
    return -k - _zonal.log_mean(_FAMILY, k, dim) - sphere.log_area(dim)


def mean_resultant_length(concentration: Array, dim: int) -> Array:
    """The length of the mean of x, E[mu.x]: A(k) = I_{m/2}(k) / I_{m/2-1}(k).

    Args:
      concentration: [...], not negative.
      dim: m, 2 or more.

    Returns:
      [...], from 0 to 1.

    Raises:
      InputError: if m is below 2.
    """
    k = _wide(concentration, dim)
    return _zonal.mean(_FAMILY, jnp.cos, k, dim)


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
      Davidson et al. (2018).
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
    # cos t - 1
    return -2 * jnp.sin(angle / 2) ** 2


def _peak(k: Array, power: int) -> tuple[Array, Array]:
    # k sin^2 t = (m - 2) cos t; the curvature there is k cos t + k / cos t, and to the right the
    # second of these remains
    precision = (power + jnp.sqrt(power**2 + 4 * k**2)) / 2
    return jnp.arctan2(jnp.sqrt(power * precision), k), precision


_FAMILY = _zonal.Zonal(_statistic, _peak)
