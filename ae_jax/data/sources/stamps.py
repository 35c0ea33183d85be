"""Stamps for watermarks: texts and simple logos, drawn by Pillow when they are asked for."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax.core import InputError
from ae_jax.data.sources.glyphs import FACES, font, written

#: Outlines of so many points, one of them at the top, and how far the middles between two are
#: from the centre.
LOGOS: Mapping[str, tuple[int, float]] = {
    "ring": (32, 1.0),
    "star": (5, 0.4),
    "triangle": (3, 0.5),
    "diamond": (4, 0.5**0.5),
    "spark": (4, 0.35),
}
#: Stamps are drawn so many times as large, and averaged over squares.
_DRAWN = 8
#: The width of a logo's outline, in pixels.
_LINE = 1.25
_LEAST = 4


def stamps(
    texts: Sequence[str] = (),
    logos: Sequence[str] = (),
    size: tuple[int, int] = (12, 28),
    face: str = "DejaVuSans-Bold",
) -> np.ndarray:
    """Draws mattes of texts and logos, as large as fit, in the middle.

    Args:
      texts: what is written.
      logos: of `sources.stamps.LOGOS`.
      size: height and width in pixels.
      face: of `sources.glyphs.FACES`.

    Returns:
      float32 [K, *size], from 0, where nothing is, to 1: texts, then logos.

    Raises:
      InputError: there is nothing to draw, no such logo or typeface, or a side below 4; matplotlib,
        whose typefaces they are, or pillow is not installed.
    """
    texts, logos = ((x,) if isinstance(x, str) else tuple(x) for x in (texts, logos))
    if not texts and not logos:
        raise InputError("there is nothing to stamp: give a text, or a logo")
    if unknown := [logo for logo in logos if logo not in LOGOS]:
        raise InputError(f"there is no logo {unknown[0]!r}: choose from {', '.join(LOGOS)}")
    if face not in FACES:
        raise InputError(f"there is no typeface {face!r}: choose from {', '.join(FACES)}")
    if min(size) < _LEAST:
        raise InputError(f"a stamp has {_LEAST} pixels a side or more, not {size[0]}x{size[1]}")
    sides = _DRAWN * np.array(size[::-1])
    drawn = [_text(text, face, sides) for text in texts] + [_logo(logo, sides) for logo in logos]
    return np.stack([np.asarray(image.reduce(_DRAWN)) for image in drawn]).astype(np.float32) / 255


def page(words: Sequence[str], face: str, height: int, side: int, seed: int) -> np.ndarray:
    """Draws a square page of lines of words in any order, half a line from one to the next.

    Args:
      words: to draw from.
      face: as for `stamps`.
      height: of a line, in pixels; a line that is too long has smaller letters.
      side: of the page.
      seed: of the draws.

    Returns:
      float32 [side, side], from 0, where nothing is, to 1.

    Raises:
      InputError: as `stamps`.
    """
    random = np.random.default_rng(seed)
    gap = (height + 1) // 2
    count, long = math.ceil(side / (height + gap)), math.ceil(side / (2.5 * height))
    lines = [" ".join(random.choice(words, long)) for _ in range(count)]
    drawn = stamps(lines, size=(height, side), face=face)
    return np.pad(drawn, ((0, 0), (0, gap), (0, 0))).reshape(-1, side)[:side]


def _text(text: str, face: str, sides: np.ndarray) -> Any:
    """A pillow image of a text that is as large as fits: its size is measured first."""
    size = sides.min() / 2
    side, box = 0, None
    for _ in range(2):
        type_ = font(face, size)
        side = 2 * int(max(*sides, type_.getlength(text), 2 * size))
        image = written(text, type_, side, (side / 2, side / 2), "mm")
        box = image.getbbox()
        if box is None:
            raise InputError(f"nothing is seen of the text {text!r}: write letters")
        extent = np.subtract(box[2:], box[:2])
        size = size * np.min((sides - 2) / extent)
    left, top = (np.add(box[:2], box[2:]) - sides) // 2
    return image.crop((left, top, left + sides[0], top + sides[1]))


def _logo(logo: str, sides: np.ndarray) -> Any:
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise InputError("logos are drawn by pillow: pip install pillow") from error
    points, inner = LOGOS[logo]
    line = round(_LINE * _DRAWN)
    angle = np.pi * np.arange(2 * points + 2) / points
    radius = (sides.min() / 2 - line) * np.where(np.arange(2 * points + 2) % 2, inner, 1)
    outline = sides / 2 + np.stack([radius * np.sin(angle), -radius * np.cos(angle)], axis=1)
    image = Image.new("L", tuple(int(side) for side in sides))
    ImageDraw.Draw(image).line([tuple(p) for p in outline], 255, width=line, joint="curve")
    return image
