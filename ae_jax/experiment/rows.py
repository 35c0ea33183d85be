"""Rows of results: which are the best, and what a curve of them is called."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax import metrics, plots
from ae_jax.core import Array


def best_settings(
    rows: Sequence[Mapping[str, Any]],
    by: Sequence[str],
    among: Sequence[str],
    value: str,
    *,
    least: bool = False,
) -> list[Mapping[str, Any]]:
    """Returns the sound rows of the settings with the highest means over seeds.

    Args:
      rows: one per lane.
      by: the columns that make up a setting.
      among: those of them for each combination of which a setting is chosen.
      value: what is averaged; a setting of which it is not finite is chosen last.
      least: whether the lowest mean is the best.
    """
    sound = [row for row in rows if row["status"] == "ok" and value in row]
    settings = plots.aggregate(sound, by, [value])
    sign = -1 if least else 1
    settings.sort(key=lambda setting: np.nan_to_num(sign * setting[value].mean, nan=-np.inf))
    best = {tuple(setting[name] for name in among): setting for setting in settings}
    return [
        row
        for row in sound
        if all(row[name] == best[tuple(row[name] for name in among)][name] for name in by)
    ]


def where(rows: Sequence[Mapping[str, Any]], **columns: Any) -> list[Mapping[str, Any]]:
    """Returns the rows that have these values in these columns."""
    return [row for row in rows if all(row[name] == value for name, value in columns.items())]


def numbered(rows: Sequence[Mapping[str, Any]], by: Sequence[str]) -> list[dict[str, Any]]:
    """Returns rows of several trainings as one table: lanes numbered anew, settings first.

    Args:
      rows: of one training after the other.
      by: the columns that make up a setting; None where a row has not got one.
    """
    columns = dict.fromkeys(("lane", *by, "seed"))
    return [{**columns, **row, "lane": lane} for lane, row in enumerate(rows)]


def paired(
    rows: Sequence[Mapping[str, Any]], figures: Mapping[int, Array], between: str, by: str
) -> dict[Any, metrics.Mean]:
    """Compares two models on the same examples, with means over seeds, for each value of a column.

    Args:
      rows: one per lane.
      figures: a lane's number -> a figure of each example, [N]; other lanes are left out.
      between: the column whose two values are compared, the first less the second of the rows.
      by: the column, of which values without both models are left out.
    """
    found = {}
    for value in dict.fromkeys(row[by] for row in rows):
        sides: dict[Any, list[Array]] = {row[between]: [] for row in rows}
        for row in rows:
            if row[by] == value and row["lane"] in figures:
                sides[row[between]].append(figures[row["lane"]])
        if len(sides) == 2 and all(sides.values()):
            first, second = (np.mean(side, axis=0) for side in sides.values())
            found[value] = metrics.paired_difference(first, second)
    return found


def named(first: str, row: Mapping[str, Any], names: Sequence[str]) -> str:
    """Returns what names a curve: a word and the row's settings, but for those it has not."""
    own = [name for name in names if row[name] is not None]
    return ", ".join([first, *(f"{name.replace('_', ' ')} {row[name]:g}" for name in own)])
