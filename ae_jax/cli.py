"""The command line of an experiment: a frozen dataclass, its presets and clean errors."""

import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ae_jax.core import InputError


@dataclasses.dataclass(frozen=True)
class Execution:
    """How a run is carried out. Nothing here is part of what the run is."""

    out: Path | None = None
    """Run directory; by default one under runs/ that belongs to this configuration."""
    devices: int | None = None
    """How many devices to use; by default all, on a CPU one for each core."""
    distributed: str | None = None
    """With several processes: auto (on a cluster that JAX knows) or HOST:PORT/COUNT/INDEX."""
    loggers: tuple[str, ...] = ()
    """Where else to report: tensorboard, wandb."""


Config = TypeVar("Config", bound=Execution)


def main(
    experiment: Callable[[Config], None],
    presets: Mapping[str, Config],
    argv: Sequence[str] | None = None,
) -> None:
    """Runs an experiment from the command line.

    `--preset NAME` picks the values that the other options start from. Input that cannot
    be used ends the program with status 2 and one line.

    Args:
      experiment: takes the configuration.
      presets: configurations by name, `default` among them.
      argv: the arguments; the program's where None.
    """
    try:
        experiment(parse(presets, sys.argv[1:] if argv is None else argv, experiment.__doc__))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def parse(
    presets: Mapping[str, Config], argv: Sequence[str], description: str | None = None
) -> Config:
    """Returns the configuration that the arguments describe.

    Raises:
      InputError: for an unknown preset, option or value.
    """
    import tyro

    argv = [part for text in argv for part in _split_preset(text)]
    name = "default"
    while "--preset" in argv:
        at = argv.index("--preset")
        if at + 1 == len(argv):
            raise InputError(f"--preset needs a name: one of {', '.join(presets)}")
        name = argv[at + 1]
        argv = argv[:at] + argv[at + 2 :]
    if name not in presets:
        raise InputError(f"unknown preset {name}: one of {', '.join(presets)}")
    start = presets[name]
    text = f"{description or ''}\n\n--preset NAME starts from other values: {', '.join(presets)}."
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(type(start), default=start, args=argv, description=text)
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise InputError(f"{_first_paragraph(said.getvalue())} (see --help)") from None


def _first_paragraph(box: str) -> str:
    """What tyro says first, of a message that it draws a box around."""
    lines = [line.strip("│ ") for line in box.splitlines() if line.startswith("│")]
    return " ".join(itertools.takewhile(lambda line: line.strip("─"), lines)).rstrip(".")


def _split_preset(text: str) -> list[str]:
    return text.split("=", 1) if text.startswith("--preset=") else [text]


def identity(config: Execution) -> dict[str, Any]:
    """Returns what makes a run this run: the configuration without its execution."""
    execution = {field.name for field in dataclasses.fields(Execution)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(config).items()
        if name not in execution
    }


def directory(config: Execution, experiment: str) -> Path:
    """Returns where a run writes: `--out`, or runs/EXPERIMENT-DIGEST of its identity."""
    if config.out is not None:
        return config.out
    text = json.dumps(identity(config), sort_keys=True)
    return Path("runs") / f"{experiment}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
