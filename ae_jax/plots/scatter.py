"""Points of a plane coloured by class: two-dimensional latents and embeddings."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax.core import InputError
from ae_jax.plots import style
from ae_jax.plots.layout import separate
from ae_jax.plots.text import label as words

#: Ten colours that stay apart for colour-blind readers. Reference: Petroff (2021),
#: Accessible color sequences for data visualization.
CLASSES = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
_MARKERS = ("o", "^", "s")  # of classes 0 to 9, 10 to 19, 20 to 29
#: More cannot be told apart.
MOST_CLASSES = len(CLASSES) * len(_MARKERS)
_PANELS_PER_ROW = 3
_VECTORS = 2000  # points; more are drawn as pixels


def scatter(
    points: Any,
    labels: Any,
    names: Sequence[str] | None = None,
    dimensions: tuple[str, str] | None = ("z1", "z2"),
    heading: str = "",
) -> Any:
    """Points coloured by class, each class named at its median.

    Both axes have the same scale. Points that are not finite are left out, and a footnote
    says how many.

    Args:
      points: [N, 2], latents or an embedding.
      labels: [N], each point's class; 30 classes at most.
      names: the name of class 0, 1, ...; None where the labels say enough.
      dimensions: what the axes are; None where their values mean nothing (t-SNE).
      heading: a title.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where the shapes do not agree or a class has no name.
    """
    return scatters({heading: (points, labels)}, names, dimensions)


def scatters(
    panels: Mapping[str, tuple[Any, Any]],
    names: Sequence[str] | None = None,
    dimensions: tuple[str, str] | None = None,
) -> Any:
    """Several planes side by side, in which a class has the same colour.

    Args:
      panels: a panel's title -> its points [N, 2] and their classes [N]; see `scatter`.
      names: the name of class 0, 1, ...; None where the labels say enough.
      dimensions: what the axes are; None where their values mean nothing (t-SNE).

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where the shapes do not agree or a class has no name.
    """
    from matplotlib.lines import Line2D

    data = {title: _check(title, *pair) for title, pair in panels.items()}
    if not data:
        raise InputError("there are no points to draw; pass at least one panel")
    classes = np.unique(np.concatenate([labels for _, labels in data.values()])).tolist()
    named = dict(zip(classes, _names(classes, names), strict=True))

    columns = min(len(data), _PANELS_PER_ROW)
    rows = math.ceil(len(data) / columns)
    side = 6.0 if len(data) == 1 else 4.5
    figure = style.figure("scatter", 1.6 + side * columns, 0.2 + side * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    lost = 0
    for axes in list(grid.flat)[len(data) :]:
        axes.set_visible(False)
    for axes, (title, (points, labels)) in zip(grid.flat, data.items(), strict=False):
        style.dress(axes, *map(words, dimensions or ("", "")), title)
        axes.set_aspect("equal", adjustable="datalim")
        axes.grid(visible=False)
        if dimensions is None:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_color(style.FAINT)
            axes.spines[:].set_visible(True)
        seen = np.isfinite(points).all(axis=1)
        lost += int((~seen).sum())
        _points(axes, points[seen], labels[seen], classes)
    dot = {"ls": "none", "ms": 9}
    looks = [(classes.index(item), name) for item, name in named.items()]
    style.legend(
        figure,
        [
            Line2D([], [], color=_colour(at), marker=_marker(at), label=style.plain(name), **dot)
            for at, name in looks
        ],
        "class",
    )
    if lost:
        style.footnote(figure, f"{lost} points that are not finite are left out")
    figure.draw_without_rendering()  # the layout, which decides where names have room
    for axes, (points, labels) in zip(grid.flat, data.values(), strict=False):
        _name_classes(axes, points, labels, named)
    return figure


def _check(title: str, points: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    points, labels = np.asarray(points), np.asarray(labels)
    planar = points.ndim == 2 and points.shape[1] == 2 and len(points)
    if not planar or labels.shape != points.shape[:1]:
        raise InputError(
            f"{title or 'scatter'}: points must be [N, 2] and labels [N]; "
            f"got {list(points.shape)} and {list(labels.shape)}"
        )
    return points.astype(np.float64), labels


def _names(classes: Sequence[Any], names: Sequence[str] | None) -> list[str]:
    if len(classes) > MOST_CLASSES:
        raise InputError(
            f"{len(classes)} classes cannot be told apart by colour; pass {MOST_CLASSES} at most"
        )
    if names is None:
        return [str(item) for item in classes]
    missing = [item for item in classes if not (isinstance(item, int) and 0 <= item < len(names))]
    if missing:
        raise InputError(f"class {missing[0]} has no name among the {len(names)} given; add it")
    return [str(names[item]) for item in classes]


def _colour(index: int) -> str:
    return CLASSES[index % len(CLASSES)]


def _marker(index: int) -> str:
    return _MARKERS[index // len(CLASSES)]


def _points(axes: Any, points: np.ndarray, labels: np.ndarray, classes: list[Any]) -> None:
    """Draws the points in a fixed random order, so that no class hides the others."""
    order = np.random.default_rng(0).permutation(len(points))
    index = np.searchsorted(np.asarray(classes), labels[order])
    size = float(np.clip(3e4 / max(len(points), 1), 5, 36))
    for kind, marker in enumerate(_MARKERS):
        own = index // len(CLASSES) == kind
        if own.any():
            axes.scatter(
                *points[order][own].T, c=[_colour(item) for item in index[own]], s=size,
                alpha=0.7, linewidths=0, marker=marker, rasterized=len(points) > _VECTORS,
            )  # fmt: skip


def _name_classes(
    axes: Any, points: np.ndarray, labels: np.ndarray, named: Mapping[Any, str]
) -> None:
    """Writes each class's name at its median, moved aside where names would collide."""
    from matplotlib.lines import Line2D

    found = []
    for index, (item, name) in enumerate(named.items()):
        own = points[(labels == item) & np.isfinite(points).all(axis=1)]
        if len(own):
            found.append((np.median(own, axis=0), style.plain(name), _colour(index)))
    if not found:
        style.message(axes, "no point is finite")
        return
    pixels = axes.get_figure().dpi / 72
    short = max(len(name) for _, name, _ in found) <= 2
    size = style.FONT if short else style.SMALL
    medians = np.stack([median for median, _, _ in found])
    texts = []
    for median, name, colour in found:
        box = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": colour, "lw": 2, "alpha": 0.9}
        texts.append(
            axes.text(
                *median, name, ha="center", va="center", fontsize=size, color=style.INK,
                bbox=box, zorder=6,
            )
        )  # fmt: skip
    extents = [text.get_window_extent() for text in texts]
    sizes = np.array([[extent.width, extent.height] for extent in extents])
    sizes += 0.8 * size * pixels  # the box's padding and its line
    centres = separate(axes.transData.transform(medians), sizes)
    places = axes.transData.inverted().transform(centres)
    for text, median, place, (_, _, colour) in zip(texts, medians, places, found, strict=True):
        text.set_position(place)
        if np.abs(place - median).max() > 0:
            axes.add_artist(Line2D(*zip(median, place, strict=True), color=colour, lw=2, zorder=5))
