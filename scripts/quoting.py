"""Numbers quoted from records: what a template of scripts/gallery.py says of one."""

import math
import re
from collections.abc import Mapping
from typing import Any

FIELD = re.compile(r"\{(\w+(?: \w+)?)(?:\|(.*?))?\}")


class Fault(Exception):
    """What a record does not have, in a line."""


def quoted(template: str, record: Mapping[str, Any]) -> str:
    """Fills a template with what a record says.

    Raises:
      Fault: if it does not say that.
    """

    def value(field: re.Match[str]) -> str:
        head, rest = field.groups()
        if head == "note":
            return note(rest or "", record)
        *choice, column = head.split()
        parts = (rest or "").split("|")
        where = parts.pop(0) if "=" in parts[0] else ""
        cells = column_of(record, column, where)
        if choice:
            best = {"max": max, "min": min}.get(choice[0])
            if best is None:
                raise Fault(f"{{{field.group()[1:-1]}}}: use max or min before a column")
            cells = [best(cells, key=_size)]
        texts = [shown(cell, "".join(parts)) for cell in cells]
        return ", ".join(texts if isinstance(cells[0], dict) else dict.fromkeys(texts))

    return FIELD.sub(value, template)


def note(pattern: str, record: Mapping[str, Any]) -> str:
    """Returns the first group of the first note in which a pattern is found.

    Raises:
      Fault: if it is found in none.
    """
    for table in record["tables"]:
        for text in table["notes"]:
            found = re.search(pattern, text)
            if found:
                return found.group(1 if found.re.groups else 0)
    raise Fault(f"no note has {pattern!r}")


def column_of(record: Mapping[str, Any], column: str, where: str) -> list[Any]:
    """Returns a column's cells in the rows that have some settings.

    Raises:
      Fault: if there is none.
    """
    wanted = dict(part.split("=", 1) for part in re.split(r",(?=\w+=)", where) if part)
    for table in record["tables"]:
        cells = [
            row[column]
            for row in table["rows"]
            if column in row and all(_same(row.get(name), wanted[name]) for name in wanted)
        ]
        if cells:
            return cells
    raise Fault(f"no {column}" + (f" where {where}" if where else ""))


def _same(cell: Any, text: str) -> bool:
    try:
        return float(text) == cell
    except ValueError:
        return str(cell) == text


def _size(cell: Any) -> float:
    size = cell["mean"] if isinstance(cell, dict) else cell
    return -math.inf if size is None else size


def shown(cell: Any, spec: str) -> str:
    """Returns a cell as text.

    Raises:
      Fault: if it has no value, or the format is none.
    """
    spread = spec.startswith("±")
    spec = spec.removeprefix("±")
    size = cell["mean"] if isinstance(cell, dict) else cell
    if size is None:
        raise Fault("what is quoted has no finite value")
    try:
        text = format(size, spec or ("" if isinstance(size, str) else "g"))
        if spread and cell["spread"] is not None:
            text += f" ± {cell['spread']:{spec}}"
    except (ValueError, TypeError) as error:
        raise Fault(f"format {spec!r}: {error}") from error
    return text
