"""Curves and bars of results that are not a sweep's rows, with their spread."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ae_jax.core import InputError
from ae_jax.plots import style
from ae_jax.plots.layout import apart, end_labels, plain_ticks
from ae_jax.plots.summary import parse
from ae_jax.plots.text import column, value

_FLOOR = 1e-6  # of the largest singular value; what lies below is rounding in float32
NOTHING = "no lane has a finite value"
_DASHES = ((0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))  # of formulas
_WIDEST = 16.0  # inches: what does not fit side by side stands below each other
_TALLEST = 9.0  # inches, where groups below each other can be so close
_TICKED = 12  # so many x values at most have a tick each


def lines(
    series: Mapping[Any, tuple[Any, Any, Any]],
    xlabel: str,
    ylabel: str,
    *,
    name: str = "",
    log_x: bool = False,
    log_y: bool = False,
    level: float | None = None,
    formulas: Mapping[str, tuple[Any, Any]] | None = None,
    spread: str = "standard deviation over seeds",
    heading: str = "",
) -> Any:
    """Curves of means with bands of their spread, each named where it ends.

    Args:
      series: a curve's label -> x [K], mean [K] and spread [K] (None for no band). Where
        all labels are numbers the colours are ordered, else they are categories.
      xlabel: what x is.
      ylabel: what y is, with its unit.
      name: what the labels are values of ("trained at noise").
      log_x: whether the horizontal axis is logarithmic.
      log_y: whether the vertical one is. A band that reaches 0 ends at a tenth of the mean.
      level: a value of y to mark by a horizontal line, such as a gain of 0.
      formulas: a label -> x [K] and y [K] of what is expected, dashed and dark; the curves are
        then points, which nothing joins.
      spread: what the bands are, for the footnote.
      heading: a title.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where the lengths do not agree, or a logarithmic axis is to show what is not
        above 0.
    """
    curves = {parse(key): _curve(key, *item, log_x) for key, item in series.items()}
    for key, (_, mean, _) in curves.items():
        if log_y and (mean <= 0).any():
            raise InputError(
                f"curve {key!r} has y = {np.nanmin(mean):g} on a logarithmic axis; leave it out"
            )
    figure = style.figure(f"{ylabel} against {xlabel}", 8.0, 4.8)
    axes = figure.subplots()
    style.dress(axes, xlabel, ylabel, heading)
    if log_x:
        axes.set_xscale("log")
    if log_y:
        axes.set_yscale("log")
    if level is not None:
        axes.axhline(level, color=style.MUTED, lw=1.5, ls=(0, (4, 3)), zorder=1)
    ends, banded = [], False
    palette = style.colours(list(curves))
    for key, (x, mean, band) in curves.items():
        colour = palette[key]
        joined = {"lw": 0 if formulas else 2.5, "marker": "o", "ms": 7, "mec": "white", "mew": 1}
        axes.plot(x, mean, color=colour, zorder=4, **joined)
        if np.any(np.nan_to_num(band) > 0):
            low, high = mean - np.nan_to_num(band), mean + np.nan_to_num(band)
            if log_y:
                low = np.maximum(low, mean / 10)
            axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0, zorder=2)
            banded = True
        if (seen := np.flatnonzero(np.isfinite(mean))).size:
            end = "" if key is None else value(key)
            ends.append((x[seen[-1]], mean[seen[-1]], end, colour))
    for index, (label, (x, y)) in enumerate((formulas or {}).items()):
        axes.plot(x, y, color=style.INK, lw=2, ls=_DASHES[index % len(_DASHES)], zorder=3)
        ends.append((x[-1], y[-1], label, style.INK))
    low, high = axes.get_ylim()
    if log_y and 5 < high / low < 1e3:
        plain_ticks(axes, high / low)
    if curves:
        _ticks_at(axes, np.unique(np.concatenate([x for x, _, _ in curves.values()])), log_x)
    if banded:
        style.footnote(figure, f"mean ± {spread}")
    if not ends:
        style.message(axes, NOTHING)
    elif len(curves) > 1 or None not in curves:
        end_labels(axes, ends, name)
    return figure


def spectrum(
    values: Mapping[Any, Any],
    *,
    name: str = "",
    xlabel: str = "index",
    ylabel: str = "singular value",
    heading: str = "",
) -> Any:
    """Singular values or eigenvalues by index, on a logarithmic axis, a line each.

    Args:
      values: a line's label (such as a penalty's weight) -> [K], largest first. Where all
        labels are numbers the colours are ordered, else they are categories.
      name: what the labels are values of.
      xlabel: what is counted.
      ylabel: what the values are.
      heading: a title.

    Returns:
      A matplotlib Figure. Values below a millionth of the largest of all are left out,
      and a footnote says so.

    Raises:
      InputError: where values are not [K].
    """
    from matplotlib.ticker import MaxNLocator

    spectra = {parse(key): np.asarray(item, np.float64) for key, item in values.items()}
    for key, found in spectra.items():
        if found.ndim != 1 or not found.size:
            raise InputError(f"spectrum {key!r} must be [K]; got {list(found.shape)}")
    spectra = {key: np.where(np.isfinite(found), found, 0) for key, found in spectra.items()}
    largest = max((found.max() for found in spectra.values()), default=0)
    if all(isinstance(key, int | float) for key in spectra):
        spectra = dict(sorted(spectra.items()))
    figure = style.figure(f"{ylabel} by {xlabel}", 8.0, 4.8)
    axes = figure.subplots()
    style.dress(axes, xlabel, ylabel, heading)
    if largest <= 0:
        style.message(axes, "no value is finite and above 0")
        return figure
    axes.set_yscale("log")
    longest = max(map(len, spectra.values()))
    marker = {"marker": "o", "ms": 6, "mec": "white", "mew": 0.8} if longest <= 40 else {}
    ends, lost = [], 0
    for key, colour in style.colours(list(spectra)).items():
        index = np.arange(1, len(spectra[key]) + 1)
        seen = spectra[key] >= _FLOOR * largest
        lost += int((~seen).sum())
        axes.plot(index[seen], spectra[key][seen], color=colour, lw=2.5, **marker)
        if seen.any():
            ends.append((index[seen][-1], spectra[key][seen][-1], value(key), colour))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.set_xlim(0.4, longest + 0.5 + 0.02 * longest)
    if lost:
        style.footnote(figure, f"{lost} values below a millionth of the largest are left out")
    end_labels(axes, ends, name)
    return figure


def bars(
    table: Mapping[str, Mapping[str, Any]],
    ylabel: str,
    *,
    name: str = "",
    spread: str = "standard deviation over seeds",
    heading: str = "",
) -> Any:
    """Groups of bars from 0, with their spread and their values written above them.

    Args:
      table: a group ("pixels") -> a bar's label ("k-NN") -> its mean and spread (an
        `Estimate` will do), or a number; what is missing leaves a gap.
      ylabel: what the bars measure, with its unit.
      name: what the bars' labels are, for the legend.
      spread: what the whiskers are, for the footnote.
      heading: a title.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where a bar is neither a number nor a pair.
    """
    from matplotlib.patches import Patch

    groups, labels, cells = _cells(table)
    room = max(0.62 * (len(labels) + 1), _room(groups))
    figure = style.figure(ylabel, max(2.5 + len(groups) * room, 6.5), 4.8)
    axes = figure.subplots()
    style.dress(axes, "", ylabel, heading)
    wide = 1 / (len(labels) + 0.8)
    written = iter(column(cells[..., 0].T.ravel().tolist()))
    for index, label in enumerate(labels):
        at = np.arange(len(groups)) + wide * (index - (len(labels) - 1) / 2)
        mean, band = cells[:, index].T
        axes.bar(at, mean, 0.92 * wide, color=_shade(index), label=style.plain(label))
        whisker = {"fmt": "none", "ecolor": style.INK, "elinewidth": 1.8, "capsize": 4}
        if np.any(band > 0):
            axes.errorbar(at, mean, np.nan_to_num(band), **whisker)
        for x, y, more in zip(at, mean, np.nan_to_num(band), strict=True):
            text = next(written)
            if math.isfinite(y):
                top = (x, max(y + more, 0))
                axes.annotate(
                    text, top, xytext=(0, 4), textcoords="offset points", ha="center",
                    va="bottom", fontsize=style.SMALL, color=style.INK,
                )  # fmt: skip
    axes.axhline(0, color=style.MUTED, lw=1)
    axes.margins(y=0.1)
    handles = [
        Patch(color=_shade(index), label=style.plain(label)) for index, label in enumerate(labels)
    ]
    _name_groups(figure, groups, handles, name)
    if np.any(cells[..., 1] > 0):
        style.footnote(figure, f"mean ± {spread}")
    return figure


def dots(
    table: Mapping[str, Mapping[str, Any]],
    ylabel: str,
    *,
    name: str = "",
    spread: str = "standard deviation over seeds",
    heading: str = "",
) -> Any:
    """What `bars` draws, as points on an axis that does not start at 0.

    Groups stand below each other where there is no room for all side by side.

    Args:
      table: as for `bars`.
      ylabel: what the points measure, with its unit.
      name: what the points' labels are, for the legend.
      spread: what the whiskers are, for the footnote.
      heading: a title.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: as `bars`.
    """
    groups, labels, cells = _cells(table)
    across = 3.0 + len(groups) * max(0.4 * (len(labels) + 1), _room(groups))
    down = across > _WIDEST
    size = 10.0
    if down:
        # of many groups the points become smaller, so that all stand on a page
        own = max(min(0.25 * len(labels), _TALLEST / len(groups)), 0.45)
        size = min(size, 72 * own / (len(labels) + 0.5))
        figure = style.figure(ylabel, 7.0 + _room(groups), 1.5 + len(groups) * own)
    else:
        figure = style.figure(ylabel, max(across, 6.5), 4.8)
    axes = figure.subplots()
    style.dress(axes, *((ylabel, "") if down else ("", ylabel)), heading)
    wide, handles = 1 / (len(labels) + 1.5), []
    for index, label in enumerate(labels):
        at = np.arange(len(groups)) + wide * (index - (len(labels) - 1) / 2)
        mean, band = cells[:, index].T
        points = (mean, at) if down else (at, mean)
        whiskers = {"xerr" if down else "yerr": np.nan_to_num(band)}
        style_of = {"fmt": "o", "ms": size, "mec": "white", "capsize": 4, "elinewidth": 1.8}
        drawn = axes.errorbar(
            *points, **whiskers, color=_shade(index), label=style.plain(label), **style_of
        )
        handles.append(drawn)
    axes.margins(0.1)
    if not down:
        axes.set_xlim(-0.6, len(groups) - 0.4)
    _name_groups(figure, groups, handles, name, down)
    if np.any(cells[..., 1] > 0):
        style.footnote(figure, f"mean ± {spread}")
    return figure


def _cells(table: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[str], np.ndarray]:
    """The groups, the labels, and means and spreads [groups, labels, 2]."""
    groups = list(table)
    labels = list(dict.fromkeys(label for row in table.values() for label in row))
    cells = np.full((len(groups), len(labels), 2), np.nan)  # of what is missing
    for row, group in enumerate(groups):
        for label, cell in table[group].items():
            cells[row, labels.index(label)] = _pair(group, label, cell)
    return groups, labels, cells


def _room(groups: list[str]) -> float:
    """The inches that the longest name of a group needs, and a gap."""
    larger = style.FONT / style.SMALL
    return max((larger * style.width(group) for group in groups), default=0.0) + 0.25


def _name_groups(
    figure: Any, groups: list[str], handles: list[Any], name: str, down: bool = False
) -> None:
    """Writes the groups along their axis, and a legend where a group has several labels."""
    (axes,) = figure.axes
    if not handles:
        style.message(axes, NOTHING)
        return
    names = [style.plain(group) for group in groups]
    if down:
        axes.set_yticks(range(len(groups)), names)
        axes.set_ylim(len(groups) - 0.4, -0.6)
        axes.grid(axis="x", color=style.FAINT, linewidth=0.8)
    else:
        axes.set_xticks(range(len(groups)), names)
    axes.tick_params(axis="y" if down else "x", length=0, labelsize=style.FONT)
    if len(handles) > 1:
        style.legend(figure, handles, name)


def _curve(key: Any, x: Any, mean: Any, spread: Any, log_x: bool) -> tuple[np.ndarray, ...]:
    x, mean = np.asarray(x, np.float64), np.asarray(mean, np.float64)
    band = np.zeros_like(mean) if spread is None else np.asarray(spread, np.float64)
    if x.ndim != 1 or not x.size or not x.shape == mean.shape == band.shape:
        raise InputError(
            f"curve {key!r} needs x, mean and spread of one length [K]; "
            f"got {list(x.shape)}, {list(mean.shape)} and {list(band.shape)}"
        )
    if log_x and not (x > 0).all():
        raise InputError(f"curve {key!r} has x = {x.min():g} on a logarithmic axis; leave it out")
    order = np.argsort(x, kind="stable")
    return x[order], mean[order], band[order]


def _ticks_at(axes: Any, x: np.ndarray, logarithmic: bool) -> None:
    """A tick at every value, where they are few, and at whole ones, where all are whole."""
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

    if len(x) > _TICKED:
        if not logarithmic:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=bool((x == x.round()).all())))
        return
    places = np.log(x) if logarithmic else x
    positions = {parse(item): float(item) for item in x}
    shown = apart(positions, logarithmic, float(np.ptp(places)) / 12)
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([style.plain(value(item)) for item in shown])


def _pair(group: str, label: str, cell: Any) -> tuple[float, float]:
    found = np.asarray(cell, np.float64).ravel()  # an Estimate's third entry is its count
    if not 1 <= len(found) <= 3:
        raise InputError(f"bar {label!r} of {group!r} must be a number or (mean, spread)")
    return float(found[0]), float(found[1]) if len(found) > 1 else math.nan


def _shade(index: int) -> str:
    return style.CATEGORIES[index % len(style.CATEGORIES)]
