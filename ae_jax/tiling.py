"""Whole images by what is made of pieces: overlapping patches, and tiles without seams."""

import math
from collections.abc import Callable

import jax
import numpy as np

from ae_jax.core import COUNT, Array, Domain, InputError, require

#: [N, h, w, C] -> [N, h, w, D], of each image on its own, by operations of JAX.
Restore = Callable[[Array], Array]


def starts(length: int, size: int, stride: int) -> np.ndarray:
    """Where pieces begin that cover a length: every `stride`, and one that ends with it.

    Raises:
      InputError: if a piece is longer than that, or the stride leaves gaps.
    """
    require(Domain(whole=True), size=size, stride=stride)
    if not 1 <= size <= length:
        raise InputError(f"a piece of {size} pixels does not fit into {length}")
    if not 1 <= stride <= size:
        raise InputError(f"a stride of {stride} leaves gaps between pieces of {size} pixels")
    return np.unique(np.append(np.arange(0, length - size, stride), length - size))


def in_patches(restore: Restore, image: np.ndarray, size: int, stride: int) -> np.ndarray:
    """An image of which each pixel is the mean over the restored patches that it lies in.

    Args:
      restore: patches [N, size, size, C] -> [N, size, size, D]; called once for each row of them.
      image: float [H, W, C].
      size: of a patch.
      stride: from one patch to the next; the last of a row and of a column end with the image.

    Returns:
      float [H, W, D], the image itself where `restore` is the identity.

    Raises:
      InputError: if the image is smaller than a patch, the stride leaves gaps, or what is made of
        patches is of another size.

    Reference:
      Elad and Aharon (2006), Image Denoising Via Sparse and Redundant Representations, equation 8.
    """
    image = _checked(image)
    height, width = image.shape[:2]
    require(Domain(whole=True), size=size)
    if size > min(height, width):
        raise InputError(
            f"an image of {height}x{width} pixels is smaller than a patch of {size}: enlarge it, "
            "or use a model of smaller patches"
        )
    rows, columns = starts(height, size, stride), starts(width, size, stride)
    apply = jax.jit(restore)
    total, counts = None, np.zeros((height, width, 1), image.dtype)
    for row in rows:
        strip = image[row : row + size]
        made = _made(apply, np.stack([strip[:, c : c + size] for c in columns]))
        total = np.zeros((height, width, made.shape[-1]), image.dtype) if total is None else total
        for column, patch in zip(columns, made, strict=True):
            place = np.s_[row : row + size, column : column + size]
            total[place] += patch
            counts[place] += 1
    return total / counts


def in_tiles(
    restore: Restore, image: np.ndarray, tile: int, margin: int, multiple: int = 1
) -> np.ndarray:
    """What a convolutional network makes of an image of any size, tile by tile.

    A tile is seen with a margin of the image around it, and where the image ends the network sees
    that it does: with a margin of its receptive field's radius the result is that of the whole.

    Args:
      restore: [1, h, w, C] -> [1, h, w, D] of any sides that are multiples of `multiple`.
      image: float [H, W, C]; it is continued by its mirror image to such sides.
      tile: side of what is kept of each window, rounded up to a multiple.
      margin: on each side of it, rounded up to a multiple.
      multiple: what the network's strides need.

    Returns:
      float [H, W, D].

    Raises:
      InputError: if there is no image, a number is not positive, or what is made of a window is of
        another size.
    """
    image = _checked(image)
    require(COUNT, tile=tile, multiple=multiple)
    require(Domain(0, whole=True), margin=margin)
    height, width = image.shape[:2]
    whole = [multiple * math.ceil(side / multiple) for side in (height, width)]
    tile, margin = (multiple * math.ceil(side / multiple) for side in (tile, margin))
    more = [(0, full - side) for full, side in zip(whole, (height, width), strict=True)]
    padded = np.pad(image, (*more, (0, 0)), mode="symmetric")
    windows = [min(tile + 2 * margin, full) for full in whole]
    apply = jax.jit(restore)
    made = None
    for top in range(0, whole[0], tile):
        for left in range(0, whole[1], tile):
            corner = [
                min(max(0, first - margin), full - window)
                for first, full, window in zip((top, left), whole, windows, strict=True)
            ]
            seen = padded[tuple(np.s_[c : c + w] for c, w in zip(corner, windows, strict=True))]
            found = _made(apply, seen[None])[0]
            made = np.empty((*whole, found.shape[-1]), found.dtype) if made is None else made
            piece = found[top - corner[0] :, left - corner[1] :][:tile, :tile]
            made[top : top + piece.shape[0], left : left + piece.shape[1]] = piece
    return made[:height, :width]


def _made(apply: Restore, pieces: np.ndarray) -> np.ndarray:
    """What is made of pieces [N, h, w, C], of their size."""
    made = np.asarray(apply(pieces))
    if made.ndim != 4 or made.shape[:3] != pieces.shape[:3]:
        raise InputError(
            f"of pieces {list(pieces.shape)} are made {list(made.shape)}: restore to their size, "
            "[N, h, w, D]"
        )
    return made


def _checked(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 3 or not image.size or image.dtype.kind != "f":
        raise InputError(
            f"an image is floats [H, W, C], got {image.dtype} {list(image.shape)}: scale it to "
            "[0, 1], and give a grey one an axis of channels"
        )
    return image
