"""Sprites in colour, whose colour nothing else tells, drawn inside the program that trains."""

import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Dataset
from ae_jax.data.rendered import rendered
from ae_jax.data.sources import shapes

SIDE = 16
#: Of each channel two colours have 0, two 1/2 and two 1.
COLOURS = np.array(
    [(1, 0.5, 0), (0.5, 1, 0), (0, 1, 0.5), (0, 0.5, 1), (0.5, 0, 1), (1, 0, 0.5)], np.float32
)
#: Of those of `shapes`, the larger scales and the places near the middle.
_FIRST = np.array([0, 2, 0, 9, 9], np.int32)
FACTOR_SIZES = {"shape": 3, "scale": 4, "orientation": 40, "x": 14, "y": 14}
FACTOR_SIZES |= {"colour": len(COLOURS)}
_CANVAS = 48


def render(factors: Array) -> Array:
    """Draws sprites in colour on black, with smooth edges.

    Args:
      factors: int [..., 6]: shape, scale, orientation and place, as of `shapes.render`, but that
        only its four largest scales are there, and 14 places near the middle; and the colour:
        orange, chartreuse, spring green, azure, violet, rose.

    Returns:
      [..., 16, 16, 3], of the default float type.
    """
    sprite = factors[..., :-1]
    sprite = sprite + jnp.asarray(_FIRST, sprite.dtype).reshape(*[1] * (sprite.ndim - 1), -1)
    mask = shapes.close_up(sprite, SIDE, _CANVAS)
    colour = jnp.take(jnp.asarray(COLOURS, mask.dtype), factors[..., -1], axis=0, mode="clip")
    return mask * colour[..., None, None, :]


def load(split: str) -> Dataset:
    """All 564,480 combinations of a sprite's five factors and six colours.

    Args:
      split: validation and test (10,000 each, a fixed random choice), train (the rest), or all:
        the whole grid, with the colour changing fastest.

    Returns:
      A Dataset with `image` [16, 16, 3] and `factors`, the indices that `render` takes.
    """
    return rendered(split, "coloured_shapes", render, FACTOR_SIZES, (SIDE, SIDE, 3))
