"""How much a reconstructed image looks like the original."""

import math

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.losses.similarity import images, ssim
from ae_jax.probability._examples import sum_dimensions


def psnr(x_hat: Array, x: Array) -> Array:
    """Peak signal-to-noise ratio of images in [0, 1].

    Args:
      x_hat: [B, ...], the reconstruction.
      x: [B, ...].

    Returns:
      [B], decibels; infinite where the two are equal.

    Raises:
      InputError: if the shapes differ, or images are bytes.
    """
    x_hat, x = images(x_hat, x)
    # -10 log10(mean squared error), for a peak of 1
    error = sum_dimensions((x_hat - x) ** 2) / math.prod(x.shape[1:])
    return -10 / math.log(10) * jnp.log(error)


def restoration_gain(restored: Array, corrupted: Array, clean: Array) -> dict[str, Array]:
    """How much better restored images are than the corrupted ones that they were made of.

    Images count as they are shown, clipped to [0, 1].

    Args:
      restored: [L, N, H, W, C], at L levels of the corruption, say.
      corrupted: of the same shape.
      clean: of the same shape.

    Returns:
      `psnr_gain`, [L], decibels, of the mean squared error over all images (one of them may be
      exact), and `ssim_gain`, [L], of the mean similarity.

    Raises:
      InputError: as `psnr` and `ssim`.
    """
    before, after = _quality(corrupted, clean), _quality(restored, clean)
    return {name: after[name] - before[name] for name in after}


def frequency_centroid(x: Array) -> Array:
    """The mean spatial frequency of images, each frequency weighing as its power: how fine it is.

    Args:
      x: [B, H, W, C], such as the change of an image; its mean counts for nothing.

    Returns:
      [B], cycles per pixel, from 0 to 1/sqrt(2); white noise has about 0.38. Not a number where
      all is 0.

    Raises:
      InputError: if the shape is not that of images.
    """
    if x.ndim != 4:
        raise InputError(
            f"a centroid of frequencies is of images [B, H, W, C], got {list(x.shape)}"
        )
    power = jnp.sum(jnp.abs(jnp.fft.fft2(x, axes=(1, 2))) ** 2, axis=3).at[:, 0, 0].set(0)
    rows, columns = (jnp.fft.fftfreq(size, dtype=power.dtype) for size in x.shape[1:3])
    frequency = jnp.sqrt(rows[:, None] ** 2 + columns[None] ** 2)[None]
    return jnp.sum(frequency * power, axis=(1, 2)) / jnp.sum(power, axis=(1, 2))


@jax.jit
def _quality(shown: Array, clean: Array) -> dict[str, Array]:
    shown = jnp.clip(shown, 0, 1)
    return {
        "psnr_gain": psnr(shown, clean),
        "ssim_gain": jnp.mean(jax.vmap(ssim)(shown, clean), axis=1),
    }
