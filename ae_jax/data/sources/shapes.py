"""Sprites drawn from five known factors, inside the program that trains on them.

The factors are those of dSprites: shape, scale, orientation and position. The images are not
copies of its images: they are drawn anew, at any resolution, and take no memory.
"""

import functools

import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Dataset
from ae_jax.data.rendered import rendered

SHAPES = ("square", "ellipse", "heart")
FACTOR_SIZES = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
SIZE = int(np.prod(list(FACTOR_SIZES.values())))

#: The radius of the circle around the largest sprite, and the nearest that a centre comes to
#: an edge, in widths of the image.
_RADIUS, _MARGIN = 0.2, 0.22
#: Rotated coordinates count in units of 1/512 of the sprite's radius. They are whole numbers,
#: and so are their squares, all below 2**24 wherever they decide about a pixel: the
#: comparisons are exact in float32, and an image is the same whatever program draws it.
_UNIT = 512
_SQUARE = 361.5  # half its side: just below _UNIT / sqrt(2)
_HEART_CENTRE, _HEART_RADIUS = 157, 1773  # they fit it into the circle


def render(factors: Array, resolution: int) -> Array:
    """Draws sprites.

    Args:
      factors: int [..., 5]: indices of shape (square, ellipse, heart), scale (from 0.5 to 1),
        orientation (counter-clockwise, in 40ths of a turn), and of the centre's x (to the
        right) and y (downwards).
      resolution: height and width in pixels.

    Returns:
      [..., resolution, resolution, 1], of the default float type: 1 inside, 0 outside.

    Reference:
      Matthey et al. (2017), "dSprites: disentanglement testing sprites dataset".
    """
    draw = functools.partial(_draw, resolution=resolution)
    return jnp.vectorize(draw, signature="(k)->(h,w,c)")(factors)


def close_up(factors: Array, side: int, canvas: int) -> Array:
    """Draws sprites larger, with smooth edges: the middle of a canvas, averaged over 2x2 pixels.

    Args:
      factors: as of `render`; of centres near the edges sprites are cut off.
      side: height and width in pixels.
      canvas: height and width of the canvas, an even number from 2 * side.

    Returns:
      [..., side, side, 1], of the default float type, in quarters.
    """
    edge = (canvas - 2 * side) // 2
    middle = render(factors, canvas)[..., edge : edge + 2 * side, edge : edge + 2 * side, :]
    return middle.reshape(*middle.shape[:-3], side, 2, side, 2, 1).mean(axis=(-4, -2))


def _draw(factors: Array, resolution: int) -> Array:
    shape, scale, orientation, x, y = factors
    angle = np.arange(40) * (2 * np.pi / 40)
    units = _UNIT / (_RADIUS * resolution * np.linspace(0.5, 1, 6))  # per pixel
    centre = resolution * np.linspace(_MARGIN, 1 - _MARGIN, 32)
    pixel = jnp.arange(resolution, dtype=jnp.float32) + 0.5

    right = pixel - _look_up(centre, x)
    up = _look_up(centre, y) - pixel
    cos = _look_up(np.cos(angle), orientation) * _look_up(units, scale)
    sin = _look_up(np.sin(angle), orientation) * _look_up(units, scale)
    # (u, v) is (right, up) turned clockwise; the parts are rounded before they are added.
    u = _outer_sum(jnp.round(sin * up), jnp.round(cos * right))
    v = _outer_sum(jnp.round(cos * up), jnp.round(-sin * right))
    inside = jnp.where(
        shape == 0,
        jnp.maximum(jnp.abs(u), jnp.abs(v)) < _SQUARE,
        jnp.where(shape == 1, _in_ellipse(u, v), _in_heart(u, v)),
    )
    return inside[:, :, None].astype(jnp.result_type(float))


def _in_ellipse(u: Array, v: Array) -> Array:
    """Semi-axes 1 and 1/2."""
    return u * u + 4 * v * v < _UNIT**2


def _in_heart(u: Array, v: Array) -> Array:
    """An ellipse sheared upwards on both sides of its axis, which dents it and points it."""
    u, v = jnp.abs(u), v + _HEART_CENTRE
    return (4 * u) ** 2 + (5 * v - 4 * u) ** 2 < _HEART_RADIUS**2


def _look_up(table: np.ndarray, index: Array) -> Array:
    return jnp.take(jnp.asarray(table, jnp.float32), index, mode="clip")


def _outer_sum(rows: Array, columns: Array) -> Array:
    return rows[:, None] + columns[None, :]


def load(split: str, resolution: int) -> Dataset:
    """All 737,280 combinations of the factors, as images drawn when they are fetched.

    Args:
      split: validation and test (10,000 each, a fixed random choice), train (the rest), or
        all: the whole grid, with the last factor changing fastest.
      resolution: height and width in pixels.

    Returns:
      A Dataset with `image` [resolution, resolution, 1] and `factors`, the indices that
      `render` takes.
    """
    shape = (resolution, resolution, 1)
    return rendered(split, "shapes", render, FACTOR_SIZES, shape, resolution)
