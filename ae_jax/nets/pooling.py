"""Pooling and upsampling of images [B, H, W, C]."""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from ae_jax.core import Array, InputError


def max_pool(
    x: Array,
    window: tuple[int, int] = (2, 2),
    strides: tuple[int, int] | None = None,
    padding: str = "VALID",
) -> Array:
    """The largest value of each window.

    Among equal values the gradient goes to the first, in row-major order. NaN wins.

    Args:
      x: [B, H, W, C].
      window: rows and columns of a window.
      strides: rows and columns between windows; the window's size when None.
      padding: "SAME" or "VALID"; what lies outside the image is never the largest.

    Returns:
      [B, H', W', C].
    """
    slices = _windows(x, window, strides, padding, -jnp.inf)
    largest = slices[0]
    for candidate in slices[1:]:
        keep = (largest >= candidate) | jnp.isnan(largest)
        largest = jnp.where(keep, largest, candidate)
    return largest


def avg_pool(
    x: Array,
    window: tuple[int, int] = (2, 2),
    strides: tuple[int, int] | None = None,
    padding: str = "VALID",
) -> Array:
    """The mean of each window; with "SAME" padding, of its part inside the image.

    Args:
      x: [B, H, W, C].
      window: rows and columns of a window.
      strides: rows and columns between windows; the window's size when None.
      padding: "SAME" or "VALID".

    Returns:
      [B, H', W', C], of x's type; sums are taken in float32 at least.
    """
    wide = np.promote_types(x.dtype, np.float32)
    total = sum(value.astype(wide) for value in _windows(x, window, strides, padding, 0.0))
    ones = jnp.ones((1, *x.shape[1:3], 1), wide)
    return (total / sum(_windows(ones, window, strides, padding, 0.0))).astype(x.dtype)


def upsample(x: Array, factor: int | tuple[int, int] = 2) -> Array:
    """Nearest-neighbour upsampling: every pixel becomes a block of equal pixels.

    Args:
      x: [B, H, W, C].
      factor: rows and columns of a block.

    Returns:
      [B, H * factor, W * factor, C].
    """
    rows, columns = (factor, factor) if isinstance(factor, int) else factor
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (batch, height, rows, width, columns, channels))
    return x.reshape(batch, height * rows, width * columns, channels)


class MaxPool(nn.Module):
    """`max_pool` as a layer."""

    window: tuple[int, int] = (2, 2)
    strides: tuple[int, int] | None = None
    padding: str = "VALID"

    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] to [B, H', W', C]."""
        return max_pool(x, self.window, self.strides, self.padding)


def _windows(x, window, strides, padding, fill) -> list[Array]:
    """The window's elements one by one, each an image [B, H', W', C]."""
    strides = window if strides is None else strides
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise InputError(f"pooling is for floats, got {x.dtype}")
    if padding.upper() not in ("SAME", "VALID"):
        raise InputError(f"unknown padding {padding!r}; use SAME or VALID")
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, padding.upper())
    size = [
        (n + low + high - k) // s + 1
        for n, k, s, (low, high) in zip(x.shape[1:3], window, strides, pads, strict=True)
    ]
    if min(size) < 1:
        raise InputError(f"a window {window} does not fit images of {x.shape[1]}x{x.shape[2]}")
    # Grown or cropped to whole strides, so that an element is a slice without a stride.
    reach = [-(-k // s) - 1 for k, s in zip(window, strides, strict=True)]
    need = [(n + r) * s for n, r, s in zip(size, reach, strides, strict=True)]
    config = [(0, 0, 0), (0, 0, 0)]
    for axis in (0, 1):
        low = pads[axis][0]
        config.insert(1 + axis, (low, need[axis] - x.shape[1 + axis] - low, 0))
    x = lax.pad(x, jnp.asarray(fill, x.dtype), config)
    batch, height, width, channels = x.shape
    x = x.reshape(
        batch, height // strides[0], strides[0], width // strides[1], strides[1], channels
    )
    elements = []
    for i in range(window[0]):
        for j in range(window[1]):
            (a, r), (b, c) = divmod(i, strides[0]), divmod(j, strides[1])
            elements.append(x[:, a : a + size[0], r, b : b + size[1], c])
    return elements
