"""Densities in the plane that are known, drawn inside the program that trains on them.

All but the checkerboard are mixtures of Gaussians: of a few that stand apart, or of so many along
a curve that it is the curve with noise on it.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Dataset, InputError
from ae_jax.data.drawn import drawn

_ALONG = 1024  # Gaussians on a curve, much nearer to each other than they are wide


class Density(NamedTuple):
    """A density in the plane.

    Attributes:
      draw: key -> x [2] and its class, scalars of float32 and int32.
      log_prob: x [N, 2] -> [N], nats.
      classes: how many.
      centres: [K, 2], where they are the modes of a mixture; None otherwise.
      deviation: the standard deviation of a mixture's components; 0 for the checkerboard.
    """

    draw: Callable[[Array], tuple[Array, Array]]
    log_prob: Callable[[Array], Array]
    classes: int
    centres: np.ndarray | None = None
    deviation: float = 0.0


def _mixture(
    centres: np.ndarray, deviation: float, label: np.ndarray, modes: bool = False
) -> Density:
    """Isotropic Gaussians of the same weight, around [K, 2]."""
    count = len(centres)

    def draw(key: Array) -> tuple[Array, Array]:
        which, noise = jax.random.split(key)
        k = jax.random.randint(which, (), 0, count, jnp.int32)
        x = jnp.asarray(centres, jnp.float32)[k]
        x += deviation * jax.random.normal(noise, (2,), jnp.float32)
        return x, jnp.asarray(label, jnp.int32)[k]

    def log_prob(x: Array) -> Array:
        away = x[:, None] - jnp.asarray(centres, x.dtype)[None]
        exponents = -jnp.sum(away**2, axis=-1) / (2 * deviation**2)
        # log(1/K sum_k N(x; c_k, s^2 I))
        return jax.nn.logsumexp(exponents, axis=1) - np.log(count * 2 * np.pi * deviation**2)

    return Density(draw, log_prob, int(label.max()) + 1, centres if modes else None, deviation)


def _ring() -> Density:
    angle = np.arange(8) * (2 * np.pi / 8)
    return _mixture(np.stack([np.cos(angle), np.sin(angle)], 1), 0.05, np.arange(8), modes=True)


def _grid() -> Density:
    side = np.arange(-2.0, 3.0)
    centres = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    return _mixture(centres, 0.1, np.arange(25), modes=True)


def _along(*curves: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], noise: float) -> Density:
    """Curves of a parameter that is uniform in (0, 1), with noise; each is a class."""
    u = (np.arange(_ALONG) + 0.5) / _ALONG
    centres = np.concatenate([np.stack(curve(u), axis=1) for curve in curves])
    return _mixture(centres, noise, np.repeat(np.arange(len(curves)), _ALONG))


def _swiss_roll(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t = 1.5 * np.pi * (1 + 2 * u)
    return t * np.cos(t) / 7, t * np.sin(t) / 7


def _upper_moon(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.cos(np.pi * u) - 0.5, np.sin(np.pi * u) - 0.25


def _lower_moon(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return 0.5 - np.cos(np.pi * u), 0.25 - np.sin(np.pi * u)


def _arm(sign: int) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Of equal density along most of its length: its parameter is that of an area."""

    def curve(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        t = 3 * np.pi * np.sqrt(u)
        return sign * t * np.cos(t) / 4, sign * t * np.sin(t) / 4

    return curve


def _checkerboard() -> Density:
    """Uniform on 8 of the 16 unit squares of [-2, 2]^2."""

    def draw(key: Array) -> tuple[Array, Array]:
        which, where = jax.random.split(key)
        square = jax.random.randint(which, (), 0, 8, jnp.int32)
        row, column = square // 2, 2 * (square % 2) + square // 2 % 2
        corner = jnp.stack([column, row]).astype(jnp.float32) - 2
        return corner + jax.random.uniform(where, (2,), jnp.float32), square

    def log_prob(x: Array) -> Array:
        column, row = jnp.moveaxis(jnp.floor(x).astype(jnp.int32), -1, 0)
        inside = jnp.all(jnp.abs(x) < 2, axis=-1) & ((column + row) % 2 == 0)
        return jnp.where(inside, jnp.asarray(-np.log(8), x.dtype), -jnp.inf)

    return Density(draw, log_prob, 8)


_DENSITIES: Mapping[str, Callable[[], Density]] = {
    "ring": _ring,
    "grid": _grid,
    "swiss_roll": lambda: _along(_swiss_roll, noise=0.1),
    "two_moons": lambda: _along(_upper_moon, _lower_moon, noise=0.1),
    "spirals": lambda: _along(_arm(1), _arm(-1), noise=0.1),
    "checkerboard": _checkerboard,
}
NAMES = tuple(_DENSITIES)


@functools.cache
def density(name: str) -> Density:
    """Returns a density by name.

    `ring`: 8 Gaussians of deviation 0.05 on the unit circle; `grid`: 25 of deviation 0.1, at
    distance 1; `swiss_roll`, `two_moons`, `spirals`: curves with noise of deviation 0.1;
    `checkerboard`: uniform on every other of 16 unit squares.

    Raises:
      InputError: if there is none of that name.
    """
    if name not in _DENSITIES:
        raise InputError(f"unknown density {name!r}; choose from {', '.join(NAMES)}")
    return _DENSITIES[name]()


def load(split: str, name: str) -> Dataset:
    """100,000 points of a density.

    Args:
      split: validation, test (10,000 each), train (the rest), or all.
      name: of the density.

    Returns:
      A Dataset with `image` [2], the point, and `label`: the Gaussian, arm or square that it is
      of.
    """
    spec = {
        "image": jax.ShapeDtypeStruct((2,), jnp.result_type(float)),
        "label": jax.ShapeDtypeStruct((), jnp.int32),
    }
    return drawn(split, "densities", name, spec, _example(name))


@functools.cache
def _example(name: str) -> Callable[[Array], Mapping[str, Array]]:
    draw = density(name).draw

    def example(key: Array) -> Mapping[str, Array]:
        x, label = draw(key)
        return {"image": x.astype(jnp.result_type(float)), "label": label}

    return example
