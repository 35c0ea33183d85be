"""What a method owes the engine beyond its promises, which takes sweeps."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ae_jax import training
from ae_jax.testing.subject import (
    DOUBLE,
    GRID,
    Subject,
    keep,
    keep_double,
    trained,
    trained_in_double,
)


def _figures(row: Mapping[str, Any]) -> list[str]:
    told = {"lane", "seed", "learning_rate", "status", "frozen_step", "frozen_by", "best_step"}
    return [name for name in row if name not in told]


def _learns(subject: Subject) -> None:
    score = jax.jit(functools.partial(subject.score, subject.method))
    rows = np.arange(min(500, subject.dataset.size))
    batch, key = subject.batch(rows), jax.random.key(3)
    result = trained(subject, training.grid(seed=0), subject.steps)
    _, after, _ = training.lane(result, 0)
    before, then = (float(score(key, x, batch, subject.hparams)) for x in (subject.first, after))
    keep(
        then < subject.improvement * before,
        f"the score goes from {before:g} to {then:g} in {subject.steps} steps",
    )


def _one_compilation(subject: Subject) -> None:
    count = subject.sweep.compilations
    keep(count == 1, f"a sweep of sixteen lanes took {count} compilations")


def _alone(subject: Subject) -> None:
    alone = trained_in_double(subject, DOUBLE[3:])
    _, state, _ = training.lane(subject.double, 3)
    keep_double(state, "the state")
    rows = subject.double.rows[3], alone.rows[0]
    ends = [row["status"] for row in rows]
    keep(ends == ["ok", "ok"], f"among others the lane is {ends[0]}, alone {ends[1]}")
    _keep_close(state, training.lane(alone, 0)[1])
    for name in _figures(rows[1]):
        np.testing.assert_allclose(rows[0][name], rows[1][name], rtol=1e-9, err_msg=name)


def _backends(subject: Subject) -> None:
    """`shard` vmaps lanes, as `vmap` does, where `pmap` takes them in turn on a CPU."""
    other = trained_in_double(subject, DOUBLE, backend="shard")
    _keep_close(*(result.groups[0].state for result in (subject.double, other)))


def _keep_close(state: Any, other: Any) -> None:
    """Of optimizers too, some numbers of which are small beside those they come from."""
    leaves, others = jax.tree.leaves(state), jax.tree.leaves(other)
    scale = max(np.abs(x).max() for x in leaves if np.issubdtype(x.dtype, np.floating))
    for x, y in zip(leaves, others, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9 * scale)


def _leaves(result: training.Result) -> list[Any]:
    return jax.tree.leaves([group.state for group in result.groups])


def _siblings(subject: Subject) -> None:
    lanes = training.grid(**GRID)
    lanes[5] = {"learning_rate": 3e38, "seed": 5}
    beside = trained(subject, lanes)
    for i, row in enumerate(beside.rows):
        status = "frozen" if i == 5 else "ok"
        keep(row["status"] == status, f"lane {i} is {row['status']}, where lane 5 breaks")
    broken = beside.rows[5]
    keep(0 <= broken["frozen_step"] < 20 and broken["frozen_by"], f"lane 5 broke as {broken}")
    for x, y in zip(_leaves(beside), _leaves(subject.sweep), strict=True):
        np.testing.assert_array_equal(np.delete(x, 5, axis=0), np.delete(y, 5, axis=0))


#: By name, what it promises beyond that, which takes sweeps.
FULL: Mapping[str, Callable[[Subject], None]] = {
    "it learns": _learns,
    "a sweep is one compilation": _one_compilation,
    "a lane equals the same run alone": _alone,
    "backends agree": _backends,
    "a lane that breaks leaves its siblings untouched": _siblings,
}
