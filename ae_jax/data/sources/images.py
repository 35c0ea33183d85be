"""Folders of pictures: `images:<folder>`, of one size, and patches of those of any size."""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.data.parts import PARTS, common_scale, existing, parted, reason, shown
from ae_jax.data.sources.folders import SUFFIXES, Notes, Picture, parts_of, said
from ae_jax.data.splits import held_out, part, shuffled
from ae_jax.data.stored import stored

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_GREY = {"1", "L"}
#: Of 8 bits a channel.
MODES = _GREY | {"LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
#: Grey pictures of 16 bits, and all that are stored as grey ones.
DEEP = {"I;16", "I;16B", "I;16L"}
GREY = _GREY | {"LA", "La"} | DEEP
#: Unusable pictures that a message names at most.
_MOST_NAMED = 20
#: Patches that a split has at most.
MOST_PATCHES = 10_000
#: The tag of EXIF that says how a camera was held, and its values for upright ones.
_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)


def load(folder: str, split: str, value_range: tuple[float, float] | None = None) -> Dataset:
    """Loads all pictures of a folder and its subfolders, in the order of their paths.

    The subfolders `train` and `test` or `validation` (or `val`, `valid`) are the splits; a split
    that lacks is a tenth of train, at most 10,000, chosen at random once and for all, with each
    label in its proportion. Where every picture lies in a further subfolder, the names of those,
    sorted (numbers as such), are the labels. Links are followed. Pictures are turned as their
    EXIF says, and become grey if all of them are, in whatever mode they are stored, RGB
    otherwise; transparency is dropped, and of several frames the first is taken. What is passed
    over is said in one warning.

    Args:
      folder: its path.
      split: train, validation, test or all.
      value_range: the grey values that stand for 0 and 1, where they are not 0 and 255.

    Returns:
      A Dataset with `image` and perhaps `label`.

    Raises:
      InputError: no folder or no pictures, unreadable ones, or different sizes.
    """
    notes: Notes = []
    found = found_in(folder, notes)
    pictures = [picture for name in PARTS for picture in found.get(name, [])]
    images = decoded([picture.path for picture in pictures], notes)
    labels = {name: _labels(found[name], pictures, notes) for name in found}
    if notes:
        warnings.warn(f"images:{folder}: {said(notes)}", stacklevel=2)
    scale = common_scale([images], value_range, folder)
    parts, start = {}, 0
    for name in PARTS:
        if name in found:
            own = images[start : start + len(found[name])]
            parts[name] = stored(own, labels[name], value_range=scale, layout="NHWC", origin=folder)
            start += len(own)
    return parted(parts, split, folder)


