"""Rows of results: which are the best, and what a curve of them is called."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax import plots


def best_settings(
    rows: Sequence[Mapping[str, Any]], by: Sequence[str], among: Sequence[str], value: str
) -> list[Mapping[str, Any]]:
    """Returns the sound rows of the settings with the highest means over seeds.

    Args:
      rows: one per lane.
      by: the columns that make up a setting.
      among: those of them for each combination of which a setting is chosen.
      value: what is averaged; a setting of which it is not finite is chosen last.
    """
    sound = [row for row in rows if row["status"] == "ok" and value in row]
    settings = plots.aggregate(sound, by, [value])
    settings.sort(key=lambda setting: np.nan_to_num(setting[value].mean, nan=-np.inf))
    best = {tuple(setting[name] for name in among): setting for setting in settings}
    return [
        row
        for row in sound
        if all(row[name] == best[tuple(row[name] for name in among)][name] for name in by)
    ]


def named(first: str, row: Mapping[str, Any], names: Sequence[str]) -> str:
    """Returns what names a curve: a word and the row's settings, but for those it has not."""
    own = [name for name in names if row[name] is not None]
    return ", ".join([first, *(f"{name.replace('_', ' ')} {row[name]:g}" for name in own)])
