"""Lanes that were trained, to be looked at one by one."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ae_jax import training
from ae_jax.core import InputError
from ae_jax.experiment.rows import numbered
from ae_jax.experiment.running import Sweep
from ae_jax.training import Model, model


def own_rows(result: training.Result) -> list[dict[str, Any]]:
    """Returns the rows of the lanes that this process trained."""
    own = training.own_lanes(result)
    return [row for row in result.rows if row["lane"] in own]


def firsts(
    result: training.Result, by: str | Callable[[Mapping[str, Any]], Any]
) -> dict[Any, Model]:
    """Returns, for each value of a hyperparameter in ascending order, its first sound lane.

    Args:
      result: of a training.
      by: the hyperparameter; or row -> what is to be told apart, which keeps the rows' order.
    """
    chosen: dict[Any, int] = {}
    for row in own_rows(result):
        if row["status"] == "ok":
            chosen.setdefault(by(row) if callable(by) else row[by], row["lane"])
    return {key: model(result, chosen[key]) for key in (chosen if callable(by) else sorted(chosen))}


def described(
    trained: Sweep, describe: Callable[[Model], Mapping[str, Any]], best: bool = False
) -> list[dict[str, Any]]:
    """Returns the rows of a sweep with further columns, which say more about each lane.

    Every process describes its own sound lanes, at the end or with their best state, and gets
    all rows.
    """
    rows = [
        {**row, **_measured(describe, trained.result, row, best)}
        for row in own_rows(trained.result)
    ]
    return training.join_rows(trained.out, rows, "described")


def side_by_side(
    parts: Sequence[tuple[Mapping[str, Any], Sweep]],
    describe: Callable[[Model], Mapping[str, Any]],
    by: Sequence[str],
    *,
    best: bool = False,
    timed: bool = False,
) -> list[dict[str, Any]]:
    """Returns the rows of several sweeps as one table, with further columns as `described` adds.

    Args:
      parts: columns that tell a sweep from the others, and the sweep.
      describe: is given lanes whose rows have those columns, and the number in this table.
      by: the columns that make up a setting; they stand first, as `numbered` has them.
      best: whether lanes are described with their best state, in sweeps that kept it.
      timed: whether the column `seconds` says how long a lane was trained, its share of those that
        were trained side by side.
    """
    rows: list[dict[str, Any]] = []
    for columns, trained in parts:
        seconds = {
            int(lane): {"seconds": group.train_seconds / len(group.index)}
            for group in trained.result.groups
            for lane in group.index
            if timed
        }

        def told_apart(
            model: Model, columns: Any = columns, first: int = len(rows), seconds: Any = seconds
        ) -> Any:
            row = {**columns, **model.row, "lane": first + model.row["lane"]}
            return {**describe(model._replace(row=row)), **seconds.get(model.row["lane"], {})}

        kept = best and all(group.best is not None for group in trained.result.groups)
        rows += [{**columns, **row} for row in described(trained, told_apart, kept)]
    return numbered(rows, by)


def _measured(
    describe: Callable[[Model], Mapping[str, Any]],
    result: training.Result,
    row: Mapping[str, Any],
    best: bool,
) -> Mapping[str, Any]:
    """What is said of a lane: nothing where it was frozen or cannot be measured.

    The training is done: what a metric does not take may cost no more than its own columns.
    """
    if row["status"] != "ok":
        return {}
    try:
        return describe(model(result, row["lane"], best))
    except InputError as error:
        print(f"lane {row['lane']} is not described: {error}", file=sys.stderr)
        return {}
