"""Tables of numbers in files of a user's own."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ae_jax.core import InputError
from ae_jax.data.parts import reason, shown

#: What stands for a value that is not there.
MISSING = ("", "?", "-", "inf", "-inf", "n/a", "na", "nan", "none", "null")


class Table(NamedTuple):
    """What a file holds of numbers.

    Attributes:
      values: [N, D], NaN where a value is missing.
      names: of the columns.
      places: int [N], where each row stands in its file, from 1.
      left_out: names of the columns that hold text.
    """

    values: np.ndarray
    names: Sequence[str]
    places: np.ndarray
    left_out: Sequence[str] = ()


def read(path: Path) -> Table:
    """Reads a CSV file, with a header or without, or an NPZ with one array of two axes or more.

    Raises:
      InputError: it cannot be read, or holds no numbers.
    """
    if path.suffix == ".npz":
        return _of_archive(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [(at, row) for at, row in enumerate(csv.reader(file), 1) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{shown(path)}: {reason(error)}: give a CSV or an NPZ file") from None
    if not lines:
        raise InputError(f"{shown(path)} is empty")
    width = len(lines[0][1])
    if odd := [at for at, row in lines if len(row) != width]:
        raise InputError(
            f"{shown(path)}: line {odd[0]} has another number of cells than the first, {width}"
        )
    rows = [row for _, row in lines]
    cells = np.array([[_number(cell) for cell in row] for row in rows])
    text = np.isnan(cells) & ~np.isin(np.char.lower(np.char.strip(rows)), MISSING)
    # a header: words above what holds numbers further down
    headed = bool(np.any(text[0] & ~text[1:].any(axis=0))) and len(rows) > 1
    names = rows[0] if headed else [f"column {i + 1}" for i in range(width)]
    words = text[headed:].any(axis=0)
    if len(set(names)) < width:
        raise InputError(f"{shown(path)}: two columns have one name: rename one")
    if words.all():
        raise InputError(f"{shown(path)} has no column of numbers")
    places = np.array([at for at, _ in lines[headed:]])
    own, others = ([names[i] for i in np.flatnonzero(which)] for which in (~words, words))
    return Table(cells[headed:, ~words], own, places, others)


def _of_archive(path: Path) -> Table:
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except Exception as error:  # of zip, of zlib, of numpy
        raise InputError(f"{shown(path)}: {reason(error)}") from None
    tables = [x for x in found.values() if x.ndim > 1 and x.size and x.dtype.kind in "biuf"]
    if len(tables) != 1:
        raise InputError(
            f"{shown(path)} has {len(tables)} arrays of numbers [N, ...]: leave one of "
            f"{', '.join(found) or 'none'}"
        )
    values = tables[0].reshape(len(tables[0]), -1).astype(np.float64)
    names = [f"column {i + 1}" for i in range(values.shape[1])]
    return Table(
        np.where(np.isfinite(values), values, np.nan), names, np.arange(1, len(values) + 1)
    )


def _number(cell: str) -> float:
    """NaN where it is none, or not finite."""
    try:
        value = float(cell)
    except ValueError:
        return np.nan
    return value if np.isfinite(value) else np.nan
