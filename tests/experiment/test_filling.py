"""What is said of filled holes."""

import types

import numpy as np
import pytest

from ae_jax import experiment


def test_decibels_are_of_the_pixels_of_all_holes_together():
    random = np.random.default_rng(0)
    images, made = random.uniform(size=(2, 3, 4, 5, 2)).astype(np.float32)
    mask = np.ones((4, 5, 1), bool)
    mask[1:3, 2:4] = False
    holes = experiment.Holes(images, None, mask, images, images.mean(axis=0))
    splits = types.SimpleNamespace(image_shape=images.shape[1:])
    measure, [said] = experiment.filled_measure(experiment.Config(), "fills", splits, holes)
    error = np.mean((made - images)[:, 1:3, 2:4] ** 2)
    assert measure(made) == {"psnr": pytest.approx(-10 * np.log10(error), rel=1e-5)}
    assert said == "psnr is in dB, of the pixels in the holes of 3 test images together."
