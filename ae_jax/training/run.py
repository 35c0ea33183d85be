"""A run: a sweep trained, evaluated and written to a directory that it can resume from."""

import contextlib
import functools
import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from ae_jax.core import (
    Array,
    Dataset,
    HParams,
    InputError,
    Method,
    State,
    check_ranges,
    require_kind,
)
from ae_jax.training import directory as run_directory
from ae_jax.training import manifest, processes, reporting, results
from ae_jax.training.devices import Backend, device_map
from ae_jax.training.engine import train_group
from ae_jax.training.interruption import signals
from ae_jax.training.lanes import Setting, grouped, take, with_start
from ae_jax.training.plan import PLACES, Outlets, Plan, Trained, check, check_scheduled
from ae_jax.training.results import COLUMNS, Result
from ae_jax.training.resuming import elsewhere
from ae_jax.training.schedules import Schedule
from ae_jax.training.streaming import needs_streaming

#: (method, key, state, dataset, hparams) -> scalars by name, about a trained lane.
Summarize = Callable[[Method, Array, State, Dataset, HParams], Mapping[str, Array]]


def run(
    method: Method | Callable[..., Method],
    dataset: Dataset,
    lanes: Sequence[Setting],
    steps: int,
    directory: str | Path | None = None,
    *,
    batch_size: int = 64,
    validation: Dataset | None = None,
    test: Dataset | None = None,
    evaluate_every: int | None = None,
    schedules: Sequence[Schedule] = (),
    summarize: Summarize | None = None,
    monitor: str = "loss",
    select: Literal["last", "best"] = "last",
    keep_best: bool | None = None,
    start: Sequence[Any] | None = None,
    everywhere: bool = False,
    experiment: str | None = None,
    config: Mapping[str, Any] | None = None,
    checkpoint_seconds: float = 60.0,
    chunk: int = 100,
    stream: bool | None = None,
    devices: Sequence[jax.Device] | None = None,
    backend: Backend = "pmap",
    progress: bool = False,
    loggers: Sequence[str] = (),
    dry: bool = False,
) -> Result:
    """Trains every lane of a sweep, those with equal static values in one compiled program.

    With a directory, the same call goes on where an earlier one was interrupted, bit for
    bit, also with other devices or another number of processes (then within rounding, where
    lanes that share a program are not those that did). SIGTERM saves a checkpoint and exits
    with status 143, Ctrl-C with 130; pressed once more it leaves at once.

    Args:
      method: a method; or, to sweep static values too, a function of those values that
        returns one.
      dataset: what is trained on, in epochs without replacement.
      lanes: from `grid`; values of the method's hyperparameters, the schedules', the
        static ones, and `seed`.
      steps: for each lane.
      directory: where to write; None writes nothing.
      batch_size: examples per step.
      validation: evaluated during training, with hyperparameters as schedules have them then;
        its lowest `monitor` selects the best state.
      test: evaluated at the end; the validation or else the training data where None.
      evaluate_every: steps between reports and validations; a twentieth of `steps` where
        None.
      schedules: changes of hyperparameters over steps.
      summarize: further figures about a lane from the whole test set (at most 10,000
        examples of it), compiled and mapped over lanes like everything else.
      monitor: the evaluation that selects the best state, lower being better; no best
        state is kept where the method does not report it.
      select: which state the final evaluation uses.
      keep_best: whether to keep the best state; where None, if it is selected.
      start: for each lane, a pytree of arrays from an earlier run, given to the method's
        `init` as a fourth argument: parameters to go on from, or those of earlier stages.
        None in the place of lanes that another process trains.
      everywhere: whether every process gets the states of all lanes; needs a directory.
      experiment: names what the run is of, in `config.json`.
      config: what else makes this run this run, for `config.json`.
      checkpoint_seconds: the least time between two checkpoints, which are written beside the
        training; at 0 there is one after every chunk, and training waits for it.
      chunk: at most how many steps one call of the compiled program takes.
      stream: gather batches on the host, ahead of the device; where None, only if the
        data would take more than half of a device's memory.
      devices: this process's devices; all of them where None.
      backend: how lanes are mapped over devices.
      progress: whether to show a progress bar.
      loggers: `tensorboard`, `wandb`.
      dry: whether to refuse what cannot be used, and to end there.

    Returns:
      The rows of `results.csv` and the trained states; neither of a dry run.

    Raises:
      InputError: before anything is written or trained, if an argument cannot be used.
      OSError: if a checkpoint cannot be read or written; none is lost.
    """
    directory = None if directory is None else Path(directory)
    devices = jax.local_devices() if devices is None else list(devices)
    _check(dataset, validation, test, steps, batch_size, evaluate_every, chunk, backend)
    reporting.check_loggers(loggers, directory)
    groups = grouped(method, lanes, schedules)
    mine = slice(jax.process_index(), None, jax.process_count())
    share = [group for group in (take(group, mine) for group in groups) if len(group.index)]
    share = with_start(share, start, len(lanes))
    if select not in ("last", "best"):
        raise InputError(f"select must be last or best, got {select!r}")
    keep_best = bool(keep_best) or select == "best"
    if everywhere and directory is None and jax.process_count() > 1:
        raise InputError("states of other processes' lanes are read from a directory: give one")
    if keep_best and validation is None:
        raise InputError("a best state needs a validation set to select it on")

    stored = bool(jax.tree.leaves(dataset.arrays))  # what is rendered needs no streaming
    plan = Plan(
        dataset=dataset,
        validation=validation,
        test=test or validation or dataset,
        steps=steps,
        batch_size=batch_size,
        evaluate_every=evaluate_every or -(-steps // 20),
        schedules=tuple(schedules),
        summarize=summarize,
        monitor=monitor,
        select=select,
        keep_best=keep_best,
        checkpoint_seconds=checkpoint_seconds,
        chunk=chunk,
        stream=needs_streaming(dataset, devices) if stream is None else stream and stored,
    )
    splits = {"training": dataset, "validation": validation, "test": test}
    for group, (name, split) in itertools.product(groups, splits.items()):
        if split is not None:
            check_ranges(group.method.ranges, split, name)
    for group in groups if start is None else share:
        check_scheduled(plan, group)
        figures, summary = check(plan, group)
        for what, names in (("evaluation", figures), ("summary's", summary)):
            if taken := sorted(names & {*PLACES, *COLUMNS, *lanes[0]}):
                raise InputError(f"the {what} {taken[0]} has the name of another column: rename it")
        if monitor not in figures and plan.keep_best:
            raise InputError(f"a best state needs an evaluation {monitor!r}: choose a monitor")
    identity = manifest.describe(
        plan, lanes, groups, experiment, config, start is not None, directory is not None
    )
    if dry:
        if directory is not None:
            run_directory.check(directory, identity)
        return Result([], [], [], [], 0, 0.0, float("nan"))
    with contextlib.ExitStack() as stack:
        if directory is not None:
            stack.enter_context(run_directory.opened(directory, identity))
            processes.attend(directory)
        interrupted = stack.enter_context(signals(directory is not None))
        log = stack.enter_context(reporting.loggers(loggers, directory, identity))
        trained = []
        for group in share:
            outlets = Outlets(
                directory=directory,
                checkpoints=manifest.group_folder(directory, groups, group) if directory else None,
                identity=run_directory.identity(identity),
                loggers=log,
                progress=lambda lanes: reporting.progress_bar(lanes, steps, progress),
                interrupted=interrupted,
            )
            mapping = functools.partial(device_map, devices=devices, backend=backend)
            trained.append(train_group(plan, group, mapping, outlets))
            if stop := interrupted():
                raise SystemExit(stop)
        _say_unselected(trained)
        rows = results.rows_of(lanes, trained)
        if directory is not None:
            rows = results.join(directory, rows)
            results.keep(directory, lanes, rows)
            results.write(directory, rows)
        there = {row["lane"] for row in rows} - {i for group in trained for i in group.index}
        others = []
        for group in groups if everywhere and there else ():
            if len(places := np.flatnonzero(np.isin(group.index, sorted(there)))):
                folder = manifest.group_folder(directory, groups, group)
                others.append(elsewhere(plan, take(group, places), folder))
    seconds = sum(group.train_seconds for group in trained)
    done = sum(group.lane_steps for group in trained)
    return Result(
        rows=rows,
        missing=sorted(set(range(len(lanes))) - {row["lane"] for row in rows}),
        groups=trained,
        others=others,
        compilations=sum(group.compilations for group in trained),
        compile_seconds=sum(group.compile_seconds for group in trained),
        lane_steps_per_second=done / seconds if seconds else float("nan"),
    )


def _check(dataset, validation, test, steps, batch_size, evaluate_every, chunk, backend) -> None:
    splits = {"validation": validation, "test": test}
    given = {name: split for name, split in splits.items() if split is not None}
    require_kind(Dataset, 'data.load("digits")', dataset=dataset, **given)
    every = 1 if evaluate_every is None else evaluate_every
    counts = {"steps": steps, "batch_size": batch_size, "chunk": chunk, "evaluate_every": every}
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise InputError(f"{name} must be a whole number, got {value!r}")
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    if batch_size > dataset.size:
        raise InputError(
            f"batch_size {batch_size} is larger than the data set: lower it to {dataset.size}"
        )
    if batch_size * chunk + dataset.size >= 2**31:
        raise InputError(f"batch_size * chunk + examples must stay below 2^31: lower chunk {chunk}")
    if backend not in ("pmap", "shard", "vmap"):
        raise InputError(f"unknown backend {backend!r}: known are pmap, shard, vmap")
    for other in given.values():
        if dict(other.spec) != dict(dataset.spec):
            raise InputError(
                f"the data sets' examples differ: {dict(dataset.spec)} and {dict(other.spec)}"
            )


def _say_unselected(trained: Sequence[Trained]) -> None:
    """Warns of lanes whose best state is the one that they began with, as none was comparable."""
    never = [
        int(index)
        for group in trained
        if group.best is not None
        for index in group.index[(group.best_step == 0) & (group.taken > 0)]
    ]
    if never:
        warnings.warn(
            f"no validation of lane {', '.join(map(str, never))} was a finite number: what is kept "
            "as best is the state before training",
            stacklevel=3,
        )
