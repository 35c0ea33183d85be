"""Carrying out what a configuration describes: a sweep, a stack of layers, or no training."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ae_jax import cli, training
from ae_jax.core import Method
from ae_jax.experiment.checks import trace_stack
from ae_jax.experiment.config import Config
from ae_jax.experiment.config import lanes as lanes_of
from ae_jax.experiment.splits import Splits
from ae_jax.recipes import greedy
from ae_jax.training import directory as run_directory
from ae_jax.training.lanes import grouped


class Sweep(NamedTuple):
    """A trained sweep and where it was written."""

    result: training.Result
    out: Path


def check(
    method: Method | Callable[..., Method],
    lanes: Sequence[Mapping[str, Any]],
    schedules: Sequence[training.Schedule] = (),
    splits: Splits | None = None,
    batch_size: int = 64,
) -> None:
    """Refuses now what `training.run` would refuse of a later phase's lanes, after hours perhaps.

    Args:
      method: as for `training.run`.
      lanes: likewise.
      schedules: likewise.
      splits: the data, where the lanes see them as they are: the method is tried on their shapes.
      batch_size: as for `training.run`, where there are data.

    Raises:
      InputError: as `training.run`, for a value that its hyperparameter may not have, say.
    """
    if splits is None:
        grouped(method, lanes, schedules)
        return
    train, validation, test = splits
    options = {"batch_size": batch_size, "validation": validation, "test": test}
    training.run(method, train, lanes, 1, schedules=schedules, dry=True, **options)


def sweep(
    config: Config,
    name: str,
    method: Method | Callable[..., Method],
    splits: Splits,
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    part: str | None = None,
    **options: Any,
) -> Sweep:
    """Trains some values with the configuration's learning rates and seeds.

    Args:
      config: of the experiment.
      name: the experiment's, which names the default directory.
      method: as for `training.run`.
      splits: what to train, validate and test on.
      values: hyperparameters by name, one value or several, of which the product is trained; or
        several settings, as for `lanes`.
      part: a directory below the run's, where an experiment trains more than once.
      options: further ones for `training.run`.

    Raises:
      InputError: as `training.run`.
      SystemExit: with the lanes that are missing, where a process died.
    """
    lanes = lanes_of(config, values)
    options = run_options(config, splits) | {"experiment": name} | options
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
    lanes = lanes_of(config, values)
    for layer in layers:
        check(layer.method, lanes)
    trace_stack(layers, splits.image_shape)
    options = run_options(config, splits)
    stack = greedy.train(
        layers,
        splits.train,
        lanes,
        steps,
        cli.directory(config, name) / part,
        schedules=[training.warmup_cosine(steps)],
        experiment=name,
        **options,
    )
    for result in stack.results:
        complete(result)
    return stack


@contextlib.contextmanager
def claimed(config: cli.Execution, name: str) -> Iterator[Path]:
    """Claims the run directory of an experiment that trains nothing, as `training.run` claims one.

    Args:
      config: of the experiment.
      name: the experiment's, which names the default directory.

    Yields:
      The directory, for `report`.

    Raises:
      InputError: if it holds another configuration or other files, is in use, or cannot be
        written.
    """
    out = cli.directory(config, name)
    identity = {"experiment": name, "config": cli.identity(config), "run": None}
    with run_directory.opened(out, identity):
        yield out


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
