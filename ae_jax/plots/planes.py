"""Planes side by side: clouds of points, and paths, on common axes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax.core import InputError
from ae_jax.plots import style
from ae_jax.plots.animation import Animation, film

_PANELS_PER_ROW = 4
_SIDE = 3.3  # inches of a panel
_VECTORS = 2000  # points of a panel; more are drawn as pixels
_DOT = {"marker": "o", "ls": "none", "ms": 8}  # of a legend
Panels = Mapping[str, Mapping[str, Any]]


def clouds(
    panels: Panels, dimensions: tuple[str, str] | None = None, columns: int | None = None
) -> Any:
    """Clouds of points, each in the same colour in all panels, the first in grey.

    Args:
      panels: a panel's title -> a cloud's label -> its points [N, 2]; what is first lies behind,
        such as data behind what is generated.
      dimensions: what the axes are; None where their values say nothing.
      columns: panels in a row, four at most by default.

    Returns:
      A matplotlib Figure. All panels show the range of the first clouds, and a little more.
      Points outside it are left out, and a footnote says how many.

    Raises:
      InputError: where there is no panel, or points are not [N, 2].
    """
    figure, grid, data = _planes("clouds", panels, dimensions, columns)
    behind = np.concatenate([next(iter(found.values())) for found in data.values()])
    low, high = _range(behind)
    palette, lost = _palette(data), 0
    for axes, found in zip(grid, data.values(), strict=False):
        for label, points in found.items():
            inside = ((points >= low) & (points <= high)).all(axis=1)
            lost += int((~inside).sum())
            _dots(axes, points[inside], palette[label], found)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    _name(figure, palette, _DOT)
    if lost:
        style.footnote(figure, f"{lost} points lie outside")
    return figure


def moving_clouds(
    panels: Panels, moments: Sequence[str], columns: int | None = None, milliseconds: int = 100
) -> Animation:
    """Clouds of points that move, as `clouds` has them where they stand still.

    Args:
      panels: a panel's title -> a cloud's label -> its points, [N, 2] of one that stays where it
        is and [T, N, 2] of one that moves.
      moments: T, what each frame is called.
      columns: as for `clouds`.
      milliseconds: as for `animation`.

    Returns:
      An Animation. All panels show the range of the first clouds, at the end, and a little more.

    Raises:
      InputError: as `clouds`, and where a cloud has not a place for each moment.
    """
    moving = {
        title: {label: np.asarray(points, np.float64) for label, points in found.items()}
        for title, found in panels.items()
    }
    for title, found in moving.items():
        for label, points in found.items():
            if points.ndim == 3 and len(points) != len(moments):
                raise InputError(
                    f"{title}: {label!r} has {len(points)} places and there are {len(moments)} "
                    "moments; pass points [T, N, 2]"
                )
    last = {
        title: {label: points[-1] if points.ndim == 3 else points for label, points in own.items()}
        for title, own in moving.items()
    }
    figure, grid, data = _planes("moving_clouds", last, None, columns)
    low, high = _range(np.concatenate([next(iter(found.values())) for found in data.values()]))
    palette = _palette(data)
    for axes, found in zip(grid, data.values(), strict=False):
        for label, points in found.items():
            _dots(axes, points, palette[label], found)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    _name(figure, palette, _DOT)

    def frames() -> Iterator[Any]:
        for moment, name in enumerate(moments):
            for axes, found in zip(grid, moving.values(), strict=False):
                for dots, points in zip(axes.collections, found.values(), strict=True):
                    if points.ndim == 3:
                        dots.set_offsets(points[moment])
            figure.supxlabel(style.plain(name), fontsize=style.FONT, color=style.INK)
            yield figure
            figure.set_layout_engine("none")  # so that nothing but the points moves

    return film(frames(), milliseconds)


def _dots(axes: Any, points: np.ndarray, colour: Any, found: Mapping[str, np.ndarray]) -> None:
    """A cloud, of dots that are the smaller the more the largest cloud of its panel has."""
    size = float(np.clip(6e3 / max(max(map(len, found.values())), 1), 2, 12))
    axes.scatter(
        *points.T, c=colour, s=size, alpha=0.5, linewidths=0, rasterized=len(points) > _VECTORS
    )


def paths(
    panels: Panels, dimensions: tuple[str, str] | None = None, columns: int | None = None
) -> Any:
    """Paths through a plane from where they start, a dot, each in one colour in all panels.

    Args:
      panels: a panel's title -> a path's label -> its points [T, 2], in order; it ends where
        they are not finite.
      dimensions: as for `clouds`.
      columns: likewise.

    Returns:
      A matplotlib Figure, in which each panel has a scale of its own about the origin.

    Raises:
      InputError: as `clouds`.
    """
    figure, grid, data = _planes("paths", panels, dimensions, columns)
    palette = _palette(data, grey=False)
    for axes, found in zip(grid, data.values(), strict=False):
        axes.axhline(0, color=style.FAINT, lw=1)
        axes.axvline(0, color=style.FAINT, lw=1)
        for label, points in found.items():
            axes.plot(*points.T, color=palette[label], lw=1.6, zorder=3)
            axes.plot(*points[:1].T, "o", color=palette[label], ms=7, mec="white", zorder=4)
        farthest = max(np.abs(points[np.isfinite(points)]).max() for points in found.values())
        reach = 1.08 * farthest or 1.0
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    _name(figure, palette, {"lw": 2.5})
    return figure


def _planes(
    name: str, panels: Panels, dimensions: tuple[str, str] | None, columns: int | None
) -> tuple[Any, list[Any], dict[str, dict[str, np.ndarray]]]:
    """An empty figure, its panels, and the points that belong there."""
    data = {
        title: {label: _points(title, label, points) for label, points in found.items()}
        for title, found in panels.items()
    }
    if not data or not all(data.values()):
        raise InputError("there are no points to draw; pass at least one panel of some")
    columns = min(columns or _PANELS_PER_ROW, len(data))
    rows = math.ceil(len(data) / columns)
    figure = style.figure(name, 2.2 + _SIDE * columns, 0.5 + (_SIDE + 0.3) * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[len(data) :]:
        axes.set_visible(False)
    for index, (axes, title) in enumerate(zip(grid, data, strict=False)):
        below, left = index + columns >= len(data), index % columns == 0
        across, up = dimensions or ("", "")
        style.dress(axes, across if below else "", up if left else "", title)
        axes.set_aspect("equal")
        axes.grid(visible=False)
        if dimensions is None:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_color(style.FAINT)
            axes.spines[:].set_visible(True)
    return figure, grid, data


def _points(title: str, label: str, points: Any) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise InputError(f"{title}: points of {label!r} must be [N, 2], got {list(points.shape)}")
    return points


def _range(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return -np.ones(2), np.ones(2)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.15 * max(float((high - low).max()), 1e-6)
    return low - margin, high + margin


def _palette(data: Mapping[str, Mapping[str, Any]], grey: bool = True) -> dict[str, Any]:
    labels = list(dict.fromkeys(label for found in data.values() for label in found))
    behind = {labels[0]: "#b5b5b5"} if grey and len(labels) > 1 else {}
    return behind | style.colours(labels[len(behind) :])


def _name(figure: Any, palette: Mapping[str, Any], look: Mapping[str, Any]) -> None:
    from matplotlib.lines import Line2D

    if len(palette) > 1:
        style.legend(
            figure,
            [
                Line2D([], [], color=c, label=style.plain(str(n)), **look)
                for n, c in palette.items()
            ],
        )
