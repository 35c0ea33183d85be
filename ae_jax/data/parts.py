"""What the readers of files share: the parts that a data set comes in, and a scale for all."""

import errno
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.data.content import derived
from ae_jax.data.pixels import VALUE_RANGE, extremes, scale_of
from ae_jax.data.splits import held_out, part, shuffled, stratified
from ae_jax.data.transforms import subset

#: The parts that data may come in, in the order of the split `all`.
PARTS = ("train", "validation", "test")
#: Bytes whose brightest value is below this are dark enough to ask about.
DIM = 64


def parted(parts: Mapping[str, Dataset], split: str, origin: str) -> Dataset:
    """Returns a split of data that come in parts.

    Args:
      parts: train, and perhaps validation and test, on one scale. Each that is missing is a
        tenth of train, at most 10,000 examples, chosen at random once and for all, with each
        label in its proportion where there are labels.
      split: train, validation, test or all.
      origin: where the data come from, to open a message with.

    Raises:
      InputError: parts differ in the shape of their images, or are too small to be split.
    """
    train = parts["train"]
    for name, other in parts.items():
        if other.spec["image"].shape != train.spec["image"].shape:
            raise InputError(
                f"{origin}: images of train are {train.spec['image'].shape}, "
                f"of {name} {other.spec['image'].shape}"
            )
    if split == "all":
        return _joined([parts[name] for name in PARTS if name in parts], origin)
    if split != "train" and split in parts:
        return parts[split]
    label = train.arrays.get("label")
    order = shuffled(train.size) if label is None else stratified(label)
    sizes = [0 if name in parts else held_out(train.size) for name in PARTS[1:]]
    return subset(train, part(order, split, tuple(sizes), origin))


def _joined(parts: Sequence[Dataset], origin: str) -> Dataset:
    if len(parts) == 1:
        return parts[0]
    keys = [key for key in parts[0].arrays if all(key in one.arrays for one in parts)]
    if any("label" in one.arrays for one in parts) and "label" not in keys:
        warnings.warn(f"{origin}: some parts have no labels, so all has none", stacklevel=2)
    arrays = {key: np.concatenate([one.arrays[key] for one in parts]) for key in keys}
    return parts[0]._replace(
        spec={key: parts[0].spec[key] for key in keys},
        size=len(arrays["image"]),
        arrays=arrays,
        digest=derived([one.digest for one in parts], "joined", keys),
    )


def common_scale(
    images: Sequence[np.ndarray], value_range: tuple[float, float] | None, origin: str
) -> tuple[float, float]:
    """Returns the values that stand for 0 and 1 in the images of all parts together.

    Raises:
      InputError: as `scale_of`, or if their types are of different kinds.
    """
    if len({array.dtype.kind.replace("u", "i") for array in images}) > 1:
        kinds = ", ".join(sorted({str(array.dtype) for array in images}))
        raise InputError(f"{origin}: images have different types: {kinds}; give them one")
    low, high = np.transpose([extremes(array) for array in images])
    dtype = np.result_type(*(array.dtype for array in images))
    return usual_scale(dtype, low.min(), high.max(), value_range, origin)


def usual_scale(
    dtype: np.dtype,
    low: float,
    high: float,
    value_range: tuple[float, float] | None,
    origin: str,
) -> tuple[float, float]:
    """Does what `scale_of` does, and asks about bytes that are all dark."""
    scale = scale_of(dtype, low, high, value_range, origin)
    if value_range is None and scale == (0, 255) and 1 < high < DIM:
        warnings.warn(
            f"{origin}: the highest image value is {high:g}, and 255 is taken for white; if it "
            f"is not, {VALUE_RANGE}",
            stacklevel=2,
        )
    return scale


def reason(error: BaseException) -> str:
    """Returns why something failed, in one line: the system's own reason where there is one."""
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return (str(error).strip() or type(error).__name__).split("\n")[0]


def existing(path: str, kind: str) -> Path | None:
    """Returns a path with ~ replaced, None if there is no such `file` or `folder`.

    Raises:
      InputError: one cannot even look.
    """
    try:
        found = Path(path).expanduser()
        there = found.is_file() if kind == "file" else found.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            return None
        raise InputError(f"cannot read {path}: {reason(error)}") from error
    return found if there else None


def shown(text: str | os.PathLike) -> str:
    """Returns a name as it can be printed in a line."""
    text = os.fspath(text)
    return text if text.isprintable() else ascii(text)
