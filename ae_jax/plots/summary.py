"""Rows of results: read them, group lanes by hyperparameters, average over seeds.

A row is a mapping with the columns of `results.csv`: `lane`, the swept hyperparameters
under their own names, `seed`, `status`, `frozen_step`, then the final evaluation.
Values may be numbers or, as `csv` gives them, strings. Needs numpy only.
"""

import csv
import json
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ae_jax.core import InputError

Row = Mapping[str, Any]
#: Columns that are neither hyperparameters nor results.
RESERVED = ("lane", "seed", "status", "frozen_step")


class Estimate(NamedTuple):
    """A value over seeds.

    Attributes:
      mean: over the finite values of lanes that finished; NaN where there is none.
      spread: sample standard deviation (n - 1); NaN for fewer than two values.
      count: the number of values averaged.
    """

    mean: float
    spread: float
    count: int

    def __format__(self, spec: str) -> str:
        """The mean ± the spread, or alone where that is not known; a sign is the mean's."""
        spread = "" if math.isnan(self.spread) else f" ± {self.spread:{spec.removeprefix('+')}}"
        return f"{self.mean:{spec}}{spread}"


def read_results(path: str | Path) -> list[dict[str, Any]]:
    """Reads `results.csv`, with numbers parsed.

    Args:
      path: the file.

    Returns:
      One row per lane, columns in the file's order.
    """
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: parse(value) for name, value in row.items()} for row in csv.DictReader(file)]


def read_records(path: str | Path) -> list[dict[str, Any]]:
    """Reads `metrics.jsonl`; a last line cut short by a kill is left out.

    Args:
      path: the file.

    Returns:
      One mapping per line; NaN for what was not finite, which JSON does not know.

    Raises:
      InputError: where a line other than the last is not JSON.
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line)
            records.append({k: math.nan if v is None else v for k, v in found.items()})
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise InputError(f"{path}: line {number} is not JSON; delete that line") from error
    return records


def parse(value: Any) -> Any:
    """A cell as an int, float, bool, str, tuple of those, or None where it is empty."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = value.strip()
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                pass
        return text or None
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if hasattr(value, "tolist"):  # arrays and their scalars
        return parse(value.tolist())
    if isinstance(value, list | tuple):
        return tuple(parse(item) for item in value)
    return str(value)


def number(value: Any) -> float:
    """A cell as a float; NaN where it is not a number."""
    value = parse(value)
    return float(value) if isinstance(value, int | float) else math.nan


def frozen(row: Row) -> bool:
    """Whether the row's lane stopped before its end."""
    return (parse(row.get("status")) or "ok") != "ok"


def hyperparameters(rows: Sequence[Row]) -> list[str]:
    """The hyperparameter columns: those before `seed` (or `status`), apart from `lane`."""
    names = list(rows[0]) if rows else []
    ends = [names.index(name) for name in ("seed", "status") if name in names]
    return [name for name in names[: min(ends, default=0)] if name != "lane"]


def varying(rows: Sequence[Row]) -> list[str]:
    """The hyperparameter columns that take more than one value."""
    return [name for name in hyperparameters(rows) if len(distinct(rows, name)) > 1]


def distinct(rows: Sequence[Row], name: str) -> list[Any]:
    """The different values of a column: numbers ascending, then the others by name."""
    return sorted({parse(row.get(name)) for row in rows}, key=_order)


def require(rows: Sequence[Row], *names: str) -> None:
    """Checks that there are rows and that these columns exist in at least one.

    Raises:
      InputError: otherwise, with the columns that exist.
    """
    if not rows:
        raise InputError("there are no rows: nothing to summarise or draw")
    known = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        if name not in known:
            raise InputError(f"there is no column {name!r}; the columns are {', '.join(known)}")


def groups(rows: Sequence[Row], by: Sequence[str]) -> dict[tuple, list[Row]]:
    """Rows that agree in the columns `by`, keyed by those values, in order of value."""
    found: dict[tuple, list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(parse(row.get(name)) for name in by), []).append(row)
    return dict(sorted(found.items(), key=lambda item: [_order(value) for value in item[0]]))


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and sample standard deviation of the finite values."""
    finite = np.asarray([value for value in values if math.isfinite(value)], np.float64)
    if not finite.size:
        return Estimate(math.nan, math.nan, 0)
    spread = float(finite.std(ddof=1)) if finite.size > 1 else math.nan
    return Estimate(float(finite.mean()), spread, finite.size)


def aggregate(
    rows: Sequence[Row], by: Sequence[str], values: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Averages lanes that share hyperparameters, usually over seeds.

    Args:
      rows: one per lane.
      by: names of the hyperparameters that make a configuration.
      values: the columns to average; by default every numeric one that is neither a
        hyperparameter nor lane, seed, status or frozen_step.

    Returns:
      A row per configuration, in order of its values: the columns `by`, `lanes` (how
      many it has), `frozen` (how many of them stopped early), then an `Estimate` for
      each column averaged. Frozen lanes count in `frozen` and in no mean; nor does a
      value that is not finite (an estimate's `count` says how many were used).

    Raises:
      InputError: where a column named does not exist.
    """
    if not rows:
        return []
    require(rows, *by, *(values or ()))
    if values is None:
        names = dict.fromkeys(name for row in rows for name in row)
        other = {*by, *hyperparameters(rows), *RESERVED}
        values = [name for name in names if name not in other and _numeric(rows, name)]
    result = []
    for key, members in groups(rows, by).items():
        done = [row for row in members if not frozen(row)]
        result.append(
            dict(zip(by, key, strict=True))
            | {"lanes": len(members), "frozen": len(members) - len(done)}
            | {name: estimate([number(row.get(name)) for row in done]) for name in values}
        )
    return result


def mean_curves(
    rows: Sequence[Row], x: str, y: str, label: Callable[[Row], Any]
) -> dict[Any, tuple[list[float], list[float], list[float]]]:
    """Averages a column over the lanes at each x, for each label: what `lines` draws.

    Args:
      rows: as for `aggregate`.
      x: a column.
      y: the column to average.
      label: row -> the curve that it belongs to.

    Returns:
      label -> x, mean and spread, each [K]; the labels in the order of the rows.
    """
    curves: dict[Any, list[Row]] = {}
    for row in rows:
        curves.setdefault(label(row), []).append(row)
    return {key: _curve(aggregate(own, [x], [y]), x, y) for key, own in curves.items()}


def _curve(points: Sequence[Row], x: str, y: str) -> tuple[list, list, list]:
    found = [point[y] for point in points]
    return [point[x] for point in points], [e.mean for e in found], [e.spread for e in found]


def _numeric(rows: Sequence[Row], name: str) -> bool:
    cells = [parse(row.get(name)) for row in rows]
    return any(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells)


def _order(value: Any) -> tuple:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (0, value, "")
    return (1, 0, str(value))
