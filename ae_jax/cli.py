"""The command line of an experiment: a frozen dataclass, its presets and clean errors."""

import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import math
import os
import stat
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax

from ae_jax import training
from ae_jax.core import InputError

CACHE_BYTES = 2**30  # of compiled programs, before a run adds its own; a program is about 0.5 MB


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
    compilation_cache: bool = True
    """Whether compiled programs are kept for later runs, in the user's cache directory."""


Config = TypeVar("Config", bound=Execution)


def main(
    experiment: Callable[[Config], None],
    presets: Mapping[str, Config],
    argv: Sequence[str] | None = None,
) -> None:
    """Runs an experiment from the command line.

    `--preset NAME` picks the values that the other options start from. What is wrong is said in
    one line on stderr, with the traceback before it where AE_JAX_TRACEBACK is set. The status is
    2 for input that cannot be used, 130 for Ctrl-C, and 1 where the machine does not go along: a
    full disk, a missing permission, too little memory, a closed pipe. Any other error is the
    program's and shows its traceback.

    Args:
      experiment: takes the configuration.
      presets: configurations by name, `default` among them.
      argv: the arguments; the program's where None.
    """
    _open_console()
    try:
        try:
            config = parse(presets, sys.argv[1:] if argv is None else argv, experiment.__doc__)
            _keep_compiled(config.compilation_cache)
            # Whatever an experiment looks at first, such as its data, may settle JAX's devices.
            training.use_devices(config.devices, config.distributed)
            experiment(config)
        except SystemExit:  # of --help, or of a run that has saved
            sys.stdout.flush()
            raise
        sys.stdout.flush()  # here a closed pipe is an error like others, later it is not
    except BaseException as error:
        found = _verdict(error)
        if found is None:
            raise
        if os.environ.get("AE_JAX_TRACEBACK"):
            traceback.print_exc()
        status, text = found
        with contextlib.suppress(OSError):  # nobody reads stderr either
            print(" ".join(text.split()), file=sys.stderr, flush=True)
        _close_broken_pipes()
        raise SystemExit(status) from None


def _keep_compiled(wanted: bool) -> None:
    """Has JAX keep what it compiles, where JAX_COMPILATION_CACHE_DIR says or the user's caches are.

    A cache that cannot be written is done without. JAX's own bound on its size needs a package
    more and a lock around every reading, and fails for good where a process was killed between
    two files; so it is bounded here, once for each run.
    """
    if not wanted:
        jax.config.update("jax_enable_compilation_cache", False)
    elif not jax.config.jax_compilation_cache_dir:
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: there is no home
            given = Path(os.environ.get("XDG_CACHE_HOME", ""))
            caches = given if given.is_absolute() else Path.home() / ".cache"
            path = caches / "ae_jax" / "compiled"
            path.mkdir(0o700, parents=True, exist_ok=True)  # what is read from it is executed
            _shrink(path, CACHE_BYTES)
            if os.access(path, os.W_OK):
                jax.config.update("jax_compilation_cache_dir", str(path))


def _shrink(folder: Path, limit: int) -> None:
    """Deletes the files used least recently until those that are left have `limit` bytes."""
    files = []
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # another process deleted it
            found = path.stat()
            if stat.S_ISREG(found.st_mode):
                files.append((max(found.st_atime, found.st_mtime), found.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= limit:
            break
        path.unlink(missing_ok=True)
        total -= size


def _verdict(error: BaseException) -> tuple[int, str] | None:
    """The exit status and the line for what is not the program's fault; else None."""
    again = "put that right and repeat the command, which goes on from the last checkpoint"
    smaller = "use a smaller batch, a smaller model or fewer lanes"
    if isinstance(error, InputError):
        return 2, f"error: {error}"
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted: the same command goes on from the last checkpoint"
    if isinstance(error, MemoryError):
        return 1, f"error: there is not enough memory ({error or 'on the host'}): {smaller}"
    if str(error).startswith("RESOURCE_EXHAUSTED"):  # XLA's, a RuntimeError
        return 1, f"error: there is not enough memory ({str(error).splitlines()[0]}): {smaller}"
    if isinstance(error, BrokenPipeError):
        return 1, "error: what reads the output has closed it"
    if isinstance(error, OSError):
        reason = f"{error.strerror}" if error.strerror else str(error)
        where = "" if error.filename is None else f"{error.filename}: "
        return 1, f"error: {where}{reason}: {again}"
    return None


def _open_console() -> None:
    """Makes stdout and stderr take any text: a console shows a ? for what it cannot."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell, as by 2>&-
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _close_broken_pipes() -> None:
    """Sends what is still to be written to a closed pipe nowhere; Python would fail at its exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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
    text = (
        f"{description or ''}\n\n--preset NAME starts from other values: {', '.join(presets)}. "
        "With AE_JAX_TRACEBACK=1 in the environment errors show where they come from."
    )
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            config = tyro.cli(type(start), default=start, args=argv, description=text)
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise InputError(f"{_first_paragraph(said.getvalue())} (see --help)") from None
    for name, value in vars(config).items():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, float) and not math.isfinite(one):
                raise InputError(f"{name} must be a finite number, got {one}")
            if isinstance(one, int) and abs(one) >= 2**31:
                raise InputError(f"{name} must be below 2^31, got {one}")
    return config


def _first_paragraph(box: str) -> str:
    """What tyro says first: of a box with a title, in the characters that the console has."""
    lines = (line.strip("│╭╮ ") for line in box.splitlines())
    for line in lines:
        if line.endswith(("───", "---")):  # below the title
            break
    said = " ".join(itertools.takewhile(lambda line: line.strip("─-"), lines))
    return (said or " ".join(box.split())).rstrip(".")


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
