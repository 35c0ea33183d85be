"""What a method owes the engine beyond its promises, which takes sweeps."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ae_jax import training
from ae_jax.testing.subject import GRID, Subject, keep, keep_double, trained


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
    """In double precision, where rounding cannot hide a difference."""
    with jax.enable_x64(True):
        lanes = training.grid(learning_rate=GRID["learning_rate"][2:], seed=range(2))
        together, alone = (trained(subject, some, 50) for some in (lanes, lanes[3:]))
        states = training.lane(together, 3)[1], training.lane(alone, 0)[1]
    floats = [x for x in jax.tree.leaves(states[0]) if np.issubdtype(x.dtype, np.floating)]
    keep_double(states[0], "the state")
    ends = [result.rows[i]["status"] for result, i in ((together, 3), (alone, 0))]
    keep(ends == ["ok", "ok"], f"among others the lane is {ends[0]}, alone {ends[1]}")
    scale = max(np.abs(x).max() for x in floats)
    for x, y in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9 * scale)
    for name in _figures(alone.rows[0]):
        np.testing.assert_allclose(
            together.rows[3][name], alone.rows[0][name], rtol=1e-9, err_msg=name
        )


def _backends(subject: Subject) -> None:
    """`shard` vmaps lanes, as `vmap` does, where `pmap` takes them in turn on a CPU."""
    other = trained(subject, training.grid(**GRID), backend="shard")
    for x, y in zip(_leaves(subject.sweep), _leaves(other), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


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
