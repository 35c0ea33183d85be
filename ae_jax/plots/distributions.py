"""Histograms of numbers that a model has many of, such as weights and activations."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ae_jax.plots import style

_BINS = 60


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
