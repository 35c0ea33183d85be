import math

import numpy as np
import pytest

from ae_jax import data
from ae_jax.metrics import best_log_likelihood


def test_images_are_as_probable_as_they_are_frequent():
    images = np.eye(4)[[0, 1, 1, 3]].reshape(4, 2, 2, 1)
    assert best_log_likelihood(images) == pytest.approx(2 * math.log(1 / 4) + 2 * math.log(1 / 2))
    assert best_log_likelihood(images[1:3]) == 0


def test_bars_and_stripes_of_side_three():
    # 16 images of which the blank and the full one come twice: Fischer and Igel's -41.59
    images = data.load("bars_and_stripes", "train")
    seen = images.fetch(images.arrays, np.arange(images.size))["image"]
    assert best_log_likelihood(seen) == pytest.approx(-41.5888, abs=1e-4)
