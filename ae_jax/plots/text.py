"""Names and numbers as a reader wants to see them, in figures and tables."""

import math
from collections.abc import Sequence
from typing import Any

from ae_jax.plots.summary import RESERVED, Estimate, Row, hyperparameters, parse

_LABELS = {
    "beta": "β",
    "gamma": "\N{GREEK SMALL LETTER GAMMA}",
    "sigma": "\N{GREEK SMALL LETTER SIGMA}",
    "active_units": "active latent units",
    "knn": "k-NN",
}
_CAPITALS = {"ais", "dci", "elbo", "iwae", "kl", "ks", "mig", "psnr", "r1", "r2", "sap", "ssim"}
_CAPITALS |= {"irs", "mi", "svm", "udr", "vae"}
_MINUS, _DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
#: Quantities that are in nats whatever the method.
_NATS = ("kl", "elbo", "negative_elbo", "log_likelihood", "free_energy")


def label(name: str, unit: bool = False) -> str:
    """A column's name for a reader: `learning_rate` is "learning rate", `kl` is "KL".

    Args:
      name: the column.
      unit: whether to add the unit where the name implies one.
    """
    spelled = (word.upper() if word in _CAPITALS else word for word in name.split("_"))
    words = _LABELS.get(name) or " ".join(spelled)
    return f"{words} (nats)" if unit and name in _NATS else words


def value(cell: Any) -> str:
    """A hyperparameter's value, short: 0.001, 1e-5, 1e12, relu, (400, 200)."""
    cell = parse(cell)
    if cell is None:
        return "none"
    if isinstance(cell, tuple):
        return f"({', '.join(value(item) for item in cell)})"
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return str(cell)
    if isinstance(cell, int) and abs(cell) < 1_000_000:
        return str(cell)
    digits = f"{cell:g}"
    return _exponent(digits).replace("-", _MINUS) if math.isfinite(cell) else digits


def column(cells: Sequence[Any]) -> list[str]:
    """A table's column of results, with as many decimals throughout as its size asks for.

    Args:
      cells: numbers, `Estimate`s ("mean ± spread"; the mean alone for one seed), or
        anything else; what is missing is a dash.
    """
    numeric = [cell.mean if isinstance(cell, Estimate) else parse(cell) for cell in cells]
    if all(isinstance(cell, int) or cell is None for cell in numeric):
        decimals = 0
    elif all(isinstance(cell, Estimate) and _whole(cell) for cell in cells):
        decimals = 1
    else:
        decimals = _decimals(numeric)
    return [
        _estimate(cell, decimals) if isinstance(cell, Estimate) else _cell(parse(cell), decimals)
        for cell in cells
    ]


def table(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Rows as columns of text: settings and counts as they are, results in even decimals.

    Args:
      rows: one per lane, or one per configuration as `aggregate` returns them.

    Returns:
      Column name -> a cell per row. `frozen` is left out where nothing froze.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    settings = {*hyperparameters(rows), *RESERVED}
    if rows and "lanes" in rows[0]:  # a summary: its results are estimates
        settings = {name for name in names if not isinstance(rows[0].get(name), Estimate)}
    columns = {}
    for name in names:
        cells = [row.get(name) for row in rows]
        if name == "frozen" and not any(cells):
            continue
        if name in settings:
            columns[name] = [_DASH if parse(cell) is None else value(cell) for cell in cells]
        else:
            columns[name] = column(cells)
    return columns


def console_table(rows: Sequence[Row]) -> str:
    """Rows as a table for a terminal, as `table` writes them but with the keyboard's minus."""
    keyboard = str.maketrans({_MINUS: "-", _DASH: "-"})
    columns = [
        [name, *(cell.translate(keyboard) for cell in cells)] for name, cells in table(rows).items()
    ]
    widths = [max(map(len, cells)) for cells in columns]
    lines = zip(*columns, strict=True)
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _decimals(cells: Sequence[Any]) -> int:
    # Four significant digits of the largest value written out in full; three decimals do.
    sizes = [abs(cell) for cell in cells if isinstance(cell, int | float) and _plain(cell)]
    largest = max((size for size in sizes if size), default=1.0)
    return min(max(3 - math.floor(math.log10(largest)), 0), 3 if largest >= 0.1 else 5)


def _whole(cell: Estimate) -> bool:
    # The mean of whole numbers, such as counts of active units.
    total = cell.mean * cell.count
    return not math.isfinite(total) or abs(total - round(total)) < 1e-9 * max(1.0, abs(total))


def _plain(cell: float) -> bool:
    return math.isfinite(cell) and (cell == 0 or 1e-4 <= abs(cell) < 1e6)


def _cell(cell: Any, decimals: int) -> str:
    if cell is None:
        return _DASH
    if isinstance(cell, float) and math.isnan(cell):
        return "NaN"
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return value(cell)
    digits = f"{cell:.{decimals}f}" if _plain(cell) else _exponent(f"{cell:.2e}")
    return digits.replace("-", _MINUS)


def _estimate(cell: Estimate, decimals: int) -> str:
    if cell.count == 0:
        return _DASH
    if cell.count == 1:
        return _cell(cell.mean, decimals)
    return f"{_cell(cell.mean, decimals)} ± {_cell(cell.spread, decimals)}"


def _exponent(digits: str) -> str:
    if "e" not in digits:
        return digits
    mantissa, power = digits.split("e")
    return f"{mantissa}e{int(power)}"
