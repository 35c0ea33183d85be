"""Where batches come from: `load(name, split)`."""

import functools

from ae_jax.core import Dataset, InputError
from ae_jax.data import digits, shapes
from ae_jax.data.splits import SPLITS
from ae_jax.data.stored import stored, subset

__all__ = ["load", "names", "stored", "subset"]

_EMBEDDED = {
    "digits": digits.load,
    "shapes": functools.partial(shapes.load, resolution=64),
    "shapes32": functools.partial(shapes.load, resolution=32),
}


def names() -> tuple[str, ...]:
    """The names that `load` knows; a part in angle brackets stands for what you fill in."""
    return (*_EMBEDDED,)


def load(name: str, split: str = "train") -> Dataset:
    """Loads a data set by name."""
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; choose from {', '.join(SPLITS)}")
    if name in _EMBEDDED:
        return _EMBEDDED[name](split)
    raise InputError(f"unknown data set {name!r}; choose from {', '.join(names())}")
