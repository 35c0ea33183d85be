"""Where ticks and labels go so that none lies on another."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax.plots import style
from ae_jax.plots.text import value

_LINE = 1.35  # height of a line of text, in font sizes
_FAR = 0.85  # of the width: a line that ends before it is led to its name by dots


def apart(positions: Mapping[Any, float], logarithmic: bool, gap: float) -> list[Any]:
    """The values whose ticks have room: the last, and from the first on those in reach.

    Args:
      positions: value -> position, ascending.
      logarithmic: whether the axis is.
      gap: the least distance between ticks, in positions or their logarithms.
    """
    places = {item: math.log(at) if logarithmic else at for item, at in positions.items()}
    last = list(places)[-1]
    shown: list[Any] = []
    for item, place in places.items():
        room = not shown or place - places[shown[-1]] >= gap
        if item == last or (room and places[last] - place >= gap):
            shown.append(item)
    return shown


def plain_ticks(axes: Any, ratio: float) -> None:
    """Ticks of a logarithmic vertical axis as numbers, without powers of ten.

    Args:
      axes: the matplotlib Axes.
      ratio: how many times its lowest value the highest is; at least about 5, for two ticks.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    subs = (1, 2, 5) if ratio < 1e3 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: value(float(y))))


def end_labels(axes: Any, ends: Sequence[tuple[float, float, str, Any]], heading: str = "") -> None:
    """Names lines at the right edge, beside their ends, where a legend would be further away.

    Call it last: it fixes the limits of the axes.

    Args:
      axes: the matplotlib Axes.
      ends: per line the x and y of its last point, its name and its colour.
      heading: what the names are values of, written above them.
    """
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    texts = [style.plain(name) for _, _, name, _ in ends] + [style.plain(heading)] * bool(heading)
    to_axes = axes.transData + axes.transAxes.inverted()
    reached = [to_axes.transform((x, y)) for x, y, _, _ in ends]
    heights = [float(height) for _, height in reached]
    tall = axes.get_window_extent().height / axes.get_figure().dpi  # inches
    places = _spread([*heights, 1.0][: len(texts)], _LINE * style.FONT / 72 / tall)
    text = {"fontsize": style.FONT, "color": style.INK, "va": "center", "annotation_clip": False}
    text |= {"textcoords": "axes fraction"}
    far = [across < _FAR for across, _ in reached]
    named = zip(
        places, texts, [*ends, None][: len(texts)], [*far, False][: len(texts)], strict=True
    )
    for place, words, end, dotted in named:
        if end is None:
            axes.annotate(words, (1, place), xytext=(1.04, place), **text | {"color": style.MUTED})
            continue
        line = {"arrowstyle": "-", "color": end[3], "lw": 2, "shrinkA": 2, "shrinkB": 5}
        line |= {"relpos": (0, 0.5)}
        if dotted:  # a line that ended early does not seem to go on
            line |= {"lw": 1.2, "linestyle": (0, (1, 3))}
        axes.annotate(words, end[:2], xytext=(1.04, place), arrowprops=line, **text)


def separate(centres: np.ndarray, sizes: np.ndarray, rounds: int = 200) -> np.ndarray:
    """Moves boxes as little as is easily found so that none covers another.

    Args:
      centres: float [N, 2].
      sizes: float [N, 2], widths and heights.
      rounds: the most passes over the pairs.

    Returns:
      The new centres [N, 2].
    """
    centres = np.array(centres, np.float64)
    for _ in range(rounds):
        moved = False
        for first in range(len(centres)):
            for second in range(first + 1, len(centres)):
                offset = centres[second] - centres[first]
                overlap = (sizes[first] + sizes[second]) / 2 - np.abs(offset)
                if (overlap > 1e-9).all():
                    axis = int(np.argmin(overlap))  # the shorter way out
                    step = (overlap[axis] / 2 + 1e-6) * (1 if offset[axis] >= 0 else -1)
                    centres[first, axis] -= step
                    centres[second, axis] += step
                    moved = True
        if not moved:
            break
    return centres


def _spread(places: Sequence[float], gap: float) -> np.ndarray:
    """The places in [0, 1] nearest to those given, in the same order and `gap` apart."""
    from scipy.optimize import isotonic_regression

    count = len(places)
    gap = min(gap, 1 / max(count - 1, 1))
    order = np.argsort(places, kind="stable")
    steps = gap * np.arange(count)
    # Least squares under p[i + 1] >= p[i] + gap: the same without gaps for p[i] - i gap.
    free = isotonic_regression(np.asarray(places, np.float64)[order] - steps).x
    result = np.empty(count)
    result[order] = np.clip(free, 0, 1 - steps[-1]) + steps
    return result
