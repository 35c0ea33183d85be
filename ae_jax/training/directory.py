"""The run directory: what a run leaves behind, and what lets it go on where it stopped.

config.json     the configuration; a run with another one is refused
figures.json    the figures of the final evaluation by lane
metrics.jsonl   a line per report, lane and split; metrics.N.jsonl for process N > 0
results.csv     a row per lane
checkpoints/    by group and lanes
"""

import contextlib
import csv
import fcntl
import hashlib
import importlib.metadata
import io
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import jax

from ae_jax.core import InputError

#: A line of metrics.
Record = Mapping[str, Any]
#: A line of results.
Row = Mapping[str, Any]

#: Of what is written here; what has another one is not read.
FORMAT = 2


@contextlib.contextmanager
def opened(directory: Path, config: Mapping[str, Any]) -> Iterator[None]:
    """Claims a directory for a run: new, or left by an interrupted run of the same config.

    Warns where the run goes on with other versions of code or libraries, and where its
    `config.json` was lost and is written again.

    Raises:
      InputError: if the directory holds another configuration or other files, is in use, or
        cannot be written.
    """
    stored = check(directory, config)
    versions = _versions()
    for name, now in versions.items():
        before = (stored or {}).get("versions", {}).get(name, now)
        if before != now:
            warnings.warn(
                f"{directory} was begun with {name} {before} and goes on with {now}", stacklevel=3
            )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / f".lock.{jax.process_index()}").open("w")
    except OSError as error:
        raise InputError(
            f"{directory} cannot be made or written ({error.strerror}): choose another directory"
        ) from None
    with lock:
        others = [path for path in directory.glob(".lock.*") if _of_another_launch(path)]
        if not _locked(lock, directory) or any(_held(path) for path in others):
            raise InputError(
                f"{directory} is in use by another run: wait for it or choose another directory"
            )
        if jax.process_index() == 0 and stored is None:
            content = {"format": FORMAT, **_plain(config), "versions": versions}
            write(directory / "config.json", json.dumps(content, indent=2) + "\n")
        yield


def _of_another_launch(path: Path) -> bool:
    number = path.name.rpartition(".")[2]
    return number.isdigit() and int(number) >= jax.process_count()


def _held(path: Path) -> bool:
    with path.open("w") as lock:  # shared, so that processes that ask are not in each other's way
        return not _locked(lock, path, fcntl.LOCK_SH)


def _locked(lock: IO[str], what: Path, kind: int = fcntl.LOCK_EX) -> bool:
    """Whether a lock could be taken; a file system that has none is believed to be free."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        warnings.warn(
            f"{what} cannot be locked ({error.strerror}): make sure that no other run uses it",
            stacklevel=4,
        )
    return True


def check(directory: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the configuration that a directory holds, or None where it is to be written.

    Raises:
      InputError: where `opened` would because of what the directory holds.
    """
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file: choose another directory")
    path = directory / "config.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        lost = path.exists() and not isinstance(stored, dict)
    except ValueError:
        stored, lost = None, True
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): choose another directory"
        ) from None
    if lost or stored is None:
        _check_without(directory, config, lost)
        return None
    _check_format(directory, stored)
    about = {name: stored[name] for name in stored if name not in ("format", "versions")}
    differing = _differing(about, config)
    if differing:
        raise InputError(
            f"{directory} holds a run with another configuration ({'; '.join(differing[:3])}): "
            "choose another directory, or repeat that run's command to resume it"
        )
    return stored


