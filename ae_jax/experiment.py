"""What experiments share: options, splits, the sweep, and the page that reports it."""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ae_jax import cli, data, plots, training
from ae_jax.checks import at_least, classes, same_kind, trace_stack
from ae_jax.core import Array, Batch, Dataset, InputError, Method
from ae_jax.recipes import greedy
from ae_jax.training import Model, model


@dataclasses.dataclass(frozen=True)
class Config(cli.Execution):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "digits"
    """A data set that ae_jax.data knows, npz:FILE or images:FOLDER."""
    value_range: tuple[float, float] | None = None
    """The values of images that stand for 0 and 1, if not what their type says."""
    learning_rate: tuple[float, ...] = (1e-3,)
    seeds: int = 3
    """Trains each configuration with seeds 0, 1, ..."""
    steps: int = 3000
    batch_size: int = 64


class Splits(NamedTuple):
    """A data set's parts."""

    train: Dataset
    validation: Dataset
    test: Dataset

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.train.spec["image"].shape


class Sweep(NamedTuple):
    """A trained sweep and where it was written."""

    result: training.Result
    out: Path


def load(
    config: Config,
    held_out: int = 10_000,
    whole: bool = False,
    kinds: Sequence[str] = ("image",),
) -> Splits:
    """Loads a configuration's data set.

    Args:
      config: names it.
      held_out: the most validation examples to keep.
      whole: every split is all of the data: an enumerated distribution of zeros and ones.
      kinds: what the examples must have one of.

    Raises:
      InputError: if it cannot be used, or there is nothing to train.
    """
    at_least(config, 1, "seeds", "steps", "batch_size")
    names = ("all",) * 3 if whole else ("train", "validation", "test")
    loaded = {
        name: data.load(config.dataset, name, value_range=config.value_range)
        for name in dict.fromkeys(names)
    }
    train, validation, test = (loaded[name] for name in names)
    same_kind(config.dataset, (train, validation, test), kinds)
    if whole:
        if not np.isin(images(train), (0, 1)).all():
            raise InputError(
                f"an exact likelihood needs images of zeros and ones: {config.dataset}"
            )
        return Splits(train, train, train)
    return Splits(train, data.subset(validation, slice(0, held_out)), test)


def sweep(
    config: Config,
    name: str,
    method: Method | Callable[..., Method],
    splits: Splits,
    values: Mapping[str, Any],
    *,
    part: str | None = None,
    **options: Any,
) -> Sweep:
    """Trains the product of some values and the configuration's learning rates and seeds.

    Args:
      config: of the experiment.
      name: the experiment's, which names the default directory.
      method: as for `training.run`.
      splits: what to train, validate and test on.
      values: hyperparameters by name, one value or several.
      part: a directory below the run's, where an experiment trains more than once.
      options: further ones for `training.run`.

    Raises:
      InputError: as `training.run`.
      SystemExit: with the lanes that are missing, where a process died.
    """
    lanes = grid(config, values)
    options = run_options(config, splits) | options
    steps = options.pop("steps", config.steps)
    out = cli.directory(config, name)
    result = training.run(
        method, splits.train, lanes, steps, out / part if part else out, **options
    )
    complete(result)
    return Sweep(result, out)


def pretrain(
    config: Config,
    name: str,
    layers: Sequence[greedy.Layer],
    splits: Splits,
    values: Mapping[str, Any],
    steps: int,
    *,
    part: str = "layers",
) -> greedy.Stack:
    """Trains layers greedily; the arguments are those of `sweep`, whose start they give.

    Args:
      config: of the experiment.
      name: the experiment's.
      layers: from the data upwards.
      splits: what to train, validate and test on.
      values: hyperparameters of the layers by name, one value or several.
      steps: for each layer.
      part: a directory below the run's.

    Raises:
      InputError: as `training.run`.
      SystemExit: as `sweep`.
    """
    lanes = grid(config, values)
    trace_stack(layers, splits.image_shape)
    options = run_options(config, splits)
    stack = greedy.train(
        layers,
        splits.train,
        lanes,
        steps,
        cli.directory(config, name) / part,
        schedules=[training.warmup_cosine(steps)],
        **options,
    )
    for result in stack.results:
        complete(result)
    return stack


