"""Checkpoints: the one place that knows Orbax.

A checkpoint is a pytree of host arrays [lanes, ...] and a small JSON record that names the
lanes; it is written to one side and renamed, so a killed process leaves none half-written. A
digest of the arrays is part of the record: what a disk damaged is noticed, set aside, and the
checkpoint before is used. Any other trouble in reading one stops the run, and nothing is lost.

Each set of lanes that trains together has a folder of its own, so a run can go on with its
lanes spread over other processes: every lane goes on from its newest checkpoint, wherever it is.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import InputError

KEEP = 2
#: What reading a file with wrong content raises.
DAMAGE = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


class Writer(NamedTuple):
    """Saves checkpoints beside the training.

    Attributes:
      save: (step, tree, record) -> None: begins to write, after what is still being written.
      busy: whether something is being written. Both raise what went wrong before.
    """

    save: Callable[[int, Any, Mapping[str, Any]], None]
    busy: Callable[[], bool]


@contextlib.contextmanager
def writer(directory: Path) -> Iterator[Writer]:
    """Yields a Writer of checkpoints; at the end it waits for the last one.

    Raises:
      OSError: where one could not be written; those before are whole.
    """
    with concurrent.futures.ThreadPoolExecutor(1, "checkpoint") as thread:
        pending: list[concurrent.futures.Future] = []

        def wait():
            while pending:
                pending.pop().result()

        def start(step, tree, record):
            wait()
            pending.append(thread.submit(save, directory, step, tree, record))

        def busy():
            if pending and pending[0].done():
                wait()
            return bool(pending)

        try:
            yield Writer(start, busy)
        finally:
            wait()


def save(directory: Path, step: int, tree: Any, record: Mapping[str, Any]) -> None:
    """Writes a checkpoint and removes all but the newest two.

    Args:
      directory: of the lanes' checkpoints.
      step: names the checkpoint; written again if it exists.
      tree: a pytree of host arrays [lanes, ...].
      record: what JSON can hold, `lanes` among it: the numbers of the lanes.

    Raises:
      OSError: if it cannot be written; nothing of it is left then.
    """
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    record = {**record, "leaves": names(tree)}
    checkpointer, content = _orbax()
    content = content(leaves, {**record, "digest": _whole(leaves, record)})
    try:
        checkpointer.save(directory.absolute() / f"{step:012d}", args=content, force=True)
        for old in _steps(directory)[:-KEEP]:
            _remove(directory / f"{old:012d}")
    except OSError as error:
        _sweep(directory)
        raise OSError(
            error.errno,
            f"the checkpoint of step {step} could not be written ({error.strerror or error}); "
            "those before are whole",
        ) from error
    _forget_superseded(directory)


def _remove(path: Path) -> None:
    """Removes a folder so that nobody sees a half of it."""
    gone = path.with_name(f"{path.name}.gone-tmp")
    path.rename(gone)
    shutil.rmtree(gone)


def _sweep(directory: Path) -> None:
    """Removes what a kill or a full disk left unfinished."""
    for unfinished in directory.glob("*-tmp*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def _forget_superseded(directory: Path) -> None:
    """Removes folders of other sets of lanes that all have newer checkpoints elsewhere."""
    newer: dict[int, list[int]] = {}
    for folder in directory.parent.iterdir():
        for step, _, record in _records(folder):
            for lane in record["lanes"]:
                newer.setdefault(lane, []).append(step)
    for folder in directory.parent.iterdir():
        own = [(step, lane) for step, _, record in _records(folder) for lane in record["lanes"]]
        if folder != directory and own:
            old = all(sum(other > step for other in newer[lane]) >= KEEP for step, lane in own)
            if old:
                for _, path, _ in _records(folder):
                    with contextlib.suppress(OSError):  # another process was first
                        _remove(path)


class _Superseded(Exception):
    """A checkpoint was removed while it was to be read: newer ones are there."""


class Found(NamedTuple):
    """Lanes that go on from the same step.

    Attributes:
      step: how many steps they have taken.
      places: int [M], which of the lanes that were asked for.
      tree: their states, leaves [M, ...]; None at the beginning.
    """

    step: int
    places: np.ndarray
    tree: Any


def names(tree: Any) -> list[str]:
    """Names the leaves of a pytree by their places in it, such as `params/encoder/bias`."""
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]


def restore(
    folder: Path, own: Path | None, lanes: Sequence[int], like: Any, **same: Any
) -> list[Found]:
    """Reads the newest whole checkpoint of each lane.

    Args:
      folder: where the folders of sets of lanes lie.
      own: the one that is going to be written; what a kill left unfinished there is removed.
        None where nothing may be touched.
      lanes: their numbers, L.
      like: a pytree of shapes and dtypes, the structure to restore, leaves [L, ...].
      same: what the record must have, by name, for each lane.

    Returns:
      The lanes by the step that they go on from, latest first; together all of them. Warns
      about each damaged checkpoint that it passes over, and sets it aside.

    Raises:
      InputError: if one holds another structure, shapes or dtypes than `like`, or differs in
        `same`.
      OSError: if one cannot be read for another reason than its content.
    """
    while True:
        with contextlib.suppress(_Superseded):  # the run goes on as it is read
            return _restored(folder, own, lanes, like, same)


def _restored(
    folder: Path, own: Path | None, lanes: Sequence[int], like: Any, same: Mapping[str, Any]
) -> list[Found]:
    damaged = _pass_over if own is None else _set_aside
    if own is not None:
        _sweep(own)
    wanted = _described(names(like), jax.tree.leaves(like))
    left = {lane: place for place, lane in enumerate(lanes)}
    parts: dict[int, list[tuple[list[int], list[np.ndarray]]]] = {}
    for step, path, record in records(folder, damaged):
        rows = [row for row, lane in enumerate(record["lanes"]) if lane in left]
        if not rows:
            continue
        leaves = _read(path, record, damaged)
        if leaves is None:
            continue
        if difference := _difference(_described(record["leaves"], leaves), wanted):
            raise InputError(f"{path} is another method's checkpoint: {difference}")
        here = [record["lanes"][row] for row in rows]
        for name, values in same.items():
            known = dict(zip(record["lanes"], record.get(name) or (), strict=False))
            if any(known.get(lane) != values[left[lane]] for lane in here):
                raise InputError(
                    f"{path} is a checkpoint of lanes with another {name}: choose another directory"
                )
        places = [left.pop(lane) for lane in here]
        parts.setdefault(step, []).append((places, [leaf[rows] for leaf in leaves]))
    found = [_joined(step, parts[step], jax.tree.structure(like)) for step in parts]
    return [*found, Found(0, np.array([*left.values()]), None)] if left else found


def records(
    folder: Path, damaged: Callable[[Path, Exception], None] = lambda path, error: None
) -> list[tuple[int, Path, dict[str, Any]]]:
    """Returns step, path and record of all checkpoints, the latest step first.

    Args:
      folder: where the folders of sets of lanes lie.
      damaged: is told of each whose record cannot be read.
    """
    folders = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [record for path in folders for record in _records(path, damaged)]
    return sorted(found, key=lambda record: -record[0])


def _described(leaf_names: Sequence[str], leaves: Sequence[Any]) -> dict[str, str]:
    """Shape and dtype of a lane's leaves by name."""
    shapes = [f"{leaf.dtype} {list(leaf.shape[1:])}" for leaf in leaves]
    return dict(zip(leaf_names, shapes, strict=True))


