"""Evaluating all lanes of a group on a whole data set, on the last batch with a mask."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Dataset, Method
from ae_jax.shuffle import index_shuffle
from ae_jax.training import population
from ae_jax.training.devices import DeviceMap
from ae_jax.training.population import Lane, LaneState
from ae_jax.training.streaming import CHUNK_BYTES, row_bytes

#: What a summary sees of a larger data set.
SUMMARY_EXAMPLES = 10_000

#: (state, lanes), both mapped -> means by name, float64 [L], on the host.
Evaluator = Callable[[LaneState, Lane], dict[str, np.ndarray]]


def evaluator(
    method: Method,
    mapping: DeviceMap,
    dataset: Dataset,
    batch_size: int,
    which: str = "method",
    stream: bool = False,
) -> Evaluator:
    """Returns the evaluation of lanes on a data set.

    Args:
      method: gives the values per example.
      mapping: lays lanes out over devices.
      dataset: what is evaluated on.
      batch_size: examples at a time.
      which: the state that is evaluated, `method` (the current one) or `best`.
      stream: whether to bring the data to the devices piece by piece.
    """
    size = dataset.size
    if stream:
        batches = max(1, CHUNK_BYTES // max(1, row_bytes(dataset) * batch_size))
        size = min(size, batches * batch_size)
    piece = dataset._replace(size=size)
    program = mapping.map(population.evaluate_lane(method, piece, batch_size, which))
    whole = None if stream else mapping.place_shared(dataset.arrays)

    def arrays(first: int):
        if not stream:
            return whole
        rows = np.minimum(np.arange(first, first + size), dataset.size - 1)
        return mapping.place_shared(jax.tree.map(lambda leaf: leaf[rows], dataset.arrays))

    def evaluate(state: LaneState, lanes: Lane) -> dict[str, np.ndarray]:
        totals: dict[str, list[np.ndarray]] = {}
        for first in range(0, dataset.size, size):
            where = (np.asarray(first // batch_size), np.asarray(min(size, dataset.size - first)))
            shared = (*mapping.place_shared(where), arrays(first))
            for name, total in mapping.collect(program(state, lanes, shared)).items():
                totals.setdefault(name, []).append(total)
        return {name: _sum(parts) / dataset.size for name, parts in totals.items()}

    return evaluate


def _sum(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Adds [L, batches] up to float64 [L], in an order that does not depend on the pieces."""
    return np.add.accumulate(np.concatenate(parts, axis=1), axis=1, dtype=np.float64)[:, -1]


def summarizer(
    method: Method, mapping: DeviceMap, dataset: Dataset, summarize: Callable, which: str
) -> Evaluator:
    """Returns a summary of lanes, from at most SUMMARY_EXAMPLES of a data set."""
    dataset = _thinned(dataset)
    shared = mapping.place_shared(dataset.arrays)

    def program(state: LaneState, lane: Lane, arrays) -> Mapping[str, jax.Array]:
        key = population.stream(lane.seed, population.SUMMARIZE)
        seen = dataset._replace(arrays=arrays)
        return summarize(method, key, getattr(state, which), seen, lane.hparams)

    mapped = mapping.map(program)

    def evaluate(state: LaneState, lanes: Lane) -> dict[str, np.ndarray]:
        values = mapping.collect(mapped(state, lanes, shared))
        return {name: value.astype(np.float64) for name, value in values.items()}

    return evaluate


def _thinned(dataset: Dataset) -> Dataset:
    """A fixed random part of a data set that is larger than a summary needs."""
    if dataset.size <= SUMMARY_EXAMPLES:
        return dataset
    order = index_shuffle(jax.random.key(0), jnp.arange(SUMMARY_EXAMPLES), dataset.size)
    order = np.asarray(order)
    if jax.tree.leaves(dataset.arrays):
        return dataset._replace(
            size=SUMMARY_EXAMPLES, arrays=jax.tree.map(lambda leaf: leaf[order], dataset.arrays)
        )
    fetch = dataset.fetch
    return dataset._replace(
        size=SUMMARY_EXAMPLES, fetch=lambda arrays, i: fetch(arrays, jnp.asarray(order)[i])
    )
