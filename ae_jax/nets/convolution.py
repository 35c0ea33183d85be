"""Convolution and its transpose, as matrix products or as XLA's own convolution.

Inside a loop XLA's convolution loses its fast path on the CPU, and `vmap` over kernels
turns it into a grouped one, slow on every backend. A matrix product suffers from neither.
A strided convolution is a rearrangement of its input into blocks as large as the stride
(space to depth), followed by a convolution of stride 1 with fewer taps; a transposed one
is a convolution of stride 1 followed by the inverse rearrangement.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from ae_jax.core import Array, InputError

Pads = tuple[tuple[int, int], tuple[int, int]]
Padding = str | Sequence[tuple[int, int]]
DIMENSIONS = ("NHWC", "HWIO", "NHWC")


#: The faster implementation by backend, where it has been measured.
MEASURED = {"cpu": "matmul"}


def default_impl() -> str:
    """The implementation that None stands for on the default backend: "matmul" or "lax"."""
    return MEASURED.get(jax.default_backend(), "matmul")


def conv(
    x: Array,
    kernel: Array,
    strides: tuple[int, int] = (1, 1),
    padding: Padding = "SAME",
    impl: str | None = None,
) -> Array:
    """2-D convolution (cross-correlation), as `lax.conv_general_dilated`.

    Args:
      x: [B, H, W, C].
      kernel: [KH, KW, C, O].
      strides: rows and columns between two outputs.
      padding: "SAME", "VALID", or zeros ((top, bottom), (left, right)).
      impl: "matmul", "lax", or None for the faster one on this backend.

    Returns:
      [B, H', W', O].

    Raises:
      InputError: a shape, stride, padding or implementation that makes no convolution.
    """
    impl = _check(x, kernel, strides, impl)
    pads = _explicit_pads(x, kernel, strides, padding, transpose=False)
    size = [
        (n + low + high - k) // s + 1
        for n, k, s, (low, high) in zip(x.shape[1:3], kernel.shape, strides, pads, strict=False)
    ]
    if min(size) < 1:
        raise InputError(
            f"a {kernel.shape[0]}x{kernel.shape[1]} kernel does not fit images of "
            f"{x.shape[1]}x{x.shape[2]} with padding {padding}; use larger images or padding"
        )
    if impl == "lax":
        return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=DIMENSIONS)
    return _conv(x, kernel, tuple(strides), pads, tuple(size))


def conv_transpose(
    x: Array,
    kernel: Array,
    strides: tuple[int, int] = (1, 1),
    padding: Padding = "SAME",
    impl: str | None = None,
) -> Array:
    """2-D transposed convolution, as `lax.conv_transpose`.

    It is the adjoint of `conv` with the kernel's two spatial axes reversed and its two
    channel axes exchanged.

    Args:
      x: [B, H, W, C].
      kernel: [KH, KW, C, O].
      strides: rows and columns between the images of two neighbouring inputs.
      padding: "SAME" (output H * stride), "VALID" (output H * stride + max(KH - stride, 0)),
        or zeros ((top, bottom), (left, right)) added to the dilated input.
      impl: "matmul", "lax", or None for the faster one on this backend.

    Returns:
      [B, H', W', O].

    Raises:
      InputError: a shape, stride, padding or implementation that makes no convolution.
    """
    impl = _check(x, kernel, strides, impl)
    pads = _explicit_pads(x, kernel, strides, padding, transpose=True)
    size = [
        (n - 1) * s + 1 + low + high - k + 1
        for n, k, s, (low, high) in zip(x.shape[1:3], kernel.shape, strides, pads, strict=False)
    ]
    if min(size) < 1:
        raise InputError(
            f"a {kernel.shape[0]}x{kernel.shape[1]} transposed kernel leaves nothing of images of "
            f"{x.shape[1]}x{x.shape[2]} with padding {padding}; use more padding"
        )
    if impl == "lax":
        return lax.conv_transpose(x, kernel, strides, pads, dimension_numbers=DIMENSIONS)
    return _conv_transpose(x, kernel, tuple(strides), pads, tuple(size))


def _check(x: Array, kernel: Array, strides: Sequence[int], impl: str | None) -> str:
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[3] != kernel.shape[2]:
        raise InputError(
            f"a convolution needs images [B, H, W, C] and a kernel [KH, KW, C, O], "
            f"not {x.shape} and {kernel.shape}"
        )
    if len(strides) != 2 or min(strides) < 1:
        raise InputError(f"strides are two positive integers, not {strides}")
    impl = default_impl() if impl is None else impl
    if impl not in ("matmul", "lax"):
        raise InputError(f"unknown impl {impl!r}; use matmul, lax or None")
    return impl


def _explicit_pads(x, kernel, strides, padding: Padding, transpose: bool) -> Pads:
    if isinstance(padding, str):
        if padding.upper() not in ("SAME", "VALID"):
            raise InputError(f"unknown padding {padding!r}; use SAME, VALID or pairs of integers")
        if transpose:
            pads = [
                _transpose_pads(k, s, padding.upper())
                for k, s in zip(kernel.shape[:2], strides, strict=True)
            ]
        else:
            pads = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding.upper())
    else:
        pads = padding
    try:
        (top, bottom), (left, right) = ((int(low), int(high)) for low, high in pads)
    except (TypeError, ValueError):
        raise InputError(
            f"padding is SAME, VALID or ((top, bottom), (left, right)), not {padding!r}"
        ) from None
    if min(top, bottom, left, right) < 0:
        raise InputError(f"padding may not be negative, as in {padding!r}; crop the images first")
    return (top, bottom), (left, right)


def _transpose_pads(k: int, s: int, padding: str) -> tuple[int, int]:
    if padding == "VALID":
        total, low = k + s - 2 + max(k - s, 0), k - 1
    else:
        total = k + s - 2
        low = k - 1 if s > k - 1 else -(-total // 2)
    return low, total - low


def _conv(x: Array, kernel: Array, strides, pads: Pads, size) -> Array:
    # A kernel of q * s rows covers q blocks of s rows.
    rows, _, channels, outputs = kernel.shape
    taps = [-(-k // s) for k, s in zip(kernel.shape, strides, strict=False)]
    blocks = [n + q - 1 for n, q in zip(size, taps, strict=True)]
    need = [n * s for n, s in zip(blocks, strides, strict=True)]
    (top, _), (left, _) = pads
    x = _pad(x, (top, need[0] - x.shape[1] - top), (left, need[1] - x.shape[2] - left))

    # Memory traffic is what costs. Numbers written per output pixel:
    block, shifts = channels * strides[0] * strides[1], taps[0] * taps[1]
    by_blocks = min(shifts * block + outputs, block + shifts * outputs)
    by_rows = rows * strides[1] * channels + taps[1] * outputs
    if by_rows < by_blocks:
        return _conv_by_rows(x, kernel, strides, blocks, size)
    kernel = _kernel_blocks(kernel, taps, strides)
    kernel = kernel.reshape(*taps, -1, outputs)
    return _correlate(_space_to_depth(x, strides), kernel, (0, 0))


def _conv_by_rows(x: Array, kernel: Array, strides, blocks, size) -> Array:
    """Gathers what lies below a block of columns, multiplies, adds products side by side."""
    rows, columns, channels, outputs = kernel.shape
    stride, width = strides
    taps = blocks[1] - size[1] + 1
    x = x.reshape(x.shape[0], blocks[0], stride, blocks[1], width * channels)
    gathered = [x[:, i // stride : i // stride + size[0], i % stride] for i in range(rows)]
    kernel = jnp.pad(kernel, ((0, 0), (0, taps * width - columns), (0, 0), (0, 0)))
    kernel = kernel.reshape(rows, taps, width * channels, outputs).transpose(0, 2, 1, 3)
    products = _matmul(
        jnp.concatenate(gathered, axis=-1),
        kernel.reshape(rows * width * channels, taps * outputs),
    )
    return sum(
        products[:, :, j : j + size[1], j * outputs : (j + 1) * outputs] for j in range(taps)
    )


def _conv_transpose(x: Array, kernel: Array, strides, pads: Pads, size) -> Array:
    taps = [-(-k // s) for k, s in zip(kernel.shape, strides, strict=False)]
    crop = [k - 1 - low for k, (low, _) in zip(kernel.shape, pads, strict=False)]
    channels, outputs = kernel.shape[2:]
    kernel = _kernel_blocks(kernel[::-1, ::-1], taps, strides)
    # [qh, qw, sh, sw, C, O] to [qh, qw, C, sh * sw * O]
    kernel = kernel[::-1, ::-1].transpose(0, 1, 4, 2, 3, 5).reshape(*taps, channels, -1)
    blocks = _correlate(x, kernel, (taps[0] - 1, taps[1] - 1))
    y = _depth_to_space(blocks, strides, outputs)
    return _pad(
        y,
        (-crop[0], size[0] + crop[0] - y.shape[1]),
        (-crop[1], size[1] + crop[1] - y.shape[2]),
    )


def _correlate(x: Array, kernel: Array, pad: tuple[int, int]) -> Array:
    """Convolution of stride 1: x [B, H, W, C], kernel [QH, QW, C, O], `pad` on both sides."""
    rows, columns, channels, outputs = kernel.shape
    height = x.shape[1] + 2 * pad[0] - rows + 1
    width = x.shape[2] + 2 * pad[1] - columns + 1
    if rows * columns == 1:
        return _matmul(x, kernel[0, 0])
    shifts = [(i, j) for i in range(rows) for j in range(columns)]
    if channels <= outputs:
        x = _pad(x, (pad[0], pad[0]), (pad[1], pad[1]))
        slices = [x[:, i : i + height, j : j + width] for i, j in shifts]
        return _matmul(jnp.concatenate(slices, axis=-1), kernel.reshape(-1, outputs))
    # Fewer outputs than inputs: multiply first and shift the products.
    products = _matmul(x, kernel.transpose(2, 0, 1, 3).reshape(channels, -1))
    return sum(
        _pad(
            products[..., n * outputs : (n + 1) * outputs],
            (pad[0] - i, height - x.shape[1] + i - pad[0]),
            (pad[1] - j, width - x.shape[2] + j - pad[1]),
        )
        for n, (i, j) in enumerate(shifts)
    )


def _matmul(x: Array, weights: Array) -> Array:
    """[..., C] by [C, O]; flat, since XLA copies to transpose what contracts over many axes."""
    y = x.reshape(-1, x.shape[-1]) @ weights
    return y.reshape(*x.shape[:-1], y.shape[-1])


def _pad(x: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    """Adds zeros to an image [B, H, W, C], or crops where a number is negative."""
    if rows == (0, 0) and columns == (0, 0):
        return x
    zero = jnp.zeros((), x.dtype)
    return lax.pad(x, zero, ((0, 0, 0), (*rows, 0), (*columns, 0), (0, 0, 0)))


def _space_to_depth(x: Array, block: tuple[int, int]) -> Array:
    """[B, H, W, C] to [B, H / bh, W / bw, bh * bw * C]."""
    if block == (1, 1):
        return x
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // block[0], block[0], width // block[1], block[1], channels)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(*x.shape[:3], -1)


def _depth_to_space(x: Array, block: tuple[int, int], channels: int) -> Array:
    """[B, H, W, bh * bw * C] to [B, H * bh, W * bw, C]."""
    if block == (1, 1):
        return x
    batch, height, width, _ = x.shape
    x = x.reshape(batch, height, width, *block, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height * block[0], width * block[1], channels)


def _kernel_blocks(kernel: Array, taps: Sequence[int], block: tuple[int, int]) -> Array:
    """[KH, KW, C, O], padded with zeros, to [QH, QW, bh, bw, C, O]."""
    rows, columns, channels, outputs = kernel.shape
    extra = ((0, taps[0] * block[0] - rows), (0, taps[1] * block[1] - columns), (0, 0), (0, 0))
    kernel = jnp.pad(kernel, extra)
    kernel = kernel.reshape(taps[0], block[0], taps[1], block[1], channels, outputs)
    return kernel.transpose(0, 2, 1, 3, 4, 5)
