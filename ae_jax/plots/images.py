"""Pictures of images: reconstructions, latent traversals, the latent plane, samples.

Images are [..., H, W, C] in [0, 1] with one channel or three; what lies outside is
clipped, and a pixel that is not a number is orange.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_jax.core import InputError
from ae_jax.plots import style
from ae_jax.plots.text import column, value

_NOT_A_NUMBER = (0.90, 0.62, 0.0)
_GAP = 0.08  # between images, as a part of an image


def image_grid(images: Any, columns: int | None = None) -> Any:
    """Images side by side, row by row.

    Args:
      images: [N, H, W, C].
      columns: images per row; by default about as many as there are rows.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where the images have another rank or number of channels.
    """
    images = _check(images, 4, "images [N, H, W, C]")
    count = len(images)
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    blank = np.ones((rows * columns - count, *images.shape[1:]))
    cells = np.concatenate([images, blank]).reshape(rows, columns, *images.shape[1:])
    figure, axes = _draw("samples", cells)
    axes.set(xticks=[], yticks=[])
    return figure


def reconstructions(
    inputs: Any, outputs: Mapping[str, Any], first: str = "input", heading: str = ""
) -> Any:
    """Inputs in the top row and what each model made of them in a row below.

    Args:
      inputs: [N, H, W, C].
      outputs: a row's label ("β = 4") -> reconstructions [N, H, W, C], top to bottom.
      first: the label of the top row.
      heading: a title, where the rows need one.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where an output's shape is not that of the inputs.
    """
    inputs = _check(inputs, 4, "inputs [N, H, W, C]")
    table = {first: inputs}
    for name, output in outputs.items():
        output = _check(output, 4, f"reconstructions {name!r} [N, H, W, C]")
        if output.shape != inputs.shape:
            raise InputError(
                f"reconstructions {name!r} are {list(output.shape)} and the inputs "
                f"{list(inputs.shape)}; pass them for the same examples"
            )
        table[str(name)] = output
    figure = image_rows(table, heading)
    figure.axes[0].get_yticklabels()[0].set_fontweight("bold")
    return figure


def image_rows(table: Mapping[str, Any], heading: str = "", size: float = 1.0) -> Any:
    """Rows of images, each with a label.

    Args:
      table: a row's label -> images [N, H, W, C], as many in every row; top to bottom.
      heading: a title, where the rows need one.
      size: of an image's longer side, in inches, at the most.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: if there is no row, or one is no images.
    """
    if not table:
        raise InputError("there is no row of images to draw")
    cells = [_check(images, 4, f"images {name!r} [N, H, W, C]") for name, images in table.items()]
    lead = 0.3 + 1.15 * max(map(style.width, table))  # the first label may be bold
    foot = 0.3 if heading else 0.0  # with more the images would grow into the labels
    figure, axes = _draw("reconstructions", np.stack(cells), lead=lead, foot=foot, size=size)
    axes.set_anchor("E")  # what room is left is for the labels
    axes.set_xticks([])
    axes.set_yticks(range(len(table)), [style.plain(name) for name in table])
    axes.set_title(style.plain(heading), fontsize=style.FONT, color=style.INK)
    return figure


def traversals(
    images: Any,
    values: Any,
    scores: Any = None,
    score_name: str = "KL (nats)",
    row_labels: Sequence[str] | None = None,
    limit: int | None = 10,
) -> Any:
    """What each latent dimension draws while the others stay where they are.

    Args:
      images: [Z, S, H, W, C], dimension z at its traversed value s.
      values: [S], the values, in order.
      scores: [Z], what each dimension carries (its KL, or its variance over the data);
        rows are sorted by it, highest first, and show it. None keeps their order.
      score_name: what the scores are.
      row_labels: Z names for the dimensions; z1, z2, ... by default.
      limit: the most rows to draw; None for all.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where the lengths do not agree.
    """
    images = _check(images, 5, "traversals [Z, S, H, W, C]")
    values = np.asarray(values, np.float64).reshape(-1)
    size, steps = images.shape[:2]
    names = list(row_labels or [f"z{index + 1}" for index in range(size)])
    order = np.arange(size)
    if scores is not None:
        scores = np.asarray(scores, np.float64).reshape(-1)
        if len(scores) == size:
            order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    if len(values) != steps or len(names) != size or (scores is not None and len(scores) != size):
        raise InputError(
            f"traversals of {size} dimensions at {steps} values need {size} names and scores "
            f"and {steps} values; got {len(names)} names and {len(values)} values"
        )
    order = order[:limit]
    figure, axes = _draw("traversals", images[order], lead=1.1 if scores is None else 1.7, foot=0.7)
    shown = [style.plain(names[index]) for index in order]
    if scores is not None:
        small = np.nan_to_num(scores).max() < 0.1
        cells = column(list(scores)) if small else [f"{score:.2f}" for score in scores]
        cells = [cells[index] for index in order]
        shown = [f"{name}    {cell}" for name, cell in zip(shown, cells, strict=True)]
        axes.set_ylabel(f"latent dimension, {score_name}", fontsize=style.FONT, color=style.INK)
    else:
        axes.set_ylabel("latent dimension", fontsize=style.FONT, color=style.INK)
    axes.set_yticks(range(len(shown)), shown)
    _value_ticks(axes.xaxis, values)
    axes.set_xlabel("value of that dimension", fontsize=style.FONT, color=style.INK)
    return figure


def manifold(images: Any, values: Any, names: Sequence[str] = ("z1", "z2")) -> Any:
    """The images of a 2-D latent plane, each where its latent lies.

    Args:
      images: [G, G, H, W, C]; images[i, j] is decoded from (values[0, i], values[1, j]).
      values: [2, G], ascending, on each axis; [G] stands for the same on both.
      names: of the horizontal (first) and the vertical (second) dimension.

    Returns:
      A matplotlib Figure: the first dimension to the right, the second upwards.

    Raises:
      InputError: where the lengths do not agree.
    """
    images = _check(images, 5, "manifold images [G, G, H, W, C]")
    values = np.asarray(values, np.float64)
    if not images.shape[0] == images.shape[1] == values.shape[-1]:
        raise InputError(
            f"a manifold of {images.shape[0]} x {images.shape[1]} images needs as many values "
            f"on both axes; got {values.shape[-1]}"
        )
    across, upwards = np.broadcast_to(values, (2, values.shape[-1]))
    upright = images.swapaxes(0, 1)[::-1]  # row 0 is drawn at the top
    figure, axes = _draw("manifold", upright, gap=_GAP / 2, lead=0.9, foot=0.7)
    _value_ticks(axes.xaxis, across)
    _value_ticks(axes.yaxis, upwards[::-1])
    axes.set_xlabel(style.plain(names[0]), fontsize=style.FONT, color=style.INK)
    axes.set_ylabel(style.plain(names[1]), fontsize=style.FONT, color=style.INK)
    return figure


def _check(images: Any, rank: int, what: str) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != rank or images.shape[-1] not in (1, 3) or not images.size:
        raise InputError(
            f"{what} must have rank {rank}, one or three channels and no empty axis; "
            f"got shape {list(images.shape)}"
        )
    return images.astype(np.float64)


def canvas(cells: np.ndarray, gap: float = _GAP) -> tuple[np.ndarray, int]:
    """[R, K, H, W, C] as one picture, uint8, and the pixels per row of images.

    Small images are enlarged by a whole number, so that gaps can be narrow.
    """
    colours = np.broadcast_to(cells, (*cells.shape[:-1], 3))
    missing = ~np.isfinite(cells).all(axis=-1, keepdims=True)
    colours = np.where(missing, _NOT_A_NUMBER, np.clip(colours, 0, 1))
    rows, columns, height, width, _ = colours.shape
    scale = max(1, math.ceil(48 / max(height, width)))
    space = round(gap * scale * max(height, width))
    colours = colours.repeat(scale, axis=2).repeat(scale, axis=3)
    around = ((0, 0), (0, 0), (space // 2, space - space // 2), (space // 2, space - space // 2))
    colours = np.pad(colours, (*around, (0, 0)), constant_values=1.0)
    tall, wide = colours.shape[2:4]
    picture = colours.swapaxes(1, 2).reshape(rows * tall, columns * wide, 3)
    return np.round(255 * picture).astype(np.uint8), tall


def _draw(
    name: str,
    cells: np.ndarray,
    gap: float = _GAP,
    lead: float = 0.1,
    foot: float = 0.1,
    size: float = 1.0,
) -> tuple[Any, Any]:
    """A Figure of images in rows: image (r, k) is centred at data position (k, r)."""
    rows, columns, height, width, _ = cells.shape
    inch = min(size, 9.0 / columns, 7.0 / rows)  # of an image's longer side
    tall, wide = inch * height / max(height, width), inch * width / max(height, width)
    figure = style.figure(name, max(lead + wide * columns + 0.1, 2.0), foot + tall * rows + 0.1)
    axes = figure.subplots()
    picture, _ = canvas(cells, gap)
    extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
    axes.imshow(picture, extent=extent, aspect=height / width, interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=style.SMALL, labelcolor=style.INK, pad=6)
    return figure, axes


def _value_ticks(axis: Any, values: np.ndarray) -> None:
    # Every value where there is room, else evenly spaced ones, with both ends if possible.
    last = len(values) - 1
    even = [step for step in range(1, last + 1) if last % step == 0 and 3 <= last // step <= 10]
    step = even[0] if even else max(1, math.ceil(last / 8))
    shown = list(range(0, last + 1, step))
    axis.set_ticks(shown, [value(round(float(values[index]), 2)) for index in shown])
