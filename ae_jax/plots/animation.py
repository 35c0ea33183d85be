"""Moving pictures: images, or figures, that change over time, as one animated GIF."""

import io
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ae_jax.core import InputError
from ae_jax.plots import style
from ae_jax.plots.images import canvas

_BAR = 6  # pixels of the strip below the images that fills up with time
_FILLED, _EMPTY = (0, 114, 178), (225, 225, 225)


class Animation(NamedTuple):
    """Frames [T, H, W, 3], uint8, and how long each is shown."""

    frames: np.ndarray
    milliseconds: int
    name: str

    def get_label(self) -> str:
        """What its file is named after, as a Figure's label is."""
        return self.name


def animation(images: Any, rows: int = 4, milliseconds: int = 100, name: str = "") -> Animation:
    """Images side by side that change from frame to frame; a strip below fills up with time.

    Args:
      images: [T, N, H, W, C], in [0, 1] with one channel or three.
      rows: of images in a frame; those that do not fill the last row are left out.
      milliseconds: that a frame is shown; the last one stays ten times as long.
      name: of its file.

    Returns:
      An Animation, which `write_report` takes as it takes figures.

    Raises:
      InputError: if the images have another rank, or there are fewer than rows.
    """
    images = np.asarray(images, np.float64)
    if images.ndim != 5 or images.shape[-1] not in (1, 3) or images.shape[1] < rows:
        raise InputError(
            f"an animation needs images [T, N, H, W, C] with N at least {rows}; got "
            f"{list(images.shape)}"
        )
    columns = images.shape[1] // rows
    cells = images[:, : rows * columns].reshape(-1, rows, columns, *images.shape[2:])
    return _timed([canvas(frame)[0] for frame in cells], milliseconds, name)


def film(figures: Iterable[Any], milliseconds: int = 100) -> Animation:
    """Figures one after the other; a strip below fills up with time.

    Args:
      figures: matplotlib Figures of one size, drawn as they come: all may be one that changes in
        between. The first one's label names the file.
      milliseconds: as for `animation`.

    Returns:
      An Animation.

    Raises:
      InputError: if there is no figure, or they differ in size.
    """
    frames, names = [], []
    for figure in figures:
        frames.append(style.pixels(figure))
        names.append(str(figure.get_label()))
    if len({frame.shape for frame in frames}) != 1:
        raise InputError("a film needs figures of one size, at least one: draw all frames alike")
    return _timed(frames, milliseconds, names[0])


def _timed(frames: Iterable[np.ndarray], milliseconds: int, name: str) -> Animation:
    """Frames [H, W, 3] over a strip that says how far they are."""
    stacked = np.stack([*frames])
    count, _, width = stacked.shape[:3]
    done = width * np.arange(1, count + 1) // count
    filled = np.arange(width)[None, :] < done[:, None]
    strip = np.where(filled[..., None], _FILLED, _EMPTY).astype(np.uint8)
    strip = np.broadcast_to(strip[:, None], (count, _BAR, width, 3))
    return Animation(np.concatenate([stacked, strip], axis=1), milliseconds, name)


def gif(animation: Animation) -> bytes:
    """Returns the file's bytes."""
    from PIL import Image

    first, *rest = (Image.fromarray(frame) for frame in animation.frames)
    durations = [animation.milliseconds] * len(rest) + [10 * animation.milliseconds]
    buffer = io.BytesIO()
    first.save(
        buffer, "GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=True
    )
    return buffer.getvalue()
