"""Densities of one variable that are known up to a factor, by quadrature where their mass is.

They are integrated in the log domain: nothing under- or overflows. Nodes move with the parameter k,
which moves no integral and is not differentiated.
"""

import functools
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


class Radial(NamedTuple):
    """A family of densities of a variable t, with a parameter k of any shape [...].

    Attributes:
      log_density: (t, k, dim) -> nats, up to a constant; elementwise, and differentiable in k.
      window: (k, dim) -> the ends between which there is the mass.
      mode: (k, dim) -> about where the density is greatest.
    """

    log_density: Callable[[Array, Array, int], Array]
    window: Callable[[Array, int], tuple[Array, Array]]
    mode: Callable[[Array, int], Array]


def log_total(family: Radial, k: Array, dim: int) -> Array:
    """The logarithm of the density's integral: [...] -> [...]."""
    return jax.nn.logsumexp(terms(family, k, dim)[1], axis=-1)


def mean(family: Radial, function: Callable[[Array], Array], k: Array, dim: int) -> Array:
    """E[function(t)]: [...] -> [...]."""
    at, logs = terms(family, k, dim)
    return jnp.sum(jax.nn.softmax(logs, axis=-1) * function(at), axis=-1)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 3))
def quantile(family: Radial, u: Array, k: Array, dim: int) -> Array:
    """Where there is a mass of u below: [...], [...] -> [...].

    A panel is found by the masses of all, and a place in it by halving: at a fixed cost.
    """
    low, high = family.window(k, dim)
    logs = terms(family, k, dim)[1]
    top = jnp.max(logs, axis=-1)
    mass = jnp.exp(logs - top[..., None]).reshape(*k.shape, PANELS, NODES)
    below = jnp.cumsum(jnp.sum(mass, axis=-1), axis=-1)
    goal = u * below[..., -1]
    passed = below[..., :-1] <= goal[..., None]
    panel = jnp.sum(passed.astype(int), axis=-1)
    start, end = (low + (high - low) * jnp.asarray(_EDGES, k.dtype)[panel + i] for i in (0, 1))
    goal = goal - jnp.max(jnp.where(passed, below[..., :-1], 0), axis=-1)

    def halved(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        lower, upper = ends
        middle = (lower + upper) / 2
        logs = _spread(family, start, middle, k, dim, _PANEL)[1]
        enough = jnp.sum(jnp.exp(logs - top[..., None]), axis=-1) > goal
        return jnp.where(enough, lower, middle), jnp.where(enough, middle, upper)

    halvings = jnp.finfo(k.dtype).nmant + 1
    return sum(jax.lax.fori_loop(0, halvings, halved, (start, end))) / 2


@quantile.defjvp
def _quantile_jvp(family: Radial, dim: int, primals: tuple, tangents: tuple) -> tuple:
    # F(t, k) = u, so dt = (du - dF/dk dk) / f. With h = d log f / dk, dF/dk is the integral of
    # f (h - E h) up to t, and minus that from t on, since all of it is 0: from the mode's side
    # there is nothing to cancel.
    (u, k), (by_u, by_k) = primals, tangents
    t = quantile(family, u, k, dim)
    low, high = family.window(k, dim)
    end = jnp.where(t < family.mode(k, dim), low, high)
    outside, logs = _spread(family, t, end, k, dim, _ALL)
    log_density = family.log_density(t, k, dim)

    def slope_at(at: Array) -> Array:
        wide = jnp.broadcast_to(k[..., None], at.shape)
        own = functools.partial(family.log_density, at, dim=dim)
        return jax.jvp(own, (wide,), (jnp.ones_like(wide),))[1]

    centred = slope_at(outside) - mean(family, slope_at, k, dim)[..., None]
    slope = jnp.sum(jnp.exp(logs - log_density[..., None]) * centred, axis=-1)
    slope = jnp.where(end < t, -slope, slope)
    return t, slope * by_k + jnp.exp(log_total(family, k, dim) - log_density) * by_u


def terms(family: Radial, k: Array, dim: int) -> tuple[Array, Array]:
    """Nodes [..., N], and logarithms of what each adds to the density's integral."""
    return _spread(family, *family.window(k, dim), k, dim, _ALL)


def _spread(
    family: Radial, start: Array, end: Array, k: Array, dim: int, rule: tuple
) -> tuple[Array, Array]:
    """A rule's nodes between two ends, and logarithms of what each adds to the integral."""
    x, weights = (jnp.asarray(values, k.dtype).reshape(*[1] * k.ndim, -1) for values in rule)
    length = (end - start)[..., None]
    at = start[..., None] + length * x
    least = jnp.finfo(k.dtype).tiny
    log_weight = jnp.log(jnp.maximum(jnp.abs(length), least)) + jnp.log(weights)
    return at, log_weight + family.log_density(at, k[..., None], dim)
