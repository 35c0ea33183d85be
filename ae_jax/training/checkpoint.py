"""Checkpoints: the one place that knows Orbax.

A checkpoint is a pytree of host arrays and a small JSON record; it is written to one
side and renamed, so a killed process leaves none half-written. A digest of the arrays is
part of the record: what a disk damaged is noticed and the checkpoint before is used.
"""

import dataclasses
import functools
import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

KEEP = 2


def save(directory: Path, step: int, tree: Any, record: Mapping[str, Any]) -> None:
    """Writes a checkpoint and removes all but the newest two.

    Args:
      directory: where this process's checkpoints lie.
      step: names the checkpoint; written again if it exists.
      tree: a pytree of host arrays.
      record: what JSON can hold.
    """
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    checkpointer, content = _orbax()
    content = content(leaves, {**record, "digest": _digest(leaves)})
    checkpointer.save(directory.absolute() / f"{step:012d}", args=content, force=True)
    for old in _steps(directory)[:-KEEP]:
        shutil.rmtree(directory / f"{old:012d}")


def restore_newest(directory: Path, like: Any) -> tuple[int, Any, dict[str, Any]] | None:
    """Reads the newest checkpoint that is whole.

    Args:
      directory: where this process's checkpoints lie.
      like: a pytree of shapes and dtypes, the structure to restore.

    Returns:
      (step, tree of host arrays, record), or None if there is none. Warns about each
      damaged checkpoint that it passes over.
    """
    for unfinished in directory.glob("*-tmp*"):  # left by a kill
        shutil.rmtree(unfinished)
    checkpointer, content = _orbax()
    for step in reversed(_steps(directory)):
        path = directory.absolute() / f"{step:012d}"
        try:
            found = checkpointer.restore(path, args=content())
            record, dtypes = dict(found.record), [leaf.dtype for leaf in jax.tree.leaves(like)]
            found.leaves = [
                leaf.view(dtype) if leaf.dtype.kind == "V" else leaf  # NumPy forgets bfloat16
                for leaf, dtype in zip(found.leaves, dtypes, strict=True)
            ]
            if record.pop("digest") != _digest(found.leaves):
                raise ValueError("its contents do not match their digest")
            tree = jax.tree.unflatten(jax.tree.structure(like), found.leaves)
            if not jax.tree.all(jax.tree.map(_alike, tree, like)):
                raise ValueError("its arrays are those of another method")
        except Exception as error:  # a damaged file raises many types
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            warnings.warn(
                f"checkpoint {path} is damaged ({reason}); falling back to the one before",
                stacklevel=2,
            )
            shutil.rmtree(path)
            continue
        return step, tree, record
    return None


def _steps(directory: Path) -> list[int]:
    if not directory.is_dir():
        return []
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit())


def _digest(leaves: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(str((leaf.dtype, leaf.shape)).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _alike(found: np.ndarray, wanted: Any) -> bool:
    return (found.shape, found.dtype) == (wanted.shape, wanted.dtype)


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
            (directory / "record.json").write_text(json.dumps(args.record))

        def restore(self, directory, args):
            with (
                open(directory / "arrays.npz", "rb") as file,
                np.load(file, allow_pickle=False) as arrays,
            ):
                leaves = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
            return Content(leaves, json.loads((directory / "record.json").read_text()))

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
