"""What a compressed image costs, and how much of it is due to its codec."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ae_jax.core import POSITIVE, Array, InputError


class RateDistortion(NamedTuple):
    """A point of a Gaussian's rate-distortion function.

    Attributes:
      rate: bits per example.
      distortion: squared error per example.
      distortions: [D], of each dimension.
    """

    rate: float
    distortion: float
    distortions: np.ndarray


def reverse_water_filling(variances: Array, level: float) -> RateDistortion:
    """The least rate at which independent Gaussian variables can be told with some error.

    Args:
      variances: [D], none below 0: of principal components, say.
      level: theta, the error that each dimension has which varies more.

    Raises:
      InputError: if the level is not positive, or a variance is negative or not finite.

    Reference:
      Cover and Thomas (2006), Elements of Information Theory, theorem 10.3.3.
    """
    variances = np.asarray(variances, np.float64)
    if level not in POSITIVE:
        raise InputError(f"the level is {level!r}: use {POSITIVE}")
    if not (np.isfinite(variances) & (variances >= 0)).all():
        raise InputError("a variance is negative or not finite")
    # D_i = min(theta, s_i^2), R = sum 1/2 log2(s_i^2 / D_i)
    distortions = np.minimum(level, variances)
    rate = np.sum(np.log2(np.maximum(variances, level) / level)) / 2
    return RateDistortion(float(rate), float(distortions.sum()), distortions)


def bits_per_pixel(bits: float, shape: Sequence[int]) -> float:
    """Bits by the pixels of images [..., H, W, C], of which colours are no pixels of their own."""
    return bits / int(np.prod(shape[:-1]))


def bits_per_dimension(nats: float, shape: Sequence[int]) -> float:
    """Nats of an example, minus its log-likelihood say, in bits for each of its numbers.

    Args:
      nats: of an example [*shape]. Of an upper bound the bits are one; of a density, which may be
        negative, they depend on the units of the data.
      shape: of an example, all of whose numbers count, those of colours as well.
    """
    return float(nats) / (math.prod(shape) * math.log(2))


def rate_at(rates: Array, psnr: Array, level: float) -> float:
    """What a codec costs at a PSNR, between its measured points; NaN beyond them.

    Args:
      rates: [K], above 0, in any unit.
      psnr: [K], decibels.
      level: decibels.

    Raises:
      InputError: as `bd_rate`.
    """
    return float(np.exp(_log_rate(rates, psnr)(level, extrapolate=False)))


def bd_rate(reference: tuple[Array, Array], other: tuple[Array, Array]) -> float:
    """How much more a codec costs than another at equal quality: Bjontegaard's delta rate.

    The mean, over the decibels that both reach, of the difference of log rates, which are
    interpolated between measured points by cubics that keep their order. A point that costs as much
    as another of higher quality, or more, is left out.

    Args:
      reference: rates [K], above 0, and PSNR [K] in decibels.
      other: likewise, of any number of points.

    Returns:
      Percent: -50 where the other one takes half the rate.

    Raises:
      InputError: if lengths differ, a value is not finite or no rate, two points are not left, or
        no decibels are reached by both.

    Reference:
      Bjontegaard (2001), Calculation of average PSNR differences between RD-curves, VCEG-M33, whose
      cubics are fitted; Fritsch and Butland (1984) for those that keep their order.
    """
    curves = [_log_rate(*curve) for curve in (reference, other)]
    low = max(curve.x[0] for curve in curves)
    high = min(curve.x[-1] for curve in curves)
    if low >= high:
        raise InputError("no decibels are reached by both codecs: measure more points")
    means = [curve.integrate(low, high) / (high - low) for curve in curves]
    return float(100 * np.expm1(means[1] - means[0]))


def _log_rate(rates: Array, psnr: Array):
    """The logarithm of a codec's rate as a function of decibels."""
    from scipy.interpolate import PchipInterpolator

    rates, psnr = np.asarray(rates, np.float64), np.asarray(psnr, np.float64)
    if rates.shape != psnr.shape or rates.ndim != 1:
        raise InputError(
            f"rates and PSNR must be [K] both, got {list(rates.shape)} and {list(psnr.shape)}"
        )
    if not (np.isfinite(rates) & np.isfinite(psnr) & (rates > 0)).all():
        raise InputError("a rate is not above 0, or a value not finite")
    order = np.lexsort((psnr, -rates))[::-1]  # the cheapest first, of equal ones the best
    rates, psnr = rates[order], psnr[order]
    better = psnr > np.append(-np.inf, np.maximum.accumulate(psnr)[:-1])
    if better.sum() < 2:
        raise InputError("a curve needs two points of which the dearer one is better")
    return PchipInterpolator(psnr[better], np.log(rates[better]))
