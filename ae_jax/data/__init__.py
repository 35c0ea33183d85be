"""Where batches come from: `load(name, split)` and the builders of one's own data."""

import functools
import os

from ae_jax.core import Dataset, InputError
from ae_jax.data.contamination import Condition, conditions, contaminate
from ae_jax.data.pairs import PAIRINGS, paired, pairs_of, swapped, unpaired
from ae_jax.data.reading import all_images, head, vectors
from ae_jax.data.sequences import row_sequences
from ae_jax.data.sources import (
    colours,
    densities,
    digits,
    images,
    letters,
    npz,
    patterns,
    prepared,
    shapes,
    tones,
    words,
)
from ae_jax.data.splits import SPLITS, labelled
from ae_jax.data.stored import stored
from ae_jax.data.transforms import binarized, resized, side_by_side, subset

__all__ = [
    "PAIRINGS",
    "Condition",
    "all_images",
    "binarized",
    "conditions",
    "contaminate",
    "head",
    "labelled",
    "load",
    "names",
    "paired",
    "pairs_of",
    "resized",
    "row_sequences",
    "side_by_side",
    "stored",
    "subset",
    "swapped",
    "unpaired",
    "vectors",
]


def _letters(split: str) -> Dataset:
    """The pairs of the same letter in the same place, in two typefaces."""
    return paired(*(letters.load(split, typeface) for typeface in letters.TYPEFACES))


_EMBEDDED = {
    "digits": digits.load,
    "shapes": functools.partial(shapes.load, resolution=64),
    "shapes32": functools.partial(shapes.load, resolution=32),
    "coloured_shapes": colours.load,
    "bars_and_stripes": functools.partial(patterns.bars_and_stripes, side=3),
    "bars_and_stripes4": functools.partial(patterns.bars_and_stripes, side=4),
    **{name: functools.partial(densities.load, name=name) for name in densities.NAMES},
    "tones": tones.load,
    "words": words.load,
    "contexts": words.contexts,
    "letters": _letters,
}
_FILES = {"npz": npz.load, "images": images.load}


def names() -> tuple[str, ...]:
    """The names that `load` knows; what stands in angle brackets is for you to fill in."""
    pairs = (f"{pairing}:<name>" for pairing in PAIRINGS)
    return (*_EMBEDDED, *prepared.NAMES, "tfds:<name>", "npz:<path>", "images:<folder>", *pairs)


def load(
    name: str,
    split: str = "train",
    data_dir: str | os.PathLike | None = None,
    value_range: tuple[float, float] | None = None,
) -> Dataset:
    """Loads a data set by name.

    Args:
      name: one of `names()`. digits, shapes and shapes32 are always there; those of TFDS are
        prepared once with `scripts/prepare_data.py`; edges:NAME and such are pairs made of the
        images of another one.
      split: train, validation, test or all. The splits are fixed and disjoint.
      data_dir: where TFDS data sets were prepared; by default $TFDS_DATA_DIR or
        ~/tensorflow_datasets.
      value_range: for npz, images and TFDS, the values of images that stand for 0 and 1; those
        between are mapped linearly. By default 0 and 1 for floats; for integers 0 and 255, or
        0 and 1 where all images hold nothing else.

    Returns:
      A Dataset; its `fetch` gives `image` [B, H, W, C] in [0, 1], and `label` [B] and
      `factors` [B, K] where they are known; of pairs also `target`, what `image` is the condition
      of.

    Raises:
      InputError: the name or the split is unknown, or the data cannot be used.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; choose from {', '.join(SPLITS)}")
    kind, _, argument = name.partition(":")
    if kind in PAIRINGS and argument:
        return pairs_of(load(argument, split, data_dir, value_range), PAIRINGS[kind])
    if name in _EMBEDDED:
        if value_range is not None:
            raise InputError(f"{name} has a value range of its own: leave out value_range")
        return _EMBEDDED[name](split)
    if name in prepared.NAMES:
        return prepared.load(name, split, data_dir, value_range)
    if kind == "tfds" and argument:
        return prepared.load(argument, split, data_dir, value_range)
    if kind in _FILES and argument:
        return _FILES[kind](argument, split, value_range)
    raise InputError(f"unknown data set {name!r}; choose from {', '.join(names())}")
