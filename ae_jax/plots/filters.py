"""Weights as images: what the units of a layer look for, or paint."""

import math
from typing import Any

import numpy as np

from ae_jax.core import InputError
from ae_jax.plots import style
from ae_jax.plots.images import image_grid

_SCALE = "coolwarm"  # grey at zero, so that a filter's frame is seen; safe for the colour-blind


def filters(
    kernel: Any,
    image_shape: tuple[int, int, int],
    count: int = 60,
    columns: int = 10,
    heading: str = "",
) -> Any:
    """The filters of a layer that sees images, the largest norm first.

    Each filter has its own scale, symmetric about 0: red is positive, blue negative. With
    three channels, a channel's 0 is mid-grey instead.

    Args:
      kernel: [D, H], a column per unit, D = height x width x channels. For the atoms of a
        decoder's last layer pass its transposed kernel, for a convolution
        `kernel.reshape(-1, kernel.shape[-1])`.
      image_shape: (height, width, channels) with one channel or three.
      count: the most filters to draw.
      columns: filters per row.
      heading: a title.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where the kernel's first axis is not one image long.
    """
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    kernel = np.asarray(kernel)
    shape = tuple(image_shape)
    if kernel.ndim != 2 or len(shape) != 3 or kernel.shape[0] != math.prod(shape) or count < 1:
        raise InputError(
            f"filters of shape {list(shape)} need a kernel [{math.prod(shape)}, H] and a count "
            f"of at least 1; got {list(kernel.shape)} and {count}"
        )
    kernel = kernel.astype(np.float64)
    norms = np.nan_to_num(np.linalg.norm(kernel, axis=0), nan=-np.inf)
    order = np.argsort(-norms, kind="stable")[:count]
    chosen = kernel.T[order].reshape(-1, *shape)
    largest = np.abs(chosen).max(axis=(1, 2, 3), keepdims=True)
    signed = chosen / np.where(largest == 0, 1, largest)  # [count, height, width, channels]
    if shape[2] == 1:
        colours = matplotlib.colormaps[_SCALE](signed[..., 0] / 2 + 0.5)[..., :3]
        signed = np.where(np.isnan(signed), np.nan, colours)
    else:
        signed = signed / 2 + 0.5
    figure = image_grid(signed, columns)
    figure.set_label("filters")
    width, height = figure.get_size_inches()
    figure.set_size_inches(max(width + 1.2, 6.0), height + (0.9 if heading else 0.6))
    (axes,) = figure.axes
    axes.set_title(style.plain(heading), fontsize=style.FONT, color=style.INK)
    if shape[2] == 1:
        scale = ScalarMappable(Normalize(-1, 1), _SCALE)
        bar = figure.colorbar(scale, cax=axes.inset_axes([1.015, 0, 0.02, 1]), ticks=[-1, 0, 1])
        bar.ax.set_yticklabels(["\N{MINUS SIGN}max", "0", "max"])
        bar.ax.tick_params(length=0, labelsize=style.FONT, labelcolor=style.INK)
        bar.outline.set_visible(False)
    which = "all" if len(order) == kernel.shape[1] else f"{len(order)} of {kernel.shape[1]}"
    zero = "" if shape[2] == 1 else "; grey is 0"
    style.footnote(
        figure,
        f"{which} filters by norm, largest first\neach divided by its largest |weight|{zero}",
    )
    return figure
