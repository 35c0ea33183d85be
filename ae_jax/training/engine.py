"""Training one group of lanes: the loop on the host around the compiled programs."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Dataset, HParams, InputError, Method, State
from ae_jax.training import checkpoint, population, streaming
from ae_jax.training import directory as run_directory
from ae_jax.training.devices import DeviceMap
from ae_jax.training.evaluation import evaluator, summarizer
from ae_jax.training.lanes import Group
from ae_jax.training.population import Lane, LaneState, Window
from ae_jax.training.reporting import Logger
from ae_jax.training.schedules import Schedule


class Plan(NamedTuple):
    """What `run` was asked to do, for every group; see its arguments."""

    dataset: Dataset
    validation: Dataset | None
    test: Dataset
    steps: int
    batch_size: int
    evaluate_every: int
    schedules: Sequence[Schedule]
    summarize: Callable | None
    monitor: str
    select: str
    checkpoint_seconds: float
    chunk: int
    stream: bool


class Outlets(NamedTuple):
    """Where a group's results go, and what may stop it.

    Attributes:
      directory: where reports are appended; None writes nothing.
      checkpoints: where checkpoints are kept; None keeps none.
      loggers: further places for reports.
      move: shows progress, from (steps done, note).
      interrupted: whether to save and exit.
    """

    directory: Path | None
    checkpoints: Path | None
    loggers: Sequence[Logger]
    move: Callable[[int, str], None]
    interrupted: Callable[[], bool]


class Trained(NamedTuple):
    """A trained group of L lanes, on the host.

    Attributes:
      method: what was trained.
      index: int [L], the lanes' places in the sweep.
      hparams: every traced hyperparameter, [L].
      state: the final states, leaves [L, ...].
      best: the states with the best validation, or None.
      best_step: int [L].
      frozen_step: int [L]; below 0 where a lane was never frozen.
      frozen_by: what was not finite, or None, for each lane.
      final: means of the final evaluation and the summary, [L].
      compilations: of the training program; a second one where a lane broke.
      compile_seconds: what they took.
      train_seconds: without compilation and evaluation.
      lane_steps: trained in that time.
    """

    method: Method
    index: np.ndarray
    hparams: HParams
    state: State
    best: State | None
    best_step: np.ndarray
    frozen_step: np.ndarray
    frozen_by: Sequence[str | None]
    final: Mapping[str, np.ndarray]
    compilations: int
    compile_seconds: float
    train_seconds: float
    lane_steps: int


def check(plan: Plan, group: Group) -> set[str]:
    """Traces a group's method without running it and returns what it evaluates.

    Raises:
      InputError: if the method does not honour the contract, or does not fit the data.
    """
    hparams = {name: np.asarray(value[0]) for name, value in group.hparams.items()}
    indices = jax.ShapeDtypeStruct((plan.batch_size,), np.int32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    try:
        batch = jax.eval_shape(plan.dataset.fetch, plan.dataset.arrays, indices)
        start = () if group.start is None else (jax.tree.map(lambda x: x[0], group.start),)
        state = jax.eval_shape(group.method.init, key, batch, hparams, *start)
        after, info = jax.eval_shape(group.method.step, key, state, batch, hparams)
        values = jax.eval_shape(group.method.evaluate, key, state, batch, hparams)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"the method does not fit the data: {reason}") from error

    def shapes(tree):
        return jax.tree.map(lambda x: (x.shape, x.dtype), tree)

    if shapes(state) != shapes(after):
        raise InputError("the method's step changes the shapes or dtypes of its state")
    if not info:
        raise InputError("the method's Info is empty: it must tell whether the state is finite")
    if wrong := [name for name, x in info.items() if x.shape]:
        raise InputError(f"the method's Info {wrong[0]} must be a scalar")
    if wrong := [name for name, x in values.items() if x.shape != (plan.batch_size,)]:
        raise InputError(f"the method's evaluation {wrong[0]} must have one value per example")
    return set(values)


def train_group(plan: Plan, group: Group, mapping: DeviceMap, outlets: Outlets) -> Trained:
    """Trains a group from its newest checkpoint, or from the start, to the end.

    Args:
      plan: what to do.
      group: the lanes of this process.
      mapping: lays them out over devices.
      outlets: where results go.

    Raises:
      SystemExit: with status 143, after saving, when interrupted.
    """
    method, dataset = group.method, plan.dataset
    length = _chunk_length(plan, len(group.index))
    make_fetch = streaming.streamed_fetch if plan.stream else streaming.resident_fetch
    fetch = make_fetch(dataset, plan.batch_size)
    keeps_best = plan.validation is not None and plan.monitor in check(plan, group)
    init = population.init_lane(method, fetch, plan.schedules, keeps_best)
    settle = mapping.map(population.settle(plan.monitor), donate=True)

    def evaluate(data, which):
        return evaluator(method, mapping, data, plan.batch_size, which, plan.stream)

    validate = evaluate(plan.validation, "method") if plan.validation else lambda *_: {}

    lanes = mapping.place(Lane(group.seed, dict(group.hparams)))
    arrays = mapping.place_shared(None if plan.stream else dataset.arrays)

    def shared(window):
        return (mapping.place_shared(window), arrays)

    step, saved = _restore(plan, group, init, length, outlets.checkpoints)
    if outlets.directory:
        run_directory.rewind_metrics(outlets.directory, group.index.tolist(), step)
    windows = list(_windows(plan, step, length))
    feed = _feed(plan, group, mapping, lanes, windows, length)

    state = mapping.place(saved) if saved else None
    train, traces = _trainer(method, mapping, fetch, plan.schedules)
    first, seconds = step, {"compile": 0.0, "train": 0.0}
    saved_at = time.monotonic()
    outlets.move(step, "")
    for window, given in zip(windows, feed, strict=False):
        if state is None:
            beginning = given._replace(start=mapping.place(group.start))
            state = mapping.map(init, once=True)(None, beginning, shared(window))
        state = train(state, given, shared(window), seconds)
        step = int(window.stop)
        if step % plan.evaluate_every == 0 or step == plan.steps:
            means = validate(state, lanes)
            _report(
                group, step, mapping.collect((state.info_sum, state.info_count)), means, outlets
            )
            state = settle(state, mapping.place(means), mapping.place_shared(np.asarray(step)))
        frozen = np.sum(mapping.collect(state.frozen_step) != population.TRAINING)
        outlets.move(step, f"{frozen} frozen" if frozen else "")
        due = time.monotonic() - saved_at >= plan.checkpoint_seconds or step == plan.steps
        if outlets.checkpoints and (due or outlets.interrupted()):
            checkpoint.save(outlets.checkpoints, step, mapping.collect(state), {})
            saved_at = time.monotonic()
        if outlets.interrupted() and step < plan.steps:
            raise SystemExit(143)

    which = "best" if plan.select == "best" else "method"
    seen = plan.test is plan.validation and which == "method"
    final = (validate if seen else evaluate(plan.test, which))(state, lanes)
    if plan.summarize:
        final |= summarizer(method, mapping, plan.test, plan.summarize, which)(state, lanes)
    host = mapping.collect(state)
    return Trained(
        method=method,
        index=group.index,
        hparams=group.hparams,
        state=host.method,
        best=host.best,
        best_step=host.best_step,
        frozen_step=host.frozen_step,
        frozen_by=_reasons(host),
        final=final,
        compilations=traces(),
        compile_seconds=seconds["compile"],
        train_seconds=seconds["train"],
        lane_steps=len(group.index) * (step - first),
    )


def _chunk_length(plan: Plan, lanes: int) -> int:
    """Steps per call of the compiled program: equal parts of the time between reports."""
    limit = plan.chunk
    if plan.stream:
        step_bytes = lanes * plan.batch_size * streaming.row_bytes(plan.dataset)
        limit = max(1, min(limit, streaming.CHUNK_BYTES // max(1, step_bytes)))
    every = min(plan.evaluate_every, plan.steps)
    return -(-every // -(-every // limit))


def _windows(plan: Plan, step: int, length: int) -> Iterator[Window]:
    """The chunks from a step to the end; each stops at a report at the latest."""
    while step < plan.steps:
        report = (step // plan.evaluate_every + 1) * plan.evaluate_every
        stop = min(step + length, report, plan.steps)
        epoch, offset = divmod(step * plan.batch_size, plan.dataset.size)
        yield Window(*(np.asarray(number) for number in (step, stop, epoch, offset)))
        step = stop


def _feed(
    plan: Plan,
    group: Group,
    mapping: DeviceMap,
    lanes: Lane,
    windows: Sequence[Window],
    length: int,
) -> Iterator[Lane]:
    """What the lanes are given in each window: with streamed data, its rows too."""
    if not plan.stream:
        for _ in windows:
            yield lanes
        return
    chunks = streaming.chunk_rows(plan.dataset, group.seed, windows, plan.batch_size, length)
    for rows in chunks:
        yield lanes._replace(rows=mapping.place(rows))


def _restore(
    plan: Plan, group: Group, init: Callable, length: int, checkpoints: Path | None
) -> tuple[int, LaneState | None]:
    """The newest checkpoint's step and state; 0 and None where there is none."""
    if checkpoints is None:
        return 0, None
    rows = None
    if plan.stream:
        shape = (len(group.index), length, plan.batch_size)
        rows = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((*shape, *leaf.shape[1:]), leaf.dtype),
            plan.dataset.arrays,
        )
    shared = (Window(*np.zeros((4,), int)), None if plan.stream else plan.dataset.arrays)
    like = jax.eval_shape(
        jax.vmap(init, in_axes=(None, 0, None)),
        None,
        Lane(group.seed, dict(group.hparams), rows, group.start),
        shared,
    )
    like = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), like)
    found = checkpoint.restore_newest(checkpoints, like)
    return (found[0], found[1]) if found else (0, None)


