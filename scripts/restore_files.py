"""Pictures as files: read so that nothing is lost, and written over nothing. For `restore.py`."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ae_jax.core import InputError
from ae_jax.data.parts import reason, shown
from ae_jax.data.sources import images


class Photo(NamedTuple):
    """A picture in the hand.

    Attributes:
      pixels: uint8 [H, W, 1 or 3], or uint16 [H, W, 1], upright.
      alpha: uint8 [H, W], or None.
      notes: what its file says beside: a camera's notes, a profile of colours, dots per inch.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    notes: Mapping[str, Any]


def read(path: Path) -> Photo:
    """Reads a picture.

    Raises:
      InputError: it cannot be read, or something would be lost.
    """
    return images.read(path, _upright)


def _upright(image: Any) -> Photo:
    """A picture as it is to be seen, and nothing of it lost.

    Raises:
      InputError: something would be.
    """
    from PIL import ImageOps

    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise InputError("it has several frames: save the one that is meant")
    deep = images.is_deep(image)
    if deep and (image.mode not in images.DEEP or "transparency" in image.info):
        raise InputError(
            "it has 16 bits a channel and is no plain grey PGM, PNG or TIFF: make it 8 bits"
        )
    image = ImageOps.exif_transpose(image)
    grey, clear = image.mode in images.GREY, image.has_transparency_data
    kept = ("exif", "dpi", *(() if image.mode in ("CMYK", "YCbCr") else ("icc_profile",)))
    notes = {name: image.info[name] for name in kept if name in image.info}
    if not all(0 < float(number) < np.inf for number in notes.get("dpi", ())):
        del notes["dpi"]
    if deep:
        return Photo(np.asarray(image).astype(np.uint16)[..., None], None, notes)
    if image.mode not in images.MODES:
        raise InputError(f"it is of mode {image.mode}: convert it to 8 bits a channel")
    pixels = np.asarray(image.convert("RGBA" if clear else "RGB"))
    return Photo(pixels[..., : 1 if grey else 3], pixels[..., 3] if clear else None, notes)


def holes(path: Path) -> np.ndarray:
    """Reads a mask: bool [H, W], True where it is white, which is to be filled.

    Where all values are 0 and 1, 1 is white.

    Raises:
      InputError: it cannot be read, is transparent, or is all white or all black.
    """
    pixels, alpha, _ = read(path)
    if alpha is not None and alpha.min() < 255:
        raise InputError(
            f"the mask {shown(path)} is transparent in places: make them white where to fill, and "
            "black elsewhere"
        )
    top = 1 if np.array_equal(np.unique(pixels), [0, 1]) else np.iinfo(pixels.dtype).max
    mask = pixels.mean(axis=-1) > top // 2
    if mask.all() or not mask.any():
        which = "white, so nothing is known" if mask.all() else "black, so there is nothing to fill"
        raise InputError(f"the mask {shown(path)} is all {which}")
    return mask


def write(photo: Photo, stem: Path) -> Path:
    """Writes a picture to STEM.restored.png, or with a number that no file has, and says where.

    Raises:
      InputError: it cannot be made a PNG.
      OSError: the file cannot be written; no part of it is left.
    """
    from PIL import Image

    pixels = photo.pixels
    if photo.alpha is not None:
        pixels = np.concatenate([pixels, photo.alpha[..., None]], axis=-1)
    content = io.BytesIO()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    try:
        picture.save(content, "PNG", **photo.notes)
    except Exception as error:  # PIL raises nearly anything, of notes as well
        raise InputError(f"it cannot be written as PNG: {reason(error)}") from error
    number = 1
    while True:
        path = stem.with_name(f"{stem.name}.restored{f'-{number}' * (number > 1)}.png")
        try:
            with path.open("xb") as file:
                try:
                    file.write(content.getbuffer())
                    file.flush()
                except BaseException:
                    path.unlink()
                    raise
            return path
        except FileExistsError:
            number += 1
