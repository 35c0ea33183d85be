"""How much a reconstructed image looks like the original."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.probability._examples import matched, sum_dimensions

#: Width of the Gaussian window in pixels, its standard deviation, and the two constants that
#: keep ratios of small numbers steady (Wang et al., 2004, section III).
WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03


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
    x_hat, x = _matched(x_hat, x)
    # -10 log10(mean squared error), for a peak of 1
    error = sum_dimensions((x_hat - x) ** 2) / math.prod(x.shape[1:])
    return -10 / math.log(10) * jnp.log(error)


def ssim(x_hat: Array, x: Array) -> Array:
    """Structural similarity of images in [0, 1].

    Local means, variances and the covariance are weighted by a Gaussian window of 11x11 pixels
    and standard deviation 1.5. Only windows that lie in the image count; their values are
    averaged, and so are those of the channels. Images of less than 11 pixels in height or width
    get the largest odd window that fits, of the same standard deviation; of less than 3 pixels,
    windows are single pixels and only brightness is compared.

    Args:
      x_hat: [B, H, W, C], the reconstruction.
      x: [B, H, W, C].

    Returns:
      [B], at most 1, which is reached where the two are equal.

    Raises:
      InputError: if the shapes differ or are not those of images, or images are bytes.

    Reference:
      Wang, Bovik, Sheikh and Simoncelli, 2004, "Image quality assessment: from error
      visibility to structural similarity", equation 13.
    """
    x_hat, x = _matched(x_hat, x)
    if x.ndim != 4:
        raise InputError(f"ssim needs images [B, H, W, C], got {list(x.shape)}")
    height, width = x.shape[1:3]
    shorter = min(height, width)
    size = min(WINDOW, shorter - 1 + shorter % 2)
    rows, columns = (jnp.asarray(_windows(length, size), x.dtype) for length in (height, width))

    def local_mean(values: Array) -> Array:
        # a window is a product of two: one matrix product for each axis, no convolution
        return jnp.einsum("ih,bhwc,jw->bijc", rows, values, columns, precision="highest")

    mean, mean_hat = local_mean(x), local_mean(x_hat)
    variance = local_mean(x**2) - mean**2
    variance_hat = local_mean(x_hat**2) - mean_hat**2
    covariance = local_mean(x * x_hat) - mean * mean_hat
    # (2 m m' + C1) (2 c + C2) / [(m^2 + m'^2 + C1) (v + v' + C2)], C = K^2 for a range of 1
    similarity = (2 * mean * mean_hat + K1**2) * (2 * covariance + K2**2)
    similarity /= (mean**2 + mean_hat**2 + K1**2) * (variance + variance_hat + K2**2)
    return jnp.mean(similarity, axis=(1, 2, 3))


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


def _matched(x_hat: Array, x: Array) -> Sequence[Array]:
    for name, image in (("x_hat", x_hat), ("x", x)):
        if jnp.asarray(image).dtype == jnp.uint8:
            raise InputError(
                f"{name} is uint8; make it floats in [0, 1] (bytes are 255 times that)"
            )
    return matched("x_hat x", x_hat, x)


def _windows(length: int, size: int) -> np.ndarray:
    """Weights [length - size + 1, length]: in each row a Gaussian that adds up to 1."""
    offset = np.arange(length)[None] - np.arange(length - size + 1)[:, None]
    weights = np.exp(-0.5 * ((offset - size // 2) / SIGMA) ** 2)
    weights = np.where((offset >= 0) & (offset < size), weights, 0)
    return weights / weights.sum(axis=1, keepdims=True)
