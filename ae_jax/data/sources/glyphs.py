"""Letters and digits in sixteen typefaces, of which letter, face and place are known factors.

The typefaces come with matplotlib: DejaVu, under the licence of Bitstream Vera, with changes in the
public domain, and STIX, under the SIL Open Font License 1.1, whose texts lie beside the fonts
(`LICENSE_DEJAVU`, `LICENSE_STIX`). Pillow draws them when they are loaded.
"""

import functools
import importlib.util
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.data.splits import SPLITS, held_out, part, shuffled
from ae_jax.data.stored import stored

#: What there is to draw, in every face.
CHARACTERS = string.ascii_uppercase + string.digits + string.ascii_lowercase
FACES = (
    "DejaVuSans",
    "DejaVuSans-Oblique",
    "DejaVuSans-Bold",
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Oblique",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSerif",
    "DejaVuSerif-Italic",
    "DejaVuSerif-Bold",
    "DejaVuSerif-BoldItalic",
    "STIXGeneral",
    "STIXGeneralItalic",
    "STIXGeneralBol",
    "STIXGeneralBolIta",
)
#: White on black; the line around it, white on black; black on a light board of two greys.
RENDERINGS = ("filled", "outline", "dark")
SIDE = 32
#: What `load` draws of each split.
SIZES = {"train": 8000, "validation": 1000, "test": 1000}

#: Degrees counter-clockwise; times the largest; of the side, to the right and downwards.
ROTATIONS = np.linspace(-20, 20, 9)
SCALES = np.linspace(0.75, 1, 5)
SHIFTS = np.linspace(-1 / 16, 1 / 16, 5)
_PLACES = {"rotation": len(ROTATIONS), "scale": len(SCALES), "x": len(SHIFTS), "y": len(SHIFTS)}
_PLACE_COUNT = int(np.prod(list(_PLACES.values())))
#: The size of type and the width of outlines, of the side: nothing is cut off.
_EM, _LINE = 0.55, 1 / 32
#: Letters are drawn so many times as large, and averaged over squares twice: before they are
#: moved, so many times as large as they come out, and after.
_DRAWN, _MOVED = 8, 2
_LEAST, _MOST = 8, 256
_BOARD = 8, (255, 191)  # squares a side, and their levels


def load(split: str) -> Dataset:
    """26 capital letters in sixteen typefaces, turned, scaled and moved: a fixed choice of all.

    Args:
      split: train (8,000 images), validation (1,000), test (1,000), or all, one after the other.

    Returns:
      As of `glyphs`: `image` [32, 32, 1], `label`, `factors`.

    Raises:
      InputError: matplotlib or pillow is not installed.
    """
    letters, splits = string.ascii_uppercase, tuple(SIZES) if split == "all" else (split,)
    factors = [_factors(len(FACES), letters, SIZES[name], name, 0) for name in splits]
    return _dataset(np.concatenate(factors), FACES, letters, SIDE, "filled")


def glyphs(
    count: int,
    faces: str | Sequence[str] = FACES,
    letters: str = string.ascii_uppercase,
    size: int = SIDE,
    rendering: str = "filled",
    split: str = "all",
    skip: int = 0,
) -> Dataset:
    """Draws letters of known factors.

    The examples are the first of all combinations in a random order that is fixed. It depends on
    letters, split and the number of faces only: the same call with another face, or rendering,
    draws the same letters in the same places.

    Args:
      count: how many.
      faces: of `sources.glyphs.FACES`, one or several.
      letters: of A to Z, 0 to 9 and a to z.
      size: height and width in pixels, from 8 to 256.
      rendering: `filled`, white on black; `outline`, the line around that; `dark`, black on a
        light board of two greys.
      split: train (801 in 1,000 of a letter's places), validation, test, or all: what a split has
        no other has in any face.
      skip: how many combinations to pass over first.

    Returns:
      A Dataset with `image` [size, size, 1], stored as bytes, `label`, the place in `letters`, and
      `factors`: letter, face, rotation (of 9, from 20 degrees clockwise to 20 counter-clockwise),
      scale (of 5, from 3/4), x, y (of 5, a sixteenth of the side to the left or upwards, to as
      much to the right or downwards, of the middle of a letter's box).

    Raises:
      InputError: no such face, letter, size, rendering or split; a face or letter twice; fewer
        combinations; matplotlib or pillow is not installed.
    """
    faces = (faces,) if isinstance(faces, str) else tuple(faces)
    _check(count, faces, letters, size, rendering, split, skip)
    factors = _factors(len(faces), letters, count, split, skip)
    return _dataset(factors, faces, letters, size, rendering)


