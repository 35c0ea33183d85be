"""Lanes that were trained, to be looked at one by one."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from ae_jax import training
from ae_jax.core import InputError
from ae_jax.experiment.running import Sweep
from ae_jax.training import Model, model


def own_rows(result: training.Result) -> list[dict[str, Any]]:
    """Returns the rows of the lanes that this process trained."""
    own = training.own_lanes(result)
    return [row for row in result.rows if row["lane"] in own]


def firsts(result: training.Result, name: str) -> dict[Any, Model]:
    """Returns, for each value of a hyperparameter in ascending order, its first sound lane."""
    rows = [row for row in own_rows(result) if row["status"] == "ok"]
    chosen = {row[name]: row for row in reversed(rows)}
    return {value: model(result, chosen[value]["lane"]) for value in sorted(chosen)}


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
