"""`images:<folder>`: a folder of pictures of one size."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.data.parts import PARTS, common_scale, existing, parted, reason, shown
from ae_jax.data.sources.folders import SUFFIXES, Notes, Picture, parts_of, said
from ae_jax.data.stored import stored

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_GREY = {"1", "L"}
_MODES = _GREY | {"LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
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
      InputError: no folder or no pictures, an unreadable one, or different sizes.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("images: needs Pillow: pip install pillow") from error

    def is_picture(path: Path) -> bool:
        try:
            with Image.open(path, formats=_FORMATS):
                return True
        except Exception as error:
            if getattr(error, "errno", None) is not None:  # the system's, not PIL's
                raise _unreadable(path, error) from error
            return False

    root = existing(folder, "folder")
    if root is None:
        raise InputError(f"there is no folder {folder}")
    notes: Notes = []
    found = parts_of(root, is_picture, notes)
    if not found.get("train"):
        seen = f": {said(notes)}" if notes else ""
        raise InputError(
            f"there are no pictures ({', '.join(sorted(SUFFIXES))}) in {folder}"
            f"{'/train' if found else ''}{seen}"
        )
    pictures = [picture for part in PARTS for picture in found.get(part, [])]
    images = _decoded(Image, [picture.path for picture in pictures], notes)
    labels = {part: _labels(found[part], pictures, notes) for part in found}
    if notes:
        warnings.warn(f"images:{folder}: {said(notes)}", stacklevel=2)
    scale = common_scale([images], value_range, folder)
    parts, start = {}, 0
    for part in PARTS:
        if part in found:
            own = images[start : start + len(found[part])]
            parts[part] = stored(own, labels[part], value_range=scale, layout="NHWC", origin=folder)
            start += len(own)
    return parted(parts, split, folder)


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


def _decoded(Image: Any, paths: Sequence[Path], notes: Notes) -> np.ndarray:
    """The pictures' pixels, uint8 [N, H, W, 1 or 3]."""
    # Sizes and modes are in the headers: a folder that does not fit is refused at once.
    size = None
    for path in paths:
        own, mode = _open(Image, path, _header)
        size = size or own
        if own != size:
            raise InputError(
                f"pictures must have one size: {shown(paths[0])} is {_by(size)}, "
                f"{shown(path)} is {_by(own)}"
            )
        if mode not in _MODES:
            raise InputError(f"{shown(path)} is of mode {mode}; convert it to 8 bits per channel")
    images = np.empty((len(paths), size[1], size[0], 1), np.uint8)
    for index, path in enumerate(paths):
        pixels = _open(Image, path, lambda image, path=path: _pixels(image, path, notes))
        if pixels.shape[-1] > images.shape[-1]:
            images = np.repeat(images, 3, axis=-1)
        images[index] = pixels
    return images


def _header(image: Any) -> tuple[tuple[int, int], str]:
    """The size of a picture as it is to be seen, and its mode."""
    turned = image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
    return image.size[::-1] if turned else image.size, image.mode


def _pixels(image: Any, path: Path, notes: Notes) -> np.ndarray:
    """uint8 [H, W, 1], or [H, W, 3] if there is a colour."""
    from PIL import ImageOps

    # A camera's MPO has previews as further frames.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        notes.append(("of several frames, the first taken", path))
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] < 255:
            notes.append(("of which transparency is dropped", path))
    if image.mode in _GREY:
        return np.asarray(image.convert("L"))[..., None]
    pixels = np.asarray(image.convert("RGB"))
    grey = (pixels == pixels[..., :1]).all()
    return pixels[..., :1] if grey else pixels


def _open(Image: Any, path: Path, read: Callable[[Any], Any]) -> Any:
    try:
        with Image.open(path, formats=_FORMATS) as image:
            return read(image)
    except Exception as error:  # PIL raises nearly anything on damaged files
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"cannot read the picture {shown(path)}: {reason(error)}")


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
