"""Rows of results, which several processes may each have some of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ae_jax.training import directory as run_directory
from ae_jax.training import processes


def join(
    directory: Path, rows: Sequence[Mapping[str, Any]], name: str = "rows"
) -> list[dict[str, Any]]:
    """Joins the rows of all processes, through files in a directory that they share.

    Every process must call it. Rows of processes that died are missing.

    Args:
      directory: the run's.
      rows: this process's, each with its `lane`.
      name: of what is joined.

    Returns:
      All rows in the order of lanes.
    """
    found = processes.gather(directory, name, [dict(row) for row in rows])
    return sorted((row for part in found.values() for row in part), key=lambda row: row["lane"])


def write(directory: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes `results.csv`, in the first process alive; its columns are those of all rows."""
    if processes.leads():
        run_directory.write_results(directory / "results.csv", rows)
