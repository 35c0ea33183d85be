"""Surfaces of known dimension in larger spaces, drawn inside the program that trains on them.

Each is a smooth function of a few coordinates, which are handed over beside the examples: what
dimension, neighbours and tangent planes should be is known.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Dataset, InputError
from ae_jax.data.drawn import drawn

_SIDE = 32  # of images of discs, whose edges are as wide as a pixel


class Manifold(NamedTuple):
    """A surface in a larger space.

    Attributes:
      dimension: of the surface.
      coordinates: the names of what a point is a function of; as many as dimensions, but for
        spheres, of which they are a point of the unit sphere itself.
      draw: key -> coordinates [K], float32.
      embed: coordinates [K] -> a point or an image, smooth: its Jacobian spans the tangent plane.
    """

    dimension: int
    coordinates: tuple[str, ...]
    draw: Callable[[Array], Array]
    embed: Callable[[Array], Array]


def _box(low: np.ndarray, high: np.ndarray) -> Callable[[Array], Array]:
    """Coordinates that are uniform between two corners."""
    low, high = (np.asarray(corner, np.float32) for corner in (low, high))
    return lambda key: low + (high - low) * jax.random.uniform(key, low.shape, jnp.float32)


def _swiss_roll() -> Manifold:
    def embed(coordinates: Array) -> Array:
        angle, along = coordinates
        return jnp.stack([angle * jnp.cos(angle), along, angle * jnp.sin(angle)])

    draw = _box([1.5 * np.pi, 0], [4.5 * np.pi, 21])
    return Manifold(2, ("angle", "along"), draw, embed)


def _s_curve() -> Manifold:
    def embed(coordinates: Array) -> Array:
        angle, along = coordinates
        return jnp.stack([jnp.sin(angle), along, jnp.sign(angle) * (jnp.cos(angle) - 1)])

    return Manifold(2, ("angle", "along"), _box([-1.5 * np.pi, 0], [1.5 * np.pi, 2]), embed)


def disc(coordinates: Array, size: int = _SIDE, width: float = 1.0) -> Array:
    """A white disc on black whose edge is a sigmoid of the distance to it.

    Args:
      coordinates: [1 to 3], the centre's x and y and the radius, in sides of the image; by default
        1/2, 1/2 and 1/5.
      size: height and width in pixels.
      width: of the edge, in pixels: the distance from 1/2 to 0.73.

    Returns:
      [size, size, 1], a smooth function of the coordinates. Without soft edges it is none: two
      images then differ by the root of what they should, and distances are those of a set of
      twice the dimension.

    Reference:
      Donoho and Grimes (2005), "Image manifolds which are isometric to Euclidean space".
    """
    given = dict(zip(("x", "y", "radius"), coordinates, strict=False))
    pixel = (jnp.arange(size, dtype=coordinates.dtype) + 0.5) / size
    away = jnp.stack(
        [
            jnp.broadcast_to(pixel[None, :] - given["x"], (size, size)),
            jnp.broadcast_to(pixel[:, None] - given.get("y", 0.5), (size, size)),
        ]
    )
    square = jnp.sum(away**2, axis=0)
    # the root has no slope at 0, where a pixel is the centre
    distance = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    return jax.nn.sigmoid((given.get("radius", 0.2) - distance) * (size / width))[:, :, None]


def _discs(count: int) -> Manifold:
    low, high = np.array([[0.3, 0.3, 0.1], [0.7, 0.7, 0.25]])[:, :count]
    return Manifold(count, ("x", "y", "radius")[:count], _box(low, high), disc)


def _turn(dimensions: int, space: int) -> np.ndarray:
    """Orthonormal columns [space, dimensions], the same for good."""
    random = np.random.RandomState(0).standard_normal((space, dimensions))
    return np.linalg.qr(random)[0]


def _cube(dimension: int, space: int) -> Manifold:
    turn = _turn(dimension, space)

    def embed(coordinates: Array) -> Array:
        return jnp.matmul(jnp.asarray(turn, coordinates.dtype), coordinates, precision="highest")

    names = tuple(f"x{i}" for i in range(dimension))
    return Manifold(dimension, names, _box(np.zeros(dimension), np.ones(dimension)), embed)


def _sphere(dimension: int, space: int) -> Manifold:
    turn = _turn(dimension + 1, space)

    def draw(key: Array) -> Array:
        normal = jax.random.normal(key, (dimension + 1,), jnp.float32)
        return normal / jnp.linalg.norm(normal)

    def embed(coordinates: Array) -> Array:
        point = coordinates / jnp.linalg.norm(coordinates)
        return jnp.matmul(jnp.asarray(turn, point.dtype), point, precision="highest")

    return Manifold(dimension, tuple(f"x{i}" for i in range(dimension + 1)), draw, embed)


_NAMED: Mapping[str, Callable[[], Manifold]] = {
    "swiss_roll3d": _swiss_roll,
    "s_curve": _s_curve,
    **{f"discs{count}": functools.partial(_discs, count) for count in (1, 2, 3)},
}
NAMES = tuple(_NAMED)
#: What a dimension and that of the space around are given for, as in cube:5in20.
_KINDS = {"cube": (_cube, 0), "sphere": (_sphere, 1)}
KINDS = tuple(_KINDS)


@functools.cache
def manifold(name: str) -> Manifold:
    """Returns a surface by name.

    `swiss_roll3d` and `s_curve` are scikit-learn's, without noise; `discs1`, `discs2` and `discs3`
    images of 32x32 pixels of a disc with soft edges, of which x, y and radius vary; `cube:5in20` is
    a unit cube of 5 dimensions in a space of 20, `sphere:2in10` the surface of a ball of radius 1.

    Raises:
      InputError: if there is none of that name, or it does not fit into the space.
    """
    if name in _NAMED:
        return _NAMED[name]()
    kind, _, argument = name.partition(":")
    sizes = re.fullmatch(r"([1-9]\d{0,3})in([1-9]\d{0,3})", argument)
    if kind not in _KINDS or not sizes:
        known = ", ".join((*NAMES, "cube:5in20", "sphere:2in10"))
        raise InputError(f"unknown manifold {name!r}; choose from {known}")
    make, more = _KINDS[kind]
    dimension, space = map(int, sizes.groups())
    if space < dimension + more:
        raise InputError(f"{name}: a {kind} of {dimension} takes a space of {dimension + more}")
    return make(dimension, space)


def load(split: str, name: str) -> Dataset:
    """100,000 points or images of a surface.

    Args:
      split: validation, test (10,000 each), train (the rest), or all.
      name: as `manifold` knows it.

    Returns:
      A Dataset with `image`, [D] or [32, 32, 1], and `coordinates` [K], floats.

    Raises:
      InputError: as `manifold`.
    """
    example = _example(name)
    return drawn(split, "manifolds", name, jax.eval_shape(example, jax.random.key(0)), example)


@functools.cache
def _example(name: str) -> Callable[[Array], Mapping[str, Array]]:
    own = manifold(name)

    def example(key: Array) -> Mapping[str, Array]:
        coordinates = own.draw(key).astype(jnp.result_type(float))
        return {"image": own.embed(coordinates), "coordinates": coordinates}

    return example
