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
    return _largest(_windows(x, window, strides, padding, -jnp.inf))[0]


def max_pool_with_places(
    x: Array, window: tuple[int, int] = (2, 2), padding: str = "VALID"
) -> tuple[Array, Array]:
    """The largest value of each window, and where in the window it was; windows do not overlap.

    A place counts within its window, and so depends on no size, batch or padding.

    Args:
      x: [B, H, W, C].
      window: rows and columns of a window, and from one to the next.
      padding: "SAME" or "VALID"; what lies outside the image is never the largest.

    Returns:
      [B, H', W', C], as of `max_pool`, and int [B, H', W', C], from 0 to the window's number of
      pixels less 1, in row-major order: of equal values the first.

    Reference:
      Badrinarayanan, Kendall and Cipolla (2017), SegNet, section 3.
    """
    return _largest(_windows(x, window, None, padding, -jnp.inf))


def unpool(
    y: Array,
    places: Array,
    size: tuple[int, int],
    window: tuple[int, int] = (2, 2),
    padding: str = "VALID",
) -> Array:
    """Puts values back where `max_pool_with_places` found the largest ones; all else is 0.

    It is linear in y, and the adjoint of taking from an image the values at those places.

    Args:
      y: [B, H', W', C].
      places: int [B, H', W', C], as of `max_pool_with_places`.
      size: (H, W) of the image, which the pooled one does not tell.
      window: as what was pooled had it.
      padding: likewise.

    Returns:
      [B, H, W, C].

    Raises:
      InputError: if pooling images of that size makes none of y's shape, or places have another.
    """
    pads, pooled = _pooled(size, window, window, padding)
    if y.shape != places.shape or y.shape[1:3] != tuple(pooled):
        raise InputError(
            f"windows {tuple(window)} pool images of {size[0]}x{size[1]} to "
            f"{pooled[0]}x{pooled[1]}; got y {list(y.shape)} and places {list(places.shape)}"
        )
    batch, height, width, channels = y.shape
    rows, columns = window
    zero = jnp.zeros((), y.dtype)
    pixels = [jnp.where(places == i, y, zero) for i in range(rows * columns)]
    x = jnp.stack(pixels, axis=3).reshape(batch, height, width, rows, columns, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height * rows, width * columns, channels)
    config = [
        (-low, full - (n - low), 0)
        for n, full, (low, _) in zip(x.shape[1:3], size, pads, strict=True)
    ]
    return lax.pad(x, zero, [(0, 0, 0), *config, (0, 0, 0)])


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


def _largest(slices: list[Array]) -> tuple[Array, Array]:
    """The largest of elements of windows, and which it is; of equal ones the first, NaN first."""
    largest, places = slices[0], jnp.zeros(slices[0].shape, jnp.int32)
    for i, candidate in enumerate(slices[1:], start=1):
        keep = (largest >= candidate) | jnp.isnan(largest)
        largest, places = jnp.where(keep, largest, candidate), jnp.where(keep, places, i)
    return largest, places


def _pooled(size, window, strides, padding) -> tuple[list[tuple[int, int]], list[int]]:
    """The pads before and after rows and columns, and how many windows there are."""
    if padding.upper() not in ("SAME", "VALID"):
        raise InputError(f"unknown padding {padding!r}; use SAME or VALID")
    pads = lax.padtype_to_pads(size, window, strides, padding.upper())
    pooled = [
        (n + low + high - k) // s + 1
        for n, k, s, (low, high) in zip(size, window, strides, pads, strict=True)
    ]
    if min(pooled) < 1:
        raise InputError(f"a window {window} does not fit images of {size[0]}x{size[1]}")
    return pads, pooled


def _windows(x, window, strides, padding, fill) -> list[Array]:
    """The window's elements one by one, each an image [B, H', W', C]."""
    strides = window if strides is None else strides
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise InputError(f"pooling is for floats, got {x.dtype}")
    pads, size = _pooled(x.shape[1:3], window, strides, padding)
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
