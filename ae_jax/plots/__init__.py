"""Figures of a sweep and its report. Functions from arrays and rows to matplotlib Figures.

matplotlib is imported when a figure is made: tables and readers work without it.
"""

from ae_jax.plots.animation import Animation, animation, film
from ae_jax.plots.curves import learning_curves
from ae_jax.plots.distributions import densities, envelopes, histograms
from ae_jax.plots.filters import filters
from ae_jax.plots.images import image_grid, image_rows, manifold, reconstructions, traversals
from ae_jax.plots.matrices import matrix
from ae_jax.plots.planes import clouds, moving_clouds, paths
from ae_jax.plots.report import write_report
from ae_jax.plots.scatter import MOST_CLASSES, scatter, scatters
from ae_jax.plots.sequences import located, neighbours, spelled, time_series
from ae_jax.plots.series import bars, dots, lines, spectrum
from ae_jax.plots.summary import Estimate, aggregate, mean_curves, read_records, read_results
from ae_jax.plots.sweeps import against, rate_distortion
from ae_jax.plots.tables import gains, history, mean_table, unpivoted
from ae_jax.plots.text import console_table, label
from ae_jax.plots.views import plane, traverse, walk
from ae_jax.plots.walks import walks

__all__ = [
    "MOST_CLASSES",
    "Animation",
    "Estimate",
    "against",
    "aggregate",
    "animation",
    "bars",
    "clouds",
    "console_table",
    "densities",
    "dots",
    "envelopes",
    "film",
    "filters",
    "gains",
    "histograms",
    "history",
    "image_grid",
    "image_rows",
    "label",
    "learning_curves",
    "lines",
    "located",
    "manifold",
    "matrix",
    "mean_curves",
    "mean_table",
    "moving_clouds",
    "neighbours",
    "paths",
    "plane",
    "rate_distortion",
    "read_records",
    "read_results",
    "reconstructions",
    "scatter",
    "scatters",
    "spectrum",
    "spelled",
    "time_series",
    "traversals",
    "traverse",
    "unpivoted",
    "walk",
    "walks",
    "write_report",
]
