"""Whether figures of many models, and models of one setting, agree; and what explains a figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax import metrics
from ae_jax.core import Array


def with_agreement(
    rows: Sequence[Mapping[str, Any]], codes: Mapping[int, Array], by: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns the rows with `udr`: how well a lane's codes agree with those of other seeds.

    Args:
      rows: one per lane.
      codes: a lane's number -> its codes of the same examples, [N, Z]; a latent counts where its
        variance is above 0.01.
      by: the columns that make up a setting; one with a single lane has no `udr`.
    """
    settings: dict[tuple, list[int]] = {}
    for row in rows:
        if row["lane"] in codes:
            settings.setdefault(tuple(row[name] for name in by), []).append(row["lane"])
    found: dict[int, float] = {}
    for lanes in settings.values():
        if len(lanes) > 1:
            latents = [codes[lane] for lane in lanes]
            active = [np.var(latent, axis=0) > 0.01 for latent in latents]
            found |= zip(lanes, metrics.udr(latents, active).scores.tolist(), strict=True)
    return [row | ({"udr": found[row["lane"]]} if row["lane"] in found else {}) for row in rows]


def known(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Returns the columns that at least two sound lanes have a finite number in."""
    return [name for name in names if len(_finite(rows, name)) > 1]


def correlations(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> np.ndarray:
    """Returns the rank correlations of columns over sound lanes, [M, M]."""
    sound = [row for row in rows if row["status"] == "ok"]
    figures = np.array([[row.get(name, np.nan) for name in names] for row in sound], float)
    return metrics.rank_correlations(np.where(np.isfinite(figures), figures, np.nan))


def shares(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], levels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Returns what shares of columns' variance over sound lanes choices explain.

    Args:
      rows: one per lane.
      names: the columns.
      levels: the columns that make up a setting, from the outermost, and at last what is left is
        called.

    Returns:
      A column's name, as a reader has it -> a choice -> its share.
    """
    found = {}
    for name in names:
        own = _finite(rows, name)
        chosen = ([row[level] for row in own] for level in levels[:-1])
        parts = metrics.shares_of_variance([row[name] for row in own], *chosen)
        found[name.replace("_", " ")] = dict(zip(levels, parts, strict=True))
    return found


def _finite(rows: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    sound = [row for row in rows if row["status"] == "ok" and row.get(name) is not None]
    return [row for row in sound if np.isfinite(row[name])]
