"""Sprites before pieces of photographs: of every pixel it is known what it shows.

The photographs are the three of `photos` that need no other library; their authors and licences are
named there.
"""

import functools
import math
from typing import Any

import jax
import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.data.sources import photos, shapes
from ae_jax.data.splits import SPLITS
from ae_jax.data.stored import assembled

#: What a mask counts: 0 is the photograph.
CLASSES = ("ground", *shapes.SHAPES)
SIDE = 48
#: What `load` draws of each split.
SIZES = {"train": 4000, "validation": 500, "test": 500}
_LEVELS = np.array([51, 128, 204], np.uint8)
#: [27, 3], with red changing slowest.
COLOURS = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing="ij"), axis=-1).reshape(-1, 3)
#: Red, green and violet, which are as bright as each other to 5 of 255: the colour of a square,
#: an ellipse and a heart where it is that of the class.
CLASS_COLOURS = np.array([18, 3, 11])
_COLOUR = "random", "class"
_LEAST, _MOST = 16, 128
_TOGETHER = 256  # sprites that are drawn at a time


def load(split: str) -> Dataset:
    """Two sprites in random colours, a little noisy, before a piece of a photograph.

    Args:
      split: train (4,000 images), validation (500), test (500), or all, one after the other; no
        photograph, or part of one, is in two of them.

    Returns:
      As of `composites`: `image` [48, 48, 3], `mask` [48, 48], `factors`.

    Raises:
      InputError: scikit-learn, matplotlib or pillow is not installed.
    """
    drawn = [_drawn(SIZES[name], name) for name in (SIZES if split == "all" else (split,))]
    return _dataset({name: np.concatenate([one[name] for one in drawn]) for name in drawn[0]})


def composites(
    count: int,
    split: str = "all",
    size: int = SIDE,
    sprites: int = 2,
    colour: str = "random",
    noise: float = 0.1,
    seed: int = 0,
) -> Dataset:
    """Draws sprites of known class and colour before pieces of photographs.

    A sprite is any of those of `shapes`, with all as likely; later ones cover earlier ones.

    Args:
      count: how many images.
      split: whose photographs are behind: train, validation, test, or all.
      size: height and width in pixels, from 16 to 128.
      sprites: how many are in an image.
      colour: `random`, any of the 27 in `sources.composites.COLOURS`, or `class`, one for each
        shape: without noise, what a sprite is then tells its colour.
      noise: the standard deviation of what is added to a sprite's pixels, white being 1; sums are
        cut off at 0 and 1.
      seed: of all that is random.

    Returns:
      A Dataset with `image` [size, size, 3], stored as bytes; `mask` [size, size], of each pixel
      0 for the photograph, 1 for a square, 2 for an ellipse and 3 for a heart; and `factors` of
      each sprite in turn: shape, scale, orientation, x and y, as of `shapes`, and the colour.

    Raises:
      InputError: no such split or colour, a number that is out of range; scikit-learn,
        matplotlib or pillow is not installed.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; choose from {', '.join(SPLITS)}")
    if colour not in _COLOUR:
        raise InputError(f"unknown colour {colour!r}: choose from {', '.join(_COLOUR)}")
    for name, value, least in (("count", count, 1), ("sprites", sprites, 1), ("seed", seed, 0)):
        if not _whole(value) or value < least:
            raise InputError(f"{name} of composites is a whole number from {least}, not {value}")
    if not _whole(size) or not _LEAST <= size <= _MOST:
        raise InputError(f"composites are {_LEAST} to {_MOST} pixels a side, not {size}")
    if not 0 <= noise <= 1:
        raise InputError(f"noise of composites is a number from 0 to 1, not {noise}")
    return _dataset(_drawn(count, split, size, sprites, colour, noise, seed))


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _dataset(arrays: dict[str, np.ndarray]) -> Dataset:
    sizes = {**shapes.FACTOR_SIZES, "colour": len(COLOURS)}
    sprites = arrays["factors"].shape[1] // len(sizes)
    named = {f"{name}_{i + 1}": size for i in range(sprites) for name, size in sizes.items()}
    return assembled(arrays, (0.0, 255.0), named)


@functools.lru_cache(maxsize=4)
def _drawn(
    count: int,
    split: str,
    size: int = SIDE,
    sprites: int = 2,
    colour: str = "random",
    noise: float = 0.1,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    random = np.random.RandomState([seed, SPLITS.index(split)])  # its stream is frozen
    sizes = (*shapes.FACTOR_SIZES.values(), len(COLOURS))
    factors = random.randint(0, sizes, (count, sprites, len(sizes))).astype(np.int32)
    if colour == "class":
        factors[..., -1] = CLASS_COLOURS[factors[..., 0]]
    ground = pieces(random, list(photos.photographs(split).values()), count, size)
    image, mask = compose(factors, ground)
    inside = mask > 0
    level = image[inside] + 255 * noise * random.standard_normal((inside.sum(), 3))
    image[inside] = np.rint(level.clip(0, 255)).astype(np.uint8)
    arrays = {"image": image, "mask": mask, "factors": factors.reshape(count, -1)}
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


def compose(factors: np.ndarray, ground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Puts sprites before a ground, later ones before earlier ones.

    Args:
      factors: int [N, sprites, 6]: shape, scale, orientation, x, y, colour.
      ground: uint8 [N, S, S, 3].

    Returns:
      The images, uint8 [N, S, S, 3], and of each pixel the class, uint8 [N, S, S].
    """
    image, mask = ground.copy(), np.zeros(ground.shape[:3], np.uint8)
    every = _silhouettes(ground.shape[1])(factors[..., :-1].reshape(-1, 5))
    inside = np.asarray(every).reshape(*factors.shape[:2], *ground.shape[1:3])
    for sprite in range(factors.shape[1]):
        which, *_ = at = np.nonzero(inside[:, sprite])
        image[at] = COLOURS[factors[which, sprite, -1]]
        mask[at] = 1 + factors[which, sprite, 0]
    return image, mask


@functools.cache
def _silhouettes(size: int) -> Any:
    def draw(factors: jax.Array) -> jax.Array:
        return shapes.render(factors, size)[..., 0] > 0

    return jax.jit(lambda factors: jax.lax.map(draw, factors, batch_size=_TOGETHER))


def pieces(
    random: np.random.RandomState, photographs: list[np.ndarray], count: int, size: int
) -> np.ndarray:
    """Pieces of photographs from random places, all as likely, uint8 [count, size, size, 3].

    Args:
      random: where places are drawn from.
      photographs: uint8 [H, W, 3] each, at least as large.
      count: how many.
      size: height and width in pixels.
    """
    places = [(photo.shape[0] - size + 1, photo.shape[1] - size + 1) for photo in photographs]
    ends = np.cumsum([math.prod(place) for place in places])
    drawn = random.randint(0, ends[-1], count)
    which = np.searchsorted(ends, drawn, side="right")
    found = np.empty((count, size, size, 3), np.uint8)
    for piece, photo, index in zip(found, which, drawn, strict=True):
        first = ends[photo] - math.prod(places[photo])
        row, column = np.unravel_index(index - first, places[photo])
        piece[:] = photographs[photo][row : row + size, column : column + size]
    return found
