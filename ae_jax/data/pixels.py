"""What pixels are: the axes of stored images, and the values that stand for 0 and 1."""

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
