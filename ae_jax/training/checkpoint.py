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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import InputError

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
    content = content(leaves, {**record, "digest": digest(leaves)})
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

    Raises:
      InputError: if it holds other shapes or dtypes than `like`.
    """
    for unfinished in directory.glob("*-tmp*"):  # left by a kill
        shutil.rmtree(unfinished)
    checkpointer, content = _orbax()
    for step in reversed(_steps(directory)):
        path = directory.absolute() / f"{step:012d}"
        try:
            found = checkpointer.restore(path, args=content())
            record = dict(found.record)
            if record.pop("digest") != digest(found.leaves):
                raise ValueError("its contents do not match their digest")
        except Exception as error:  # a damaged file raises many types
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            warnings.warn(
                f"checkpoint {path} is damaged ({reason}); falling back to the one before",
                stacklevel=2,
            )
            shutil.rmtree(path)
            continue
        wanted = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(like)]
        if [(leaf.shape, leaf.dtype) for leaf in found.leaves] != wanted:
            raise InputError(f"{path} is another method's checkpoint: choose another --out")
        return step, jax.tree.unflatten(jax.tree.structure(like), found.leaves), record
    return None


def _steps(directory: Path) -> list[int]:
    if not directory.is_dir():
        return []
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit())


def digest(leaves: Iterable[np.ndarray]) -> str:
    """The SHA-256 of arrays, their shapes and dtypes included."""
    found = hashlib.sha256()
    for leaf in leaves:
        found.update(str((leaf.dtype, leaf.shape)).encode())
        found.update(np.ascontiguousarray(leaf).tobytes())
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
            dtypes = [leaf.dtype.name for leaf in args.leaves]  # NumPy forgets bfloat16
            text = json.dumps({"dtypes": dtypes, "record": args.record})
            (directory / "record.json").write_text(text)

        def restore(self, directory, args):
            with (
                open(directory / "arrays.npz", "rb") as file,
                np.load(file, allow_pickle=False) as arrays,
            ):
                content = json.loads((directory / "record.json").read_text())
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
