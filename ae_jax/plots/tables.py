"""What figures compare, made of rows: over training, side by side, against a reference."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ae_jax.plots import text
from ae_jax.plots.summary import Estimate, Row, aggregate, frozen, number


def history(
    records: Sequence[Row], rows: Sequence[Row], split: str = "validation"
) -> list[dict[str, Any]]:
    """Returns what a run recorded of a split, each record with the columns of its lane's row.

    Args:
      records: from `read_records`.
      rows: one per lane; records of other lanes are left out.
      split: "train" or "validation".

    Returns:
      A row per record, in their order: what `mean_curves` takes. Where a record has a column of
      the row's its own value stands.
    """
    lanes = {row["lane"]: row for row in rows}
    return [
        {**lanes[record["lane"]], **record}
        for record in records
        if record["split"] == split and record["lane"] in lanes
    ]


def mean_table(
    rows: Sequence[Row], label: Callable[[Row], Any], columns: Mapping[str, str] | Sequence[str]
) -> dict[Any, dict[str, Estimate]]:
    """Averages columns over the lanes of each label: what `bars` and `dots` draw.

    Args:
      rows: one per lane, as for `aggregate`.
      label: row -> the group that it belongs to.
      columns: the columns to average, in the order of the table; a mapping says what each is
        called, where its name as a reader has it will not do.

    Returns:
      label -> what a column is called -> its `Estimate`; the labels in the order of the rows. A
      column that no row of a group has is left out of that group.
    """
    words = {name: text.label(name) for name in columns}
    if isinstance(columns, Mapping):
        words = dict(columns)
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(label(row), []).append(row)
    table = {}
    for key, own in groups.items():
        found = [name for name in columns if any(row.get(name) is not None for row in own)]
        (point,) = aggregate(own, [], found)
        table[key] = {words[name]: point[name] for name in found}
    return table


def unpivoted(
    rows: Sequence[Row], columns: Mapping[str, Any], x: str, y: str
) -> list[dict[str, Any]]:
    """Returns a row for each of some columns, which hold one quantity at several places.

    Args:
      rows: one per lane.
      columns: a column ("iwae_10") -> its place (10).
      x: what the column of places is called.
      y: what the column of values is called.

    Returns:
      The rows, with both columns more; a place where a row has no value is left out. It is what
      `mean_curves` takes.
    """
    return [
        {**row, x: place, y: row[name]}
        for row in rows
        for name, place in columns.items()
        if row.get(name) is not None
    ]


def gains(
    rows: Sequence[Row], value: str, by: Sequence[str], reference: Callable[[Row], bool]
) -> list[dict[str, Any]]:
    """Returns what rows have more of a column than the reference of their own setting and seed.

    Differences of pairs vary less over seeds than either side, where both sides of a pair share
    what varies: the data that a seed draws, say.

    Args:
      rows: one per lane; those that were frozen are left out.
      value: the column.
      by: the columns that a row and its reference agree in; one reference for each of their
        values is meant, of several the last counts.
      reference: row -> whether it is a reference.

    Returns:
      The rows that are none and have one, with the difference as the column `gain`.
    """
    done = [row for row in rows if not frozen(row)]
    level = {tuple(row[name] for name in by): row for row in done if reference(row)}
    found = []
    for row in done:
        base = level.get(tuple(row[name] for name in by))
        if base is not None and not reference(row):
            found.append({**row, "gain": number(row[value]) - number(base[value])})
    return found
