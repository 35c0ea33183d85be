import math

import numpy as np
import pytest

from ae_jax import data


@pytest.mark.parametrize(("name", "side"), [("bars_and_stripes", 3), ("bars_and_stripes4", 4)])
def test_bars_and_stripes_are_all_of_them(name, side):
    dataset = data.load(name)
    batch = dataset.fetch(dataset.arrays, np.arange(dataset.size))
    images, label = np.asarray(batch["image"])[..., 0], np.asarray(batch["label"])
    assert images.shape == (2 ** (side + 1), side, side)
    assert set(np.unique(images)) == {0, 1}
    for image, kind in zip(images, label, strict=True):
        lines = image if kind == 0 else image.T
        assert (lines == lines[:, :1]).all()
    rows = images.reshape(len(images), -1)
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    assert len(distinct) == 2 ** (side + 1) - 2
    # the best sum of log p, as published
    best = sum(count * math.log(count / len(rows)) for count in counts)
    assert best == pytest.approx({3: -41.5888, 4: -108.1310}[side], abs=1e-4)


def test_binarized_images_are_zeros_and_ones():
    grey = data.stored(np.arange(12, dtype=np.uint8).reshape(3, 2, 2) * 20)
    seen = data.binarized(grey)
    image = np.asarray(seen.fetch(seen.arrays, np.arange(3))["image"])
    np.testing.assert_array_equal(image.ravel(), np.arange(12) * 20 > 127.5)
