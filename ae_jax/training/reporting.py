"""Where a run's numbers go while it trains: the terminal, TensorBoard, Weights & Biases."""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ae_jax.core import InputError

#: Takes records such as {"step": 100, "split": "train", "lane": 0, "loss": 1.5}.
Logger = Callable[[Sequence[Mapping[str, Any]]], None]

_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


def check_loggers(names: Sequence[str], directory: Path | None) -> None:
    """Raises InputError for an unknown logger or one that is not installed."""
    for name in names:
        if name not in _PACKAGES:
            raise InputError(f"unknown logger {name}: known are {', '.join(_PACKAGES)}")
        if importlib.util.find_spec(_PACKAGES[name]) is None:
            raise InputError(f"{name} is not installed: pip install 'ae-jax[{name}]'")
        if directory is None:
            raise InputError(f"{name} needs a run directory: give one")


@contextlib.contextmanager
def loggers(
    names: Sequence[str], directory: Path | None, config: Mapping[str, Any]
) -> Iterator[list[Logger]]:
    """Opens the loggers that were asked for."""
    with contextlib.ExitStack() as stack:
        openers = {"tensorboard": _tensorboard, "wandb": _wandb}
        yield [stack.enter_context(openers[name](directory, config)) for name in names]


@contextlib.contextmanager
def _tensorboard(directory: Path, config: Mapping[str, Any]) -> Iterator[Logger]:
    from tensorboardX import SummaryWriter

    writers: dict[int, SummaryWriter] = {}

    def log(records):
        for record in records:
            lane = record["lane"]
            if lane not in writers:
                writers[lane] = SummaryWriter(str(directory / "tensorboard" / f"lane-{lane:04d}"))
            for name, value in _values(record).items():
                writers[lane].add_scalar(f"{record['split']}/{name}", value, record["step"])

    try:
        yield log
    finally:
        for writer in writers.values():
            writer.close()


@contextlib.contextmanager
def _wandb(directory: Path, config: Mapping[str, Any]) -> Iterator[Logger]:
    import wandb

    run = wandb.init(project="ae_jax", dir=str(directory), config=dict(config))

    def log(records):
        for step in sorted({record["step"] for record in records}):
            values = {
                f"{record['split']}/{name}/lane-{record['lane']:04d}": value
                for record in records
                if record["step"] == step
                for name, value in _values(record).items()
            }
            run.log(values, step=step)

    try:
        yield log
    finally:
        run.finish()


def _values(record: Mapping[str, Any]) -> dict[str, float]:
    return {name: record[name] for name in record if name not in ("step", "split", "lane")}


@contextlib.contextmanager
def progress_bar(lanes: int, total: int, enabled: bool) -> Iterator[Callable[[int, str], None]]:
    """Shows lane-steps per second and the time left.

    Yields:
      A function (steps done, note) that moves the bar.
    """
    if not enabled:
        yield lambda done, note: None
        return
    from tqdm import tqdm

    figures = "{n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
    with tqdm(
        total=lanes * total,
        desc=f"{lanes} lane{'s' * (lanes > 1)}",
        unit=" lane-steps",
        unit_scale=True,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| " + figures,
    ) as bar:

        def move(done: int, note: str) -> None:
            if bar.n == 0 and done:  # resumed: what was done before is no speed
                bar.initial = bar.n = lanes * done
            bar.set_postfix_str(note, refresh=False)
            bar.update(lanes * done - bar.n)

        yield move
