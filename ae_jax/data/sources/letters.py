"""Letters in the typefaces that come with matplotlib."""

import functools

import numpy as np

from ae_jax.core import Dataset
from ae_jax.data.sources import glyphs
from ae_jax.data.splits import part, stratified
from ae_jax.data.stored import stored

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Of the pairs of `letters`: the condition's and the target's.
TYPEFACES = ("DejaVuSans", "DejaVuSerif-BoldItalic")
SIDE, VARIANTS, HELD_OUT = 16, 60, (260, 260)
#: Letters are drawn so many times as large, moved, and then averaged over squares of that side.
_FINER = 4
_TURN, _SCALES, _SHIFT = 12.0, (0.8, 1.1), 1.25  # degrees; pixels


def load(split: str, typeface: str) -> Dataset:
    """26 letters in 60 sizes, places and turns each, which are the same in every typeface.

    A letter is turned by up to 12 degrees, 0.8 to 1.1 times as large, and up to 1.25 pixels off
    the middle, all at random once and for all: no two are the same letter in the same place.

    Args:
      split: train (1,040 images), validation (260) or test (260), with each letter in its
        proportion, or all.
      typeface: the name of a file among matplotlib's fonts, without its ending.

    Returns:
      A Dataset with `image` [16, 16, 1], white on black, and `label`, the letter's place in the
      alphabet.

    Raises:
      InputError: matplotlib or pillow is not installed.
    """
    label = np.repeat(np.arange(len(LETTERS)), VARIANTS)
    chosen = part(stratified(label), split, HELD_OUT, "letters")
    return stored(drawn(typeface)[chosen], label[chosen], origin="letters")


@functools.cache
def drawn(typeface: str) -> np.ndarray:
    """Returns all variants of all letters in a typeface, uint8 [1560, 16, 16], letter by letter."""
    side = _FINER * SIDE
    font = glyphs.font(typeface, round(0.72 * side))
    random = np.random.RandomState(0)  # its stream is frozen
    images = []
    for letter in LETTERS:
        large = glyphs.written(letter, font, side, (side / 2, side / 2), "mm")
        for _ in range(VARIANTS):
            turn, scale, *shift = random.uniform(-1, 1, 4)
            low, high = _SCALES
            scale = low + (high - low) * (scale + 1) / 2
            shift = _SHIFT * np.array(shift)
            images.append(glyphs.moved(large, _TURN * turn, scale, shift, _FINER))
    return np.stack(images)
