"""Walks between two examples through the latent space."""

from typing import Any

import numpy as np

from ae_jax.core import InputError
from ae_jax.plots import style
from ae_jax.plots.images import image_grid
from ae_jax.plots.text import value


def walks(images: Any, starts: Any, ends: Any, heading: str = "") -> Any:
    """What lies between two examples: a row per pair, the examples framed at both ends.

    Args:
      images: [R, S, H, W, C], decoded at S evenly spaced places on R straight lines, both
        ends included (`views.walk`).
      starts: [R, H, W, C], the examples where the walks begin.
      ends: [R, H, W, C], the examples where they end.
      heading: a title.

    Returns:
      A matplotlib Figure.

    Raises:
      InputError: where the shapes do not agree.
    """
    from matplotlib.patches import Rectangle

    images, starts, ends = (np.asarray(array) for array in (images, starts, ends))
    shapes = {starts.shape, ends.shape, images.shape[:1] + images.shape[2:]}
    if images.ndim != 5 or images.shape[1] < 2 or len(shapes) > 1:
        raise InputError(
            "walks need images [R, S, H, W, C] with S > 1, and starts and ends [R, H, W, C]; "
            f"got {list(images.shape)}, {list(starts.shape)} and {list(ends.shape)}"
        )
    rows, steps = images.shape[:2]
    cells = np.concatenate([starts[:, None], images, ends[:, None]], axis=1)
    figure = image_grid(cells.reshape(-1, *images.shape[2:]), steps + 2)
    figure.set_label("walks")
    width, height = figure.get_size_inches()
    figure.set_size_inches(max(width, 6.0), height + (0.85 if heading else 0.55))
    (axes,) = figure.axes
    frame = {"fill": False, "ec": style.CATEGORIES[1], "lw": 2.5, "clip_on": False, "zorder": 3}
    for column in (0, steps + 1):
        for row in range(rows):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **frame))
    shown = [0, (steps - 1) / 2, steps - 1] if steps > 2 else [0, 1]
    axes.set_xticks(
        [0, *(step + 1 for step in shown), steps + 1],
        ["example", *(value(step / (steps - 1)) for step in shown), "example"],
    )
    axes.set_xlabel("position between the two latents", fontsize=style.FONT, color=style.INK)
    axes.set_title(style.plain(heading), fontsize=style.FONT, color=style.INK)
    return figure