def _check(
    count: int,
    faces: tuple[str, ...],
    letters: str,
    size: int,
    rendering: str,
    split: str,
    skip: int,
) -> None:
    chosen = {"face": (faces, FACES), "letter": (tuple(letters), tuple(CHARACTERS))}
    for name, (some, known) in chosen.items():
        if unknown := [one for one in some if one not in known]:
            listed = ", ".join(known) if name == "face" else "A to Z, 0 to 9, a to z"
            raise InputError(f"there is no {name} {unknown[0]!r}: choose from {listed}")
        if not some or len(set(some)) < len(some):
            raise InputError(f"each {name} is named once, and at least one, got {list(some)}")
    if rendering not in RENDERINGS:
        raise InputError(f"unknown rendering {rendering!r}: choose from {', '.join(RENDERINGS)}")
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; choose from {', '.join(SPLITS)}")
    if not _whole(size) or not _LEAST <= size <= _MOST:
        raise InputError(f"glyphs are {_LEAST} to {_MOST} pixels a side, not {size}")
    if not _whole(count) or count < 1 or not _whole(skip) or skip < 0:
        raise InputError(f"count and skip are whole numbers from 1 and 0, got {count} and {skip}")
    there = len(letters) * len(_places(letters[0], split)) * len(faces)
    if skip + count > there:
        raise InputError(
            f"{len(letters)} letters in {len(faces)} faces make {there:,} images of split "
            f"{split!r}, fewer than {skip + count:,}: take fewer, or more letters or faces"
        )


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _places(letter: str, split: str) -> np.ndarray:
    """The places of a letter that a split has, ascending: the same in every face."""
    order = np.random.RandomState(CHARACTERS.index(letter)).permutation(_PLACE_COUNT)
    return part(order, split, (held_out(_PLACE_COUNT),) * 2, "glyphs")


def _factors(faces: int, letters: str, count: int, split: str, skip: int) -> np.ndarray:
    """Letter, face, rotation, scale, x and y of some of all combinations, int32 [count, 6]."""
    places = np.stack([_places(letter, split) for letter in letters])  # [letters, places]
    sizes = (*places.shape, faces)
    cell = shuffled(np.prod(sizes))[skip : skip + count]
    letter, which, face = np.unravel_index(cell, sizes)
    place = np.unravel_index(places[letter, which], tuple(_PLACES.values()))
    return np.stack([letter, face, *place], axis=1).astype(np.int32)


def _dataset(
    factors: np.ndarray, faces: tuple[str, ...], letters: str, size: int, rendering: str
) -> Dataset:
    image = _kept(factors.tobytes(), faces, letters, size, rendering)
    sizes = {"letter": len(letters), "face": len(faces), **_PLACES}
    return stored(
        image, factors[:, 0], factors, factor_sizes=sizes, value_range=(0, 255), origin="glyphs"
    )


@functools.lru_cache(maxsize=8)
def _kept(
    factors: bytes, faces: tuple[str, ...], letters: str, size: int, rendering: str
) -> np.ndarray:
    rows = np.frombuffer(factors, np.int32).reshape(-1, 2 + len(_PLACES))
    images = render(rows, faces, letters, size, rendering)
    images.flags.writeable = False
    return images


