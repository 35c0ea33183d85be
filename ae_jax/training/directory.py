"""The run directory: what a run leaves behind, and what lets it go on where it stopped.

config.json     the configuration; a run with another one is refused
metrics.jsonl   a line per report, lane and split; metrics.N.jsonl for process N > 0
results.csv     a row per lane
checkpoints/    by group of lanes and process
"""

import contextlib
import csv
import fcntl
import importlib.metadata
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from ae_jax.core import InputError

Row = Mapping[str, Any]


@contextlib.contextmanager
def opened(directory: Path, config: Mapping[str, Any]) -> Iterator[None]:
    """Claims a directory for a run: new, or left by an interrupted run of the same config.

    Raises:
      InputError: if the directory holds another configuration or other files, or is in use.
    """
    check(directory, config)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{directory} cannot be made ({error.strerror}): choose another --out"
        ) from None
    with (directory / f".lock.{jax.process_index()}").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{directory} is in use by another run: wait for it or choose another --out"
            ) from None
        if jax.process_index() == 0 and not (directory / "config.json").exists():
            packages = ("ae-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
            versions = {package: _version(package) for package in packages}
            content = {**_plain(config), "versions": versions}
            write(directory / "config.json", json.dumps(content, indent=2) + "\n")
        yield


def check(directory: Path, config: Mapping[str, Any]) -> None:
    """Raises InputError where `opened` would because of what the directory holds."""
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file: choose another --out")
    path = directory / "config.json"
    if not path.exists():
        names = sorted(p.name for p in directory.glob("*"))
        others = [name for name in names if not name.startswith((".lock.", ".config.json"))]
        if others and jax.process_index() == 0:
            raise InputError(f"{directory} holds other files ({others[0]}): choose another --out")
        return
    try:
        stored = json.loads(path.read_text())
    except ValueError:
        raise InputError(f"{path} cannot be read: choose another --out") from None
    stored.pop("versions", None)
    differing = _differing(stored, _plain(config))
    if differing:
        raise InputError(
            f"{directory} holds a run with another configuration ({'; '.join(differing[:3])}): "
            "choose another --out, or repeat that run's command to resume it"
        )


def _differing(stored: Any, wanted: Any, name: str = "") -> list[str]:
    if isinstance(stored, dict) and isinstance(wanted, dict):
        keys = list(dict.fromkeys([*stored, *wanted]))
        return [
            line
            for key in keys
            for line in _differing(stored.get(key), wanted.get(key), f"{name}.{key}".strip("."))
        ]

    def shorten(value):
        return text if len(text := json.dumps(value)) < 60 else text[:56] + " ..."

    return [] if stored == wanted else [f"{name}: {shorten(stored)}, now {shorten(wanted)}"]


def append_metrics(directory: Path, rows: Sequence[Row]) -> None:
    """Appends lines to this process's metrics."""
    with metrics_path(directory).open("a") as file:
        file.writelines(json.dumps(_plain(row)) + "\n" for row in rows)


def rewind_metrics(directory: Path, lanes: Sequence[int], step: int) -> None:
    """Drops what these lanes reported after the step that they go on from."""
    path = metrics_path(directory)
    if path.exists():
        rows = [row for row in _lines(path) if row["lane"] not in lanes or row["step"] <= step]
        write(path, "".join(json.dumps(row) + "\n" for row in rows))


def metrics_path(directory: Path) -> Path:
    """Where this process reports."""
    process = jax.process_index()
    return directory / ("metrics.jsonl" if process == 0 else f"metrics.{process}.jsonl")


def _lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for line in path.read_text().splitlines():
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def write_results(path: Path, rows: Sequence[Row]) -> None:
    """Writes a CSV table whose columns are those of all rows; numbers keep every digit."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)


def write(path: Path, text: str) -> None:
    """Writes a file to one side and renames it, so that it is never seen half-written."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def _plain(value: Any) -> Any:
    """What JSON can hold; a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
