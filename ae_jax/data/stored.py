"""Stored data: arrays of integer or float images, checked once and gathered by index."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Batch, Dataset, InputError
from ae_jax.data.content import chunks, derived, digest, digest_of_arrays, shared

#: What is said wherever the scale of images is not known.
VALUE_RANGE = (
    "give the values that stand for 0 and 1: value_range=(low, high), on the command line "
    "--value-range LOW HIGH"
)
#: Types that integer images are held in, the first that has all values of their range.
_NARROW = (np.uint8, np.int8, np.uint16, np.int16)
#: An axis of at most so many entries may be that of channels: grey, colour, transparency.
MOST_CHANNELS = 4


def stored(
    images: np.ndarray,
    label: np.ndarray | None = None,
    factors: np.ndarray | None = None,
    *,
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
      factor_sizes: the number of values of each factor; by default taken from `factors`, the
        factors being called factor_0, factor_1, ...
      value_range: the values that stand for 0 and 1; those between are mapped linearly.
      layout: NHWC or NCHW; by default NCHW, with a warning, where the second axis alone can be
        that of the channels, as in [N, 3, 32, 32].
      origin: where the images come from, to open an error message with.

    Returns:
      A Dataset whose `arrays` lie on the host, integers of up to 16 bits as they are, others as
      floats; `fetch` gives floats in [0, 1] of the default float type, and int32 labels and
      factors.

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
    return assembled(arrays, scale, factor_sizes or {})


def assembled(
    arrays: Mapping[str, np.ndarray],
    scale: tuple[float, float],
    factor_sizes: Mapping[str, int],
    content: str = "",
) -> Dataset:
    """A Dataset of arrays that are already checked.

    Args:
      arrays: `image` [N, H, W, C] or [N, D], and perhaps int32 `label`, `factors`.
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
    """Fetches stored arrays: integer images from low..high as floats in [0, 1], floats as such."""

    def fetch(arrays: Mapping[str, Array], indices: Array) -> Batch:
        batch = {name: gather(array, indices) for name, array in arrays.items()}
        image = batch["image"].astype(jnp.result_type(float))
        if jnp.issubdtype(batch["image"].dtype, jnp.integer):
            # Compiled programs multiply where division is written; so do it everywhere.
            image = (image - low if low else image) * (1 / (high - low))
        return batch | {"image": image}

    return fetch


def subset(dataset: Dataset, indices: np.ndarray | slice) -> Dataset:
    """Some of a data set's examples, in the given order.

    Args:
      dataset: any Dataset, stored or rendered.
      indices: int [M], or a slice, which takes no memory where the data are stored.

    Returns:
      A Dataset of M examples: the rows of stored arrays, or a table of the indices of
      rendered ones.

    Raises:
      InputError: indices are not integers, are out of range, or are none.
    """
    if not isinstance(indices, slice):
        indices = np.asarray(indices)
        if indices.ndim != 1 or indices.dtype.kind not in "iu":
            raise InputError("a subset is chosen by a one-dimensional array of integers")
        if indices.size and not 0 <= indices.min() <= indices.max() < dataset.size:
            raise InputError(f"a subset's indices must lie in 0..{dataset.size - 1}")
    every = np.arange(dataset.size, dtype=np.int32)
    chosen = every[indices]
    if not len(chosen):
        raise InputError("a subset needs at least one index")
    if np.array_equal(chosen, every):
        return dataset
    part = dataset._replace(size=len(chosen), digest=derived([dataset.digest], "subset", chosen))
    if jax.tree.leaves(dataset.arrays):
        arrays = jax.tree.map(lambda array: np.asarray(array)[indices], dataset.arrays)
        return part._replace(arrays=arrays)
    return part._replace(arrays={"index": chosen}, fetch=_chosen(dataset.fetch))


@shared
def _chosen(fetch: Callable) -> Callable:
    """Fetches rendered examples by a table of their indices."""

    def fetch_chosen(arrays: Mapping[str, Array], indices: Array) -> Batch:
        return fetch({}, gather(arrays["index"], indices))

    return fetch_chosen


def binarized(dataset: Dataset, threshold: float = 0.5) -> Dataset:
    """A data set whose images are zeros and ones: 1 above the threshold."""
    threshold = float(threshold)
    return dataset._replace(
        fetch=_binarized(dataset.fetch, threshold),
        digest=derived([dataset.digest], "binarized", threshold),
    )


@shared
def _binarized(fetch: Callable, threshold: float) -> Callable:
    def fetch_binarized(arrays: Any, indices: Array) -> Batch:
        batch = fetch(arrays, indices)
        image = (batch["image"] > threshold).astype(batch["image"].dtype)
        return {**batch, "image": image}

    return fetch_binarized


def resized(dataset: Dataset, side: int) -> Dataset:
    """A data set whose images are made smaller, by the mean of blocks of pixels.

    Args:
      dataset: of square images [H, H, C].
      side: height and width of the new images, a divisor of H.

    Raises:
      InputError: if images are not square, or cannot be cut into so many blocks.
    """
    shape = dataset.spec["image"].shape if "image" in dataset.spec else ()
    if len(shape) != 3 or shape[0] != shape[1]:
        raise InputError(f"only square images [H, H, C] are resized, got {list(shape)}")
    if side < 1 or shape[0] % side:
        raise InputError(f"images of {shape[0]} pixels a side cannot be cut into {side} blocks")
    if side == shape[0]:
        return dataset
    image = jax.ShapeDtypeStruct((side, side, shape[2]), dataset.spec["image"].dtype)
    return dataset._replace(
        spec={**dataset.spec, "image": image},
        fetch=_resized(dataset.fetch, side),
        digest=derived([dataset.digest], "resized", side),
    )


@shared
def _resized(fetch: Callable, side: int) -> Callable:
    def fetch_resized(arrays: Any, indices: Array) -> Batch:
        batch = fetch(arrays, indices)
        image = batch["image"]
        block = image.shape[1] // side
        blocks = image.reshape(-1, side, block, side, block, image.shape[-1])
        return {**batch, "image": jnp.mean(blocks, axis=(2, 4))}

    return fetch_resized


def side_by_side(datasets: Sequence[Dataset]) -> Dataset:
    """A data set whose image is that of several data sets, [K, H, W, C].

    Args:
      datasets: K of one size and image shape.

    Raises:
      InputError: if they differ in those.
    """
    shapes = [(dataset.size, *dataset.spec["image"].shape) for dataset in datasets]
    if len(set(shapes)) != 1:
        raise InputError(f"data sets side by side need one size and shape, got {shapes}")
    every = np.arange(shapes[0][0])
    images = [np.asarray(dataset.fetch(dataset.arrays, every)["image"]) for dataset in datasets]
    stacked = np.stack(images, axis=1)
    spec = {"image": jax.ShapeDtypeStruct(stacked.shape[1:], stacked.dtype)}
    name = derived([dataset.digest for dataset in datasets], "side by side")
    return Dataset(spec, len(stacked), {"image": stacked}, scaled(0.0, 1.0), digest=name)


def gather(array: Array | np.ndarray, indices: Array) -> Array:
    """Rows [B, ...] of an array; of a host array only those rows go to the device."""
    if isinstance(array, np.ndarray) and not isinstance(indices, jax.core.Tracer):
        return jnp.asarray(array[np.asarray(indices)])
    # Flat rows: XLA copies those whole on a CPU, and others number by number (4 times slower).
    rows = jnp.asarray(array)
    flat = rows.reshape(rows.shape[0], -1)
    picked = jnp.take(flat, indices, axis=0, mode="clip")
    return picked.reshape(*indices.shape, *rows.shape[1:])


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
