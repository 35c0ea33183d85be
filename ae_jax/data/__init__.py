"""Where batches come from: `load(name, split)` and the builders of one's own data."""

import functools
import os
import re

import jax.numpy as jnp
import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.data.contamination import Condition, conditions, contaminate
from ae_jax.data.faces import glyph_domains, glyph_pairs, sprite_domains, sprite_pairs
from ae_jax.data.factors import changed, known_factors, restricted
from ae_jax.data.faults import FAULTS, faulty
from ae_jax.data.nuisances import NUISANCES, with_nuisance
from ae_jax.data.pairs import PAIRINGS, paired, pairs_of, swapped, unpaired
from ae_jax.data.reading import all_images, head, vectors
from ae_jax.data.rendered import drawn_once, rendered
from ae_jax.data.sequences import row_sequences
from ae_jax.data.sources import (
    colours,
    densities,
    digits,
    images,
    letters,
    manifolds,
    masks,
    npz,
    patterns,
    photos,
    prepared,
    scenes,
    series,
    shapes,
    tones,
    trees,
    words,
)
from ae_jax.data.sources.composites import composites
from ae_jax.data.sources.composites import load as _load_composites
from ae_jax.data.sources.glyphs import glyphs
from ae_jax.data.sources.glyphs import load as _load_glyphs
from ae_jax.data.sources.manifolds import manifold
from ae_jax.data.sources.photos import photographs
from ae_jax.data.sources.series import windows
from ae_jax.data.sources.stamps import page, stamps
from ae_jax.data.sources.trees import tree
from ae_jax.data.splits import MOST_HELD_OUT, SPLITS, held_out, labelled, part
from ae_jax.data.stored import stored
from ae_jax.data.transforms import binarized, resized, side_by_side, subset
from ae_jax.data.watermarked import stamped

__all__ = [
    "FAULTS",
    "NUISANCES",
    "PAIRINGS",
    "Condition",
    "all_images",
    "binarized",
    "changed",
    "composites",
    "conditions",
    "contaminate",
    "faulty",
    "glyph_domains",
    "glyph_pairs",
    "glyphs",
    "head",
    "known_factors",
    "labelled",
    "load",
    "manifold",
    "names",
    "page",
    "paired",
    "pairs_of",
    "photographs",
    "resized",
    "restricted",
    "row_sequences",
    "side_by_side",
    "sprite_domains",
    "sprite_pairs",
    "stamped",
    "stamps",
    "stored",
    "subset",
    "swapped",
    "tree",
    "unpaired",
    "vectors",
    "windows",
    "with_nuisance",
]


def _letters(split: str) -> Dataset:
    """The pairs of the same letter in the same place, in two typefaces."""
    return paired(*(letters.load(split, typeface) for typeface in letters.TYPEFACES))


#: Of the factors of `shapes`, for images of which all are different and none is cut off.
_SPRITES = {"scale": (0, 2, 5), "orientation": 0} | dict.fromkeys("xy", range(8, 24, 2))


def _sprites(split: str) -> Dataset:
    """A grid so small that it is learned, and measured, whole: the same in every split."""
    del split
    return _sprites_of(jnp.result_type(float))


@functools.cache
def _sprites_of(dtype: np.dtype) -> Dataset:
    """Of the default float type, which is `dtype`."""
    drawn = rendered("all", "sprites", shapes.close_up, shapes.FACTOR_SIZES, (16, 16, 1), 16, 46)
    return drawn_once(restricted(drawn, _SPRITES))


_EMBEDDED = {
    "digits": digits.load,
    "shapes": functools.partial(shapes.load, resolution=64),
    "shapes32": functools.partial(shapes.load, resolution=32),
    "sprites16": _sprites,
    "coloured_shapes": colours.load,
    "scenes": functools.partial(scenes.load, resolution=64),
    "scenes32": functools.partial(scenes.load, resolution=32),
    "scenes16": functools.partial(scenes.load, resolution=16),
    "bars_and_stripes": functools.partial(patterns.bars_and_stripes, side=3),
    "bars_and_stripes4": functools.partial(patterns.bars_and_stripes, side=4),
    **{name: functools.partial(densities.load, name=name) for name in densities.NAMES},
    **{name: functools.partial(manifolds.load, name=name) for name in manifolds.NAMES},
    "tree": trees.load,
    "tones": tones.load,
    "eeg": series.eeg,
    "words": words.load,
    "contexts": words.contexts,
    "letters": _letters,
    "glyphs": _load_glyphs,
    "composites": _load_composites,
    "photos": photos.load,
    "photos11": functools.partial(photos.load, more=True),
}
_FILES = {"npz": npz.load, "images": images.load, "masks": masks.load}


