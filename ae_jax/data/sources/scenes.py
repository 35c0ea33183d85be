"""A solid in the corner of a room, drawn from six known factors inside the program that trains.

The factors are those of 3D Shapes: three hues, scale, shape and orientation. The images are not
copies of its images. What is seen where depends on the last three only and is found once, on the
host, by rays; the program then paints it in whole numbers, so that an image is the same whatever
program draws it.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Dataset
from ae_jax.data.rendered import rendered

SHAPES = ("cube", "cylinder", "sphere", "pill")
FACTOR_SIZES = {"floor_hue": 10, "wall_hue": 10, "object_hue": 10}
FACTOR_SIZES |= {"scale": 8, "shape": 4, "orientation": 15}

#: Fully saturated colours [10, 3], 36 degrees of hue apart, in fifths.
HUES = np.stack(
    [abs(3 * np.arange(10) - 15) - 5, *(10 - abs(3 * np.arange(10) - at) for at in (10, 20))], 1
)
HUES = HUES.clip(0, 5).astype(np.uint8)
_FIFTHS = 5

_SCALES = np.linspace(0.5, 1, 8)
_TURNS = np.deg2rad(np.linspace(-30, 30, 15))
#: The eye stands away from the solid, above the floor, and looks at a point above its foot; half
#: the image's width is seen at this tangent. The corner is behind the solid.
_EYE, _LOOKS_AT, _TANGENT, _CORNER = np.array([0, 2.1, -5]), np.array([0, 0.75, 0]), 0.36, 3.0
#: Where light comes from, with the eye: solids but for the cube look the same from all sides.
_LIGHT = np.array([-0.55, 0.75, -0.5]) / np.linalg.norm([-0.55, 0.75, -0.5])
_AMBIENT = 0.4
_UP = np.array([0.0, 1, 0])
#: Height and radius of a ball that holds every solid of scale 1.
_AROUND = 1.0, 1.52
#: Rays a pixel, in a square; of 40 parts of the floor's light a shadow takes as many.
_FINER, _LIT = 4, 40
_RAYS = _FINER**2


def render(factors: Array, resolution: int) -> Array:
    """Draws scenes.

    Args:
      factors: int [..., 6]: hues of floor, wall and object (36 degrees apart, from red), scale
        (from 0.5 to 1), shape (cube, cylinder, sphere, pill), and orientation, of the room with
        the object in it (from -30 to 30 degrees).
      resolution: height and width in pixels.

    Returns:
      [..., resolution, resolution, 3], of the default float type.

    Reference:
      Burgess & Kim (2018), "3D Shapes dataset".
    """
    floor, wall, solid, scale, shape, orientation = jnp.moveaxis(factors, -1, 0)
    seen = _seen(resolution)
    floor_light, wall_light = _channels(seen.room, orientation)
    rows = jnp.asarray(seen.rows.ravel())
    row = (shape * len(_SCALES) + scale) * len(_TURNS) + orientation
    covered, solid_light, lit = _channels(seen.solid, jnp.take(rows, row, mode="clip"))
    # Sums of products of whole numbers below 2**24: exact in float32.
    free = _RAYS - covered
    image = _painted(floor, free * floor_light * lit) + _painted(wall, free * wall_light * _LIT)
    image += _painted(solid, solid_light * _RAYS * _LIT)
    return image * (1 / (255 * _RAYS * _LIT * _FIFTHS))


def _channels(table: np.ndarray, row: Array) -> list[Array]:
    """Rows [...] of a table [N, R, R, K], as K arrays [..., R, R]."""
    taken = jnp.take(jnp.asarray(table), row, axis=0, mode="clip").astype(jnp.result_type(float))
    return [taken[..., channel] for channel in range(table.shape[-1])]


def _painted(hue: Array, light: Array) -> Array:
    colour = jnp.take(jnp.asarray(HUES), hue, axis=0, mode="clip").astype(light.dtype)
    return light[..., None] * colour[..., None, None, :]


class _Seen(NamedTuple):
    """What is seen in each pixel, uint8.

    Attributes:
      room: [15, R, R, 2]: how light the floor is, and the wall, where they are seen.
      solid: [144, R, R, 3]: how many of the pixel's rays meet the solid, how light it is, and of
        40 parts of the floor's light those that its shadow leaves.
      rows: int32 [4, 8, 15]: of `solid`, for a shape, a scale and an orientation.
    """

    room: np.ndarray
    solid: np.ndarray
    rows: np.ndarray


@functools.cache
def _seen(resolution: int) -> _Seen:
    rays = _rays(_FINER * resolution)
    with np.errstate(divide="ignore", invalid="ignore"):  # of rays that meet nothing
        away = np.where(rays[..., 1] < 0, -_EYE[1] / rays[..., 1], np.inf)
        floor = _EYE + np.where(rays[..., 1:2] < 0, away[..., None], 0) * rays
        room = np.array([_averages(*_room(rays, away, turn)) for turn in _TURNS])
        rows, solid = np.zeros((len(SHAPES), len(_SCALES), len(_TURNS)), np.int32), []
        for shape, scale, turn in np.ndindex(rows.shape):
            if shape and turn:  # round ones look the same from all sides
                rows[shape, scale, turn] = rows[shape, scale, 0]
                continue
            rows[shape, scale, turn] = len(solid)
            size, surfaces = _SCALES[scale], _SURFACES[shape]
            hit, light = _meets(surfaces, _EYE / size, rays, _TURNS[turn])
            dark, _ = _meets(surfaces, floor / size, _LIGHT, _TURNS[turn])
            solid.append(_averages(hit, light, dark) * [_RAYS, 255, -_RAYS] + [0, 0, _LIT])
    return _Seen(*(np.rint(table).astype(np.uint8) for table in (room * 255, solid)), rows)


def _rays(count: int) -> np.ndarray:
    """Directions [count, count, 3], of a length forward that is the same for all."""
    across = ((np.arange(count) + 0.5) / count * 2 - 1) * _TANGENT
    forward = (_LOOKS_AT - _EYE) / np.linalg.norm(_LOOKS_AT - _EYE)
    right = np.array([1.0, 0, 0])
    down = np.cross(right, forward)
    return forward + across[None, :, None] * right + across[:, None, None] * down


def _averages(*values: np.ndarray) -> np.ndarray:
    """The means of rays' values, each [R * finer, R * finer], by pixel: [R, R, K]."""
    means = []
    for value in values:
        side = len(value) // _FINER
        means.append(value.reshape(side, _FINER, side, _FINER).mean(axis=(1, 3)))
    return np.stack(means, axis=-1)