def read(directory: Path) -> dict[str, Any]:
    """Returns the configuration of the run that was written to a directory.

    Raises:
      InputError: if there is none, or none that can be read, or of another format.
    """
    path = directory / "config.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        places = ("*/config.json", "*/*/config.json")
        below = sorted(str(found.parent) for some in places for found in directory.glob(some))
        if (directory / "checkpoints").is_dir():
            reason = f"its {path.name} was lost: repeat the run's command, which writes it again"
        elif below:
            reason = f"but there are others below it: load {' or '.join(below[:3])}"
        else:
            reason = f"there is no {path.name} in it"
        raise InputError(f"{directory} is no run directory: {reason}") from None
    except ValueError:
        stored = None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    if not isinstance(stored, dict):
        raise InputError(damaged(directory))
    _check_format(directory, stored)
    return stored


def damaged(directory: Path) -> str:
    """What is said of a configuration that cannot be understood."""
    return (
        f"{directory / 'config.json'} was damaged: delete it and repeat the run's command, which "
        "writes it again"
    )


def _check_format(directory: Path, stored: Mapping[str, Any]) -> None:
    if (found := stored.get("format", 1)) != FORMAT:
        versions = stored.get("versions") or {}
        code = ", ".join(
            f"{name} {versions[name]}" for name in ("ae-jax", "code") if name in versions
        )
        raise InputError(
            f"{directory} has format {found} of run directories ({code or 'of unknown code'}), and "
            f"this code has format {FORMAT}: use the code that wrote it, or another directory"
        )


def _check_without(directory: Path, config: Mapping[str, Any], lost: bool) -> None:
    """Checks a directory that has no configuration, or has `lost` what it says."""
    checkpoints = {
        _identity_of(record) for record in directory.glob("checkpoints/*/*/*/record.json")
    }
    path = directory / "config.json"
    if identity(config) in checkpoints:
        warnings.warn(
            f"{path} was lost; the checkpoints are of this configuration: it is written again",
            stacklevel=4,
        )
    elif checkpoints:
        raise InputError(
            f"{path} was lost, and the checkpoints are of another configuration: repeat that "
            "run's command, which writes it again, or choose another directory"
        )
    elif lost:
        raise InputError(
            f"{path} was damaged, and there is no checkpoint to go on from: delete {directory} "
            "to begin anew, or choose another directory"
        )
    elif jax.process_index() == 0:
        ours = (".lock.", ".config.json", ".launch-", ".metrics.lock")
        names = sorted(path.name for path in directory.glob("*"))
        if others := [name for name in names if not name.startswith(ours)]:
            raise InputError(
                f"{directory} holds other files ({others[0]}): choose another directory"
            )


def _identity_of(record: Path) -> str | None:
    try:
        return json.loads(record.read_text(encoding="utf-8"))["record"]["identity"]
    except (OSError, ValueError, KeyError, TypeError):  # it is looked at again before it is used
        return None


def identity(config: Mapping[str, Any]) -> str:
    """Names a configuration in few letters."""
    text = json.dumps(_plain(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _differing(stored: Any, wanted: Any, name: str = "") -> list[str]:
    wanted = _plain(wanted)
    if isinstance(stored, dict) and isinstance(wanted, dict):
        keys = list(dict.fromkeys([*stored, *wanted]))
        return [
            line
            for key in keys
            for line in _differing(stored.get(key), wanted.get(key), f"{name}.{key}".strip("."))
        ]

    def shorten(value):
        return text if len(text := json.dumps(value)) < 60 else text[:56] + " ..."

    if stored == wanted:
        return []
    if name.startswith("run.data.") and stored and wanted:
        return [f"the {name.removeprefix('run.data.')} data have other content than they had"]
    return [f"{name}: {shorten(stored)}, now {shorten(wanted)}"]


def append_metrics(directory: Path, records: Sequence[Record]) -> None:
    """Appends lines to this process's metrics."""
    text = "".join(json.dumps(_plain(record)) + "\n" for record in records)
    with _metrics_lock(directory), metrics_path(directory).open("a", encoding="utf-8") as file:
        file.write(text)


def rewind_metrics(directory: Path, lanes: Sequence[int], step: int) -> None:
    """Drops what these lanes reported after the step that they go on from, in any process."""
    gone = frozenset(lanes)
    with _metrics_lock(directory):
        for path in directory.glob("metrics*.jsonl"):
            found = _records(path)
            kept = [line for line in found if line["lane"] not in gone or line["step"] <= step]
            if len(kept) < len(found) or not path.read_bytes().endswith(b"\n"):
                write(path, "".join(json.dumps(line) + "\n" for line in kept))


@contextlib.contextmanager
def _metrics_lock(directory: Path) -> Iterator[None]:
    """Keeps processes apart: one may rewind what another appends to."""
    with (directory / ".metrics.lock").open("w") as lock:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def metrics_path(directory: Path) -> Path:
    """Where this process reports."""
    process = jax.process_index()
    return directory / ("metrics.jsonl" if process == 0 else f"metrics.{process}.jsonl")


def _records(path: Path) -> list[dict[str, Any]]:
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict) and record.keys() >= {"lane", "step"}:
                records.append(record)
    return records


def write_results(path: Path, rows: Sequence[Row]) -> None:
    """Writes a CSV table whose columns are those of all rows; numbers keep every digit."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write(path, text.getvalue())


def write(path: Path, text: str) -> None:
    """Writes a file to one side and renames it, so that it is never seen half-written."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else a crash may leave the new name and no content
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _plain(value: Any) -> Any:
    """What JSON can hold; a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise InputError(
        f"the config cannot hold a {type(value).__name__}: give numbers, text, lists and mappings"
    )


def _versions() -> dict[str, str | None]:
    """What a run was made with: libraries, and a digest of this package's code."""
    packages = ("ae-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.parent.rglob("*.py")):
        code.update(path.read_bytes())
    return {**{name: _version(name) for name in packages}, "code": code.hexdigest()[:12]}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
