"""What pixels are: the axes of stored images, the values that stand for 0 and 1, and classes."""

import math
import warnings
from collections.abc import Sequence

import numpy as np

from ae_jax.core import InputError

#: What is said wherever the scale of images is not known.
VALUE_RANGE = (
    "give the values that stand for 0 and 1: value_range=(low, high), on the command line "
    "--value-range LOW HIGH"
)

#: An axis of at most so many entries may be that of channels: grey, colour, transparency.
MOST_CHANNELS = 4
#: In masks, as bytes have it: of no known class.
_UNKNOWN = 255
#: Classes of a part may be few of those that there are; from here on numbers look like grey levels.
_GREY = 16


def layout_of(shape: Sequence[int], origin: str) -> str:
    """Returns NHWC or NCHW for the shape of images; the latter is said.

    Raises:
      InputError: if both are as likely.
    """
    if len(shape) != 4 or 0 in shape:
        return "NHWC"
    second, third, last = shape[1:]
    if second <= MOST_CHANNELS < min(third, last):
        warnings.warn(
            f"{origin}: images have shape {tuple(shape)}, which is taken as [N, C, H, W]: "
            f"{second} channels of {third}x{last}",
            stacklevel=2,
        )
        return "NCHW"
    if second in (1, 3) and second != third == last <= MOST_CHANNELS and last > 1:
        raise InputError(
            f"{origin}: images of shape {tuple(shape)} may be [N, H, W, C] or [N, C, H, W]; say "
            "layout='NHWC' or layout='NCHW' to data.stored, or store images of one channel as "
            "[N, H, W]"
        )
    return "NHWC"


def arranged(images: np.ndarray, layout: str | None, origin: str) -> np.ndarray:
    """Returns images as [N, H, W, C], bool as uint8, after a look at their type and shape."""
    images = np.asanyarray(images)
    if images.dtype.kind == "O":
        raise InputError(f"{origin}: images are Python objects; give one array of equal sizes")
    if images.dtype.kind not in "biuf":
        raise InputError(f"{origin}: images are {images.dtype}; store uint8, or floats in [0, 1]")
    if images.ndim not in (3, 4):
        raise InputError(
            f"{origin}: images have shape {images.shape}; expected [N, H, W] or [N, H, W, C]"
        )
    if 0 in images.shape:
        raise InputError(f"{origin}: there are no images in an array of shape {images.shape}")
    layout = layout or layout_of(images.shape, origin)
    if layout not in ("NHWC", "NCHW"):
        raise InputError(f"{origin}: the layout is {layout!r}; use NHWC or NCHW")
    if images.ndim == 3:
        images = images[..., None]
    elif layout == "NCHW":
        images = np.moveaxis(images, 1, -1)
    return images


def class_numbers(masks: Sequence[np.ndarray], origin: str) -> list[np.ndarray]:
    """Returns masks as int16, of each pixel its class's number, -1 where no class is known.

    Args:
      masks: integers from 0 to 254, below 0 or 255 where no class is known; where nothing but 0
        and 255 is in any of them, 255 is class 1. What is made of 255 is said, and where most
        numbers up to the highest are in none, as of grey levels.
      origin: to open a message with.

    Raises:
      InputError: if they are no integers, above 255, or of no known class.
    """
    counts = np.zeros(257, np.int64)  # from -1
    found = []
    for mask in map(np.atleast_1d, masks):
        if mask.dtype.kind not in "biu" or not mask.size:
            raise InputError(
                f"{origin}: masks are {mask.dtype} of shape {mask.shape}: use the whole numbers of "
                "classes"
            )
        if mask.max() > _UNKNOWN:
            raise InputError(
                f"{origin}: a mask has {mask.max()}: classes are numbered from 0 to "
                f"{_UNKNOWN - 1}, and {_UNKNOWN} or less than 0 is of no known class"
            )
        found.append(np.maximum(mask, -1).astype(np.int16) if mask.dtype.kind == "i" else mask)
        for one in found[-1]:
            counts += np.bincount(one.ravel().astype(np.int16) + 1, minlength=len(counts))
    white, known = counts[_UNKNOWN + 1], np.flatnonzero(counts[1:-1])
    binary = white and known.tolist() == [0] and not counts[0]
    if not binary and not known.size:
        raise InputError(f"{origin}: no pixel of the masks is of a known class")
    if binary:
        said = "all values of masks are 0 and 255, and are taken for classes 0 and 1"
    else:
        share = white / counts.sum()
        said = f"255 in masks, {share:.2%} of the pixels, is taken for no known class"
    if white:
        warnings.warn(f"{origin}: {said}", stacklevel=2)
    if not binary and known[-1] >= max(2 * known.size, _GREY):
        warnings.warn(
            f"{origin}: of the numbers of classes from 0 to {known[-1]}, masks have {known.size} "
            f"({', '.join(map(str, known[:10]))}{', ...' if known.size > 10 else ''}): number them "
            "from 0 without gaps, unless the others are classes too",
            stacklevel=2,
        )
    meant = np.int16(1 if binary else -1)
    return [np.where(mask == _UNKNOWN, meant, mask.astype(np.int16)) for mask in found]


def extremes(images: np.ndarray) -> tuple[float, float]:
    """Returns the lowest and the highest value, NaN if any value is."""
    if images.dtype.kind == "b":
        images = images.view(np.uint8)  # a damaged file may hold more than two values
    return float(images.min()), float(images.max())


def scale_of(
    dtype: np.dtype,
    low: float,
    high: float,
    value_range: tuple[float, float] | None,
    origin: str,
) -> tuple[float, float]:
    """Returns the values of images that stand for 0 and 1.

    Args:
      dtype: of the images.
      low: their lowest value.
      high: their highest value.
      value_range: what the caller says of the scale.
      origin: to open an error message with.

    Raises:
      InputError: values are not finite, or beyond the range that is given or usual.
    """
    if not math.isfinite(low) or not math.isfinite(high):
        raise InputError(f"{origin}: images contain values that are not finite")
    values = f"{origin}: image values go from {low:g} to {high:g}"
    if value_range is not None:
        black, white = map(float, value_range)
        if not (black < white and math.isfinite(white - black)):
            raise InputError(f"a value range goes from low to high, got {black:g} to {white:g}")
        if low < black or high > white:
            raise InputError(f"{values}, past the value range {black:g} to {white:g}")
        return black, white
    if dtype.kind == "f":
        if low < 0 or high > 1:
            raise InputError(f"{values}; scale them to [0, 1], or {VALUE_RANGE}")
        return 0.0, 1.0
    if dtype.kind == "b":
        if high > 1:
            raise InputError(f"{values}, though they are of type bool: they are damaged")
        return 0.0, 1.0
    if low < 0 or high > 255:
        raise InputError(f"{values}, not 0 to 255; {VALUE_RANGE}")
    if high == 1:
        warnings.warn(
            f"{origin}: all image values are 0 and 1, and are taken as that; if 255 stands for 1, "
            "say so by a value range of 0 to 255",
            stacklevel=2,
        )
    return 0.0, 1.0 if high == 1 else 255.0
