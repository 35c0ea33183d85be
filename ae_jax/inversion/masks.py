"""Which pixels of an image are known, and images of which those are exact."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import FRACTION, Array, Domain, InputError, require


def known_pixels(images: Array, mask: Array) -> Array:
    """Which numbers of each image are known.

    Args:
      images: float [B, H, W, C].
      mask: bool, True where a pixel is known: [H, W, 1] for all images and channels, or any shape
        between that and the images' own in which an axis of length 1 stands for all.

    Returns:
      bool [B, H, W, C].

    Raises:
      InputError: if images are no floats of that rank; if the mask is of another type or size; or,
        where neither is traced, if it knows nothing of some channel of an image, or a known number
        is not finite.
    """
    known = _known(images, mask)
    finite = jnp.all(jnp.isfinite(jnp.asarray(images)) | ~known)
    if not isinstance(finite, jax.core.Tracer) and not finite:
        raise InputError(
            "an image has NaN or infinity where the mask says it is known: mask it as unknown"
        )
    return known


def _known(images: Array, mask: Array) -> Array:
    """As `known_pixels`, whatever numbers they have."""
    images, mask = jnp.asarray(images), jnp.asarray(mask)
    if images.ndim != 4 or not images.size or not jnp.issubdtype(images.dtype, jnp.floating):
        raise InputError(
            f"images must be floats [B, H, W, C], got {images.dtype} {list(images.shape)}"
        )
    if mask.dtype != bool:
        raise InputError(f"a mask is bool, True where a pixel is known, and not {mask.dtype}")
    shape = (1,) * (4 - mask.ndim) + mask.shape
    whole = zip(shape, images.shape, strict=False)
    if (
        mask.ndim not in (3, 4)
        or shape[1:3] != images.shape[1:3]
        or any(n not in (1, full) for n, full in whole)
    ):
        raise InputError(
            f"a mask of images {list(images.shape)} is [H, W, 1] of their size, or has more of "
            f"their axes; got {list(mask.shape)}"
        )
    known = jnp.broadcast_to(mask.reshape(shape), images.shape)
    if not isinstance(mask, jax.core.Tracer) and not np.asarray(known).any(axis=(1, 2)).all():
        raise InputError(
            "the mask leaves an image without a known pixel: there is nothing to go by"
        )
    return known


def composed(images: Array, mask: Array, x: Array) -> Array:
    """The images where they are known, bit for bit, and x elsewhere.

    Args:
      images: float [B, H, W, C].
      mask: as for `known_pixels`.
      x: [B, H, W, C].

    Returns:
      [B, H, W, C]: m images + (1 - m) x.

    Raises:
      InputError: as `known_pixels`, but for numbers that are not finite; if x has another shape, or
        no floats.
    """
    known, x = _known(images, mask), jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise InputError(
            f"what fills images is floats, as they are, and not {x.dtype}: scale it as them"
        )
    if x.shape != known.shape:
        raise InputError(
            f"images are {list(known.shape)}, and what is to fill them {list(x.shape)}"
        )
    return jnp.where(known, images, x.astype(images.dtype))


def mean_of_known(images: Array, known: Array) -> Array:
    """The mean of each image's known pixels, by channel, at all of its pixels: [B, H, W, C]."""
    count = jnp.sum(known.astype(images.dtype), axis=(1, 2), keepdims=True)
    total = jnp.sum(jnp.where(known, images, 0), axis=(1, 2), keepdims=True)
    return jnp.broadcast_to(total / count, images.shape)


def hole(image_shape: Sequence[int], side: int) -> np.ndarray:
    """The mask of a square hole in the middle.

    Args:
      image_shape: (H, W, ...).
      side: of the hole, in pixels; where it cannot be in the middle it is nearer to the top left.

    Returns:
      bool [H, W, 1], False in the hole.

    Raises:
      InputError: if there is no such hole, or nothing around it.
    """
    height, width = image_shape[:2]
    require(Domain(whole=True), side=side)
    if not 1 <= side <= min(height, width) or side == max(height, width):
        raise InputError(f"a hole of {side} pixels a side does not fit images {height}x{width}")
    known = np.ones((height, width, 1), bool)
    top, left = (height - side) // 2, (width - side) // 2
    known[top : top + side, left : left + side] = False
    return known


def missing(key: Array, images: Array, share: float) -> Array:
    """Masks of which each pixel is missing with the same probability, all its channels together.

    Args:
      key: PRNG key.
      images: [B, H, W, C].
      share: the probability.

    Returns:
      bool [B, H, W, 1], False where a pixel is missing.

    Raises:
      InputError: if the share is no probability.
    """
    if share not in FRACTION:
        raise InputError(f"the share of missing pixels is {share}: use {FRACTION}")
    return jax.random.bernoulli(key, 1 - share, (*images.shape[:3], 1))
