"""Pictures of sequences: time series over each other, words letter by letter, neighbours."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax.core import InputError
from ae_jax.plots import style

_WRONG = style.CATEGORIES[1]
_LETTER, _LINE = 0.125, 0.3  # inches, of monospaced text


def time_series(
    inputs: Any, outputs: Mapping[str, Any], titles: Sequence[str] | None = None
) -> Any:
    """Time series, each in its panel, and what each model made of it.

    Args:
      inputs: [N, T].
      outputs: a line's label -> reconstructions [N, T].
      titles: N panel titles, or none.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where an output's shape is not that of the inputs.
    """
    from matplotlib.lines import Line2D

    inputs = np.asarray(inputs, np.float64)
    lines = {str(name): np.asarray(output, np.float64) for name, output in outputs.items()}
    for name, output in lines.items():
        if inputs.ndim != 2 or output.shape != inputs.shape:
            raise InputError(
                f"time series {name!r} are {list(output.shape)} and the inputs "
                f"{list(inputs.shape)}; pass both [N, T]"
            )
    count = len(inputs)
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = style.figure("time_series", 2.2 + 3.0 * columns, 0.6 + 1.9 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    palette = style.colours(list(lines))
    for index, axes in enumerate(grid.flat):
        bottom, left = index >= count - columns, index % columns == 0
        style.dress(
            axes,
            "time step" if bottom else "",
            "value" if left else "",
            titles[index] if titles and index < count else "",
        )
        axes.set_visible(index < count)
        if index < count:
            axes.plot(inputs[index], color=style.INK, lw=3.5, alpha=0.3)
            for name, output in lines.items():
                axes.plot(output[index], color=palette[name], lw=1.8)
            axes.tick_params(labelbottom=bottom)
    handles = [Line2D([], [], color=style.INK, lw=3.5, alpha=0.3, label="input")]
    handles += [
        Line2D([], [], color=colour, lw=2.5, label=style.plain(name))
        for name, colour in palette.items()
    ]
    style.legend(figure, handles)
    return figure


def located(
    inputs: Any,
    inside: Any,
    outputs: Mapping[str, Any],
    scores: Mapping[str, Any],
    titles: Sequence[str],
    ylabel: str = "score",
) -> Any:
    """Time series that differ somewhere, side by side, and below each how odd its steps are.

    Args:
      inputs: [N, T].
      inside: bool [N, T], which steps differ; they are shaded.
      outputs: a line's label -> reconstructions [N, T].
      scores: a line's label -> scores of steps [N, T], above 0; drawn on a logarithmic axis, from a
        ten-thousandth of the largest on.
      titles: N panel titles.
      ylabel: what the scores are.

    Returns:
      A matplotlib Figure; a label has one colour above and below.

    Raises:
      InputError: where a shape is not that of the inputs.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    inputs, inside = np.asarray(inputs, np.float64), np.asarray(inside, bool)
    above, below = (
        {str(name): np.asarray(found, np.float64) for name, found in lines.items()}
        for lines in (outputs, scores)
    )
    for name, found in (("inside", inside), *above.items(), *below.items()):
        if inputs.ndim != 2 or found.shape != inputs.shape:
            raise InputError(
                f"{name!r} is {list(found.shape)} and the inputs {list(inputs.shape)}; pass both "
                "[N, T]"
            )
    palette = style.colours(list(dict.fromkeys([*above, *below])))
    figure = style.figure("located", 2.6 + 3.0 * len(inputs), 5.2)
    grid = figure.subplots(2, len(inputs), sharex=True, sharey="row", squeeze=False)
    for index, (top, bottom) in enumerate(grid.T):
        style.dress(top, "", "" if index else "value", titles[index])
        style.dress(bottom, "time step", "" if index else ylabel)
        edges = np.flatnonzero(np.diff(np.pad(inside[index], 1).astype(int)))
        for axes in (top, bottom):
            for start, end in edges.reshape(-1, 2):
                axes.axvspan(start - 0.5, end - 0.5, color=style.FAINT, lw=0, zorder=0)
        top.plot(inputs[index], color=style.INK, lw=3.5, alpha=0.3)
        for axes, lines in ((top, above), (bottom, below)):
            for name, found in lines.items():
                axes.plot(found[index], color=palette[name], lw=1.8)
        bottom.set_yscale("log")
    if below and (largest := max(found.max() for found in below.values())) > 0:
        grid[1, 0].set_ylim(1e-4 * largest, 2 * largest)
    handles = [
        Line2D([], [], color=style.INK, lw=3.5, alpha=0.3, label="input"),
        Patch(color=style.FAINT, label="fault"),
    ]
    handles += [
        Line2D([], [], color=colour, lw=2.5, label=style.plain(name))
        for name, colour in palette.items()
    ]
    style.legend(figure, handles)
    return figure


