"""Rows of results, which several processes may each have some of."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from ae_jax.training import directory as run_directory


def join(directory: Path, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Joins the rows of all processes, through files in a directory that they share.

    Every process must call it. What a process wrote is there as soon as it returns.

    Args:
      directory: the run's.
      rows: this process's, each with its `lane`.

    Returns:
      In process 0 all rows in the order of lanes, elsewhere this process's.
    """
    rows = sorted((dict(row) for row in rows), key=lambda row: row["lane"])
    count, here = jax.process_count(), jax.process_index()
    if count == 1:
        return rows
    part = "results.{}.json".format
    run_directory.write(directory / part(here), json.dumps(rows))
    _wait_for_all("rows are written")
    if here == 0:
        parts = [json.loads((directory / part(i)).read_text()) for i in range(count)]
        rows = sorted((row for rows in parts for row in rows), key=lambda row: row["lane"])
    _wait_for_all("rows are joined")
    (directory / part(here)).unlink()
    return rows


def write(directory: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes `results.csv`, in process 0; its columns are those of all rows."""
    if jax.process_index() == 0:
        run_directory.write_results(directory / "results.csv", rows)


_waits = itertools.count()  # a barrier's name can be used once


def _wait_for_all(reason: str) -> None:
    """Waits until all processes are here, however long their lanes take.

    JAX's own barriers are collective computations, which give up after half a minute.
    """
    from orbax.checkpoint import multihost

    wait = multihost.get_barrier_sync_fn(processes=set(range(jax.process_count())))
    wait(key=f"ae_jax {next(_waits)}: {reason}", timeout_ms=30 * 24 * 3600 * 1000)
