"""Stored data: arrays of integer or float images, checked once and gathered by index."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Batch, Dataset, InputError
from ae_jax.data.content import chunks, digest, digest_of_arrays, shared
from ae_jax.data.pixels import arranged, class_numbers, extremes, scale_of

#: Types that integer images are held in, the first that has all values of their range.
_NARROW = (np.uint8, np.int8, np.uint16, np.int16)


def stored(
    images: np.ndarray,
    label: np.ndarray | None = None,
    factors: np.ndarray | None = None,
    *,
    mask: np.ndarray | None = None,
    factor_sizes: Mapping[str, int] | None = None,
    value_range: tuple[float, float] | None = None,
    layout: str | None = None,
    origin: str = "images",
) -> Dataset:
    """A Dataset of images or points that are already in memory, or in a memory-mapped file.

    Args:
      images: [N, H, W] or [N, H, W, C] or [N, C, H, W]: floats in [0, 1]; integers from 0 to
        255, which stands for 1; integers that are all 0 or 1, which are taken as that, with a
        warning; or bool. Others need a `value_range`. Or floats [N, D], any finite numbers, which
        are points: their `image` is [D].
      label: int [N] or [N, 1], none below 0, or None; `methods.partly_labelled` learns from data of
        which some labels are not known.
      factors: int [N, K], each column counting from 0, or None.
      mask: int [N, H, W] or [N, H, W, 1], the class of each pixel, or None: from 0 to 254, and
        below 0 or 255 where none is known; where all are 0 and 255, those are two classes.
      factor_sizes: the number of values of each factor; by default taken from `factors`, the
        factors being called factor_0, factor_1, ...
      value_range: the values that stand for 0 and 1; those between are mapped linearly.
      layout: NHWC or NCHW; by default NCHW, with a warning, where the second axis alone can be
        that of the channels, as in [N, 3, 32, 32].
      origin: where the images come from, to open an error message with.

    Returns:
      A Dataset whose `arrays` lie on the host, integers of up to 16 bits as they are, others as
      floats; `fetch` gives floats in [0, 1] of the default float type, and int32 labels, factors
      and masks, -1 where no class is known.

    Raises:
      InputError: a wrong type or number of dimensions, no examples, arrays of different
        lengths, or values that are not finite or out of range.
    """
    images = np.asanyarray(images)
    if images.ndim == 2 and images.size and images.dtype.kind == "f":
        scale = _scale_of_points(images, value_range, layout, origin)
    else:
        images = arranged(images, layout, origin)
        scale = scale_of(images.dtype, *extremes(images), value_range, origin)
    arrays = {"image": images}
    if label is not None:
        arrays["label"] = _checked_integers(label, "label", 1, len(images), origin)
    if factors is not None:
        arrays["factors"] = _checked_integers(factors, "factors", 2, len(images), origin)
        if factor_sizes is None:
            sizes = 1 + arrays["factors"].max(axis=0)
            factor_sizes = {f"factor_{i}": int(size) for i, size in enumerate(sizes)}
    if mask is not None:
        (arrays["mask"],) = class_numbers([_fitting(mask, images, origin)], origin)
    return assembled(arrays, scale, factor_sizes or {})


def assembled(
    arrays: Mapping[str, np.ndarray],
    scale: tuple[float, float],
    factor_sizes: Mapping[str, int],
    content: str = "",
) -> Dataset:
    """A Dataset of arrays that are already checked.

    Args:
      arrays: `image` [N, H, W, C] or [N, D], and others of integers up to 32 bits, fetched as
        int32: `label`, `factors`, `mask`.
      scale: the values of images that stand for 0 and 1.
      factor_sizes: the number of values of each factor.
      content: the digest of `arrays`, where it is known.
    """
    image, scale = _held(arrays["image"], scale)
    arrays = {**arrays, "image": image}
    spec = {name: jax.ShapeDtypeStruct(a.shape[1:], jnp.int32) for name, a in arrays.items()}
    spec["image"] = jax.ShapeDtypeStruct(image.shape[1:], jnp.result_type(float))
    content = content or digest_of_arrays(arrays)
    return Dataset(
        spec,
        len(image),
        arrays,
        scaled(*scale),
        dict(factor_sizes),
        digest("stored", scale, tuple(factor_sizes.items()), content),
    )


@shared
def scaled(low: float, high: float) -> Callable[[Mapping[str, Array], Array], Batch]:
    """Fetches stored arrays: integer images from low..high as floats in [0, 1], floats as such.

    Other arrays are fetched as int32, if they are of integers.
    """

    def fetch(arrays: Mapping[str, Array], indices: Array) -> Batch:
        batch = {name: gather(array, indices) for name, array in arrays.items()}
        whole = {
            name: entry.astype(jnp.int32)
            for name, entry in batch.items()
            if jnp.issubdtype(entry.dtype, jnp.integer)
        }
        image = batch["image"].astype(jnp.result_type(float))
        if "image" in whole:
            # Compiled programs multiply where division is written; so do it everywhere.
            image = (image - low if low else image) * (1 / (high - low))
        return batch | whole | {"image": image}

    return fetch


def gather(array: Array | np.ndarray, indices: Array) -> Array:
    """Rows [B, ...] of an array; of a host array only those rows go to the device."""
    if isinstance(array, np.ndarray) and not isinstance(indices, jax.core.Tracer):
        return jnp.asarray(array[np.asarray(indices)])
    # Flat rows: XLA copies those whole on a CPU, and others number by number (4 times slower).
    rows = jnp.asarray(array)
    flat = rows.reshape(rows.shape[0], -1)
    picked = jnp.take(flat, indices, axis=0, mode="clip")
    return picked.reshape(*indices.shape, *rows.shape[1:])


def _scale_of_points(
    points: np.ndarray, value_range: tuple[float, float] | None, layout: str | None, origin: str
) -> tuple[float, float]:
    if value_range is not None or layout is not None:
        raise InputError(
            f"{origin}: points [N, D] are taken as they are: leave out value_range and layout"
        )
    largest = jnp.finfo(jnp.result_type(float)).max
    if not all(abs(value) <= largest for value in extremes(points)):
        raise InputError(f"{origin}: points contain values that are not finite")
    return 0.0, 1.0


def _held(images: np.ndarray, scale: tuple[float, float]) -> tuple[np.ndarray, tuple[float, float]]:
    """What lies in memory, and on which scale: 8 or 16 bits as they are, or floats in [0, 1]."""
    low, high = scale
    images = images.view(np.uint8) if images.dtype.kind == "b" else images
    if images.dtype.kind == "f" and scale == (0, 1):
        return images.astype(jnp.result_type(float), copy=False), scale
    if images.dtype.kind in "iu" and low.is_integer() and high.is_integer():
        narrow = [images.dtype.newbyteorder("="), *map(np.dtype, _NARROW)]
        for dtype in narrow[images.dtype.itemsize > 2 :]:
            if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
                return images.astype(dtype, copy=False), scale
    unit = np.empty(images.shape, jnp.result_type(float))
    for rows in chunks(images):
        unit[rows] = (images[rows].astype(np.float64) - low) / (high - low)
    return unit, (0.0, 1.0)


def _fitting(mask: Any, images: np.ndarray, origin: str) -> np.ndarray:
    """Masks [N, H, W] of images [N, H, W, C]."""
    mask = np.asarray(mask)
    if mask.ndim == 4 and mask.shape[-1] == 1:
        mask = mask[..., 0]
    if images.ndim != 4 or mask.shape != images.shape[:3]:
        raise InputError(
            f"{origin}: masks have shape {mask.shape}, images {images.shape}: use a number for "
            "each pixel, [N, H, W]"
        )
    return mask


def _checked_integers(values: Any, name: str, ndim: int, count: int, origin: str) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "biu":
        raise InputError(f"{origin}: {name} is {values.dtype}; expected integers")
    if ndim == 1 and values.ndim == 2 and values.shape[1] == 1:  # as Keras has it
        values = values[:, 0]
    if values.ndim != ndim:
        expected = "[N], of one-hot labels the argmax" if ndim == 1 else "[N, K]"
        raise InputError(f"{origin}: {name} has shape {values.shape}; expected {expected}")
    if len(values) != count:
        raise InputError(f"{origin}: {name} has {len(values)} rows for {count} images")
    if values.size == 0:
        raise InputError(f"{origin}: {name} is empty")
    if values.min() < 0 or values.max() >= 2**31:
        unknown = "; where some are not known, use methods.partly_labelled (docs/data.md)"
        unknown = unknown if name == "label" and values.min() < 0 else ""
        raise InputError(f"{origin}: {name} must lie in 0..2**31 - 1{unknown}")
    return values.astype(np.int32)
