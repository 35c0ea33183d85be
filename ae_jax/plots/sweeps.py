"""What a hyperparameter does: results against it, and rate against distortion."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax.core import InputError
from ae_jax.plots import style
from ae_jax.plots.layout import apart, end_labels
from ae_jax.plots.summary import (
    Estimate,
    Row,
    aggregate,
    distinct,
    frozen,
    groups,
    hyperparameters,
    number,
    parse,
    require,
    varying,
)
from ae_jax.plots.text import label, value

#: Where a point's label goes, by curve, so that neighbouring curves' labels keep apart.
_CORNERS = ((1, 1), (-1, -1), (1, -1), (-1, 1))
#: Of references: dashed, dotted, both.
_DASHES = ((0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))


def rate_distortion(
    rows: Sequence[Row],
    hyperparameter: str = "beta",
    rate: str = "kl",
    distortion: str = "reconstruction",
) -> Any:
    """The price of a good reconstruction: distortion against rate over a hyperparameter.

    Means over seeds are joined in the hyperparameter's order and carry its value, with
    bars of one standard deviation; every seed is a faint point. Other swept
    hyperparameters make a curve each. Frozen lanes are left out, and a footnote says so.

    Args:
      rows: one per lane.
      hyperparameter: what moves along the curve.
      rate: the column of the rate, nats.
      distortion: the column of the distortion, nats.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where a column does not exist.
    """
    require(rows, hyperparameter, rate, distortion)
    figure = style.figure("rate_distortion", 8.0, 5.4)
    axes = figure.subplots()
    style.dress(axes, f"rate: {label(rate)} (nats)", f"distortion: {label(distortion)} (nats)")
    axes.grid(axis="x", color=style.FAINT, linewidth=0.8)
    axes.margins(0.1)
    series = _series(rows, hyperparameter, rate, distortion)
    ordered = style.colours(distinct(rows, hyperparameter))
    name = label(hyperparameter)
    for index, members in enumerate(series.values()):
        points = [
            point
            for point in aggregate(members, [hyperparameter], [rate, distortion])
            if point[rate].count and point[distortion].count
        ]
        means = [(point[rate].mean, point[distortion].mean) for point in points]
        if means:
            colour = style.MUTED if len(series) == 1 else _category(index)
            axes.plot(*zip(*means, strict=True), color=colour, lw=1.5, alpha=0.7, zorder=2)
        across, up = _CORNERS[index % len(_CORNERS)]
        for place, (point, (x, y)) in enumerate(zip(points, means, strict=True)):
            setting = point[hyperparameter]
            colour = ordered[setting] if len(series) == 1 else _category(index)
            seeds = [row for row in members if parse(row.get(hyperparameter)) == setting]
            _seeds(axes, *_finished(seeds, rate, distortion), colour)
            _bars(axes, [x], [y], colour, [point[rate].spread], [point[distortion].spread])
            full = place == 0 or (len(name) <= 3 and len(series) == 1)
            axes.annotate(
                style.plain(f"{name} = {value(setting)}" if full else value(setting)),
                (x, y), xytext=(11 * across, 8 * up), textcoords="offset points",
                ha="left" if across > 0 else "right", va="bottom" if up > 0 else "top",
                fontsize=style.FONT, color=colour, zorder=6,
            )  # fmt: skip
    _finish(figure, axes, rows, series, [rate, distortion])
    return figure


def against(
    rows: Sequence[Row],
    x: str,
    y: str,
    reference: Mapping[str, Mapping[float, float]] | None = None,
    name: str = "",
) -> Any:
    """A result against a hyperparameter, with every seed's point, the mean and its spread.

    Bars are one standard deviation over seeds. The axis is logarithmic where the values
    are geometric, and categorical where they are not numbers or would lie on top of each
    other. Other swept hyperparameters make a line each. Frozen lanes are left out, and a
    footnote says so.

    Args:
      rows: one per lane.
      x: the hyperparameter's column.
      y: the result's column.
      reference: a label ("PCA") -> x value -> y value: what the result is compared with,
        dashed and dark. Where the axis is categorical, its values alone are drawn.
      name: what the sweep's own curve is called beside a reference, where it is the only one.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where a column does not exist, or a reference has no place on the axis.
    """
    require(rows, x, y)
    figure = style.figure(f"{y}_against_{x}", 8.0, 4.8)
    axes = figure.subplots()
    style.dress(axes, label(x), label(y, unit=True))
    settings = distinct(rows, x)
    series = _series(rows, x, y)
    positions, joined, shift = _scale(axes, settings)
    ends = []
    for index, members in enumerate(series.values()):
        colour = _category(index)
        aside = 2.5 * (index - (len(series) - 1) / 2)  # curves side by side
        points = [point for point in aggregate(members, [x], [y]) if point[y].count]
        at = [shift(positions[point[x]], aside) for point in points]
        means = [point[y].mean for point in points]
        if joined:
            axes.plot(at, means, color=colour, lw=2, zorder=3)
        for (setting,), seeds in groups(members, [x]).items():
            heights = _finished(seeds, y)[0]
            _seeds(axes, [shift(positions[setting], aside + 1)] * len(heights), heights, colour)
        _bars(axes, at, means, colour, None, [point[y].spread for point in points])
        if name and len(series) == 1:
            ends.append((at[-1], means[-1], name, colour))
    if series:
        ends += [
            _reference(axes, positions, *item, _DASHES[index % len(_DASHES)])
            for index, item in enumerate((reference or {}).items())
        ]
    if ends:
        end_labels(axes, ends)
    _finish(figure, axes, rows, series, [y])
    return figure


def _series(rows: Sequence[Row], hyperparameter: str, *columns: str) -> dict[str, list[Row]]:
    """A curve for each combination of the other swept hyperparameters that has a result."""
    others = [name for name in varying(rows) if name != hyperparameter]
    return {
        style.setting(others, key): found
        for key, found in groups(rows, others).items()
        if _finished(found, *columns)[0]
    }


def _category(index: int) -> str:
    return style.CATEGORIES[index % len(style.CATEGORIES)]


def _finished(rows: Sequence[Row], *columns: str) -> list[list[float]]:
    cells = [[number(row.get(name)) for name in columns] for row in rows if not frozen(row)]
    cells = [values for values in cells if all(map(math.isfinite, values))]
    return [[values[index] for values in cells] for index in range(len(columns))]


def _seeds(axes: Any, x: Sequence[float], y: Sequence[float], colour: Any) -> None:
    """Every seed's point; one seed alone is its mean's point."""
    if len(x) < 2:
        return
    axes.scatter(x, y, s=34, color=[colour], alpha=0.45, linewidths=0, zorder=4)


def _bars(
    axes: Any,
    x: Sequence[float],
    y: Sequence[float],
    colour: Any,
    across: Sequence[float] | None,
    along: Sequence[float],
) -> None:
    bars = {
        "xerr": None if across is None else np.nan_to_num(across),
        "yerr": np.nan_to_num(along),
    }
    if len(x):
        marker = {"fmt": "o", "ms": 9, "mec": "white", "mew": 1.2}
        axes.errorbar(x, y, **bars, **marker, color=colour, elinewidth=2, zorder=5)


def _reference(
    axes: Any, positions: dict[Any, float], name: str, points: Mapping[float, float], dashes: Any
) -> tuple[float, float, str, str]:
    """Draws what a sweep is compared with; returns the line's end, for its label."""
    evenly = any(position != item for item, position in positions.items())
    known = {
        positions.get(parse(item), number(item)): number(height)
        for item, height in points.items()
        if parse(item) in positions or not evenly
    }
    at = sorted(place for place, height in known.items() if math.isfinite(height))
    if not at:
        raise InputError(f"reference {name!r} has no finite value on the axis; pass some")
    heights = [known[place] for place in at]
    dots = {"marker": "o", "ms": 5} if len(at) <= len(positions) else {}
    axes.plot(at, heights, color=style.INK, lw=2, ls=dashes, zorder=6, **dots)
    return at[-1], heights[-1], name, style.INK


