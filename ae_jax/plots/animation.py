"""Moving pictures: images that change over time, as one animated GIF."""

import io
from typing import Any, NamedTuple

import numpy as np

from ae_jax.core import InputError
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
    frames = np.stack([canvas(frame)[0] for frame in cells])
    count, _, width = frames.shape[:3]
    done = width * np.arange(1, count + 1) // count
    filled = np.arange(width)[None, :] < done[:, None]
    strip = np.where(filled[..., None], _FILLED, _EMPTY).astype(np.uint8)
    strip = np.broadcast_to(strip[:, None], (count, _BAR, width, 3))
    return Animation(np.concatenate([frames, strip], axis=1), milliseconds, name)


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
