"""Evaluating all lanes of a group on a whole data set, on the last batch with a mask."""

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Dataset, Method, State
from ae_jax.shuffle import index_shuffle
from ae_jax.training import population
from ae_jax.training.devices import DeviceMap
from ae_jax.training.population import Lane
from ae_jax.training.schedules import Schedule
from ae_jax.training.streaming import CHUNK_BYTES, row_bytes

#: What a summary sees of a larger data set.
SUMMARY_EXAMPLES = 10_000

#: What is evaluated, mapped: a method's state and how many steps it has behind it.
Seen = tuple[State, jax.Array]


def evaluator(
    method: Method,
    mapping: DeviceMap,
    schedules: Sequence[Schedule],
    datasets: Sequence[Dataset],
    batch_size: int,
    stream: bool = False,
) -> Callable[[Dataset, Seen, Lane], dict[str, np.ndarray]]:
    """Returns the evaluation of lanes: (data set, seen, lanes) -> figures by name, float64 [L].

    Hyperparameters have the values of the last step that the state has behind it. Data sets
    that are fetched alike share one program, in which the smaller ones are padded.

    Args:
      method: gives the values per example, and what it concludes from all of them.
      mapping: lays lanes out over devices.
      schedules: of the hyperparameters.
      datasets: all that will be evaluated on.
      batch_size: examples at a time.
      stream: whether to bring the data to the devices piece by piece.
    """
    alike: dict[Hashable, int] = {}
    for dataset in datasets:
        alike[_kind(dataset)] = max(alike.get(_kind(dataset), 0), dataset.size)

    def length(dataset: Dataset) -> int:
        """How many examples a program takes at a time."""
        size = alike[_kind(dataset)]
        if stream:
            batches = max(1, CHUNK_BYTES // max(1, row_bytes(dataset) * batch_size))
            size = min(size, batches * batch_size)
        return size

    @functools.cache
    def program(kind: Hashable, fetch: Callable, size: int) -> Callable:
        batches = -(-size // batch_size)
        evaluate = population.evaluate_lane(method, fetch, schedules, batches, batch_size)

        def whole(seen: Seen, lane: Lane, shared):
            sums, rows = evaluate(seen, lane, shared)
            return sums, conclude_one((rows, seen[1]), lane, shared[1]) if rows else {}

        return mapping.map(evaluate if stream else whole)

    conclude_one = population.conclude_lane(method, schedules)
    conclude = mapping.map(conclude_one)

    @functools.cache
    def resident(index: int) -> Any:
        dataset = datasets[index]
        return mapping.place_shared(_padded(dataset.arrays, length(dataset)))

    def arrays(dataset: Dataset, first: int, size: int) -> Any:
        if not stream:
            return resident(next(i for i, data in enumerate(datasets) if data is dataset))
        rows = np.minimum(np.arange(first, first + size), dataset.size - 1)
        return mapping.place_shared(jax.tree.map(lambda leaf: leaf[rows], dataset.arrays))

    def evaluate(dataset: Dataset, seen: Seen, lanes: Lane) -> dict[str, np.ndarray]:
        size = length(dataset)
        run = program(_kind(dataset), dataset.fetch, size)
        parts, figures = [], {}
        for first in range(0, dataset.size, size):
            where = (np.asarray(first // batch_size), np.asarray(min(size, dataset.size - first)))
            sums, found = run(
                seen, lanes, (*mapping.place_shared(where), arrays(dataset, first, size))
            )
            parts.append(mapping.collect((sums, found if stream else {})))
            figures = found
        totals = {name: _sum([sums[name] for sums, _ in parts]) for name in parts[0][0]}
        if stream and method.conclude:
            rows = jax.tree.map(lambda *leaves: np.concatenate(leaves, 1), *(p for _, p in parts))
            count = mapping.place_shared(np.asarray(dataset.size))
            figures = conclude((mapping.place(rows), seen[1]), lanes, count)
        concluded = mapping.collect(figures) if method.conclude else {}
        means = {name: total / dataset.size for name, total in totals.items()}
        return means | {name: value.astype(np.float64) for name, value in concluded.items()}

    return evaluate


def _kind(dataset: Dataset) -> Hashable:
    """What data sets have in common that one program can fetch from."""
    leaves, structure = jax.tree.flatten(dataset.arrays)
    return id(dataset.fetch), structure, tuple((leaf.shape[1:], str(leaf.dtype)) for leaf in leaves)


def _padded(arrays: Any, size: int) -> Any:
    """Fills arrays up to a number of rows with copies of the first."""

    def leaf(x):
        more = size - len(x)
        return np.concatenate([x, np.broadcast_to(x[:1], (more, *x.shape[1:]))]) if more > 0 else x

    return jax.tree.map(leaf, arrays)


def _sum(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Adds [L, batches] up to float64 [L], in an order that does not depend on the pieces."""
    return np.add.accumulate(np.concatenate(parts, axis=1), axis=1, dtype=np.float64)[:, -1]


def summarizer(
    method: Method,
    mapping: DeviceMap,
    schedules: Sequence[Schedule],
    dataset: Dataset,
    summarize: Callable,
) -> Callable[[Seen, Lane], dict[str, np.ndarray]]:
    """Returns a summary of lanes, from at most SUMMARY_EXAMPLES of a data set."""
    dataset = _thinned(dataset)
    shared = mapping.place_shared(dataset.arrays)

    def program(seen: Seen, lane: Lane, arrays) -> Mapping[str, jax.Array]:
        state, taken = seen
        key = population.stream(lane.seed, population.SUMMARIZE)
        hparams = population.scheduled(schedules, jnp.maximum(taken - 1, 0), lane.hparams)
        return summarize(method, key, state, dataset._replace(arrays=arrays), hparams)

    mapped = mapping.map(program)

    def evaluate(seen: Seen, lanes: Lane) -> dict[str, np.ndarray]:
        values = mapping.collect(mapped(seen, lanes, shared))
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
