"""A data set's examples in the hand, where a look at some or all of them is wanted."""

import numpy as np

from ae_jax.core import Array, Batch, Dataset


def head(dataset: Dataset, count: int) -> Batch:
    """Returns a data set's first examples, at most all."""
    return dataset.fetch(dataset.arrays, np.arange(min(count, dataset.size)))


def all_images(dataset: Dataset) -> np.ndarray:
    """Returns all images of a data set, [N, H, W, C]."""
    return np.asarray(head(dataset, dataset.size)["image"])


def vectors(batch: Batch) -> Array:
    """Returns a batch's images as [B, V]."""
    return batch["image"].reshape(len(batch["image"]), -1)