def spelled(words: Sequence[str], outputs: Mapping[str, Sequence[str]], first: str = "word") -> Any:
    """Words and what each model spelled, with the letters that are wrong in bold orange.

    Args:
      words: N words.
      outputs: a column's label -> N words.
      first: the label of the first column.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where there is no word, or the numbers of words differ.
    """
    table = {first: list(words), **{str(name): list(said) for name, said in outputs.items()}}
    if not words or len({len(column) for column in table.values()}) > 1:
        sizes = ", ".join(f"{name} {len(column)}" for name, column in table.items())
        raise InputError(f"columns of words must be of one length, at least 1: {sizes}")
    widths = [max(map(len, [name, *column])) + 3 for name, column in table.items()]
    starts = [0, *itertools.accumulate(widths)]
    axes = _page("words", starts[-1], len(words) + 1)
    for start, (name, column) in zip(starts, table.items(), strict=False):
        _write(axes, start, 0, name, style.MUTED, "bold")
        for line, (word, said) in enumerate(zip(words, column, strict=True), 1):
            letters = itertools.zip_longest(word, said)
            for place, (letter, own) in enumerate(letters):
                # a letter that is missing is a low line in its place
                colour, weight = (style.INK, "normal") if own == letter else (_WRONG, "bold")
                _write(axes, start + place, line, own or "_", colour, weight)
    style.footnote(axes.get_figure(), "orange: a wrong letter; _: one is missing")
    return axes.get_figure()


def neighbours(
    found: Mapping[str, Sequence[str]], heading: str = "", name: str = "neighbours"
) -> Any:
    """Words, each with those that lie nearest to it, nearest first.

    Args:
      found: word -> its neighbours.
      heading: a title.
      name: what the report calls the figure's file.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where there is no word.
    """
    if not found:
        raise InputError("there is no word whose neighbours could be shown; pass at least one")
    lead = max(map(len, found)) + 3
    lines = [", ".join(words) for words in found.values()]
    axes = _page(name, lead + max(map(len, lines)), len(found), heading)
    for line, (word, text) in enumerate(zip(found, lines, strict=True)):
        _write(axes, 0, line, word, style.CATEGORIES[0], "bold")
        _write(axes, lead, line, text, style.INK, "normal")
    return axes.get_figure()


def _page(name: str, letters: int, lines: int, heading: str = "") -> Any:
    """Axes on which a letter is one wide and a line one high, downwards from 0."""
    height = _LINE * lines + (0.6 if heading else 0.4)
    figure = style.figure(name, max(_LETTER * letters + 0.3, 4.0), height)
    axes = figure.subplots()
    axes.set(xlim=(-0.5, letters), ylim=(lines - 0.5, -0.5))
    axes.set_title(style.plain(heading), fontsize=style.FONT, color=style.INK, loc="left")
    axes.set_axis_off()
    return axes


def _write(axes: Any, x: float, y: float, text: str, colour: str, weight: str) -> None:
    axes.text(
        x, y, style.plain(text), color=colour, fontweight=weight, fontsize=style.FONT,
        fontfamily="DejaVu Sans Mono", ha="left", va="center",
    )  # fmt: skip
