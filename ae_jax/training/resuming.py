"""Where lanes go on from, and how those that were trained apart come together again."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Batch, HParams, InputError
from ae_jax.training import checkpoint, population, streaming
from ae_jax.training.lanes import Group
from ae_jax.training.plan import Plan, Trained, batch_of, needs_start
from ae_jax.training.population import Lane, LaneState, Window
from ae_jax.training.schedules import Schedule


class Kept(NamedTuple):
    """What checkpoints keep of lanes, leaves [L, ...].

    Attributes:
      lanes: their states.
      hparams: the hyperparameters as schedules had them in the last step of those: who opens
        the run later has no schedules.
      best_hparams: likewise of the best states; None where those are not kept.
    """

    lanes: LaneState
    hparams: HParams
    best_hparams: HParams | None


def keeper(schedules: Sequence[Schedule], group: Group) -> Callable[[LaneState], Kept]:
    """Returns the function that takes of lanes, on the host, what checkpoints keep."""

    @jax.jit
    @jax.vmap
    def changed(hparams, taken):
        after = population.scheduled(schedules, jnp.maximum(taken - 1, 0), hparams)
        return {name: value for name, value in after.items() if value is not hparams[name]}

    def in_force(taken: np.ndarray) -> HParams:
        given = {name: np.asarray(value, float) for name, value in group.hparams.items()}
        if not schedules:
            return given
        found = jax.device_get(changed(given, taken))
        return given | {name: np.asarray(value, float) for name, value in found.items()}

    def keep(host: LaneState) -> Kept:
        best = None if host.best is None else in_force(host.best_step)
        return Kept(host, in_force(host.taken), best)

    return keep


def restore(plan: Plan, group: Group, checkpoints: Path | None) -> list[checkpoint.Found]:
    """Where lanes go on from: all from the beginning where there are no checkpoints.

    What is found is `Kept`.
    """
    if checkpoints is None:
        return [checkpoint.Found(0, np.arange(len(group.index)), None)]
    lanes = group.index.tolist()
    own = checkpoints / folder_of(group.index)
    starts = start_digests(group)
    same = {} if starts is None else {"start": starts}
    like = _like(group, batch_of(plan), plan.keep_best, group.start)
    return checkpoint.restore(checkpoints, own, lanes, like, **same)


def reread(
    group: Group, batch: Batch, keep_best: bool, checkpoints: Path
) -> list[checkpoint.Found]:
    """Reads the newest whole checkpoints of lanes and touches nothing.

    Args:
      group: the lanes; what they began with is not needed.
      batch: shapes and dtypes of what they were trained on.
      keep_best: whether best states were kept.
      checkpoints: where they are.

    Returns:
      As `restore`.

    Raises:
      InputError: if they are another method's; or as `checkpoint.restore`.
    """
    lanes = group.index.tolist()
    records = [record for _, _, record in checkpoint.records(checkpoints)]
    own = [record for record in records if not set(lanes).isdisjoint(record["lanes"])]
    if not own:
        return [checkpoint.Found(0, np.arange(len(lanes)), None)]
    begun, like = own[0].get("begun"), None
    parameters = inspect.signature(group.method.init).parameters.values()
    passed_on = any(given.kind is given.VAR_POSITIONAL for given in parameters)
    if not needs_start(group.method) and not (begun and passed_on):
        like = _like(group, batch, keep_best, None)
    differs = like is None or checkpoint.names(like) != own[0].get("leaves")
    if begun and differs and len(parameters) > 3:
        like = _like(group, batch, keep_best, _built(begun, len(lanes)))
    if like is None:
        raise InputError("the method begins with what earlier runs left, and these lanes did not")
    return checkpoint.restore(checkpoints, None, lanes, like)


def elsewhere(plan: Plan, group: Group, checkpoints: Path) -> Trained:
    """Reads what other processes have trained, from their last checkpoints.

    Args:
      plan: what was done.
      group: the lanes to read.
      checkpoints: where they are kept.

    Returns:
      What `train_group` returned there, without its figures.

    Raises:
      InputError: if they are not all there.
    """
    found = reread(group, batch_of(plan), plan.keep_best, checkpoints)
    if [part.step for part in found] != [plan.steps]:
        raise InputError(f"{checkpoints} lacks what other processes trained: repeat the command")
    return outcome(group, found[0].tree)


def outcome(
    group: Group, kept: Kept, *, final: Mapping[str, Any] | None = None, **how: Any
) -> Trained:
    """Returns what became of lanes.

    Args:
      group: the lanes.
      kept: their states, on the host.
      final: figures of the final evaluation.
      how: the numbers of `Trained` about the training; 0 where it was elsewhere.
    """
    numbers = ("compilations", "compile_seconds", "train_seconds", "lane_steps")
    host = kept.lanes
    return Trained(
        method=group.method,
        index=group.index,
        hparams=group.hparams,
        state=host.method,
        state_hparams=kept.hparams,
        taken=host.taken,
        best=host.best,
        best_hparams=kept.best_hparams,
        best_step=host.best_step,
        frozen_step=host.frozen_step,
        frozen_by=_reasons(host),
        final=final or {},
        **{**dict.fromkeys(numbers, 0), **how},
    )


def _like(group: Group, batch: Batch, keep_best: bool, start: Any) -> Kept:
    """The structure, shapes and dtypes of what is kept of lanes."""

    def fetch(*_):
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), batch)

    hparams = {name: np.asarray(value, float) for name, value in group.hparams.items()}
    lanes = jax.eval_shape(
        jax.vmap(population.init_lane(group.method, fetch, (), keep_best), (None, 0, None)),
        None,
        Lane(group.seed, hparams, None, start),
        (Window(*np.zeros((4,), int)), None),
    )
    return Kept(lanes, hparams, hparams if keep_best else None)


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
    arrays = ("state", "state_hparams", "taken", "best", "best_hparams", "best_step")
    arrays += ("frozen_step", "final")
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


def begun_with(group: Group) -> Any:
    """Shapes and dtypes of what a lane began with, as JSON can hold them."""

    def described(tree: Any) -> Any:
        if isinstance(tree, Mapping):
            return {"mapping": {name: described(part) for name, part in tree.items()}}
        if type(tree) in (list, tuple):
            return {type(tree).__name__: [described(part) for part in tree]}
        if isinstance(tree, np.ndarray):
            return {"shape": tree.shape[1:], "dtype": tree.dtype.name}
        return None if tree is None else {"other": type(tree).__name__}

    return described(group.start)


def _built(described: Any, lanes: int) -> Any:
    """Zeros in the place of what so many lanes began with, from `begun_with`."""
    match described:
        case {"mapping": parts}:
            return {name: _built(part, lanes) for name, part in parts.items()}
        case {"list": parts}:
            return [_built(part, lanes) for part in parts]
        case {"tuple": parts}:
            return tuple(_built(part, lanes) for part in parts)
        case {"shape": shape, "dtype": dtype}:
            return np.zeros((lanes, *shape), jnp.dtype(dtype))
        case {"other": name}:
            raise InputError(
                f"the lanes began with a {name}, whose structure is not kept: start lanes from "
                "mappings, lists and tuples of arrays"
            )
    return None


def _reasons(host: LaneState) -> list[str | None]:
    """Names for each lane what was not finite; None where it was never frozen."""
    names = [*population.info_names(host.info_sum), "state"]
    return [
        "+".join(name for name, broke in zip(names, by, strict=True) if broke) or None
        for by in host.frozen_by
    ]
