"""Where lanes go on from, and how those that were trained apart come together again."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ae_jax.core import InputError
from ae_jax.training import checkpoint, population, streaming
from ae_jax.training.lanes import Group
from ae_jax.training.plan import Plan, Trained
from ae_jax.training.population import Lane, LaneState, Window


def restore(plan: Plan, group: Group, checkpoints: Path | None) -> list[checkpoint.Found]:
    """Where lanes go on from: all from the beginning where there are no checkpoints."""
    if checkpoints is None:
        return [checkpoint.Found(0, np.arange(len(group.index)), None)]
    lanes = group.index.tolist()
    own = checkpoints / folder_of(group.index)
    starts = start_digests(group)
    same = {} if starts is None else {"start": starts}
    return checkpoint.restore(checkpoints, own, lanes, _like(plan, group), **same)


def elsewhere(plan: Plan, like: Group, other: Group, checkpoints: Path) -> Trained:
    """Reads what other processes have trained, from their last checkpoints.

    Args:
      plan: what was done.
      like: some lanes of the same method, with what they began with.
      other: the lanes to read.
      checkpoints: where they are kept.

    Returns:
      What `train_group` returned there, without its figures.

    Raises:
      InputError: if they are not all there.
    """
    own = checkpoints / folder_of(like.index)
    lanes = other.index.tolist()
    found = checkpoint.restore(checkpoints, own, lanes, _like(plan, like))
    if [part.step for part in found] != [plan.steps]:
        raise InputError(f"{checkpoints} lacks what other processes trained: repeat the command")
    return outcome(plan, other, found[0].tree)


def outcome(
    plan: Plan, group: Group, host: LaneState, *, final: Mapping[str, Any] | None = None, **how: Any
) -> Trained:
    """Returns what became of lanes.

    Args:
      plan: what was done.
      group: the lanes.
      host: their states, on the host.
      final: figures of the final evaluation.
      how: the numbers of `Trained` about the training; 0 where it was elsewhere.
    """
    numbers = ("compilations", "compile_seconds", "train_seconds", "lane_steps")
    return Trained(
        method=group.method,
        index=group.index,
        hparams=group.hparams,
        schedules=plan.schedules,
        state=host.method,
        taken=host.taken,
        best=host.best,
        best_step=host.best_step,
        frozen_step=host.frozen_step,
        frozen_by=_reasons(host),
        final=final or {},
        **{**dict.fromkeys(numbers, 0), **how},
    )


def _like(plan: Plan, group: Group) -> LaneState:
    """The structure, shapes and dtypes of lanes' states."""
    rows = None
    if plan.stream:
        shape = (len(group.index), 1, plan.batch_size)
        rows = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((*shape, *leaf.shape[1:]), leaf.dtype),
            plan.dataset.arrays,
        )
    shared = (Window(*np.zeros((4,), int)), None if plan.stream else plan.dataset.arrays)
    init = population.init_lane(group.method, fetch_of(plan), plan.schedules, plan.keep_best)
    return jax.eval_shape(
        jax.vmap(init, in_axes=(None, 0, None)),
        None,
        Lane(group.seed, dict(group.hparams), rows, group.start),
        shared,
    )


def together(
    group: Group, cohorts: Sequence[checkpoint.Found], trained: Sequence[Trained]
) -> Trained:
    """Joins what became of cohorts, in the order of the group's lanes."""
    order = np.argsort(np.concatenate([cohort.places for cohort in cohorts]))

    def joined(*leaves):
        return np.concatenate(leaves)[order]

    def of(name):
        return jax.tree.map(joined, *(getattr(some, name) for some in trained))

    def total(name):
        return sum(getattr(some, name) for some in trained)

    reasons = [reason for some in trained for reason in some.frozen_by]
    numbers = ("compilations", "compile_seconds", "train_seconds", "lane_steps")
    arrays = ("state", "taken", "best", "best_step", "frozen_step", "final")
    return trained[0]._replace(
        index=group.index,
        hparams=group.hparams,
        frozen_by=[reasons[i] for i in order],
        **{name: of(name) for name in arrays},
        **{name: total(name) for name in numbers},
    )


def fetch_of(plan: Plan) -> Callable:
    """Returns what gives a lane its batches: fetch(data, window, i, lane)."""
    make = streaming.streamed_fetch if plan.stream else streaming.resident_fetch
    return make(plan.dataset, plan.batch_size)


def folder_of(index: np.ndarray) -> str:
    """Names a set of lanes."""
    return f"lanes-{index[0]:04d}-{index[-1]:04d}-{checkpoint.digest([index])[:8]}"


def start_digests(group: Group) -> list[str] | None:
    """For each lane, a name of what it began with."""
    if group.start is None:
        return None
    leaves = jax.tree.leaves(group.start)
    return [
        checkpoint.digest([np.asarray(leaf[i]) for leaf in leaves])[:16]
        for i in range(len(group.index))
    ]


def _reasons(host: LaneState) -> list[str | None]:
    """Names for each lane what was not finite; None where it was never frozen."""
    names = [*population.info_names(host.info_sum), "state"]
    return [
        "+".join(name for name, broke in zip(names, by, strict=True) if broke) or None
        for by in host.frozen_by
    ]