def render(
    factors: np.ndarray, faces: Sequence[str], letters: str, size: int, rendering: str = "filled"
) -> np.ndarray:
    """Draws glyphs.

    Args:
      factors: int [N, 6], as of `glyphs`.
      faces: that factors count in.
      letters: likewise.
      size: height and width in pixels.
      rendering: as of `glyphs`.

    Returns:
      uint8 [N, size, size, 1].

    Raises:
      InputError: matplotlib or pillow is not installed.
    """
    images = np.empty((len(factors), size, size, 1), np.uint8)
    for image, (letter, face, rotation, scale, x, y) in zip(images, factors, strict=True):
        large = _large(letters[letter], faces[face], size, rendering == "outline")
        shift = size * np.array([SHIFTS[x], SHIFTS[y]])
        image[..., 0] = moved(large, -ROTATIONS[rotation], SCALES[scale], shift, _MOVED)
    if rendering != "dark":
        return images
    squares, levels = _BOARD
    at = np.arange(size) * squares // size
    ground = np.where((at[:, None] + at[None, :]) % 2, *levels[::-1]).astype(np.uint16)
    return (ground[..., None] * (255 - images) // 255).astype(np.uint8)


@functools.lru_cache(maxsize=len(CHARACTERS) * len(FACES))
def _large(letter: str, face: str, size: int, outline: bool) -> Any:
    """A glyph, or the line around it, with its box in the middle of a pillow image."""
    from PIL import ImageChops

    side = _DRAWN * size
    type_ = font(face, _EM * side)
    at = side // 4, 3 * side // 4  # of the letter's foot: all of it is there
    left, top, right, bottom = written(letter, type_, side, at, "ls").getbbox()
    at = at[0] + (side - left - right) // 2, at[1] + (side - top - bottom) // 2
    image = written(letter, type_, side, at, "ls")
    if outline:
        around = written(letter, type_, side, at, "ls", stroke_width=round(_LINE * side))
        image = ImageChops.subtract(around, image)
    return image.reduce(_DRAWN // _MOVED)


def font(face: str, size: float) -> Any:
    """A typeface of matplotlib's, as pillow has it.

    Args:
      face: the name of its file, without the ending.
      size: of the type, in pixels.

    Raises:
      InputError: matplotlib or pillow is not installed.
    """
    try:
        from PIL import ImageFont
    except ImportError as error:
        raise InputError("letters are drawn by pillow: pip install pillow") from error
    found = importlib.util.find_spec("matplotlib")  # it is not imported
    if found is None or found.origin is None:
        raise InputError("letters are in the fonts of matplotlib: pip install matplotlib")
    folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / f"{face}.ttf"), size=size)


def written(
    letter: str, type_: Any, side: int, at: tuple[float, float], anchor: str, **how: Any
) -> Any:
    """A pillow image, [side, side], of a letter in white on black at a point of it."""
    from PIL import Image, ImageDraw

    image = Image.new("L", (side, side))
    ImageDraw.Draw(image).text(at, letter, 255, type_, anchor=anchor, **how)
    return image


def moved(large: Any, turn: float, scale: float, shift: np.ndarray, finer: int) -> np.ndarray:
    """Turns, scales and moves a square pillow image about its middle, and makes it smaller.

    Args:
      large: `finer` times as large as what comes out.
      turn: in degrees, clockwise.
      scale: how many times as large.
      shift: [2], to the right and down, in pixels of what comes out.
      finer: the side of the squares of pixels that are averaged afterwards.

    Returns:
      uint8 [side, side].
    """
    from PIL import Image

    middle, angle = large.width / 2, np.deg2rad(turn)
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    inverse = np.array([[cos, sin], [-sin, cos]])
    start = middle - inverse @ (middle + finer * np.asarray(shift))
    places = (*inverse[0], start[0], *inverse[1], start[1])
    turned = large.transform(large.size, Image.Transform.AFFINE, places, Image.BILINEAR)
    return np.asarray(turned.reduce(finer))
