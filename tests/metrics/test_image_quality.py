import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import metrics
from ae_jax.core import InputError

pytestmark = pytest.mark.usefixtures("x64")
psnr, ssim = jax.jit(metrics.psnr), jax.jit(metrics.ssim)


def images(shape, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random(shape)
    return np.clip(x + 0.3 * rng.normal(size=shape), 0, 1), x


def test_psnr_by_hand():
    x = np.full((3, 2, 2, 1), -0.25)
    # mean squared errors 0.01, 1/4 (one of four is off by 1), 0
    x_hat = x.copy()
    x_hat[0], x_hat[1, 0, 0] = -0.15, 0.75
    np.testing.assert_allclose(psnr(x_hat, x), [20.0, 10 * np.log10(4), np.inf], rtol=1e-12)


def test_half_precision_is_compared_in_single_precision():
    for dtype in (jnp.float16, jnp.bfloat16):
        x_hat, x = (image.astype(dtype) for image in images((2, 12, 12, 1)))
        for metric in (psnr, ssim):
            found = metric(x_hat, x)
            assert found.dtype == jnp.float32
            np.testing.assert_allclose(found, metric(x_hat.astype(float), x.astype(float)), 1e-5)


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
def test_bytes_are_refused(metric):
    image = np.zeros((1, 4, 4, 1))
    with pytest.raises(InputError, match="x is uint8"):
        metric(image, image.astype(np.uint8))
    with pytest.raises(InputError, match="x_hat is uint8"):
        metric(image.astype(np.uint8), image)


def test_image_metrics_can_be_mapped_over_lanes():
    lanes = np.stack([images((2, 12, 12, 1), seed)[0] for seed in range(3)])
    _, x = images((2, 12, 12, 1))
    for metric in (psnr, ssim):
        together = jax.jit(jax.vmap(metric, in_axes=(0, None)))(lanes, x)
        apart = np.stack([metric(lane, x) for lane in lanes])
        np.testing.assert_allclose(together, apart, rtol=1e-10)


def test_image_metrics_refuse_shapes():
    with pytest.raises(InputError, match="equal"):
        psnr(np.zeros((2, 4, 4)), np.zeros((2, 4, 4, 1)))
    with pytest.raises(InputError, match=r"\[B, H, W, C\]"):
        ssim(np.zeros((2, 16)), np.zeros((2, 16)))


def test_restoration_gains_by_hand():
    clean = jnp.full((2, 3, 4, 4, 1), 0.5)
    corrupted = clean + jnp.array([0.1, 0.2])[:, None, None, None, None]
    restored = clean + 0.01
    restored = restored.at[0, 0].set(clean[0, 0])  # exact, which alone would be infinite
    found = metrics.restoration_gain(restored, corrupted, clean)
    # 10 log10(0.1^2 / (2/3 0.01^2)) = 10 log10(150), 10 log10(0.2^2 / 0.01^2) = 10 log10(400)
    expected = 10 * np.log10([150, 400])
    np.testing.assert_allclose(found["psnr_gain"], expected, rtol=1e-4)
    similar = [
        np.mean(metrics.ssim(restored[i], clean[i])) - np.mean(metrics.ssim(corrupted[i], clean[i]))
        for i in range(2)
    ]
    np.testing.assert_allclose(found["ssim_gain"], similar, atol=1e-6)
    # what leaves [0, 1] is not seen: white stays white
    white = metrics.restoration_gain(clean + 7, clean + 0.5, clean)
    assert jnp.max(jnp.abs(white["psnr_gain"])) == 0


def test_frequency_centroid_weighs_frequencies_by_their_power():
    height, width = 12, 20
    row, column = np.mgrid[:height, :width]
    fine = np.cos(2 * np.pi * (4 * row / height + 5 * column / width))  # sqrt(1/9 + 1/16)
    coarse = np.sin(2 * np.pi * 2 * column / width)  # 1/10
    channels = np.stack([np.stack([fine, 0 * fine]), np.stack([3 + 2 * fine, coarse])])
    found = jax.jit(metrics.frequency_centroid)(np.moveaxis(channels, 1, -1))
    # powers 4 to 1: amplitudes would weigh 2 to 1; the mean, 3, counts for nothing
    np.testing.assert_allclose(found, [5 / 12, (4 * 5 / 12 + 0.1) / 5], rtol=1e-12)
    impulse = np.zeros((1, 2, 2, 1))
    impulse[0, 0, 1] = 1  # all frequencies alike: 1/2, 1/2 and sqrt(1/2)
    np.testing.assert_allclose(
        metrics.frequency_centroid(impulse), [(1 + np.sqrt(0.5)) / 3], rtol=1e-12
    )
    assert np.isnan(metrics.frequency_centroid(0 * impulse))[0]
    with pytest.raises(InputError, match=r"images \[B, H, W, C\]"):
        metrics.frequency_centroid(np.zeros((3, 4)))
