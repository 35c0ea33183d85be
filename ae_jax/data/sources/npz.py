"""`npz:<path>`: a researcher's own arrays."""

import io
import math
import os
import warnings
import zipfile
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.data.parts import PARTS, common_scale, existing, parted, reason, shown
from ae_jax.data.pixels import arranged, class_numbers, layout_of
from ae_jax.data.stored import stored

#: The arrays that are read, by the one that must be there, each with the images it belongs to.
_NAMES = {
    "x_train": {f"{key}_{part}": f"x_{part}" for part in PARTS for key in ("x", "y", "mask")},
    "image": dict.fromkeys(("image", "label", "factors", "mask"), "image"),
}
#: As numpy has it; a longer header is not one of a plain array.
_LONGEST_HEADER = 10_000


def load(path: str, split: str, value_range: tuple[float, float] | None = None) -> Dataset:
    """Loads an .npz archive, as `numpy.savez` writes it, without pickle.

    It holds either
      x_train: images, and optionally y_train: labels, mask_train: masks, x_validation,
        y_validation, mask_validation, x_test, y_test, mask_test; or
      image: images, and optionally label, factors, mask.
    Images, labels and masks are as `stored` takes them; how images are scaled, and what 255 is in
    masks, is decided for all of them together. A split that the archive lacks is a tenth of the
    images, at most 10,000, chosen at random once and for all, with each label in its proportion
    where there are labels.

    Args:
      path: the archive.
      split: train, validation, test or all.
      value_range: the values of images that stand for 0 and 1.

    Returns:
      A Dataset with `image`, and `label`, `factors` and `mask` where the archive has them.

    Raises:
      InputError: the file or an array is missing, or cannot be used.
    """
    arrays = _read(path)
    if "image" in arrays:
        given = {"train": ("image", "label", "mask")}
    else:
        named = {part: (f"x_{part}", f"y_{part}", f"mask_{part}") for part in PARTS}
        given = {part: own for part, own in named.items() if own[0] in arrays}
    name = given["train"][0]
    masks = _masks(arrays, [mask for *_, mask in given.values()], path)
    layout = layout_of(arrays[name].shape, f"{path}: {name}")
    images = {
        part: arranged(arrays.pop(x), layout, f"{path}: {x}") for part, (x, *_) in given.items()
    }
    scale = common_scale(list(images.values()), value_range, path)
    parts = {
        part: stored(
            images.pop(part),
            arrays.get(y),
            arrays.get("factors"),
            mask=masks.get(mask),
            value_range=scale,
            layout="NHWC",
            origin=f"{path}: {x}",
        )
        for part, (x, y, mask) in given.items()
    }
    return parted(parts, split, path)


def _masks(arrays: Mapping[str, np.ndarray], names: list[str], path: str) -> dict[str, np.ndarray]:
    """The masks of all parts, if there are any."""
    there = [name for name in names if name in arrays]
    if there and there != names:
        absent = ", ".join(name for name in names if name not in there)
        raise InputError(f"{path} has {', '.join(there)}, but no {absent}: give all, or none")
    found = class_numbers([arrays.pop(name) for name in there], path) if there else []
    return dict(zip(there, found, strict=True))


def _read(path: str) -> Mapping[str, np.ndarray]:
    """The arrays with known names; others are said."""
    file = existing(path, "file")
    if file is None:
        raise InputError(f"there is no file {path}")
    try:
        with file.open("rb") as stream, zipfile.ZipFile(_checked(stream, path)) as archive:
            members = _members(archive, path)
            key = next((key for key in _NAMES if key in members), None)
            if key is None:
                raise InputError(
                    f"{path} has neither 'x_train' nor 'image', but "
                    f"{', '.join(map(shown, members)) or 'no arrays'}"
                )
            arrays = {
                name: _array(archive, members[name], f"{path}: {name}")
                for name, images in _NAMES[key].items()
                if name in members and images in members
            }
    except InputError:
        raise
    except (OSError, MemoryError) as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from error
    except Exception as error:  # whatever zipfile and zlib make of damaged bytes
        raise InputError(
            f"cannot read {path}: it is damaged, or was not written by numpy.savez "
            f"({reason(error)})"
        ) from error
    others = sorted(members.keys() - arrays.keys())
    if others:
        warnings.warn(
            f"{path}: these arrays are not used: {', '.join(map(shown, others))}; {key} goes with "
            f"{', '.join(name for name in _NAMES[key] if name != key)}",
            stacklevel=2,
        )
    return arrays


def _checked(stream: BinaryIO, path: str) -> BinaryIO:
    prefix = np.lib.format.MAGIC_PREFIX
    if stream.read(len(prefix)) == prefix:
        raise InputError(f"{path} holds a single array; write an archive with numpy.savez")
    return stream


def _members(archive: zipfile.ZipFile, path: str) -> Mapping[str, zipfile.ZipInfo]:
    members = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name in members:
            raise InputError(f"{path} holds two arrays {shown(name)}")
        archive.open(info).close()  # which compares the two places that its name is in
        members[name] = info
    return members


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, origin: str) -> np.ndarray:
    """An array whose header says as much as is there."""
    with archive.open(info) as stream:
        start = stream.read(min(info.file_size, _LONGEST_HEADER + 12))
    header = io.BytesIO(start)
    version = np.lib.format.read_magic(header)
    if version not in ((1, 0), (2, 0)):
        raise InputError(f"{origin} is no plain array; store one of numbers")
    read = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
    shape, _, dtype = read(header, max_header_size=_LONGEST_HEADER)
    if dtype.hasobject:
        raise InputError(f"{origin} holds Python objects; store plain arrays of numbers")
    if dtype.kind not in "biuf":
        raise InputError(f"{origin} is {dtype}; store uint8, or floats in [0, 1]")
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or header.tell() + size != info.file_size:
        raise InputError(
            f"{origin} is damaged: {shape} of {dtype} should take {size:,} bytes, not "
            f"{info.file_size - header.tell():,}"
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise InputError(
            f"{origin} takes {size / 1e9:,.0f} GB, more than the {memory / 1e9:,.0f} GB of memory"
        )
    with archive.open(info) as stream:  # to its end, where the checksum is compared
        return np.lib.format.read_array(stream, allow_pickle=False)
