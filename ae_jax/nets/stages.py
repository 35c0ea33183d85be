"""How many stages of what width a convolutional architecture has, by the images' size."""

from collections.abc import Sequence
from typing import NamedTuple

from ae_jax.core import InputError


class Stages(NamedTuple):
    """The stages of an encoder, each of which halves the image; a decoder has them reversed.

    Attributes:
      channels: of each stage's output.
      side: rows, and columns, of the last stage's output.
    """

    channels: tuple[int, ...]
    side: int


# Stages are dropped from the end where the image is smaller than the published 64x64.
_DISENTANGLEMENT = {
    8: Stages((32,), 4),
    16: Stages((32, 32), 4),
    28: Stages((32, 32), 7),
    32: Stages((32, 32, 64), 4),
    64: Stages((32, 32, 64, 64), 4),
}
_STAGES = {
    "disentanglement": _DISENTANGLEMENT,
    "disentanglement_lib": _DISENTANGLEMENT,
    "residual": _DISENTANGLEMENT,
    "dcgan": {
        8: Stages((64, 128), 2),
        16: Stages((64, 128), 4),
        28: Stages((64, 128), 7),
        32: Stages((64, 128, 256), 4),
        64: Stages((64, 128, 256, 512), 4),
    },
    "keras": {8: Stages((16, 8), 2), 28: Stages((16, 8, 8), 4), 32: Stages((16, 8, 8), 4)},
}


def stages_of(image_shape: Sequence[int], architecture: str) -> Stages:
    """The stages of an architecture for images of a shape (H, W, C).

    Raises:
      InputError: the architecture does not take such images.
    """
    sizes, shape = _STAGES[architecture], tuple(image_shape)
    if len(shape) != 3 or shape[0] != shape[1] or shape[0] not in sizes or shape[2] < 1:
        accepted = ", ".join(f"{n}x{n}" for n in sizes)
        raise InputError(
            f"the {architecture} architecture takes images (H, W, C) of {accepted}, not {shape}; "
            "use images of such a size or the mlp architecture"
        )
    return sizes[shape[0]]
