"""The command line of an experiment: a frozen dataclass, its presets and clean errors."""

import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import os
import stat
import sys
import traceback
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import jax

from ae_jax import training
from ae_jax.core import COUNT, REAL, Domain, InputError

CACHE_BYTES = 2**30  # of compiled programs, before a run adds its own; a program is about 0.5 MB

#: Types of options that say which values make sense: how many, where there must be one, and
#: where none will do.
Count = Annotated[int, COUNT]
Whole = Annotated[int, Domain(low=0, whole=True)]
#: The type of an option whose values are trained side by side: one or more, each once.
SWEPT = "swept"
Value = TypeVar("Value")
Swept = Annotated[tuple[Value, ...], SWEPT]
#: The type of an option that lists one or more values, which are no lanes.
SEVERAL = "several"
Several = Annotated[tuple[Value, ...], SEVERAL]


@dataclasses.dataclass(frozen=True)
class Execution:
    """How a run is carried out. Nothing here is part of what the run is."""

    out: Path | None = None
    """Run directory; by default one under runs/ that belongs to this configuration."""
    devices: Count | None = None
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
    description: str | None = None,
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
      description: what --help opens with; the experiment's docstring where None.
    """
    _open_console()
    try:
        try:
            given = sys.argv[1:] if argv is None else argv
            config = parse(presets, given, description or experiment.__doc__)
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
    jax.config.update("jax_enable_compilation_cache", wanted)
    if wanted and not jax.config.jax_compilation_cache_dir:
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
        with contextlib.suppress(OSError):  # one that cannot be deleted keeps no other
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
            given = tyro.cli(_explained(type(start)), default=start, args=argv, description=text)
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise InputError(f"{_first_paragraph(said.getvalue())} (see --help)") from None
    config = type(start)(**vars(given))
    check(config)
    return config


def check(config: Execution) -> None:
    """Raises InputError where an option has a value that makes no sense whatever the others are.

    A number is of the domain that its type is annotated with, as in `tuple[Count, ...]`, or
    finite; what is `Swept` has a value, and none twice; what is `Several` has one.
    """
    for name, notes in _annotations(type(config)).items():
        option, value = _option(name), getattr(config, name)
        several = value if isinstance(value, tuple) else (value,)
        if SWEPT in notes and not several:
            raise InputError(f"{option} has no value to sweep: give at least one")
        if SEVERAL in notes and not several:
            raise InputError(f"{option} has no value: give at least one")
        if SWEPT in notes and len(set(several)) < len(several):
            raise InputError(f"{option} has a value twice: give each once")
        domain = next((note for note in notes if isinstance(note, Domain)), REAL)
        for one in several:
            if isinstance(one, int) and abs(one) >= 2**31:
                raise InputError(f"{option} is {one}: use less than 2^31")
            if isinstance(one, (int, float)) and one not in domain:
                raise InputError(f"{option} is {one}: use {domain}")


def swept(config: Execution) -> dict[str, tuple]:
    """Returns the values of those options that are `Swept`, in their order."""
    kinds = _annotations(type(config))
    return {name: getattr(config, name) for name, notes in kinds.items() if SWEPT in notes}


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _annotations(kind: type[Execution]) -> dict[str, list[Any]]:
    """What the types of options are annotated with, on the outside or within."""

    def notes(hint: Any) -> list[Any]:
        own = list(getattr(hint, "__metadata__", ()))
        return own + [note for part in typing.get_args(hint) for note in notes(part)]

    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: notes(hints[field.name]) for field in dataclasses.fields(kind)}


def _explained(kind: type[Execution]) -> type[Execution]:
    """The same options, with their domains in the help."""
    import tyro

    hints = typing.get_type_hints(kind, include_extras=True)
    said = {}
    for name, notes in _annotations(kind).items():
        words = "; ".join(str(note) for note in notes if isinstance(note, str | Domain))
        if words:
            hint = tyro.conf.arg(help_behavior_hint=f"(default: {{}}; {words})".format)
            said[name] = Annotated[hints[name], hint]
    return type(kind.__name__, (kind,), {"__annotations__": said, "__module__": kind.__module__})


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