def patches(
    folder: str, split: str, value_range: tuple[float, float] | None = None, size: int = 32
) -> Dataset:
    """Square patches of all pictures of a folder, of any sizes, that overlap by half.

    Pictures are found, split and read as by `load`, but for labels. What is split are pictures,
    never a picture's patches, for neighbours look alike; of fewer than three pictures without
    folders for the splits every split has all, which is said. They become grey if all are stored
    as grey ones. Of 16 bits the upper 8 are taken.

    Args:
      folder: its path.
      split: train, validation, test or all.
      value_range: the grey values that stand for 0 and 1, where they are not 0 and 255.
      size: of a patch, in pixels a side; smaller pictures are passed over, and counted.

    Returns:
      A Dataset with `image` [size, size, 1 or 3], picture by picture. It has at most
      `MOST_PATCHES`, then as many of every picture as there is room for, chosen at random once
      and for all.

    Raises:
      InputError: no folder or no pictures, none that is large enough, or unreadable ones.
    """
    notes: Notes = []
    found = found_in(folder, notes)
    every = [one.path for name in found for one in found[name]]
    headers = dict(each(every, lambda image, path: _header(image, path, MODES | DEEP)))
    for path, (shape, _) in headers.items():
        if min(shape) < size:
            notes.append((f"smaller than a patch of {size} pixels skipped", path))
    large = {
        name: [one.path for one in found[name] if min(headers[one.path][0]) >= size]
        for name in found
    }
    chosen = _of_split(large, split, notes)
    if not chosen:
        raise InputError(
            f"{folder}: no picture of {split} is as large as a patch of {size} pixels a side: use "
            f"smaller patches, of {max(1, size // 2)} say"
        )
    notes.extend((f"beyond {MOST_PATCHES} skipped", path) for path in chosen[MOST_PATCHES:])
    most = max(1, MOST_PATCHES // len(chosen))
    read_now = chosen[:MOST_PATCHES]
    others = (path for name in large for path in large[name] if path not in read_now)
    cut = [
        _patches(pixels, size, most)
        for _, pixels in each(read_now, lambda image, path: _pixels(image, path, notes), others)
    ]
    if notes:
        warnings.warn(f"patches of {folder}: {said(notes)}", stacklevel=2)
    grey = all(mode in GREY for _, mode in headers.values())
    whole = np.concatenate(
        [np.broadcast_to(some, (*some.shape[:-1], 1 if grey else 3)) for some in cut]
    )
    return stored(whole, value_range=value_range or (0, 255), layout="NHWC", origin=folder)


def _of_split(found: Mapping[str, list[Path]], split: str, notes: Notes) -> list[Path]:
    """The pictures of a split: its folder's, or some of those of train."""
    if split == "all":
        return [path for name in PARTS for path in found.get(name, [])]
    if split != "train" and split in found:
        return found[split]
    train = found["train"]
    sizes = tuple(0 if name in found else held_out(len(train)) for name in PARTS[1:])
    if 0 < len(train) <= sum(sizes):
        notes.extend(("too few to hold any out, in every split", path) for path in train)
        return train
    order = shuffled(len(train))
    return [train[i] for i in part(order, split, sizes, "pictures")] if train else []


def _patches(pixels: np.ndarray, size: int, most: int) -> np.ndarray:
    """[N, size, size, C] of a picture [H, W, C]; those at its ends end with it."""
    starts = [
        np.append(np.arange(0, side - size, max(1, size // 2)), side - size)
        for side in pixels.shape[:2]
    ]
    corners = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 2)
    corners = corners[np.sort(shuffled(len(corners))[:most])]
    return np.stack([pixels[y : y + size, x : x + size] for y, x in corners])


def found_in(folder: str, notes: Notes) -> Mapping[str, list[Picture]]:
    """The pictures of a folder by part, of which train has some."""

    def is_picture(path: Path) -> bool:
        try:
            return read(path, lambda image: True)
        except InputError as error:
            if getattr(error.__cause__, "errno", None) is not None:  # the system's, not PIL's
                raise
            return False

    root = existing(folder, "folder")
    if root is None:
        raise InputError(f"there is no folder {folder}")
    found = parts_of(root, is_picture, notes)
    if not found.get("train"):
        seen = f": {said(notes)}" if notes else ""
        raise InputError(
            f"there are no pictures ({', '.join(sorted(SUFFIXES))}) in {folder}"
            f"{'/train' if found else ''}{seen}"
        )
    return found


def _labels(
    pictures: Sequence[Picture], everything: Sequence[Picture], notes: Notes
) -> np.ndarray | None:
    """The number of each picture's class among those of all parts."""
    loose = [picture.path for picture in pictures if picture.label is None]
    if loose:
        if len(loose) < len(pictures):
            notes.extend(("beside the folders of classes, so no labels", path) for path in loose)
        return None
    classes = {picture.label for picture in everything if picture.label is not None}
    numbers = all(name.isascii() and name.isdigit() for name in classes)
    order = sorted(classes, key=(lambda name: (int(name), name)) if numbers else None)
    place = {name: index for index, name in enumerate(order)}
    return np.array([place[picture.label] for picture in pictures])


def decoded(
    paths: Sequence[Path], notes: Notes, advice: str = "patches of any are patches32:FOLDER"
) -> np.ndarray:
    """The pictures' pixels, uint8 [N, H, W, 1 or 3].

    Raises:
      InputError: some cannot be read, or their sizes differ, for which there is an advice.
    """
    # Sizes and modes are in the headers: a folder that does not fit is refused at once.
    size = None
    for path, (own, _) in each(paths, lambda image, path: _header(image, path, MODES)):
        size = size or own
        if own != size:
            raise InputError(
                f"pictures must have one size: {shown(paths[0])} is {_by(size)}, "
                f"{shown(path)} is {_by(own)}; {advice}"
            )
    images = np.empty((len(paths), size[1], size[0], 1), np.uint8)
    pictures = each(paths, lambda image, path: _pixels(image, path, notes))
    for index, (_, pixels) in enumerate(pictures):
        if pixels.shape[-1] > images.shape[-1]:
            images = np.repeat(images, 3, axis=-1)
        images[index] = pixels
    return images


def _header(image: Any, path: Path, modes: set[str]) -> tuple[tuple[int, int], str]:
    """The size of a picture as it is to be seen, and its mode, which is one of some."""
    if image.mode not in modes:
        raise InputError(f"{shown(path)} is of mode {image.mode}: convert it to 8 bits per channel")
    turned = image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
    return image.size[::-1] if turned else image.size, image.mode


def _pixels(image: Any, path: Path, notes: Notes) -> np.ndarray:
    """uint8 [H, W, 1], or [H, W, 3] if there is a colour."""
    from PIL import ImageOps

    # A camera's MPO has previews as further frames.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        notes.append(("of several frames, the first taken", path))
    if is_deep(image):
        notes.append(("of 16 bits, the upper 8 taken", path))
    image = ImageOps.exif_transpose(image)
    if image.mode in DEEP:
        return (np.asarray(image) >> 8).astype(np.uint8)[..., None]
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] < 255:
            notes.append(("of which transparency is dropped", path))
    if image.mode in _GREY:
        return np.asarray(image.convert("L"))[..., None]
    pixels = np.asarray(image.convert("RGB"))
    grey = (pixels == pixels[..., :1]).all()
    return pixels[..., :1] if grey else pixels


def is_deep(image: Any) -> bool:
    """Whether a picture that was just opened has 16 bits a channel, which PIL keeps of grey."""
    if image.mode in DEEP:
        return True
    if image.format == "PPM":  # of which PIL has the highest value
        return any(isinstance(tile.args, tuple) and tile.args[-1] > 255 for tile in image.tile)
    stored = " ".join(str(tile.args) for tile in image.tile)
    return re.search(";16[BLN]", stored) is not None


def each(
    paths: Iterable[Path], function: Callable[[Any, Path], Any], others: Iterable[Path] = ()
) -> Iterator[tuple[Path, Any]]:
    """The paths of pictures, and what a function makes of each.

    Raises:
      InputError: at the end, names all that cannot be used; of `others` too, if there is one.
    """
    failed: dict[str, None] = {}

    def made(path: Path) -> Any:
        try:
            return read(path, lambda image: function(image, path))
        except InputError as error:
            failed[str(error)] = None

    for path in paths:
        if (found := made(path)) is not None:
            yield path, found
    for path in others if failed else ():
        made(path)
    if failed:
        beyond = len(failed) - _MOST_NAMED
        raise InputError(
            f"{len(failed)} pictures: " * (len(failed) > 1)
            + "; ".join([*failed][:_MOST_NAMED])
            + f"; and {beyond} more" * (beyond > 0)
        )


def read(path: Path, function: Callable[[Any], Any]) -> Any:
    """What a function makes of a picture, as PIL opens it.

    Raises:
      InputError: names a picture that cannot be read, or Pillow, where it lacks.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("pictures are read by Pillow: pip install pillow") from error
    try:
        with Image.open(path, formats=_FORMATS) as image:
            # Of PGM, 16 bits are opened as the mode of 32 that other formats have.
            deep = image.format == "PPM" and image.mode == "I"
            return function(image.convert("I;16") if deep else image)
    except InputError:
        raise
    except Exception as error:  # PIL raises nearly anything on damaged files
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"cannot read the picture {shown(path)}: {reason(error)}")


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