def complete(result: training.Result) -> None:
    """Ends the program where lanes are missing, whose processes died.

    Raises:
      SystemExit: with status 1 and a line that names them.
    """
    if result.missing:
        sys.exit(
            f"lanes {', '.join(map(str, result.missing))} are missing, since their processes "
            "ended: repeat the command, which trains what is left"
        )


def grid(config: Config, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the lanes of some values and the configuration's learning rates and seeds.

    Raises:
      InputError: as `training.grid`.
    """
    return training.grid(
        **{"learning_rate": config.learning_rate, **values, "seed": range(config.seeds)}
    )


def run_options(config: Config, splits: Splits) -> dict[str, Any]:
    """Returns what a configuration and its data say of how `training.run` runs.

    Makes the devices ready that the configuration asks for.

    Raises:
      InputError: as `training.use_devices`.
    """
    return {
        "batch_size": config.batch_size,
        "validation": splits.validation,
        "test": splits.test,
        "config": cli.identity(config),
        "devices": training.use_devices(config.devices, config.distributed),
        "loggers": config.loggers,
        "progress": True,
    }


def firsts(result: training.Result, name: str) -> dict[Any, Model]:
    """Returns, for each value of a hyperparameter in ascending order, its first sound lane."""
    rows = [row for row in own_rows(result) if row["status"] == "ok"]
    chosen = {row[name]: row for row in reversed(rows)}
    return {value: model(result, chosen[value]["lane"]) for value in sorted(chosen)}


def label_orders(config: Config, splits: Splits, labels: Sequence[int]) -> tuple[np.ndarray, int]:
    """Draws the training images whose labels each seed sees.

    Args:
      config: of the experiment.
      splits: with labels.
      labels: the numbers of labels that are to be compared.

    Returns:
      Indices [seeds, the most labels], of which every stretch holds each class in its
      proportion: the first n are a seed's n labelled images. And the number of classes.

    Raises:
      InputError: as `classes`, or if there are not that many.
    """
    count = classes(config.dataset, splits)
    label = np.asarray(first_batch(splits.train, splits.train.size)["label"])
    low, high = min(labels, default=0), max(labels, default=0)
    if low < count or high > len(label):
        raise InputError(
            f"labels must be from {count}, the number of classes, to {len(label)}, the number "
            f"of training images; got {low} to {high}"
        )
    return data.labelled(label, high, config.seeds), count


def swept(config: Config, *names: str) -> list[str]:
    """Returns those of a configuration's options that have several values."""
    return [name for name in names if len(getattr(config, name)) > 1]


def named(first: str, row: Mapping[str, Any], names: Sequence[str]) -> str:
    """Returns what names a curve: a word and the row's settings, but for those it has not."""
    own = [name for name in names if row[name] is not None]
    return ", ".join([first, *(f"{name.replace('_', ' ')} {row[name]:g}" for name in own)])


def best_settings(
    rows: Sequence[Mapping[str, Any]], by: Sequence[str], among: Sequence[str], value: str
) -> list[Mapping[str, Any]]:
    """Returns the sound rows of the settings with the highest means over seeds.

    Args:
      rows: one per lane.
      by: the columns that make up a setting.
      among: those of them for each combination of which a setting is chosen.
      value: what is averaged; a setting of which it is not finite is chosen last.
    """
    sound = [row for row in rows if row["status"] == "ok" and value in row]
    settings = plots.aggregate(sound, by, [value])
    settings.sort(key=lambda setting: np.nan_to_num(setting[value].mean, nan=-np.inf))
    best = {tuple(setting[name] for name in among): setting for setting in settings}
    return [
        row
        for row in sound
        if all(row[name] == best[tuple(row[name] for name in among)][name] for name in by)
    ]


def own_rows(result: training.Result) -> list[dict[str, Any]]:
    """Returns the rows of the lanes that this process trained."""
    own = training.own_lanes(result)
    return [row for row in result.rows if row["lane"] in own]


def described(
    trained: Sweep, describe: Callable[[Model], Mapping[str, Any]], best: bool = False
) -> list[dict[str, Any]]:
    """Returns the rows of a sweep with further columns, which say more about each lane.

    Every process describes its own sound lanes, at the end or with their best state, and gets
    all rows.
    """
    rows = [
        {**row, **_measured(describe, trained.result, row, best)}
        for row in own_rows(trained.result)
    ]
    return training.join_rows(trained.out, rows, "described")


def _measured(
    describe: Callable[[Model], Mapping[str, Any]],
    result: training.Result,
    row: Mapping[str, Any],
    best: bool,
) -> Mapping[str, Any]:
    """What is said of a lane: nothing where it was frozen or cannot be measured.

    The training is done: what a metric does not take may cost no more than its own columns.
    """
    if row["status"] != "ok":
        return {}
    try:
        return describe(model(result, row["lane"], best))
    except InputError as error:
        print(f"lane {row['lane']} is not described: {error}", file=sys.stderr)
        return {}


def first_batch(dataset: Dataset, count: int) -> Batch:
    """Returns a data set's first examples, at most all."""
    return dataset.fetch(dataset.arrays, np.arange(min(count, dataset.size)))


def vectors(batch: Batch) -> Array:
    """Returns a batch's images as [B, V]."""
    return batch["image"].reshape(len(batch["image"]), -1)


def images(dataset: Dataset) -> np.ndarray:
    """Returns all images of a data set, [N, H, W, C]."""
    return np.asarray(first_batch(dataset, dataset.size)["image"])


def records(out: Path) -> list[dict[str, Any]]:
    """Returns the rows of a run's metrics, of all processes."""
    paths = sorted(out.glob("metrics*.jsonl"))
    return [record for path in paths for record in plots.read_records(path)]


def report(
    config: Config,
    out: Path,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    by: Sequence[str],
    values: Sequence[str],
    figures: Callable[[], Mapping[str, Any]],
    result: training.Result | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Prints the table over seeds, writes `results.csv`, the figures and the page, and says where.

    Args:
      config: of the experiment.
      out: the run's directory.
      title: of the page.
      rows: one per lane.
      by: the columns that the table has a row for each combination of.
      values: the columns that are averaged over seeds; those that no row has are left out.
      figures: draws them, by caption; called in the first process alone. What they raise as
        InputError, such as that no lane has anything to draw, is said in place of them.
      result: the training that the note about speed is of.
      notes: further lines, printed and put on the page.
    """
    if jax.process_index() != 0:
        return
    found = [name for name in values if any(name in row for row in rows)]
    summary = plots.aggregate(rows, by, found)
    notes = list(notes)
    if result is not None and result.compilations:
        notes.append(
            f"{len(result.rows)} lanes trained by {result.compilations} compiled program(s): "
            f"{result.compile_seconds:.1f} s to compile, "
            f"{result.lane_steps_per_second:,.0f} lane-steps per second."
        )
    said = [plots.console_table(summary)]
    for row in rows:
        if row.get("status") == "frozen":
            settings = ", ".join(f"{name}={row[name]}" for name in (*by, "seed"))
            said.append(
                f"lane {row['lane']} ({settings}) was frozen at step {row['frozen_step']}: "
                f"{row['frozen_by']} was not finite"
            )
    written = []
    try:
        training.write_rows(out, rows)
        drawn: Mapping[str, Any] = {}
        try:
            drawn = figures()
        except InputError as error:
            notes.append(f"There are no figures: {error}.")
        path = plots.write_report(
            out,
            title,
            cli.identity(config),
            rows,
            summary,
            drawn,
            notes=notes,
            versions={"jax": jax.__version__},
            device=f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}",
        )
        written = [f"report: {path}"]
    finally:  # a full disk does not keep the numbers back
        print(*said, *notes, *written, sep="\n", flush=True)
