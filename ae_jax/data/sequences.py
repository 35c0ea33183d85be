"""Images read as sequences."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax.core import Array, Batch, Dataset, InputError
from ae_jax.data.content import derived, shared


def row_sequences(dataset: Dataset) -> Dataset:
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
        raise InputError(f"row_sequences needs images; these data have {', '.join(dataset.spec)}")
    image = dataset.spec["image"]
    height, width, channels = image.shape
    spec = {
        **dataset.spec,
        "sequence": jax.ShapeDtypeStruct((height, width * channels), image.dtype),
        "length": jax.ShapeDtypeStruct((), jnp.int32),
    }
    return dataset._replace(
        spec=spec, fetch=_by_rows(dataset.fetch), digest=derived([dataset.digest], "rows")
    )


@shared
def _by_rows(fetch: Callable) -> Callable:
    def fetch_by_rows(arrays: Any, indices: Array) -> Batch:
        batch = fetch(arrays, indices)
        count, height, width, channels = batch["image"].shape
        sequence = batch["image"].reshape(count, height, width * channels)
        length = jnp.full((count,), height, jnp.int32)
        return {**batch, "sequence": sequence, "length": length}

    return fetch_by_rows