def _difference(held: Mapping[str, str], wanted: Mapping[str, str]) -> str | None:
    """Says where the leaves of a checkpoint are others than the method's."""
    for name in [*held, *wanted]:
        own, theirs = (leaves.get(name, "absent") for leaves in (held, wanted))
        if own != theirs:
            return f"its {name} is {own}, and {theirs} in the method's"
    return None


def _joined(step: int, parts: Sequence[tuple[list[int], list[np.ndarray]]], structure) -> Found:
    places = np.concatenate([part for part, _ in parts])
    order = np.argsort(places)
    leaves = [
        np.concatenate(same)[order] for same in zip(*(part for _, part in parts), strict=True)
    ]
    return Found(step, places[order], jax.tree.unflatten(structure, leaves))


def _steps(directory: Path) -> list[int]:
    if not directory.is_dir():
        return []
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit())


def _records(
    directory: Path, damaged: Callable[[Path, Exception], None] = lambda path, error: None
) -> list[tuple[int, Path, dict[str, Any]]]:
    """Step, path and record of each checkpoint in a folder whose record can be read."""
    found = []
    for step in _steps(directory):
        path = directory / f"{step:012d}"
        try:
            record = json.loads((path / "record.json").read_text(encoding="utf-8"))["record"]
            found.append((step, path, {**record, "lanes": list(record["lanes"])}))
        except (FileNotFoundError, *DAMAGE) as error:
            damaged(path, error)
    return found


