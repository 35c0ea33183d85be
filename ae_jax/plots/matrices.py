"""Tables of numbers of known range, as colours with the numbers written in them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ae_jax.core import InputError
from ae_jax.plots import style
from ae_jax.plots.text import label


def matrix(
    values: Any,
    rows: Sequence[str],
    columns: Sequence[str] | None = None,
    *,
    name: str,
    limits: tuple[float, float] = (-1.0, 1.0),
) -> Any:
    """A table such as that of correlations: what is of one size has one colour.

    Args:
      values: [R, C]; NaN leaves a cell empty.
      rows: what the rows are called; names of columns of a table are spelled for a reader.
      columns: what the columns are called, likewise; as the rows where None.
      name: what is shown, for the scale of colours.
      limits: the ends of that scale; where they are of opposite signs white stands for the middle.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: if there are not as many names as rows or columns, or a value beyond the limits.
    """
    rows, columns = ([label(text) for text in names] for names in (rows, columns or rows))
    cells, (low, high) = np.asarray(values, float), limits
    if cells.shape != (len(rows), len(columns)) or not cells.size:
        raise InputError(
            f"{len(rows)} rows and {len(columns)} columns are named, of values {list(cells.shape)}"
        )
    if np.any(cells < low - 1e-6) or np.any(cells > high + 1e-6):
        raise InputError(f"values go beyond {low:g} to {high:g}")
    longest = max(style.width(text) for text in (*rows, *columns))
    figure = style.figure(
        name, longest + 2.2 + 0.72 * len(columns), longest * 0.75 + 1.0 + 0.5 * len(rows)
    )
    axes = figure.subplots()
    colours = "RdBu" if low < 0 < high else "viridis"
    drawn = axes.imshow(cells, cmap=colours, vmin=low, vmax=high, aspect="auto")
    for row, column in np.ndindex(cells.shape):
        value = cells[row, column]
        if math.isfinite(value):
            red, green, blue, _ = drawn.cmap(drawn.norm(value))
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            axes.text(
                column, row, f"{value:.2f}".replace("-", "\N{MINUS SIGN}"), ha="center",
                va="center", fontsize=style.SMALL - 1.5, color="white" if dark else style.INK,
            )  # fmt: skip
    axes.set_xticks(range(len(columns)), [style.plain(text) for text in columns], rotation=45,
                    ha="right", rotation_mode="anchor")  # fmt: skip
    axes.set_yticks(range(len(rows)), [style.plain(text) for text in rows])
    axes.tick_params(length=0, labelsize=style.SMALL, labelcolor=style.INK)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(drawn, ax=axes, fraction=0.05, pad=0.02)
    bar.set_label(style.plain(name), fontsize=style.FONT, color=style.INK)
    bar.ax.tick_params(labelsize=style.SMALL, labelcolor=style.INK, color=style.MUTED)
    bar.outline.set_visible(False)
    return figure
