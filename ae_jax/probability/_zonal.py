"""Densities on the sphere that depend on the angle to a mean direction alone, by quadrature.

exp(k h(t)) is integrated over the angle t with the uniform density's weight, sin^(m-2) t, in the
log domain: no Bessel or gamma function of k is evaluated, and nothing under- or overflows.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import Array
from ae_jax.probability import _radial
from ae_jax.probability._radial import REACH, Radial


class Zonal(NamedTuple):
    """A family of densities proportional to exp(k h(t)), where h is greatest, 0, at t = 0.

    Attributes:
      statistic: angle -> h.
      peak: (k, m - 2) -> the mode of exp(k h(t)) sin^(m-2) t, and p so that on neither side the
        density falls more slowly than a Gaussian of precision p.
    """

    statistic: Callable[[Array], Array]
    peak: Callable[[Array, int], tuple[Array, Array]]


def log_mean(family: Zonal, k: Array, dim: int) -> Array:
    """log E[exp(k h)] over the uniform density: [...] -> [...]."""
    return _radial.log_total(_of_angle(family), k, dim)


def mean(family: Zonal, function: Callable[[Array], Array], k: Array, dim: int) -> Array:
    """E[function(t)]: [...] -> [...]."""
    return _radial.mean(_of_angle(family), function, k, dim)


def quantile(family: Zonal, u: Array, k: Array, dim: int) -> Array:
    """The angle below which there is a mass of u: [...], [...] -> [...]."""
    return _radial.quantile(_of_angle(family), u, k, dim)


def kl_uniform(family: Zonal, k: Array, dim: int) -> Array:
    """Kullback-Leibler divergence to the uniform density: [...] -> [...]."""
    angle, terms = _radial.terms(_of_angle(family), k, dim)
    # KL = sum q r, r = log(q / p) = k h - log E_p[exp(k h)]
    normaliser = jax.nn.logsumexp(terms, axis=-1, keepdims=True)
    q, r = jax.nn.softmax(terms, axis=-1), k[..., None] * family.statistic(angle) - normaliser
    # Where the nodes hold all of p, too, = sum q r - q + p: no term is negative, and rounding of
    # the normaliser counts only in its square. There hardly any of p is at r below -30.
    near = _near(k, dim)[..., None]
    small = jnp.where(near, jnp.maximum(r, -30), 0)
    return jnp.sum(jnp.where(near, q * (small + jnp.expm1(-small)), q * r), axis=-1)


@functools.cache
def _of_angle(family: Zonal) -> Radial:
    return Radial(
        functools.partial(_log_density, family),
        functools.partial(_window, family),
        lambda k, dim: family.peak(k, dim - 2)[0],
    )


def _log_density(family: Zonal, angle: Array, k: Array, dim: int) -> Array:
    """k h(t) and the logarithm of the uniform density of the angle."""
    # sin^(m-2) t Gamma(m/2) / (sqrt(pi) Gamma((m-1)/2))
    constant = math.lgamma(dim / 2) - math.lgamma((dim - 1) / 2) - math.log(math.pi) / 2
    sine = jnp.maximum(jnp.sin(angle), jnp.finfo(k.dtype).tiny)
    return k * family.statistic(angle) + ((dim - 2) * jnp.log(sine) + constant)


def _near(k: Array, dim: int) -> Array:
    """Whether a density is so near the uniform one that the nodes are placed for that."""
    return k**2 < dim


def _window(family: Zonal, k: Array, dim: int) -> tuple[Array, Array]:
    """The angles between which there is the mass."""
    k = jax.lax.stop_gradient(jnp.where(_near(k, dim), 0, k))
    mode, precision = family.peak(k, dim - 2)
    reach = REACH / jnp.sqrt(jnp.maximum(precision, 1))
    return jnp.maximum(mode - reach, 0), jnp.minimum(mode + reach, math.pi)
