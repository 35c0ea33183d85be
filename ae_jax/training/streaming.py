"""Batches for data that does not fit a device: the host gathers rows ahead of it.

The rows, in the order of each lane's own epochs, are those that device-resident data
would be indexed by, so the results are the same.
"""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Dataset
from ae_jax.training.population import Lane, Window, batch_indices

#: Host memory that the rows of one chunk may take.
CHUNK_BYTES = 256 * 2**20


def needs_streaming(dataset: Dataset, devices: Sequence[jax.Device]) -> bool:
    """Whether a data set would take more than half of a device's memory.

    CPU devices share the host's memory, each with a copy of its own.
    """
    stored = sum(leaf.nbytes for leaf in jax.tree.leaves(dataset.arrays))
    statistics = devices[0].memory_stats() or {}
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // len(devices)
    return stored > statistics.get("bytes_limit", host) // 2


def row_bytes(dataset: Dataset) -> int:
    """What one example takes as it is stored."""
    return sum(leaf.nbytes // dataset.size for leaf in jax.tree.leaves(dataset.arrays))


def resident_fetch(dataset: Dataset, batch_size: int) -> Callable:
    """Returns fetch(arrays, window, i, lane) for data that lies on the device."""

    def fetch(arrays: Any, window: Window, i: Array, lane: Lane) -> Mapping[str, Array]:
        indices = batch_indices(lane.seed, window, i, batch_size, dataset.size)
        return dataset.fetch(arrays, indices)

    return fetch


def streamed_fetch(dataset: Dataset, batch_size: int) -> Callable:
    """Returns fetch(_, window, i, lane) for rows that come with the lane."""

    def fetch(_: Any, window: Window, i: Array, lane: Lane) -> Mapping[str, Array]:
        rows = jax.tree.map(lambda leaf: leaf[i], lane.rows)
        return dataset.fetch(rows, jnp.arange(batch_size))

    return fetch


def chunk_rows(
    dataset: Dataset,
    seeds: np.ndarray,
    windows: Sequence[Window],
    batch_size: int,
    length: int,
) -> Iterator[Any]:
    """Gathers the rows of chunk after chunk, two ahead of the one in use.

    Args:
      dataset: its arrays lie on the host, or are mapped from a file.
      seeds: int [L], the lanes'; lanes of equal seed see the same batches.
      windows: where the chunks stand.
      batch_size: examples per step.
      length: steps per chunk.

    Yields:
      For each window, the dataset's arrays with leaves [L, length, batch, ...].
    """
    import grain

    unique, lane_of = np.unique(seeds, return_inverse=True)

    def load(number: int) -> Any:
        indices = _indices(unique, windows[number], length, batch_size, dataset.size)[lane_of]
        return jax.tree.map(lambda leaf: leaf[indices], dataset.arrays)

    chunks = grain.MapDataset.range(len(windows)).map(load)
    return iter(chunks.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)))


def _indices(seeds, window: Window, length: int, batch_size: int, size: int) -> np.ndarray:
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        return np.asarray(_order(seeds, window, length, batch_size, size))


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _order(seeds, window: Window, length: int, batch_size: int, size: int) -> Array:
    def one(seed, i):
        return batch_indices(seed, window, i, batch_size, size)

    over_steps = jax.vmap(one, in_axes=(None, 0))
    return jax.vmap(over_steps, in_axes=(0, None))(seeds, jnp.arange(length))