def _room(rays: np.ndarray, nearest: np.ndarray, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """How light floor and wall are where rays meet them, 0 elsewhere; the floor is `nearest`."""
    floor, wall = np.full(nearest.shape, _light(_UP)), np.zeros(nearest.shape)
    for normal in _walls(turn):
        away = (_CORNER * np.cos(np.pi / 4) - _EYE @ normal) / (rays @ normal)
        first = (away > 0) & (away < nearest)
        nearest = np.where(first, away, nearest)
        floor, wall = np.where(first, 0, floor), np.where(first, _light(-normal), wall)
    return floor, wall


def _light(normal: np.ndarray) -> np.ndarray:
    """Lambert's law, and light from everywhere."""
    return _AMBIENT + (1 - _AMBIENT) * np.maximum(normal @ _LIGHT, 0)


def _walls(turn: float) -> list[np.ndarray]:
    """The outward normals of the two walls."""
    angles = turn + np.array([-np.pi / 4, np.pi / 4])
    return [np.array([np.sin(angle), 0, np.cos(angle)]) for angle in angles]


def _meets(
    surfaces: Callable, origin: np.ndarray, rays: np.ndarray, turn: float
) -> tuple[np.ndarray, np.ndarray]:
    """Whether rays meet a solid of scale 1, and how light it is there, 0 where they do not."""
    height, radius = _AROUND
    near = np.isfinite(_first_root(origin - height * _UP, rays, radius))
    hit, light = np.zeros(near.shape, bool), np.zeros(near.shape)
    origin, rays = (np.broadcast_to(x, (*near.shape, 3))[near] for x in (origin, rays))
    nearest, brightness = np.full(len(rays), np.inf), np.zeros(len(rays))
    for away, there, normal in surfaces(origin, rays, turn):
        first = there & (away > 1e-9) & (away < nearest)
        nearest = np.where(first, away, nearest)
        brightness = np.where(first, _light(normal), brightness)
    hit[near], light[near] = np.isfinite(nearest), brightness
    return hit, light


def _cube(origin: np.ndarray, rays: np.ndarray, turn: float) -> list[tuple]:
    half, axes, faces = 0.8, (*_walls(turn), _UP), []
    for axis in axes:
        for normal in (axis, -axis):
            away = (half - (origin - half * _UP) @ normal) / (rays @ normal)
            point = origin + away[:, None] * rays - half * _UP
            others = [abs(point @ other) <= half for other in axes if other is not axis]
            faces.append((away, others[0] & others[1], normal))
    return faces


def _cylinder(origin: np.ndarray, rays: np.ndarray, turn: float) -> list[tuple]:
    del turn
    radius, height = 0.85, 1.6
    away = (height - origin[:, 1]) / rays[:, 1]
    point = origin + away[:, None] * rays
    top = away, np.hypot(point[:, 0], point[:, 2]) <= radius, _UP
    return [_mantle(origin, rays, radius, 0, height), top]


def _sphere(origin: np.ndarray, rays: np.ndarray, turn: float) -> list[tuple]:
    del turn
    return [_ball(origin, rays, 1, 1)]


def _pill(origin: np.ndarray, rays: np.ndarray, turn: float) -> list[tuple]:
    del turn
    radius, height = 0.6, 2.2
    ends = [_ball(origin, rays, radius, y) for y in (radius, height - radius)]
    return [_mantle(origin, rays, radius, radius, height - radius), *ends]


def _mantle(origin: np.ndarray, rays: np.ndarray, radius: float, low: float, high: float) -> tuple:
    """An upright cylinder's side."""
    flat = 1 - _UP
    away = _first_root(origin * flat, rays * flat, radius)
    point = origin + away[..., None] * rays
    inside = (point[..., 1] >= low) & (point[..., 1] <= high)
    return away, inside, point * flat / radius


def _ball(origin: np.ndarray, rays: np.ndarray, radius: float, height: float) -> tuple:
    middle = height * _UP
    away = _first_root(origin - middle, rays, radius)
    point = origin + away[..., None] * rays
    return away, np.isfinite(away), (point - middle) / radius


def _first_root(origin: np.ndarray, rays: np.ndarray, radius: float) -> np.ndarray:
    """The smaller t with |origin + t ray| = radius; NaN where there is none."""
    a, b, c = (
        np.einsum("...i,...i", *pair) for pair in ((rays, rays), (origin, rays), (origin, origin))
    )
    c = c - radius**2
    return (-b - np.sqrt(b * b - a * c)) / a


_SURFACES = (_cube, _cylinder, _sphere, _pill)


def load(split: str, resolution: int) -> Dataset:
    """All 480,000 combinations of the factors, as images drawn when they are fetched.

    Args:
      split: validation and test (10,000 each, a fixed random choice), train (the rest), or
        all: the whole grid, with the last factor changing fastest.
      resolution: height and width in pixels.

    Returns:
      A Dataset with `image` [resolution, resolution, 3] and `factors`, the indices that
      `render` takes.
    """
    shape = (resolution, resolution, 3)
    return rendered(split, "scenes", render, FACTOR_SIZES, shape, resolution)
