"""Stored data: arrays of uint8 or float images, checked once and gathered by index."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Batch, Dataset, InputError


def stored(
    images: np.ndarray,
    label: np.ndarray | None = None,
    factors: np.ndarray | None = None,
    *,
    factor_sizes: Mapping[str, int] | None = None,
    white: int = 255,
    origin: str = "images",
) -> Dataset:
    """A Dataset of images that are already in memory, or in a memory-mapped file.

    Args:
      images: [N, H, W, C] or [N, H, W]: uint8 or bool, scaled when fetched, or float in [0, 1].
      label: int [N], or None.
      factors: int [N, K], each column counting from 0, or None.
      factor_sizes: the number of values of each factor; by default taken from `factors`, the
        factors being called factor_0, factor_1, ...
      white: the value of integer images that stands for 1.
      origin: where the images come from, to open an error message with.

    Returns:
      A Dataset whose `arrays` lie on the host; `fetch` gives floats in [0, 1] of the default
      float type, and int32 labels and factors.

    Raises:
      InputError: a wrong type or number of dimensions, no examples, arrays of different
        lengths, or values that are not finite or out of range.
    """
    images = _checked_images(np.asanyarray(images), white, origin)
    arrays = {"image": images}
    if label is not None:
        arrays["label"] = _checked_integers(label, "label", 1, len(images), origin)
    if factors is not None:
        arrays["factors"] = _checked_integers(factors, "factors", 2, len(images), origin)
        if factor_sizes is None:
            sizes = 1 + arrays["factors"].max(axis=0)
            factor_sizes = {f"factor_{i}": int(size) for i, size in enumerate(sizes)}
    spec = {name: jax.ShapeDtypeStruct(a.shape[1:], jnp.int32) for name, a in arrays.items()}
    spec["image"] = jax.ShapeDtypeStruct(images.shape[1:], jnp.result_type(float))

    def fetch(arrays: Mapping[str, Array], indices: Array) -> Batch:
        batch = {name: gather(array, indices) for name, array in arrays.items()}
        image = batch["image"].astype(jnp.result_type(float))
        if jnp.issubdtype(batch["image"].dtype, jnp.integer):
            # Compiled programs multiply where division is written; so do it everywhere.
            image = image * (1 / white)
        return batch | {"image": image}

    return Dataset(spec, len(images), arrays, fetch, dict(factor_sizes or {}))


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
        if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer):
            raise InputError("a subset is chosen by a one-dimensional array of integers")
        if indices.size and not 0 <= indices.min() <= indices.max() < dataset.size:
            raise InputError(f"a subset's indices must lie in 0..{dataset.size - 1}")
    chosen = np.arange(dataset.size, dtype=np.int32)[indices]
    if not len(chosen):
        raise InputError("a subset needs at least one index")
    if jax.tree.leaves(dataset.arrays):
        arrays = jax.tree.map(lambda array: np.asarray(array)[indices], dataset.arrays)
        return dataset._replace(size=len(chosen), arrays=arrays)

    def fetch(arrays: Mapping[str, Array], indices: Array) -> Batch:
        return dataset.fetch({}, gather(arrays["index"], indices))

    return dataset._replace(size=len(chosen), arrays={"index": chosen}, fetch=fetch)


def binarized(dataset: Dataset, threshold: float = 0.5) -> Dataset:
    """A data set whose images are zeros and ones: 1 above the threshold."""

    def fetch(arrays: Any, indices: Array) -> Batch:
        batch = dataset.fetch(arrays, indices)
        image = (batch["image"] > threshold).astype(batch["image"].dtype)
        return {**batch, "image": image}

    return dataset._replace(fetch=fetch)


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

    def fetch(arrays: Mapping[str, Array], indices: Array) -> Batch:
        return {"image": gather(arrays["image"], indices)}

    return Dataset(spec, len(stacked), {"image": stacked}, fetch)


def gather(array: Array | np.ndarray, indices: Array) -> Array:
    """Rows [B, ...] of an array; of a host array only those rows go to the device."""
    if isinstance(array, np.ndarray) and not isinstance(indices, jax.core.Tracer):
        return jnp.asarray(array[np.asarray(indices)])
    # Flat rows: XLA copies those whole on a CPU, and others number by number (4 times slower).
    rows = jnp.asarray(array)
    flat = rows.reshape(rows.shape[0], -1)
    picked = jnp.take(flat, indices, axis=0, mode="clip")
    return picked.reshape(*indices.shape, *rows.shape[1:])


def _checked_images(images: np.ndarray, white: int, origin: str) -> np.ndarray:
    if images.dtype == object:
        raise InputError(f"{origin}: images are Python objects; give one array of equal sizes")
    if images.ndim not in (3, 4):
        raise InputError(
            f"{origin}: images have shape {images.shape}; expected [N, H, W] or [N, H, W, C]"
        )
    images = images if images.ndim == 4 else images[..., None]
    if 0 in images.shape:
        raise InputError(f"{origin}: there are no images in an array of shape {images.shape}")
    if images.dtype == np.uint8:
        if white < 255 and images.max() > white:
            raise InputError(f"{origin}: image values go to {images.max()}, past {white}")
        return images
    if images.dtype == bool:
        return images.astype(np.uint8) * np.uint8(white)
    if not np.issubdtype(images.dtype, np.floating):
        raise InputError(f"{origin}: images are {images.dtype}; store uint8, or floats in [0, 1]")
    low, high = images.min(), images.max()  # NaN if any value is
    if not np.isfinite(low + high):
        raise InputError(f"{origin}: images contain values that are not finite")
    if low < 0 or high > 1:
        raise InputError(
            f"{origin}: image values go from {low:g} to {high:g}; scale them to [0, 1]"
        )
    return images.astype(jnp.result_type(float), copy=False)


def _checked_integers(values: Any, name: str, ndim: int, count: int, origin: str) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype == object or not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"{origin}: {name} is {values.dtype}; expected integers")
    if values.ndim != ndim:
        expected = "[N]" if ndim == 1 else "[N, K]"
        raise InputError(f"{origin}: {name} has shape {values.shape}; expected {expected}")
    if len(values) != count:
        raise InputError(f"{origin}: {name} has {len(values)} rows for {count} images")
    if values.size == 0:
        raise InputError(f"{origin}: {name} is empty")
    if values.min() < 0 or values.max() >= 2**31:
        raise InputError(f"{origin}: {name} must lie in 0..2**31 - 1")
    return values.astype(np.int32)
