"""What a run returns: a row per lane, which several processes may each have some of."""

import json
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ae_jax.core import InputError
from ae_jax.training import directory as run_directory
from ae_jax.training import processes
from ae_jax.training.lanes import Setting
from ae_jax.training.plan import Trained

#: What a row of results has besides the lane's own names and the evaluation.
COLUMNS = ("lane", "seed", "status", "frozen_step", "frozen_by", "best_step")


class Result(NamedTuple):
    """What a run returns.

    Attributes:
      rows: a mapping per lane, in the order of the sweep: `lane`, its hyperparameters,
        `seed`, `status` (`ok` or `frozen`), `frozen_step`, `frozen_by` (all that was not
        finite at that step), `best_step`, and the figures of the final evaluation. With
        several processes, those of all that are alive.
      missing: the lanes of processes that died: the same call goes on with them.
      groups: the trained lanes of this process.
      others: those of other processes, where they were asked for.
      compilations: how often training was compiled: once per group, and once more where a
        lane broke.
      compile_seconds: what that took.
      lane_steps_per_second: training speed, compilation and evaluation left out.
    """

    rows: list[dict[str, Any]]
    missing: list[int]
    groups: list[Trained]
    others: list[Trained]
    compilations: int
    compile_seconds: float
    lane_steps_per_second: float


def own_lanes(result: Result) -> list[int]:
    """Returns the lanes that this process trained."""
    return sorted(int(index) for group in result.groups for index in group.index)


def known_lanes(result: Result) -> list[int]:
    """Returns the lanes whose states this process has."""
    parts = (*result.groups, *result.others)
    return sorted(int(index) for group in parts for index in group.index)


def rows_of(
    lanes: Sequence[Setting], trained: Sequence[Trained], unfinished: Container[int] = ()
) -> list[dict[str, Any]]:
    """Returns the rows of lanes, in the order of the sweep.

    Args:
      lanes: the whole sweep.
      trained: what became of some of it.
      unfinished: lanes that are not at the end: they have no figures, and their `step`.
    """
    found = []
    for group in trained:
        known = group.best is not None or group.best_step.any()
        for i, index in enumerate(group.index):
            values = {name: value for name, value in lanes[index].items() if name != "seed"}
            frozen, going = group.frozen_step[i] >= 0, index in unfinished
            found.append(
                {
                    "lane": int(index),
                    **values,
                    "seed": lanes[index]["seed"],
                    "status": "frozen" if frozen else "unfinished" if going else "ok",
                    "frozen_step": int(group.frozen_step[i]) if frozen else None,
                    "frozen_by": group.frozen_by[i] if frozen else None,
                    **({"best_step": int(group.best_step[i])} if known else {}),
                    **(
                        {"step": int(group.taken[i])}
                        if going
                        else {name: float(value[i]) for name, value in group.final.items()}
                    ),
                }
            )
    return sorted(found, key=lambda row: row["lane"])


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


def keep(directory: Path, lanes: Sequence[Setting], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes the figures of rows, in the first process alive, to read them as they are."""
    if processes.leads():
        known = {*COLUMNS, *lanes[0]}
        figures = {
            row["lane"]: {name: row[name] for name in row if name not in known} for row in rows
        }
        run_directory.write(directory / "figures.json", json.dumps(figures) + "\n")


def kept(directory: Path) -> dict[int, dict[str, float]]:
    """Reads what `keep` wrote: figures by lane; none where the run was interrupted.

    Raises:
      InputError: if it was damaged.
    """
    path = directory / "figures.json"
    try:
        text = path.read_text(encoding="utf-8")
        return {
            int(lane): {name: float(value) for name, value in figures.items()}
            for lane, figures in json.loads(text).items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError):
        raise InputError(
            f"{path} was damaged: repeat the run's command, which writes it again"
        ) from None