def _report(
    group: Group,
    step: int,
    info: tuple[Mapping[str, np.ndarray], np.ndarray],
    validation: Mapping[str, np.ndarray],
    outlets: Outlets,
) -> None:
    """Reports each lane's means since the last report, and its validation."""
    sums, count = info
    rows = []
    for i, lane in enumerate(group.index.tolist()):
        if count[i]:
            train = {name: float(total[i] / count[i]) for name, total in sums.items()}
            rows.append({"step": step, "split": "train", "lane": lane, **train})
        if validation:
            means = {name: float(mean[i]) for name, mean in validation.items()}
            rows.append({"step": step, "split": "validation", "lane": lane, **means})
    if outlets.directory:
        run_directory.append_metrics(outlets.directory, rows)
    for logger in outlets.loggers:
        logger(rows)


def _reasons(host: LaneState) -> list[str | None]:
    names = [*population.info_names(host.info_sum), "state"]
    return [
        names[by] if at != population.TRAINING else None
        for at, by in zip(host.frozen_step, host.frozen_by, strict=True)
    ]


def _trainer(
    method: Method, mapping: DeviceMap, fetch: Callable, schedules: Sequence[Schedule]
) -> tuple[Callable, Callable[[], int]]:
    """The training of a window, compiled at the first call, and the count of compilations.

    The program that takes broken lanes to the step before they broke is compiled when the
    first one does.
    """
    programs: dict[bool, Callable] = {}
    merge = mapping.map(population.merge, donate=True)

    def program(careful: bool, args: tuple, seconds: dict[str, float]) -> Callable:
        if careful not in programs:
            start = time.monotonic()
            chunk = population.train_chunk(method, fetch, schedules, careful)
            programs[careful] = mapping.map(chunk, donate=True).lower(*args).compile()
            seconds["compile"] += time.monotonic() - start
        return programs[careful]

    def train(state: LaneState, given: Lane, shared: tuple, seconds: dict[str, float]) -> LaneState:
        run = program(False, (state, given, shared), seconds)
        start = time.monotonic()
        state, broke = run(state, given, shared)
        if mapping.collect(broke).any():
            again = jax.tree.map(jnp.copy, state)
            run = program(True, (again, given, shared), seconds)
            state = merge(state, (run(again, given, shared)[0], broke), mapping.place_shared(()))
            jax.block_until_ready(state)
        seconds["train"] += time.monotonic() - start
        return state

    return train, lambda: len(programs)
