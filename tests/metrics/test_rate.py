"""Rates: of Gaussians in closed form, of quantisers at high rate, and one codec against another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from ae_jax import coding, metrics, probability
from ae_jax.core import InputError

VARIANCES = np.array([9.0, 4.0, 1.0, 0.01])


def test_reverse_water_filling():
    found = metrics.reverse_water_filling(VARIANCES, 1.0)
    # 1/2 log2 9 + 1/2 log2 4, and what lies below the water has its own variance
    assert found.rate == pytest.approx(np.log2(6))
    np.testing.assert_allclose(found.distortions, [1, 1, 1, 0.01])
    assert found.distortion == pytest.approx(3.01)
    assert metrics.reverse_water_filling(VARIANCES, 10.0)[:2] == (0, pytest.approx(14.01))
    # the slope is -2 D_i ln 2 of those above the water
    near = metrics.reverse_water_filling(VARIANCES, 1.001)
    slope = (near.distortion - found.distortion) / (near.rate - found.rate)
    assert slope == pytest.approx(-2 * np.log(2), rel=1e-3)


def gaussian(count, seed=0):
    """Correlated, with those variances along some axes, and the axes [D, D] in columns."""
    axes = stats.ortho_group.rvs(4, random_state=1)
    drawn = np.random.default_rng(seed).standard_normal((count, 4)) * np.sqrt(VARIANCES)
    return drawn @ axes.T


def quantised(step, train, test):
    """Bits of test examples by PCA, a uniform quantiser and the coder, and their squared error."""
    found = metrics.pca(train, 4)
    codes = [np.rint(metrics.pca_encode(found, x) / step).astype(int) for x in (train, test)]
    bits = 8 * len(coding.encode(coding.counted(codes[0]), codes[1])) / len(test)
    error = np.mean(np.sum((step * codes[1] @ found.components + found.mean - test) ** 2, axis=1))
    return bits, error


def test_pca_and_a_uniform_quantiser_follow_reverse_water_filling():
    train, test = gaussian(40_000), gaussian(20_000, 1)
    fine, finer = (quantised(step, train, test) for step in (0.05, 0.025))
    # step^2 / 12 each; at high rate a uniform quantiser takes 1/2 log2(2 pi e / 12) = 0.2546 bit
    # for a variable more than the bound: 1.53 dB
    for bits, error in (fine, finer):
        bound = metrics.reverse_water_filling(VARIANCES, error / 4)
        assert bound.distortion == pytest.approx(error)
        loss = (bits - bound.rate) / 4
        assert loss == pytest.approx(np.log2(2 * np.pi * np.e / 12) / 2, abs=0.01)
        assert 20 * np.log10(2) * loss == pytest.approx(1.53, abs=0.06)
    assert fine[1] == pytest.approx(4 * 0.05**2 / 12, rel=0.02)
    # 6.02 dB for a bit of each variable
    decibels, bit = 10 * np.log10(fine[1] / finer[1]), (finer[0] - fine[0]) / 4
    assert decibels / bit == pytest.approx(6.02, abs=0.06)


@pytest.mark.usefixtures("x64")
def test_the_rate_with_noise_is_the_differential_entropy_of_what_is_noisy():
    # y uniform in [0, 2]: y + U(-1/2, 1/2) rises, is flat at 1/2, falls: h = ln 2 + 1/4 nats
    draws = 2 * np.random.default_rng(2).uniform(size=200_000)
    noisy = draws + np.random.default_rng(3).uniform(-0.5, 0.5, size=200_000)
    # the density of the noisy variable is the mass within half a unit, as the prior's is
    density = np.clip(np.minimum(noisy + 0.5, 2.5 - noisy), 0, 1) / 2
    assert -np.mean(np.log(density)) == pytest.approx(np.log(2) + 0.25, abs=3e-3)

    location, scale = np.array([[0.3]]), 0.7
    params = location, np.log([[scale]]), np.zeros((1, 1))
    drawn = probability.rounded_logistic.sample(
        jax.random.key(0), 100_000, *(jnp.asarray(x) for x in params)
    )
    rate = -np.mean(probability.rounded_logistic.log_prob(drawn, *params))

    def surprise(z):
        cdf = stats.logistic(location[0, 0], scale).cdf
        density = cdf(z + 0.5) - cdf(z - 0.5)
        return -density * np.log(density)

    entropy, _ = integrate.quad(surprise, -20, 20, points=[0.3])
    assert rate == pytest.approx(entropy, abs=0.01)
    # what is widely taken for it, the entropy of y itself (2 + ln s), is less
    assert entropy > 2 + np.log(scale) + 0.01


RATES, PSNR = np.array([1.0, 2.0, 4.0, 9.0]), np.array([30.0, 33.5, 37.0, 41.0])


def test_one_codec_against_another():
    assert metrics.bd_rate((RATES, PSNR), (RATES, PSNR)) == pytest.approx(0, abs=1e-12)
    assert metrics.bd_rate((RATES, PSNR), (RATES / 2, PSNR)) == pytest.approx(-50)
    assert metrics.bd_rate((RATES / 2, PSNR), (RATES, PSNR)) == pytest.approx(100)
    # over the decibels that both reach; and a straight line's log rate is between its points
    line, part = (np.exp(0.2 * x) for x in (PSNR, PSNR[1:3]))
    assert metrics.bd_rate((line, PSNR), (1.1 * part, PSNR[1:3])) == pytest.approx(10)
    assert metrics.rate_at(line, PSNR, 35.0) == pytest.approx(np.exp(7))
    assert np.isnan(metrics.rate_at(line, PSNR, 29.0))


def test_the_order_of_points_and_worse_ones_do_not_matter():
    worse = np.append(RATES, [4.0, 5.0, 6.0]), np.append(PSNR, [36.0, 36.9, 37.0])
    shuffled = [x[[3, 5, 0, 6, 2, 4, 1]] for x in worse]
    assert metrics.bd_rate((RATES, PSNR), shuffled) == pytest.approx(0, abs=1e-12)


def test_bits_per_pixel_and_dimension():
    assert metrics.bits_per_pixel(96.0, (2, 4, 6, 3)) == 2
    # a nat is 1 / log 2 bits, and colours are numbers of their own
    found = metrics.bits_per_dimension(np.log(2) * 36, (2, 6, 3))
    np.testing.assert_allclose(found, 1, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.reverse_water_filling([1.0], 0), "level is 0: use more than 0"),
        (lambda: metrics.reverse_water_filling([-1.0], 1), "variance is negative"),
        (lambda: metrics.reverse_water_filling([np.nan], 1), "or not finite"),
        (lambda: metrics.bd_rate((RATES, PSNR), (RATES, PSNR[1:])), r"\[K\] both, got \[4\]"),
        (lambda: metrics.bd_rate((RATES, PSNR), (0 * RATES, PSNR)), "not above 0"),
        (lambda: metrics.bd_rate((RATES, PSNR), (RATES, PSNR * np.nan)), "not finite"),
        (lambda: metrics.bd_rate((RATES, PSNR), (RATES, PSNR + 50)), "reached by both"),
        (lambda: metrics.bd_rate((RATES, PSNR), (RATES, -PSNR)), "two points of which"),
        (lambda: metrics.rate_at(RATES[:1], PSNR[:1], 30), "two points of which"),
    ],
)
def test_refuses(call, words):
    with pytest.raises(InputError, match=words):
        call()
