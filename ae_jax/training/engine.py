"""Training one group of lanes: the loop on the host around the compiled programs."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Method
from ae_jax.training import checkpoint, population, streaming
from ae_jax.training import directory as run_directory
from ae_jax.training.devices import DeviceMap
from ae_jax.training.evaluation import evaluator, summarizer
from ae_jax.training.lanes import Group, take
from ae_jax.training.plan import Outlets, Plan, Trained
from ae_jax.training.population import Lane, LaneState, Window
from ae_jax.training.resuming import (
    Kept,
    begun_with,
    fetch_of,
    folder_of,
    keeper,
    outcome,
    restore,
    start_digests,
    together,
)
from ae_jax.training.schedules import Schedule


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
    cohorts = restore(plan, group, outlets.checkpoints)
    trained = []
    for step, places, kept in cohorts:
        some = take(group, places)
        if outlets.directory:
            run_directory.rewind_metrics(outlets.directory, some.index.tolist(), step)
        with contextlib.ExitStack() as stack:
            move = stack.enter_context(outlets.progress(len(places)))
            saver = None
            if outlets.checkpoints:
                folder = outlets.checkpoints / folder_of(some.index)
                saver = stack.enter_context(checkpoint.writer(folder))
            mapping = devices(len(places))
            trained.append(_train(plan, some, mapping, outlets, move, saver, step, kept))
    return trained[0] if len(trained) == 1 else together(group, cohorts, trained)


def _train(
    plan: Plan,
    group: Group,
    mapping: DeviceMap,
    outlets: Outlets,
    move: Callable[[int, str], None],
    saver: checkpoint.Writer | None,
    step: int,
    kept: Kept | None,
) -> Trained:
    """Trains lanes that have taken the same number of steps, and evaluates them."""
    method, dataset = group.method, plan.dataset
    length = _chunk_length(plan, len(group.index))
    fetch = fetch_of(plan)
    init = population.init_lane(method, fetch, plan.schedules, plan.keep_best)
    settle = mapping.map(population.settle(method, plan.monitor), donate=True)
    evaluated = [data for data in (plan.validation, plan.test) if data is not None]
    evaluate = evaluator(method, mapping, plan.schedules, evaluated, plan.batch_size, plan.stream)
    record = {
        "identity": outlets.identity,
        "lanes": group.index.tolist(),
        "start": start_digests(group),
        "begun": begun_with(group),
    }
    keep = keeper(plan.schedules, group)

    lanes = mapping.place(Lane(group.seed, dict(group.hparams)))
    arrays = mapping.place_shared(None if plan.stream else dataset.arrays)
    nothing = mapping.place_shared(())

    def shared(window):
        return (mapping.place_shared(window), arrays)

    windows = list(_windows(plan, step, length))
    feed = _feed(plan, group, mapping, lanes, windows, length)

    state = None if kept is None else mapping.place(kept.lanes)
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
                kept = keep(mapping.collect(state))
                saver.save(step, kept, record)
        if stop:
            raise SystemExit(stop)

    best = plan.select == "best"
    seen = (state.best, state.best_step) if best else (state.method, state.taken)
    known = plan.test is plan.validation and means and not best
    final = means if known else evaluate(plan.test, seen, lanes)
    if plan.summarize:
        summary = summarizer(method, mapping, plan.schedules, plan.test, plan.summarize)
        final = final | summary(seen, lanes)
    return outcome(
        group,
        kept if saver else keep(mapping.collect(state)),
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


def _report(
    group: Group,
    step: int,
    info: tuple[Mapping[str, np.ndarray], np.ndarray],
    validation: Mapping[str, np.ndarray],
    outlets: Outlets,
) -> None:
    """Reports each lane's means since the last report, and its validation."""
    sums, count = info
    records = []
    for i, lane in enumerate(group.index.tolist()):
        if count[i]:
            train = {name: float(total[i] / count[i]) for name, total in sums.items()}
            records.append({"step": step, "split": "train", "lane": lane, **train})
        if validation:
            means = {name: float(mean[i]) for name, mean in validation.items()}
            records.append({"step": step, "split": "validation", "lane": lane, **means})
    if outlets.directory:
        run_directory.append_metrics(outlets.directory, records)
    for logger in outlets.loggers:
        logger(records)


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
