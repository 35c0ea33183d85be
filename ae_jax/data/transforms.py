"""Data sets made of others: some of their examples, other images of each, several side by side."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import COUNT, REAL, Array, Batch, Dataset, InputError, require, require_kind
from ae_jax.data.content import derived, shared
from ae_jax.data.stored import gather, scaled


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
    require_kind(Dataset, 'data.load("digits")', dataset=dataset)
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
    """A data set whose images are zeros and ones: 1 above the threshold.

    Raises:
      InputError: the threshold is no finite number.
    """
    require_kind(Dataset, 'data.load("digits")', dataset=dataset)
    require(REAL, threshold=threshold)
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
      InputError: if images are not square, cannot be cut into so many blocks, or have masks.
    """
    require_kind(Dataset, 'data.load("digits")', dataset=dataset)
    require(COUNT, side=side)
    shape = dataset.spec["image"].shape if "image" in dataset.spec else ()
    if len(shape) != 3 or shape[0] != shape[1]:
        raise InputError(f"only square images [H, H, C] are resized, got {list(shape)}")
    if "mask" in dataset.spec:
        raise InputError("images with masks are not resized, for a mean of classes is none")
    if shape[0] % side:
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
