"""Histograms of many numbers, alone and with the density that they are of."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ae_jax.core import InputError
from ae_jax.plots import style
from ae_jax.probability.sampling import Envelope

_BINS = 60
_PANELS_PER_ROW = 4
_LOOKS = {
    "accepted": style.CATEGORIES[0],
    "rejected": "#b5b5b5",
    "density": style.CATEGORIES[1],
    "envelope": style.INK,
}


def histograms(
    values: Mapping[str, Any], xlabel: str, *, log_y: bool = False, heading: str = ""
) -> Any:
    """Outlines of histograms over common bins, one for each label.

    Args:
      values: label -> numbers, of any shape; those that are not finite are left out, and so is
        a label that has no other.
      xlabel: what the numbers are.
      log_y: whether the vertical axis is logarithmic, for tails.
      heading: a title.

    Returns:
      A matplotlib Figure: the percentage of the numbers in each of 60 bins.
    """
    from matplotlib.lines import Line2D

    flat = {label: np.asarray(found, np.float64).ravel() for label, found in values.items()}
    numbers = {label: found[np.isfinite(found)] for label, found in flat.items()}
    numbers = {label: found for label, found in numbers.items() if found.size}
    figure = style.figure(f"histogram of {xlabel}", 8.0, 4.4)
    axes = figure.subplots()
    style.dress(axes, xlabel, "share in a bin (%)", heading)
    if not numbers:
        style.message(axes, "no value is finite")
        return figure
    low = min(found.min() for found in numbers.values())
    high = max(found.max() for found in numbers.values())
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    handles = []
    for (label, found), colour in zip(
        numbers.items(), style.colours(list(numbers)).values(), strict=True
    ):
        share = 100 * np.histogram(found, edges)[0] / len(found)
        axes.stairs(share, edges, color=colour, lw=2)
        axes.stairs(share, edges, color=colour, alpha=0.12, fill=True)
        handles.append(Line2D([], [], color=colour, lw=2.5, label=style.plain(str(label))))
    if log_y:
        axes.set_yscale("log")
    if len(numbers) > 1:
        style.legend(figure, handles)
    return figure


def densities(panels: Mapping[str, tuple[Any, Any, Any]], xlabel: str = "x") -> Any:
    """Histograms of samples, and the densities that they should be of as lines on top.

    Args:
      panels: a panel's title -> samples [N]; x [K], ascending; and the density there [K]. Where
        all x are whole numbers the density is probabilities, and the histogram counts x.
      xlabel: what the numbers are.

    Returns:
      A matplotlib Figure; samples outside the range of x are left out, and the others' bars have
      the area that is their share of all.

    Raises:
      InputError: where there is no panel, or x and the density are not [K].
    """
    figure, grid = _grid("densities", panels, xlabel, "density")
    for axes, (title, (samples, x, density)) in zip(grid, panels.items(), strict=False):
        samples, x = np.asarray(samples, np.float64).ravel(), np.asarray(x, np.float64)
        density = np.asarray(density, np.float64)
        if x.ndim != 1 or len(x) < 2 or x.shape != density.shape or not samples.size:
            raise InputError(
                f"{title}: x and its density must be [K], 2 or more, and samples some; got "
                f"{list(x.shape)}, {list(density.shape)} and {samples.size} samples"
            )
        discrete = np.array_equal(x, np.round(x))
        edges = np.append(x, x[-1] + 1) - 0.5 if discrete else np.linspace(x[0], x[-1], _BINS + 1)
        share = np.histogram(samples, edges)[0] / len(samples) / np.diff(edges)
        axes.stairs(share, edges, fill=True, color=style.CATEGORIES[4], alpha=0.55)
        line = {"ls": "none", "marker": "o", "ms": 8} if discrete else {"lw": 2.5}
        axes.plot(x, density, color=style.CATEGORIES[1], **line)
        axes.set_ylim(0, 1.15 * max(share.max(), np.nanpercentile(density, 98)))
        if discrete:
            axes.set_xticks(x)
    _name(figure, {"samples": style.CATEGORIES[4], "density": style.CATEGORIES[1]})
    return figure


def envelopes(panels: Mapping[str, tuple[Envelope, Any, Any]], xlabel: str = "x") -> Any:
    """Proposals under an envelope, which are accepted where they lie under the density.

    Args:
      panels: a panel's title -> what is drawn by rejection, of one variable; its proposals [N];
        and whether they are accepted, bool [N].
      xlabel: what is drawn.

    Returns:
      A matplotlib Figure. The points' heights are drawn anew: uniform, given what was accepted.

    Raises:
      InputError: where there is no panel.
    """
    figure, grid = _grid("envelopes", panels, xlabel, "height")
    u = np.random.default_rng(0)
    for axes, (envelope, x, accepted) in zip(grid, panels.values(), strict=False):
        x, accepted = np.asarray(x), np.asarray(accepted)
        line = np.linspace(*np.quantile(x, (0.0, 0.99)), 400)
        (density, upper), heights = _heights(envelope, x), _heights(envelope, line)
        low, high = np.where(accepted, 0, density), np.where(accepted, density, upper)
        y = low + (high - low) * u.uniform(size=len(x))
        for label, own in (("rejected", ~accepted), ("accepted", accepted)):
            axes.scatter(x[own], y[own], s=7, color=_LOOKS[label], linewidths=0)
        for label, height in zip(("density", "envelope"), heights, strict=True):
            axes.plot(line, height, color=_LOOKS[label], lw=2.5)
        axes.set(xlim=(line[0], line[-1]), ylim=(0, None))
    _name(figure, _LOOKS)
    return figure


def _heights(envelope: Envelope, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The density and the envelope."""
    return (
        np.exp(np.asarray(envelope.target(x))),
        np.exp(np.asarray(envelope.proposal(x)) + envelope.log_bound),
    )


def _grid(name: str, panels: Mapping[str, Any], xlabel: str, ylabel: str) -> tuple[Any, list[Any]]:
    """A figure of panels, dressed."""
    if not panels:
        raise InputError("there is nothing to draw; pass at least one panel")
    columns = min(len(panels), _PANELS_PER_ROW)
    rows = math.ceil(len(panels) / columns)
    figure = style.figure(name, 2.4 + 3.6 * columns, 0.4 + 3.1 * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for index, (axes, title) in enumerate(zip(grid, panels, strict=False)):
        below, left = index + columns >= len(panels), index % columns == 0
        style.dress(axes, xlabel if below else "", ylabel if left else "", title)
    return figure, grid


def _name(figure: Any, colours: Mapping[str, Any]) -> None:
    from matplotlib.lines import Line2D

    marks = {"accepted", "rejected"}
    handles = [
        Line2D([], [], color=colour, label=label)
        if label not in marks
        else Line2D([], [], color=colour, label=label, marker="o", ls="none")
        for label, colour in colours.items()
    ]
    for handle in handles:
        handle.set(lw=3, ms=8)
    style.legend(figure, handles)
