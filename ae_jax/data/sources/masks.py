"""`masks:<folder>`: pictures, and of each a mask that tells its pixels' classes."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.data.parts import PARTS, common_scale, existing, parted, shown
from ae_jax.data.pixels import class_numbers
from ae_jax.data.sources import images
from ae_jax.data.sources.folders import Notes, said
from ae_jax.data.stored import stored

PICTURES, MASKS = "images", "masks"
#: Of one channel, of 8 bits or fewer: grey, or the index of a palette.
_MODES = {"1", "L", "P"}
_LOSSY = {"JPEG", "MPO", "WEBP"}
_MOST_NAMED = 10


def load(folder: str, split: str, value_range: tuple[float, float] | None = None) -> Dataset:
    """Loads the pictures in a folder's `images`, and the masks of the same names in its `masks`.

    Pictures are found, split and read as those of `images:FOLDER`, but for labels. The mask of
    images/train/a.jpg is masks/train/a.png, with any suffix: grey or of a palette, of 8 bits, whose
    values, not colours, are the numbers of classes, as `stored` takes them.

    Args:
      folder: its path.
      split: train, validation, test or all.
      value_range: the values of pictures that stand for 0 and 1.

    Returns:
      A Dataset with `image` and `mask`.

    Raises:
      InputError: a folder or pictures are missing, unreadable or of different sizes; a picture has
        no mask, or a mask no picture, or another size; masks are no masks.
    """
    root = existing(folder, "folder")
    for name in (PICTURES, MASKS):
        if root is None or existing(str(root / name), "folder") is None:
            raise InputError(
                f"there is no folder {shown(Path(folder) / name)}: pictures are in "
                f"{PICTURES}, and masks, of the same names, in {MASKS}"
            )
    notes: Notes = []
    found = images.found_in(str(root / PICTURES), notes)
    paths = [picture.path for name in PARTS for picture in found.get(name, [])]
    own = _by_name(root / PICTURES, paths, "pictures")
    every = images.found_in(str(root / MASKS), notes).values()
    masks = _by_name(root / MASKS, [one.path for some in every for one in some], "masks")
    _all_paired(own, masks)
    pixels = images.decoded(paths, notes, "cut or scale them, and their masks, to one")
    classes = _decoded([masks[name] for name in own], pixels.shape[:3])
    if notes:
        warnings.warn(f"masks:{folder}: {said(notes)}", stacklevel=2)
    (classes,) = class_numbers([classes], folder)
    scale = common_scale([pixels], value_range, folder)
    parts, start = {}, 0
    for name in (name for name in PARTS if name in found):
        rows = slice(start, start + len(found[name]))
        own_options = {"value_range": scale, "layout": "NHWC", "origin": folder}
        parts[name] = stored(pixels[rows], mask=classes[rows], **own_options)
        start = rows.stop
    return parted(parts, split, folder)


def _by_name(root: Path, paths: Sequence[Path], what: str) -> dict[Path, Path]:
    """The paths by what they are below a folder, without suffixes, in their order."""
    found: dict[Path, Path] = {}
    for path in paths:
        name = path.relative_to(root).with_suffix("")
        if name in found:
            raise InputError(f"two {what} have one name: {shown(found[name])} and {path.name}")
        found[name] = path
    return found


def _all_paired(pictures: dict[Path, Path], masks: dict[Path, Path]) -> None:
    lines = []
    for own, others, words in (
        (pictures, masks, "pictures without a mask"),
        (masks, pictures, "masks without a picture"),
    ):
        alone = [shown(path) for name, path in own.items() if name not in others]
        more = f" and {len(alone) - _MOST_NAMED} more" if len(alone) > _MOST_NAMED else ""
        if alone:
            lines.append(f"{len(alone)} {words}: {', '.join(alone[:_MOST_NAMED])}{more}")
    if lines:
        raise InputError("; ".join(lines))


def _decoded(paths: Sequence[Path], shape: tuple[int, int, int]) -> np.ndarray:
    """The masks' numbers, uint8 [N, H, W]."""

    def numbers(image: Any, path: Path) -> np.ndarray:
        from PIL import ImageOps

        if image.format in _LOSSY:
            raise InputError(f"the mask {shown(path)} is a {image.format}, which blurs classes")
        if image.mode not in _MODES:
            raise InputError(
                f"the mask {shown(path)} is of mode {image.mode}: use grey or a palette, of 8 "
                "bits, whose values are the numbers of classes"
            )
        values = np.asarray(ImageOps.exif_transpose(image)).astype(np.uint8)
        if values.shape != shape[1:]:
            raise InputError(
                f"the mask {shown(path)} is {values.shape[1]}x{values.shape[0]}, its picture "
                f"{shape[2]}x{shape[1]}"
            )
        return values

    masks = np.empty(shape, np.uint8)
    for index, (_, values) in enumerate(images.each(paths, numbers)):
        masks[index] = values
    return masks
