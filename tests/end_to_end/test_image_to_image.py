"""Experiments from images to images: what they compare with is as good as training data make it."""

import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, inversion, metrics
from ae_jax.inversion import fills
from tests.loading import script


def test_each_measure_has_the_median_filter_that_is_best_for_it():
    watermark = script("watermark")
    # waves that wide windows flatten, and a stamp that narrow ones leave
    wave = 0.3 + 0.3 * np.sin(2 * np.pi * np.arange(32) / 10)
    true = np.broadcast_to(wave[None, None, :, None], (8, 32, 32, 1)).astype(np.float32)
    alpha = np.zeros_like(true)
    alpha[:, 14:18, 14:18] = 0.9
    batch = {"image": true, "stamped": (1 - alpha) * true + alpha, "alpha": alpha}
    sizes = watermark.filter_sizes(batch)
    assert list(sizes) == ["median filter", "median for the stamp"]
    whole, under = sizes.values()
    assert whole < under
    found = watermark.measured(batch, watermark.baselines(batch, sizes, fixed=False))
    assert found["median filter"]["psnr"] > found["median for the stamp"]["psnr"]
    assert found["median filter"]["stamp_psnr"] < found["median for the stamp"]["stamp_psnr"]


def test_colours_of_a_grey_patch_do_not_decide_how_near_all_are():
    colourisation = script("colourisation")
    grey = np.full((1, 4, 4, 3), 0.5, np.float32)
    vivid = np.broadcast_to(np.float32([0.9, 0.2, 0.1]), (3, 4, 4, 3))
    batch = {"image": jnp.asarray(np.concatenate([grey, vivid]))}
    found = jnp.zeros((4, 4, 4, 2))
    made = np.asarray(colourisation.coloured(batch, found))
    expected = -10 * np.log10(np.mean((made - np.asarray(batch["image"])) ** 2))
    assert colourisation.scores(batch, found)["psnr"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("name", "side"), [("inpainting", 4), ("context_encoder", 6)])
def test_the_gaussian_is_told_noise_that_is_best_for_images_that_are_not_tested(name, side):
    train = data.all_images(data.load("digits", "train"))
    images = jnp.asarray(data.all_images(data.load("digits", "validation")))
    mask, mean = inversion.hole(images.shape[1:], side), train.mean(axis=0)
    covariance = np.cov(train.reshape(len(train), -1), rowvar=False, bias=True)
    hole = np.broadcast_to(~mask, images.shape[1:])

    def reached(ridge):
        filled = fills.conditional_mean(images, mask, mean, covariance, ridge)
        both = (x[:, hole].reshape(1, -1) for x in (jnp.clip(filled, 0, 1), images))
        return float(metrics.psnr(*both)[0])

    best = max(map(reached, (1e-4, 1e-3, 1e-2, 1e-1)))
    assert reached(script(name).Config().ridge) > best - 0.05


def test_rates_that_are_swept_are_settings_of_their_own():
    compression = script("image_compression")
    rows = [
        {"codec": "autoencoder", "seed": 0, "learning_rate": rate, "bits": bits, "psnr": psnr}
        for rate, points in ((1e-3, [(10, 15), (20, 18)]), (2e-3, [(11, 17), (25, 18.5)]))
        for bits, psnr in points
    ]
    curves = compression.rates.curves(rows)["autoencoder"]
    assert curves == [([10, 20], [15, 18]), ([11, 25], [17, 18.5])]


def test_the_filters_are_tried_at_settings_that_are_near_each_other():
    pytest.importorskip("skimage")
    filters = script("stacked_denoising").experiment.filters()
    weights = np.array(filters["total variation"].settings)
    assert np.all(weights[1:-2] / weights[:-3] <= 1.25 + 1e-9)
    sides, widths = map(set, zip(*filters["non-local means"].settings, strict=True))
    assert {3, 13} <= sides
    assert {0.3, 0.4, 0.5, 0.6, 0.8} <= widths
