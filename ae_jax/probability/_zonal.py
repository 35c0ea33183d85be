"""Densities on the sphere that depend on the angle to a mean direction alone, by quadrature.

exp(k h(t)) is integrated over the angle t with the uniform density's weight, sin^(m-2) t, in the
log domain: no Bessel or gamma function of k is evaluated, and nothing under- or overflows. Nodes
are placed where the mass is. They move with k, which moves no integral and is not differentiated.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array

#: A composite Gauss-Legendre rule: panels, and nodes in each. 128 nodes in all.
PANELS, NODES = 16, 8
#: How far the panels reach from the mode, in standard deviations.
REACH = 10.0


def _graded(x: np.ndarray) -> np.ndarray:
    """[0, 1] to itself, with zero slope at the ends, where densities may begin as any power."""
    return x**2 * (3 - 2 * x)


_x, _weights = np.polynomial.legendre.leggauss(NODES)
#: Nodes and weights on [0, 1], of one panel and of all.
_PANEL = (_x + 1) / 2, _weights / 2
_x = (np.arange(PANELS)[:, None] + _PANEL[0]) / PANELS
_ALL = _graded(_x).ravel(), (_PANEL[1] / PANELS * 6 * _x * (1 - _x)).ravel()
_EDGES = _graded(np.arange(PANELS + 1) / PANELS)


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
    return jax.nn.logsumexp(_terms(family, k, dim)[1], axis=-1)


def mean(family: Zonal, function: Callable[[Array], Array], k: Array, dim: int) -> Array:
    """E[function(t)]: [...] -> [...]."""
    angle, terms = _terms(family, k, dim)
    return jnp.sum(jax.nn.softmax(terms, axis=-1) * function(angle), axis=-1)


def kl_uniform(family: Zonal, k: Array, dim: int) -> Array:
    """Kullback-Leibler divergence to the uniform density: [...] -> [...]."""
    angle, terms = _terms(family, k, dim)
    # KL = sum q r, r = log(q / p) = k h - log E_p[exp(k h)]
    normaliser = jax.nn.logsumexp(terms, axis=-1, keepdims=True)
    q, r = jax.nn.softmax(terms, axis=-1), k[..., None] * family.statistic(angle) - normaliser
    # Where the nodes hold all of p, too, = sum q r - q + p: no term is negative, and rounding of
    # the normaliser counts only in its square. There hardly any of p is at r below -30.
    near = _near(k, dim)[..., None]
    small = jnp.where(near, jnp.maximum(r, -30), 0)
    return jnp.sum(jnp.where(near, q * (small + jnp.expm1(-small)), q * r), axis=-1)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 3))
def quantile(family: Zonal, u: Array, k: Array, dim: int) -> Array:
    """The angle below which there is a mass of u: [...], [...] -> [...].

    A panel is found by the masses of all, and a place in it by halving: at a fixed cost.
    """
    low, high = _window(family, k, dim)
    terms = _terms(family, k, dim)[1]
    top = jnp.max(terms, axis=-1)
    mass = jnp.exp(terms - top[..., None]).reshape(*k.shape, PANELS, NODES)
    below = jnp.cumsum(jnp.sum(mass, axis=-1), axis=-1)
    goal = u * below[..., -1]
    passed = below[..., :-1] <= goal[..., None]
    panel = jnp.sum(passed.astype(int), axis=-1)
    start, end = (low + (high - low) * jnp.asarray(_EDGES, k.dtype)[panel + i] for i in (0, 1))
    goal = goal - jnp.max(jnp.where(passed, below[..., :-1], 0), axis=-1)

    def halved(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        lower, upper = ends
        middle = (lower + upper) / 2
        terms = _spread(family, start, middle, k, dim, _PANEL)[1]
        enough = jnp.sum(jnp.exp(terms - top[..., None]), axis=-1) > goal
        return jnp.where(enough, lower, middle), jnp.where(enough, middle, upper)

    halvings = jnp.finfo(k.dtype).nmant + 1
    return sum(jax.lax.fori_loop(0, halvings, halved, (start, end))) / 2


@quantile.defjvp
def _quantile_jvp(family: Zonal, dim: int, primals: tuple, tangents: tuple) -> tuple:
    # F(t, k) = u, so dt = (du - dF/dk dk) / f. dF/dk is the integral of f (h - E h) up to t, and
    # minus that from t on, since all of it is 0: from the mode's side there is nothing to cancel.
    (u, k), (by_u, by_k) = primals, tangents
    angle = quantile(family, u, k, dim)
    low, high = _window(family, k, dim)
    end = jnp.where(angle < family.peak(k, dim - 2)[0], low, high)
    outside, terms = _spread(family, angle, end, k, dim, _ALL)
    log_density = _log_density(family, angle, k, dim)
    centred = family.statistic(outside) - mean(family, family.statistic, k, dim)[..., None]
    slope = jnp.sum(jnp.exp(terms - log_density[..., None]) * centred, axis=-1)
    slope = jnp.where(end < angle, -slope, slope)
    return angle, slope * by_k + jnp.exp(log_mean(family, k, dim) - log_density) * by_u


def _terms(family: Zonal, k: Array, dim: int) -> tuple[Array, Array]:
    """Nodes [..., N], and logarithms of what each adds to E[exp(k h)]."""
    return _spread(family, *_window(family, k, dim), k, dim, _ALL)


def _spread(
    family: Zonal, start: Array, end: Array, k: Array, dim: int, rule: tuple
) -> tuple[Array, Array]:
    """A rule's nodes between two angles, and logarithms of what each adds to the integral."""
    x, weights = (jnp.asarray(values, k.dtype).reshape(*[1] * k.ndim, -1) for values in rule)
    length = (end - start)[..., None]
    angle = start[..., None] + length * x
    least = jnp.finfo(k.dtype).tiny
    log_weight = jnp.log(jnp.maximum(jnp.abs(length), least)) + jnp.log(weights)
    return angle, log_weight + _log_density(family, angle, k[..., None], dim)


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
