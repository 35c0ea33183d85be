"""Training one group of lanes: the loop on the host around the compiled programs."""

import contextlib
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
from ae_jax.training.lanes import Group, take
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
    keep_best: bool
    checkpoint_seconds: float
    chunk: int
    stream: bool


class Outlets(NamedTuple):
    """Where a group's results go, and what may stop it.

    Attributes:
      directory: where reports are appended; None writes nothing.
      checkpoints: where checkpoints of the group are kept; None keeps none.
      identity: names the run in them.
      loggers: further places for reports.
      progress: opens a bar for some lanes, which is moved by (steps done, note).
      interrupted: the status to exit with after saving; None to go on.
    """

    directory: Path | None
    checkpoints: Path | None
    identity: str
    loggers: Sequence[Logger]
    progress: Callable[[int], contextlib.AbstractContextManager[Callable[[int, str], None]]]
    interrupted: Callable[[], int | None]


class Trained(NamedTuple):
    """A trained group of L lanes, on the host.

    Attributes:
      method: what was trained.
      index: int [L], the lanes' places in the sweep.
      hparams: every traced hyperparameter as it was given, [L].
      schedules: of the hyperparameters.
      state: the final states, leaves [L, ...].
      taken: int [L], how many steps those have behind them.
      best: what inference needs of the states with the best validation, or None.
      best_step: int [L], how many steps those have behind them.
      frozen_step: int [L]; below 0 where a lane was never frozen.
      frozen_by: what was not finite, joined by "+", or None, for each lane.
      final: figures of the final evaluation and the summary, [L].
      compilations: of the training program; a second one where a lane broke.
      compile_seconds: what they took.
      train_seconds: without compilation and evaluation.
      lane_steps: trained in that time.
    """

    method: Method
    index: np.ndarray
    hparams: HParams
    schedules: Sequence[Schedule]
    state: State
    taken: np.ndarray
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
    """Traces a group's method without running it and returns the figures that it evaluates.

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
        kept = jax.eval_shape(group.method.inference, state)
        values = jax.eval_shape(group.method.evaluate, key, kept, batch, hparams)
        concluded = {}
        if group.method.conclude:
            present = jax.ShapeDtypeStruct((plan.batch_size,), bool)
            concluded = jax.eval_shape(group.method.conclude, values, present, hparams)
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

    def fits(x):  # what is concluded from may have further axes
        return x.shape[:1] == (plan.batch_size,) and (group.method.conclude or x.ndim == 1)

    if wrong := [name for name, x in values.items() if not fits(x)]:
        raise InputError(f"the method's evaluation {wrong[0]} must have one value per example")
    if wrong := [name for name, x in concluded.items() if x.shape]:
        raise InputError(f"what the method concludes, {wrong[0]}, must be a scalar")
    return {name for name, x in values.items() if x.ndim == 1} | set(concluded)


def train_group(
    plan: Plan, group: Group, devices: Callable[[int], DeviceMap], outlets: Outlets
) -> Trained:
    """Trains a group, each lane from its newest checkpoint or from the start, to the end.

    Lanes that go on from different steps, as processes that were killed leave them, train one
    cohort after the other.

    Args:
      plan: what to do.
      group: the lanes of this process.
      devices: lays a number of lanes out over devices.
      outlets: where results go.

    Raises:
      SystemExit: with the status of the interruption, after saving.
      OSError: if a checkpoint cannot be read or written.
    """
    cohorts = _restore(plan, group, outlets.checkpoints)
    trained = []
    for step, places, state in cohorts:
        some = take(group, places)
        if outlets.directory:
            run_directory.rewind_metrics(outlets.directory, some.index.tolist(), step)
        with contextlib.ExitStack() as stack:
            move = stack.enter_context(outlets.progress(len(places)))
            saver = None
            if outlets.checkpoints:
                folder = outlets.checkpoints / _folder(some.index)
                saver = stack.enter_context(checkpoint.writer(folder))
            mapping = devices(len(places))
            trained.append(_train(plan, some, mapping, outlets, move, saver, step, state))
    return trained[0] if len(trained) == 1 else _together(group, cohorts, trained)


def _train(
    plan: Plan,
    group: Group,
    mapping: DeviceMap,
    outlets: Outlets,
    move: Callable[[int, str], None],
    saver: checkpoint.Writer | None,
    step: int,
    saved: LaneState | None,
) -> Trained:
    """Trains lanes that have taken the same number of steps, and evaluates them."""
    method, dataset = group.method, plan.dataset
    length = _chunk_length(plan, len(group.index))
    fetch = _fetch(plan)
    init = population.init_lane(method, fetch, plan.schedules, plan.keep_best)
    settle = mapping.map(population.settle(method, plan.monitor), donate=True)
    evaluated = [data for data in (plan.validation, plan.test) if data is not None]
    evaluate = evaluator(method, mapping, plan.schedules, evaluated, plan.batch_size, plan.stream)
    record = {
        "identity": outlets.identity,
        "lanes": group.index.tolist(),
        "start": _start_digests(group),
    }

    lanes = mapping.place(Lane(group.seed, dict(group.hparams)))
    arrays = mapping.place_shared(None if plan.stream else dataset.arrays)
    nothing = mapping.place_shared(())

    def shared(window):
        return (mapping.place_shared(window), arrays)

    windows = list(_windows(plan, step, length))
    feed = _feed(plan, group, mapping, lanes, windows, length)

    state = None if saved is None else mapping.place(saved)
    train, traces = _trainer(method, mapping, fetch, plan.schedules)
    first, seconds = step, {"compile": 0.0, "train": 0.0}
    saved_at, means = time.monotonic(), {}
    move(step, "")
    for window, given in zip(windows, feed, strict=False):
        if state is None:
            beginning = given._replace(start=mapping.place(group.start))
            state = mapping.map(init, once=True)(None, beginning, shared(window))
        state = train(state, given, shared(window), seconds)
        step = int(window.stop)
        last = step == plan.steps
        if step % plan.evaluate_every == 0 or last:
            if plan.validation:
                means = evaluate(plan.validation, (state.method, state.taken), lanes)
            _report(
                group, step, mapping.collect((state.info_sum, state.info_count)), means, outlets
            )
            state = settle(state, mapping.place(means), nothing)
        frozen = np.sum(mapping.collect(state.frozen_step) != population.TRAINING)
        move(step, f"{frozen} frozen" if frozen else "")
        stop = outlets.interrupted()
        if saver:
            due = time.monotonic() - saved_at >= plan.checkpoint_seconds
            free = not saver.busy() or plan.checkpoint_seconds == 0
            if last or stop or (due and free):
                saved_at = time.monotonic()
                saver.save(step, mapping.collect(state), record)
        if stop:
            raise SystemExit(stop)

    best = plan.select == "best"
    seen = (state.best, state.best_step) if best else (state.method, state.taken)
    known = plan.test is plan.validation and means and not best
    final = means if known else evaluate(plan.test, seen, lanes)
    if plan.summarize:
        summary = summarizer(method, mapping, plan.schedules, plan.test, plan.summarize)
        final = final | summary(seen, lanes)
    host = mapping.collect(state)
    return Trained(
        method=method,
        index=group.index,
        hparams=group.hparams,
        schedules=plan.schedules,
        state=host.method,
        taken=host.taken,
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


def _together(
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


def _fetch(plan: Plan) -> Callable:
    make = streaming.streamed_fetch if plan.stream else streaming.resident_fetch
    return make(plan.dataset, plan.batch_size)


def _folder(index: np.ndarray) -> str:
    """Names a set of lanes."""
    return f"lanes-{index[0]:04d}-{index[-1]:04d}-{checkpoint.digest([index])[:8]}"


def _start_digests(group: Group) -> list[str] | None:
    """For each lane, a name of what it began with."""
    if group.start is None:
        return None
    leaves = jax.tree.leaves(group.start)
    return [
        checkpoint.digest([np.asarray(leaf[i]) for leaf in leaves])[:16]
        for i in range(len(group.index))
    ]


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


def _restore(plan: Plan, group: Group, checkpoints: Path | None) -> list[checkpoint.Found]:
    """Where lanes go on from: all from the beginning where there are no checkpoints."""
    if checkpoints is None:
        return [checkpoint.Found(0, np.arange(len(group.index)), None)]
    rows = None
    if plan.stream:
        shape = (len(group.index), 1, plan.batch_size)
        rows = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((*shape, *leaf.shape[1:]), leaf.dtype),
            plan.dataset.arrays,
        )
    shared = (Window(*np.zeros((4,), int)), None if plan.stream else plan.dataset.arrays)
    init = population.init_lane(group.method, _fetch(plan), plan.schedules, plan.keep_best)
    like = jax.eval_shape(
        jax.vmap(init, in_axes=(None, 0, None)),
        None,
        Lane(group.seed, dict(group.hparams), rows, group.start),
        shared,
    )
    lanes = group.index.tolist()
    own = checkpoints / _folder(group.index)
    starts = _start_digests(group)
    same = {} if starts is None else {"start": starts}
    return checkpoint.restore(checkpoints, own, lanes, like, **same)


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
        "+".join(name for name, broke in zip(names, by, strict=True) if broke) or None
        for by in host.frozen_by
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
