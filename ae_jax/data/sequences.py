"""Images read as sequences."""

import jax
import jax.numpy as jnp

from ae_jax.core import Array, Batch, Dataset, InputError


def rows(dataset: Dataset) -> Dataset:
    """Images read row by row.

    Args:
      dataset: with `image` [H, W, C].

    Returns:
      A Dataset whose batches have, besides what they had, `sequence` [B, H, W * C] and
      `length` [B], which is H.

    Raises:
      InputError: if the data have no images.
    """
    if "image" not in dataset.spec:
        raise InputError(f"rows needs images; these data have {', '.join(dataset.spec)}")
    image = dataset.spec["image"]
    height, width, channels = image.shape

    def fetch(arrays, indices: Array) -> Batch:
        batch = dataset.fetch(arrays, indices)
        sequence = batch["image"].reshape(-1, height, width * channels)
        length = jnp.full(sequence.shape[:1], height, jnp.int32)
        return {**batch, "sequence": sequence, "length": length}

    spec = {
        **dataset.spec,
        "sequence": jax.ShapeDtypeStruct((height, width * channels), image.dtype),
        "length": jax.ShapeDtypeStruct((), jnp.int32),
    }
    return dataset._replace(spec=spec, fetch=fetch)
