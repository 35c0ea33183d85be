"""Photographs in grey, and their patches: what is restored, and what learns to."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from ae_jax import data, tiling
from ae_jax.core import Array, Dataset
from ae_jax.data.sources import photos
from ae_jax.experiment.splits import Splits


def grey_patches(size: int, more: bool = False, scale: float = 1.0) -> Splits:
    """Grey patches of photographs less their mean; those to train on overlap by two thirds.

    Args:
      size: of a patch, in pixels a side.
      more: whether to take eleven photographs instead of three.
      scale: what of the deviation from a patch's mean counts as 1.

    Returns:
      Data sets of `image` [size, size, 1], of mean 0, and `target`, the patch as it is.

    Raises:
      InputError: as `data.sources.photos.patches`.
    """
    strides = {"train": max(1, size // 3), "validation": size, "test": size}

    def centred(pictures: Array) -> Sequence[Array]:
        grey = _grey(pictures)
        return (grey - _mean(grey)) / scale, grey

    cut = {name: photos.patches(name, size, stride, more) for name, stride in strides.items()}
    return Splits(**{name: data.pairs_of(patches, centred) for name, patches in cut.items()})


def grey_photographs(split: str, side: int, more: bool = False) -> dict[str, np.ndarray]:
    """The middle of each photograph of a split.

    Args:
      split: train, validation, test or all.
      side: of the middle, in pixels; what is smaller stays whole.
      more: as for `grey_patches`.

    Returns:
      By name, luma [H, W, 1] in [0, 1].

    Raises:
      InputError: as `data.photographs`.
    """
    found = {}
    for name, picture in data.photographs(split, more).items():
        rows, columns = (max(0, length - side) // 2 for length in picture.shape[:2])
        middle = picture[rows:, columns:][:side, :side]
        scaled = jnp.asarray(middle[None] / 255, jnp.result_type(float))
        found[name] = np.asarray(_grey(scaled)[0])
    return found


def patchwise(
    apply: tiling.Restore, size: int, stride: int, scale: float = 1.0
) -> Callable[[np.ndarray], np.ndarray]:
    """Restores images by overlapping patches, of what restores patches less their mean.

    Args:
      apply: [N, size, size, C] -> [N, size, size, C], of mean 0 each; the mean is added again.
      size: of a patch.
      stride: from one to the next; where it is the size they lie side by side.
      scale: as for `grey_patches`.

    Returns:
      [H, W, C] -> [H, W, C], as `tiling.in_patches`.
    """

    def restore(x: Array) -> Array:
        mean = _mean(x)
        return mean + scale * apply((x - mean) / scale)

    return lambda image: tiling.in_patches(restore, image, size, stride)


def stamped_pairs(stamped: Dataset, scale: float = 1.0) -> Dataset:
    """Patches and what is seen of them, of `data.stamped`, stored as bytes: all stamps are drawn.

    Both are less the median of what is seen, which a stamp moves less than the mean.

    Args:
      stamped: of grey images.
      scale: as for `grey_patches`.

    Returns:
      A Dataset of `image` [H, W, 1], without a stamp, and `target` [H, W, 2], with it, beside 1
      where there is none of it.
    """

    def pairing(images: Array) -> Sequence[Array]:
        x, y, known = jnp.split(images, 3, axis=-1)
        middle = jnp.median(y, axis=(1, 2, 3), keepdims=True)
        return (x - middle) / scale, jnp.concatenate([(y - middle) / scale, known], axis=-1)

    batch = data.head(stamped, stamped.size)
    three = batch["image"], batch["stamped"], batch["alpha"] == 0
    levels = np.rint(255 * np.concatenate(three, axis=-1)).astype(np.uint8)
    return data.pairs_of(data.stored(levels, value_range=(0, 255)), pairing)


def _grey(pictures: Array) -> Array:
    return data.PAIRINGS["grey"](pictures)[0]


def _mean(patches: Array) -> Array:
    """Of each patch, [B, 1, 1, 1]."""
    return jnp.mean(patches, axis=(1, 2, 3), keepdims=True)
