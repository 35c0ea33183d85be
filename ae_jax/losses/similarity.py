"""How alike two images look: structural similarity, at one scale or at several."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from ae_jax.core import NOT_NEGATIVE, Array, InputError, require
from ae_jax.probability._examples import matched

#: Width of the Gaussian window in pixels, its standard deviation, and the two constants that
#: keep ratios of small numbers steady (Wang et al., 2004, section III).
WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
#: How much each scale counts, the finest first (Wang, Simoncelli and Bovik, 2003, section 3.2).
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
#: The least that a scale counts as: contrast and structure may be negative, and have no power.
_LEAST = 1e-6


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
    luminance, structure = _local(*_images("ssim", x_hat, x))
    return jnp.mean(luminance * structure, axis=(1, 2, 3))


def multiscale_ssim(x_hat: Array, x: Array, weights: Sequence[float] = SCALE_WEIGHTS) -> Array:
    """Structural similarity of images in [0, 1] at several scales, each of half the size.

    prod_j cs_j^w_j, of the means cs_j over windows of what compares contrast and structure at scale
    j; at the last one brightness is compared as well, as `ssim` does. Between scales four pixels
    become their mean, and an odd row or column at the end is left out. A scale whose contrast and
    structure are opposed counts as 1e-6. Channels are averaged at the end.

    Args:
      x_hat: [B, H, W, C], the reconstruction.
      x: [B, H, W, C].
      weights: of the scales, from the finest; with a single 1 it is `ssim`.

    Returns:
      [B], from 0 to 1, which is reached where the two are equal.

    Raises:
      InputError: as `ssim`; if there are no weights, one is below 0, or the last scale has less
        than 3 pixels in height or width.

    Reference:
      Wang, Simoncelli and Bovik (2003), Multi-scale Structural Similarity for Image Quality
      Assessment, equation 7; the product at the last scale is averaged over windows, as in the
      authors' code.
    """
    x_hat, x = _images("multi-scale ssim", x_hat, x)
    if np.ndim(weights) != 1 or not len(weights):
        raise InputError("multi-scale ssim has no scale: give the weight of each, in a list")
    require(NOT_NEGATIVE, **{f"weights[{i}]": weight for i, weight in enumerate(weights)})
    scales = len(weights)
    if min(x.shape[1:3]) < (least := 3 << scales - 1):
        raise InputError(
            f"images of {x.shape[1]}x{x.shape[2]} are too small for {scales} scales, which need "
            f"{least} pixels: use fewer scales"
        )
    similarity = jnp.ones((x.shape[0], x.shape[3]), x.dtype)
    for scale, weight in enumerate(weights, 1):
        luminance, structure = _local(x_hat, x)
        found = structure if scale < scales else luminance * structure
        # of each image and channel, over all windows
        mean = jnp.maximum(jnp.mean(found, axis=(1, 2)), _LEAST)
        similarity *= mean ** jnp.asarray(weight, x.dtype)
        x_hat, x = _halved(x_hat), _halved(x)
    return jnp.mean(similarity, axis=1)


def images(x_hat: Array, x: Array) -> Sequence[Array]:
    """Returns two batches of images as floats of one type.

    Raises:
      InputError: if the shapes differ, or images are bytes.
    """
    for name, image in (("x_hat", x_hat), ("x", x)):
        if jnp.asarray(image).dtype == jnp.uint8:
            raise InputError(
                f"{name} is uint8; make it floats in [0, 1] (bytes are 255 times that)"
            )
    return matched("x_hat x", x_hat, x)


def _images(what: str, x_hat: Array, x: Array) -> Sequence[Array]:
    x_hat, x = images(x_hat, x)
    if x.ndim != 4:
        raise InputError(f"{what} needs images [B, H, W, C], got {list(x.shape)}")
    return x_hat, x


def _local(x_hat: Array, x: Array) -> tuple[Array, Array]:
    """Brightness compared, and contrast and structure: [B, I, J, C], one for each window."""
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
    # (2 m m' + C1) / (m^2 + m'^2 + C1) and (2 c + C2) / (v + v' + C2), C = K^2 for a range of 1
    luminance = (2 * mean * mean_hat + K1**2) / (mean**2 + mean_hat**2 + K1**2)
    return luminance, (2 * covariance + K2**2) / (variance + variance_hat + K2**2)


def _halved(x: Array) -> Array:
    batch, height, width, channels = x.shape
    even = x[:, : height // 2 * 2, : width // 2 * 2]
    blocks = even.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return jnp.mean(blocks, axis=(2, 4))


def _windows(length: int, size: int) -> np.ndarray:
    """Weights [length - size + 1, length]: in each row a Gaussian that adds up to 1."""
    offset = np.arange(length)[None] - np.arange(length - size + 1)[:, None]
    weights = np.exp(-0.5 * ((offset - size // 2) / SIGMA) ** 2)
    weights = np.where((offset >= 0) & (offset < size), weights, 0)
    return weights / weights.sum(axis=1, keepdims=True)