def _whole(leaves: Sequence[np.ndarray], record: Mapping[str, Any]) -> str:
    """The digest of a checkpoint: of its arrays, and of what is said of them."""
    said = {name: value for name, value in record.items() if name != "digest"}
    text = json.dumps(said, sort_keys=True).encode()
    return digest([*leaves, np.frombuffer(text, np.uint8)])


def _read(
    path: Path, record: Mapping[str, Any], damaged: Callable[[Path, Exception], None]
) -> list[np.ndarray] | None:
    """The arrays of a checkpoint; None where it is damaged."""
    checkpointer, content = _orbax()
    try:
        leaves = checkpointer.restore(path.absolute(), args=content()).leaves
        if _whole(leaves, record) != record.get("digest"):
            raise ValueError("its contents do not match their digest")
    except (FileNotFoundError, *DAMAGE) as error:
        damaged(path, error)
        return None
    except OSError as error:
        raise OSError(
            error.errno,
            f"the checkpoint {path} cannot be read ({error.strerror or error}); it is left there",
        ) from error
    return leaves


def _set_aside(path: Path, error: Exception) -> None:
    """Renames a damaged checkpoint, so that it is neither used nor lost."""
    if not path.exists():  # another process was first
        return
    aside = next(
        name
        for i in range(1000)
        if not (name := path.with_name(f"{path.name}.damaged{i or ''}")).exists()
    )
    path.rename(aside)
    _warn(path, error, f"it is kept as {aside.name}; falling back to the one before")


def _pass_over(path: Path, error: Exception) -> None:
    """Leaves a damaged checkpoint where it is."""
    if not os.path.lexists(path):
        raise _Superseded from error
    _warn(path, error, "the one before is read")


def _warn(path: Path, error: Exception, then: str) -> None:
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    warnings.warn(f"checkpoint {path} is damaged ({reason}); {then}", stacklevel=3)


def digest(leaves: Iterable[np.ndarray]) -> str:
    """The SHA-256 of arrays, their shapes and dtypes included."""
    found = hashlib.sha256()
    for leaf in leaves:
        found.update(str((leaf.dtype, leaf.shape)).encode())
        found.update(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8))
    return found.hexdigest()


@functools.cache
def _orbax() -> tuple[Any, type]:
    """Orbax's checkpointer, and what it saves and restores.

    The arrays are one process's. Orbax's own handlers save only what all processes hold
    together, in step with each other; here each goes its own way, so the arrays are
    written by a handler of ours.
    """
    import orbax.checkpoint as ocp

    class Handler(ocp.CheckpointHandler):
        def save(self, directory, args):
            with open(directory / "arrays.npz", "wb") as file:
                np.savez(file, *args.leaves)
                file.flush()
                os.fsync(file.fileno())
            dtypes = [leaf.dtype.name for leaf in args.leaves]  # NumPy forgets bfloat16
            text = json.dumps({"dtypes": dtypes, "record": args.record})
            with open(directory / "record.json", "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())

        def restore(self, directory, args):
            with (
                open(directory / "arrays.npz", "rb") as file,
                np.load(file, allow_pickle=False) as arrays,
            ):
                content = json.loads((directory / "record.json").read_text(encoding="utf-8"))
                leaves = [
                    arrays[f"arr_{i}"].view(jnp.dtype(name))
                    for i, name in enumerate(content["dtypes"])
                ]
            return Content(leaves, content["record"])

    @ocp.args.register_with_handler(Handler, for_save=True, for_restore=True)
    @dataclasses.dataclass
    class Content(ocp.args.CheckpointArgs):
        leaves: Sequence[np.ndarray] = ()
        record: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    here = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=here, active_processes={here}, barrier_sync_key_prefix=f"process-{here}"
    )
    return ocp.Checkpointer(Handler(), multiprocessing_options=alone), Content