def _scale(
    axes: Any, settings: Sequence[Any]
) -> tuple[dict[Any, float], bool, Callable[[float, float], float]]:
    """Lays out the horizontal axis.

    Returns:
      Each value's position; whether a line may join them; and a function (position,
      units) -> position a little to the right.
    """
    from matplotlib.ticker import FixedLocator, NullLocator

    numeric = all(isinstance(item, int | float) and not isinstance(item, bool) for item in settings)
    numeric = numeric and all(math.isfinite(item) for item in settings)
    logarithmic = numeric and _geometric(settings)
    if not logarithmic and (not numeric or _crowded(settings)):
        positions = {item: float(index) for index, item in enumerate(settings)}
        axes.set_xlim(-0.5, len(settings) - 0.5)
        width = float(len(settings))
    else:
        positions = {item: float(item) for item in settings}
        width = float(settings[-1]) - float(settings[0]) or 1.0
    if logarithmic:
        axes.set_xscale("log", base=2)
        width = math.log(settings[-1] / settings[0])
    shown = apart(positions, logarithmic, width / 12) if numeric else list(settings)
    axes.xaxis.set_major_locator(FixedLocator([positions[item] for item in shown]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([style.plain(value(item)) for item in shown])

    def shift(position: float, units: float) -> float:
        step = 0.013 * width * units
        return position * math.exp(step) if logarithmic else position + step

    return positions, numeric, shift


def _geometric(settings: Sequence[float]) -> bool:
    # Positive, and more even on a logarithmic axis than on a linear one.
    if len(settings) < 3 or settings[0] <= 0:
        return len(settings) == 2 and settings[0] > 0 and settings[1] >= 8 * settings[0]
    steps = np.diff(np.asarray(settings, np.float64))
    ratios = np.diff(np.log(np.asarray(settings, np.float64)))
    return bool(steps.max() / steps.min() > ratios.max() / ratios.min() * 1.01)


def _crowded(settings: Sequence[float]) -> bool:
    steps = np.diff(np.asarray(settings, np.float64))
    return not len(steps) or bool(steps.min() < 0.04 * steps.sum())


def _finish(
    figure: Any, axes: Any, rows: Sequence[Row], series: dict[str, list[Row]], columns: list[str]
) -> None:
    """The legend and the footnote; a message where there is nothing to see."""
    from matplotlib.lines import Line2D

    if not axes.containers:
        style.message(axes, "no lane has a finite result")
    remarks = []
    if any(point.count > 1 for found in series.values() for point in _estimates(found, columns)):
        remarks.append("mean ± standard deviation over seeds; small points: seeds")
    if lost := sum(frozen(row) for row in rows):
        verb = "is" if lost == 1 else "are"
        remarks.append(f"{lost} of {len(rows)} lanes stopped early and {verb} left out")
    style.footnote(figure, "\n".join(remarks))
    if len(series) == 1:
        axes.set_title(style.plain(next(iter(series))), fontsize=style.FONT, color=style.INK)
    else:
        line = {"lw": 2, "marker": "o", "ms": 7}
        style.legend(
            figure,
            [
                Line2D([], [], color=_category(index), label=style.plain(name), **line)
                for index, name in enumerate(series)
            ],
        )


def _estimates(rows: Sequence[Row], columns: list[str]) -> list[Estimate]:
    points = aggregate(rows, hyperparameters(rows), columns)
    return [point[name] for point in points for name in columns]
