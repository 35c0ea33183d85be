"""What takes noise out of images without a network: what one that is trained is compared with."""

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ae_jax import metrics
from ae_jax.core import Array


class Filter(NamedTuple):
    """A way to take noise out of one grey image.

    Attributes:
      apply: (image [H, W], the noise's standard deviation, a setting) -> [H, W].
      settings: those to choose from.
    """

    apply: Callable[[np.ndarray, float, Any], np.ndarray]
    settings: Sequence[Any]


def filters() -> dict[str, Filter]:
    """What SciPy has and, where they are installed, scikit-image and PyWavelets.

    Settings: the side of a window for the median and Wiener's filter, which is told the noise; the
    Gaussian's standard deviation, in pixels; of the total variation its weight over the noise's
    standard deviation; of non-local means the side of the patches that are compared, and how unlike
    they may be over that deviation; of wavelets the rule of the threshold.

    Reference:
      Lim (1990), Two-Dimensional Signal and Image Processing, equation 9.44, for Wiener's;
      Chambolle (2004), for the total variation; Buades, Coll and Morel (2005), for non-local means;
      Chang, Yu and Vetterli (2000), and Donoho and Johnstone (1994), for the thresholds.
    """
    from scipy import ndimage, signal

    sides = 3, 5, 7, 9, 11
    found = {
        "nothing": Filter(lambda x, level, _: x, [None]),
        "median": Filter(lambda x, level, side: ndimage.median_filter(x, side), sides),
        "Gaussian": Filter(
            lambda x, level, width: ndimage.gaussian_filter(x, width),
            (0.5, 0.75, 1.0, 1.5, 2.0, 3.0),
        ),
        "Wiener": Filter(lambda x, level, side: signal.wiener(x, side, level**2), sides),
    }
    if importlib.util.find_spec("skimage") is None:
        return found
    from skimage import restoration

    found["total variation"] = Filter(
        lambda x, level, weight: restoration.denoise_tv_chambolle(x, weight * level),
        (0.5, 0.6, 0.75, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0),
    )
    found["non-local means"] = Filter(
        lambda x, level, setting: restoration.denoise_nl_means(
            x, setting[0], 7, setting[1] * level, sigma=level
        ),
        [(side, h) for side in (3, 5, 7, 9, 11, 13) for h in (0.3, 0.4, 0.5, 0.6, 0.8)],
    )
    if importlib.util.find_spec("pywt") is not None:
        found["wavelets"] = Filter(
            lambda x, level, rule: restoration.denoise_wavelet(
                x, level, method=rule, rescale_sigma=True
            ),
            ("BayesShrink", "VisuShrink"),
        )
    return found


def clipped_psnr(found: np.ndarray, image: np.ndarray) -> float:
    """Peak signal-to-noise ratio of an image [H, W, C] after it is clipped to [0, 1], in dB."""
    return float(metrics.psnr(np.clip(found, 0, 1)[None], image[None])[0])


def tuned(
    known: Mapping[str, Filter],
    noisy: Sequence[np.ndarray],
    clean: Sequence[np.ndarray],
    level: float,
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Filters [H, W, 1] -> [H, W, 1], each with the setting of the highest mean PSNR.

    Args:
      known: by name.
      noisy: images [H, W, 1] to choose on, which are to be none that are tested.
      clean: the same without noise.
      level: its standard deviation.

    Returns:
      By name, partial functions whose keyword `setting` says what was chosen.
    """

    def filtered(image: np.ndarray, apply: Callable, setting: Any) -> np.ndarray:
        return np.asarray(apply(image[..., 0], level, setting))[..., None]

    def reached(apply: Callable, setting: Any) -> float:
        made = [filtered(image, apply, setting) for image in noisy]
        return float(np.mean([clipped_psnr(x, y) for x, y in zip(made, clean, strict=True)]))

    return {
        name: functools.partial(
            filtered, apply=apply, setting=max(settings, key=functools.partial(reached, apply))
        )
        for name, (apply, settings) in known.items()
    }


def linear_map(patches: np.ndarray, level: float) -> Callable[[Array], Array]:
    """The linear map of noisy patches that is nearest to the clean ones: S (S + sigma^2 I)^-1.

    Args:
      patches: float [N, H, W, C] without noise, whose second moments are S; of mean 0.
      level: sigma.

    Returns:
      [B, H, W, C] -> [B, H, W, C]. With patches of the same distribution the squared error is
      sum_i l_i sigma^2 / (l_i + sigma^2), l_i the eigenvalues of S.

    Reference:
      Wiener (1949), Extrapolation, Interpolation, and Smoothing of Stationary Time Series.
    """
    flat = np.reshape(patches, (len(patches), -1)).astype(np.float64)
    moments = flat.T @ flat / len(flat)
    best = np.linalg.solve(moments + level**2 * np.eye(len(moments)), moments)
    kernel = jnp.asarray(best, patches.dtype)
    return lambda x: jnp.matmul(x.reshape(len(x), -1), kernel, precision="highest").reshape(x.shape)