def names() -> tuple[str, ...]:
    """The names that `load` knows; what stands in angle brackets is for you to fill in."""
    files = "tfds:<name>", "npz:<path>", "images:<folder>", "masks:<folder>"
    files += "patches<size>:<folder>", "series<steps>:<path>"
    made = (f"{kind}:<name>" for kind in (*PAIRINGS, *NUISANCES, "changed", "changed<count>"))
    spaces = (f"{kind}:<dimension>in<space>" for kind in manifolds.KINDS)
    return (*_EMBEDDED, *spaces, trees.PATTERN, *prepared.NAMES, *files, *made)


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
        images of another one; coloured:NAME, noisy:NAME and photo:NAME are sprites with what no
        factor tells, of less than 10,000 so many draws as there is room for in 10,000;
        changed:NAME are pairs that differ in a random number of factors, changed1:NAME in one;
        patches:FOLDER and patches64:FOLDER are cut from pictures of any sizes, 32 and 64 a side;
        series:FILE and series16:FILE are windows of a CSV's columns, of 64 and 16 rows.
      split: train, validation, test or all. The splits are fixed, and disjoint but for what is
        learned whole: bars and stripes, and sprites16.
      data_dir: where TFDS data sets were prepared; by default $TFDS_DATA_DIR or
        ~/tensorflow_datasets.
      value_range: for npz, images, masks and TFDS, the values of images that stand for 0 and 1;
        those between are mapped linearly. By default 0 and 1 for floats; for integers 0 and 255, or
        0 and 1 where all images hold nothing else.

    Returns:
      A Dataset; its `fetch` gives `image` [B, H, W, C] in [0, 1], and `label` [B] and
      `factors` [B, K] where they are known; of pairs also `target`, what `image` is the condition
      of, or `other`, which differs in some factors; of composites, masks:FOLDER and some npz
      `mask` [B, H, W], what each pixel shows, -1 where that is not known.

    Raises:
      InputError: the name or the split is unknown, or the data cannot be used.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; choose from {', '.join(SPLITS)}")
    kind, _, argument = name.partition(":")
    if kind in PAIRINGS and argument:
        return pairs_of(load(argument, split, data_dir, value_range), PAIRINGS[kind])
    if kind in NUISANCES and argument:
        single = load(argument, split, data_dir, value_range)
        copies = max(1, MOST_HELD_OUT // single.size)
        return with_nuisance(single, NUISANCES[kind], copies)
    if (change := re.fullmatch(r"changed([1-9]\d*)?", kind)) and argument:
        count = change[1] and int(change[1])
        return _part(changed(load(argument, "all", data_dir, value_range), count), split, name)
    if name in _EMBEDDED or kind == "tree" or kind in manifolds.KINDS:
        if value_range is not None:
            raise InputError(f"{name} has a value range of its own: leave out value_range")
        if name in _EMBEDDED:
            return _EMBEDDED[name](split)
        return trees.load(split, name) if kind == "tree" else manifolds.load(split, name)
    if name in prepared.NAMES:
        return prepared.load(name, split, data_dir, value_range)
    if kind == "tfds" and argument:
        return prepared.load(argument, split, data_dir, value_range)
    if (side := re.fullmatch(r"patches([1-9]\d*)?", kind)) and argument:
        return images.patches(argument, split, value_range, int(side[1] or 32))
    if (steps := re.fullmatch(r"series([1-9]\d*)?", kind)) and argument:
        if value_range is not None:
            raise InputError("series are standardised: leave out value_range")
        return series.load(argument, split, int(steps[1] or series.WINDOW))
    if kind in _FILES and argument:
        return _FILES[kind](argument, split, value_range)
    raise InputError(f"unknown data set {name!r}; choose from {', '.join(names())}")


def _part(drawn: Dataset, split: str, name: str) -> Dataset:
    """A split of examples that are drawn independently: any stretch will do."""
    size = held_out(drawn.size)
    return subset(drawn, part(np.arange(drawn.size), split, (size, size), name))
