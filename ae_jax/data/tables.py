"""Tables of numbers in files of a user's own."""

import collections
import csv
import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ae_jax.core import InputError
from ae_jax.data.parts import reason, shown

#: What stands for a value that is not there, in lower case; what is not finite is not there either.
MISSING = {"", "?", "-", ".", "n/a", "na", "none", "null", "#n/a", "<na>"}
#: What may stand between cells, and what that is called.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


class Table(NamedTuple):
    """What a file holds of numbers.

    Attributes:
      values: [N, D], NaN where a value is missing; some value of each column is there.
      names: of the columns.
      places: int [N], where each row stands in its file, from 1.
      notes: lines to be said, of what was guessed or left out.
    """

    values: np.ndarray
    names: Sequence[str]
    places: np.ndarray
    notes: Sequence[str] = ()


class _Cells(NamedTuple):
    """What is written between separators of one kind.

    Attributes:
      separator: of which kind.
      rows: [N, D], but for those where nothing is written.
      places: [N].
      values: [N, D], NaN where there is no number.
      text: bool [N, D], where there is something else.
    """

    separator: str
    rows: Sequence[Sequence[str]]
    places: Sequence[int]
    values: np.ndarray
    text: np.ndarray


def read(path: Path) -> Table:
    """Reads a CSV file, with a header or without, or an NPZ with one array of two axes or more.

    Cells are separated by commas, semicolons or tabs, whichever makes most columns of numbers of
    them. Beside semicolons numbers may have decimal commas, as spreadsheets write them in many
    countries.

    Raises:
      InputError: it cannot be read, or holds no numbers.
    """
    if path.suffix.lower() == ".npz":
        return _of_archive(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{shown(path)} is no text in UTF-8: give a CSV or an NPZ file") from None
    except OSError as error:
        raise InputError(f"{shown(path)}: {reason(error)}: give a CSV or an NPZ file") from None
    first = next(filter(str.strip, text.splitlines()), "")
    kinds = sorted(filter(first.count, SEPARATORS), key=first.count, reverse=True) or [","]
    written, errors = [], []
    for kind in kinds:
        try:
            written.append(_between(kind, text, shown(path)))
        except InputError as error:
            errors.append(error)
    if not written:
        raise errors[0]
    # the first row may be a header
    cells = max(written, key=lambda cells: np.sum(~cells.text[1:].any(axis=0)))
    table = _of_cells(cells, shown(path))
    if cells.separator == ",":
        return table
    decimal = "; commas in numbers are decimal" if cells.separator == ";" else ""
    said = f"cells are separated by {SEPARATORS[cells.separator]}{decimal}"
    return table._replace(notes=[said, *table.notes])


def units(values: np.ndarray) -> np.ndarray:
    """Returns powers of 2 that columns [N, D] are as large as, [D].

    Divided by them no digit changes, and no square overflows or vanishes.
    """
    return np.exp2(np.frexp(np.max(np.abs(values), axis=0))[1].clip(-1000, 1000))


def _between(separator: str, text: str, origin: str) -> _Cells:
    """What is written between separators.

    Raises:
      InputError: rows have different numbers of cells, or quotes do not end.
    """
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    try:
        lines = [(at, row) for at, row in enumerate(reader, 1) if any(map(str.strip, row))]
    except csv.Error as error:
        raise InputError(f"{origin}: row {reader.line_num}: {error}") from None
    if not lines:
        raise InputError(f"{origin} is empty")
    places, rows = zip(*lines, strict=True)
    for place, row in lines:
        if len(row) != len(rows[0]):
            raise InputError(
                f"{origin}: row {places[0]} has {len(rows[0])} cells, and row {place} {len(row)}"
            )
    numbers = [[_number(cell, separator == ";") for cell in row] for row in rows]
    is_text = np.array([[number is None for number in row] for row in numbers])
    return _Cells(separator, rows, places, np.array(numbers, np.float64), is_text)


def _number(cell: str, decimal_comma: bool) -> float | None:
    """The number in a cell: NaN where it is missing, or not finite; None where it is text."""
    cell = cell.strip().lower()
    if cell in MISSING:
        return math.nan
    try:
        value = float(cell.replace(",", ".") if decimal_comma else cell)
    except ValueError:
        return None
    if "_" in cell:  # which Python reads over, as in 1_000
        return None
    return value if math.isfinite(value) else math.nan


def _of_cells(cells: _Cells, origin: str) -> Table:
    _, rows, places, values, text = cells
    # a header: words above what holds numbers further down
    headed = len(rows) > 1 and bool(np.any(text[0] & ~text[1:].any(axis=0)))
    again = [row == rows[0] for row in rows[1:]]
    if any(again) and not headed and np.any(text[0] & ~text[1:][~np.array(again)].any(axis=0)):
        raise InputError(
            f"{origin}: row {places[1 + again.index(True)]} has the header again: leave it out"
        )
    names = [f"column {i + 1}" for i in range(len(rows[0]))]
    if headed:
        names = [shown(cell.strip()) or name for cell, name in zip(rows[0], names, strict=True)]
    if len(set(names)) < len(names):
        twice = collections.Counter(names).most_common(1)[0][0]
        raise InputError(f"{origin}: two columns have one name, {twice}: rename one")
    values, text = values[headed:], text[headed:]
    words, empty = text.any(axis=0), np.isnan(values).all(axis=0) & ~text.any(axis=0)
    if words.all():
        column = np.argmin(text.sum(axis=0))
        at = int(headed) + np.flatnonzero(text[:, column])[-1]
        raise InputError(
            f"{origin} has no column of numbers: row {places[at]} has {rows[at][column]!r} in "
            f"{names[column]}"
        )
    table = Table(values, names, np.array(places[headed:]))
    return _without(table, {"of text": words, "without a value": empty}, origin)


def _without(table: Table, kinds: dict[str, np.ndarray], origin: str) -> Table:
    """Leaves out columns, bool [D] by what is wrong with them."""
    kept = ~np.any(list(kinds.values()), axis=0)
    if not kept.any():
        raise InputError(f"{origin} has no column of numbers")
    notes = [
        f"{what}, and left out: {', '.join(table.names[i] for i in np.flatnonzero(where))}"
        for what, where in kinds.items()
        if where.any()
    ]
    names = [table.names[i] for i in np.flatnonzero(kept)]
    return Table(table.values[:, kept], names, table.places, notes)


def _of_archive(path: Path) -> Table:
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise InputError(f"{shown(path)} is no archive, as numpy.savez writes it")
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except InputError:
        raise
    except Exception as error:  # of zip, of zlib, of numpy
        raise InputError(f"{shown(path)}: {reason(error)}") from None
    tables = {k: x for k, x in found.items() if x.ndim > 1 and x.size and x.dtype.kind in "biuf"}
    if len(tables) != 1:
        some = f"{len(tables)} arrays of numbers [N, ...]: leave one of {', '.join(tables)}"
        none = f"no array of numbers [N, ...], but {', '.join(map(shown, found)) or 'nothing'}"
        raise InputError(f"{shown(path)} has {some if tables else none}")
    (values,) = tables.values()
    values = values.reshape(len(values), -1).astype(np.float64)
    names = [f"column {i + 1}" for i in range(values.shape[1])]
    values = np.where(np.isfinite(values), values, np.nan)
    table = Table(values, names, np.arange(1, len(values) + 1))
    return _without(table, {"without a value": np.isnan(values).all(axis=0)}, shown(path))
