"""Learning curves of a sweep."""

import math
from collections.abc import Sequence
from typing import Any

from ae_jax.core import InputError
from ae_jax.plots import style
from ae_jax.plots.layout import plain_ticks
from ae_jax.plots.summary import (
    Row,
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

_LINES = {"train": ("--", 1.0, 0.55), "validation": ("-", 1.6, 0.9)}
_PANELS_PER_ROW = 3


def learning_curves(
    records: Sequence[Row],
    metric: str,
    lanes: Sequence[Row],
    hyperparameter: str | None = None,
) -> Any:
    """A metric against the training step, one line per lane and split.

    Colour is the hyperparameter's value, so seeds share one; training is dashed and
    validation solid; a frozen lane ends in a cross at the step where it stopped. Every
    combination of the other swept hyperparameters has its own panel. The vertical axis
    spans the lanes that finished, and is logarithmic where their values span a factor
    of five.

    Args:
      records: rows of `metrics.jsonl`: `step`, `split`, `lane` and the metrics. Where a
        resumed run has written a step twice, the later row counts.
      metric: the column to draw.
      lanes: rows of `results.csv`; lanes that are not among them are not drawn.
      hyperparameter: the one that colours the lines; by default the first that varies.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where there are no lanes, or no record has the metric.
    """
    require(lanes, "lane", *([hyperparameter] if hyperparameter else []))
    require(records, "step", "lane", metric)
    if hyperparameter is None:
        hyperparameter = next(iter(varying(lanes) or hyperparameters(lanes)), None)
    others = [name for name in varying(lanes) if name != hyperparameter]
    series = _series(records, metric)
    panels = groups(lanes, others)
    palette = style.colours(distinct(lanes, hyperparameter) if hyperparameter else [None])

    columns = min(len(panels), _PANELS_PER_ROW)
    rows = math.ceil(len(panels) / columns)
    width, height = (8.5, 4.8) if len(panels) == 1 else (2.2 + 3.8 * columns, 3.6 * rows)
    figure = style.figure(f"learning_curves_{metric}", width, height)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    bottom, top, logarithmic = _limits(series, lanes)
    stopped = False
    for index, axes in enumerate(grid.flat):
        style.dress(axes)
        axes.set_visible(index < len(panels))
    for index, (axes, (key, members)) in enumerate(zip(grid.flat, panels.items(), strict=False)):
        style.dress(
            axes,
            "training step" if index >= len(panels) - columns else "",
            label(metric, unit=True) if index % columns == 0 else "",
            style.setting(others, key),
        )
        if logarithmic:
            axes.set_yscale("log")
            plain_ticks(axes, top / bottom)
        axes.set_ylim(bottom, top)
        for row in members:
            colour = palette[parse(row.get(hyperparameter)) if hyperparameter else None]
            stopped |= _draw_lane(axes, row, series, colour)
    for axes in list(grid.flat)[max(len(panels) - columns, 0) : len(panels)]:
        axes.tick_params(labelbottom=True)
    splits = {split for lane, split in series if lane in {parse(row.get("lane")) for row in lanes}}
    style.legend(
        figure, _handles(palette, hyperparameter, splits, stopped), label(hyperparameter or "")
    )
    return figure


def _series(records: Sequence[Row], metric: str) -> dict[tuple, dict[float, float]]:
    """(lane, split) -> {step: value}, the later of two records of a step."""
    series: dict[tuple, dict[float, float]] = {}
    for record in records:
        if metric in record:
            key = (parse(record.get("lane")), record.get("split", "train"))
            series.setdefault(key, {})[number(record.get("step"))] = number(record[metric])
    return {key: dict(sorted(points.items())) for key, points in series.items()}


def _limits(series: dict[tuple, dict], lanes: Sequence[Row]) -> tuple[float, float, bool]:
    """The axis' bottom and top, and whether it is logarithmic."""
    shown = {parse(row.get("lane")) for row in lanes}
    done = {parse(row.get("lane")) for row in lanes if not frozen(row)}
    for some in (done, shown):
        found = [
            point
            for (lane, _), points in series.items()
            for point in points.values()
            if lane in some and math.isfinite(point)
        ]
        if found:
            break
    else:
        if not any(lane in shown for lane, _ in series):
            raise InputError("no record belongs to the lanes given; pass the lanes of this run")
        return 0.0, 1.0, False
    low, high = min(found), max(found)
    if low > 0 and high / low > 5:
        margin = (high / low) ** 0.05
        return low / margin, high * margin, True
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin, False


def _draw_lane(axes: Any, row: Row, series: dict[tuple, dict], colour: Any) -> bool:
    """Draws a lane's lines; True where it ends in a cross."""
    lane = parse(row.get("lane"))
    step = number(row.get("frozen_step"))
    end = step if frozen(row) and math.isfinite(step) else math.inf
    ends = []
    for split, (dashes, width, alpha) in _LINES.items():
        found = series.get((lane, split), {}).items()
        points = [(at, y) for at, y in found if at <= end and math.isfinite(y)]
        if points:
            axes.plot(*zip(*points, strict=True), dashes, color=colour, lw=width, alpha=alpha)
            ends.append(points[-1])
    if not frozen(row):
        return False
    last_step, last_value = max(ends, default=(0.0, math.inf))
    # Inside the axes, however far the lane had diverged.
    to_data = axes.transData.inverted()
    low, high = (to_data.transform(axes.transAxes.transform((0, part)))[1] for part in (0.04, 0.96))
    x = end if math.isfinite(end) else last_step
    y = min(max(last_value, low), high)
    axes.plot([x], [y], "x", color=colour, ms=11, mew=3, clip_on=False, zorder=5)
    return True


def _handles(palette: dict, hyperparameter: str | None, splits: set, stopped: bool) -> list[Any]:
    from matplotlib.lines import Line2D

    named = list(palette.items()) if hyperparameter else []
    if len(named) > 8:  # ordered colours: enough of them to read the others between
        named = [named[round(index * (len(named) - 1) / 6)] for index in range(7)]
    handles = [Line2D([], [], color=c, lw=3, label=style.plain(value(v))) for v, c in named]
    for split, (dashes, width, _) in _LINES.items():
        if split in splits:
            handles.append(Line2D([], [], color=style.MUTED, ls=dashes, lw=width, label=split))
    if stopped:
        cross = {"marker": "x", "ms": 9, "mew": 2.5, "ls": "none", "color": style.MUTED}
        handles.append(Line2D([], [], label="stopped: not finite", **cross))
    return handles
