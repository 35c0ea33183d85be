"""Whether figures of many models, and models of one setting, agree; and what explains a figure."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax import metrics, plots
from ae_jax.core import Array


def scored(codes: Array, factors: Array, seed: int) -> dict[str, float]:
    """Returns what codes score that is not found by a program: by classifiers, and without factors.

    Args:
      codes: [N, Z].
      factors: int [N, K].
      seed: of trees and of drawn pairs.
    """
    return {
        "gaussian_total_correlation": float(metrics.gaussian_total_correlation(codes)),
        "wasserstein_correlation": float(metrics.wasserstein_correlation(codes)),
        "beta_vae_score": metrics.beta_vae_score(jax.random.key(seed), codes, factors),
        "explicitness": metrics.explicitness(codes, factors),
        **metrics.dci(codes, factors, importance="forest", seed=seed),
    }


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


def by_strength(
    rows: Sequence[Mapping[str, Any]], name: str
) -> dict[str, dict[str, plots.Estimate]]:
    """Returns a column's mean of each method and strength, whose places are 1, 2, ...

    Args:
      rows: one per lane, with `method` and `strength`; strengths of a method ascend.
      name: the column.
    """
    table: dict[str, dict[str, plots.Estimate]] = {}
    each = plots.mean_table(rows, lambda row: (row["method"], row["strength"]), [name])
    for (method, _), cell in each.items():
        own = table.setdefault(method, {})
        own |= {str(len(own) + 1): estimate for estimate in cell.values()}
    return table


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
        found[plots.label(name)] = dict(zip(levels, parts, strict=True))
    return found


def explained(rows: Sequence[Mapping[str, Any]], name: str, levels: Sequence[str]) -> list[str]:
    """Returns a line on what explains a column, beside what would by chance; none without it.

    Args:
      rows: one per lane.
      name: the column.
      levels: as for `shares`.
    """
    own = _finite(rows, name)
    if len(own) < 2:
        return []
    (found,) = shares(own, [name], levels).values()
    groups = [len({tuple(row[x] for x in levels[:depth]) for row in own}) for depth in (0, 1, 2)]
    chance = [(more - less) / (len(own) - 1) for less, more in itertools.pairwise(groups)]
    told = zip(levels, found.values(), [*chance, 1 - sum(chance)], strict=True)
    parts = "; ".join(f"{level} {share:.0%} ({lucky:.0%})" for level, share, lucky in told)
    return [
        f"What explains the variance of {name} over {len(own)} models, and in brackets what would "
        f"if nothing but the last mattered: {parts}."
    ]


def _finite(rows: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    sound = [row for row in rows if row["status"] == "ok" and row.get(name) is not None]
    return [row for row in sound if np.isfinite(row[name])]
