"""Checkpoints: the one place that knows Orbax.

A checkpoint is a pytree of host arrays and a small JSON record; it is written to one
side and renamed, so a killed process leaves none half-written. A digest of the arrays is
part of the record: what a disk damaged is noticed and the checkpoint before is used.
"""

import hashlib
import shutil
import warnings
from collections.abc import Mapping
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
    ocp, context = _orbax()
    metadata = {**record, "digest": _digest(tree)}
    with context:
        ocp.save(directory / f"{step:012d}", tree, overwrite=True, custom_metadata=metadata)
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
    ocp, context = _orbax()
    for step in reversed(_steps(directory)):
        path = directory / f"{step:012d}"
        try:
            with context:
                tree = ocp.load(path, like)
                record = dict(ocp.metadata(path).custom_metadata)
            tree = jax.tree.map(np.asarray, tree)
            if record.pop("digest") != _digest(tree):
                raise ValueError("its contents do not match their digest")
        except Exception as error:  # Orbax raises many types for a damaged file
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


def _digest(tree: Any) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        digest.update(str((leaf.dtype, leaf.shape)).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _orbax():
    from orbax.checkpoint import v1 as ocp

    # Each process writes its own lanes to its own folder and waits for no other.
    here = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=here, active_processes={here}, barrier_sync_key_prefix=f"process-{here}"
    )
    context = (
        ocp.Context() if jax.process_count() == 1 else ocp.Context(multiprocessing_options=options)
    )
    return ocp, context
