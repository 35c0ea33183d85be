import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ae_jax import data
from ae_jax.core import InputError
from ae_jax.experiment import Splits, pixels

DRAWN = np.random.default_rng(0)
IMAGES = DRAWN.uniform(size=(3, 5, 6, 2))
MASKS = DRAWN.integers(-1, 3, (3, 5, 6))


def with_masks(masks):
    return data.stored(IMAGES, mask=masks)


def test_classes_are_those_of_all_splits():
    low, high = np.minimum(MASKS, 1), np.where(MASKS > 1, 4, MASKS)
    assert pixels.count_classes("own", Splits(*map(with_masks, (low, low, low)))) == 2
    assert pixels.count_classes("own", Splits(*map(with_masks, (low, low, high)))) == 5
    for one in (np.minimum(MASKS, 0), np.where(MASKS > 0, 1, -1)):
        with pytest.raises(InputError, match="own has masks of one class"):
            pixels.count_classes("own", Splits(*map(with_masks, (one, low, low))))


def test_the_largest_class_is_of_known_pixels():
    masks = np.full((2, 3, 3), -1)
    masks[0, 0] = 2
    found = pixels.largest_class(masks)(np.zeros((4, 5, 6, 1)))
    np.testing.assert_array_equal(found, np.full((4, 5, 6), 2))


def test_a_pixel_is_told_by_those_around_it():
    """Against a window by window regression; every known pixel is drawn, often."""
    masks = np.argmax(IMAGES, axis=-1)
    masks[:, 0] = -1
    masks[:, 1, :3] = np.array([0, 1, 1])  # of no pixel's making
    count = 4000
    weights = (1.0, 3.0)
    found = pixels.logistic_regression(IMAGES, masks, 3, count, weights)(IMAGES[:1])
    padded = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    around = np.stack(
        [
            padded[n, i : i + 3, j : j + 3].transpose(2, 0, 1).ravel()
            for n, i, j in np.ndindex(3, 5, 6)
        ]
    )
    known = np.argwhere(masks >= 0)
    drawn = known[np.random.default_rng(0).integers(0, len(known), count)]
    rows = around.reshape(3, 5, 6, -1)[tuple(drawn.T)]
    scaler = StandardScaler().fit(rows)
    model = LogisticRegression(max_iter=500, class_weight={0: 1.0, 1: 3.0})
    model.fit(scaler.transform(rows), masks[tuple(drawn.T)])
    expected = model.predict(scaler.transform(around[:30])).reshape(1, 5, 6)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(InputError, match="all 5 pixels that are drawn are of class 1: draw more"):
        pixels.logistic_regression(IMAGES, np.ones((3, 5, 6), int), 3, 5, None)


def test_uncertainty_is_compared_at_wrong_and_right_pixels():
    masks = np.array([[[0, 0, 1, -1]]])
    found = np.array([[[0, 1, 0, 0]]])
    scores = {"entropy": np.array([[[0.1, 0.3, 0.5, 9.0]]])}
    assert pixels.error_auroc(found, masks, scores) == {"entropy_auroc": 1}
    worse = {"entropy": np.array([[[0.4, 0.3, 0.5, 0.0]]])}
    assert pixels.error_auroc(found, masks, worse) == {"entropy_auroc": 0.5}
    means = pixels.at_errors(found, masks, scores)
    assert means == pytest.approx({"entropy_wrong": 0.4, "entropy_right": 0.1})
    right = np.maximum(masks, 0)
    assert pixels.error_auroc(right, masks, scores) == {}
    assert set(pixels.at_errors(right, masks, scores)) == {"entropy_right"}
    shares, errors, _ = pixels.risk(found, masks, scores["entropy"], 20)
    np.testing.assert_allclose(errors[[0, -1]], [0, 2 / 3])
    assert (shares[0], shares[-1]) == (0.05, 1)
    np.testing.assert_allclose(np.interp(2 / 3, shares, errors), 0.5)
    assert np.all(np.diff(errors) >= 0)


def test_colours_are_different_and_grey_is_not_known():
    for classes in (2, 8, 12):
        table = pixels.colours(classes)
        assert table.shape == (classes + 1, 3)
        assert len(np.unique(table, axis=0)) == classes + 1
        np.testing.assert_array_equal(table[-1], 0.8)
    np.testing.assert_allclose(pixels.colours(2)[1], [230 / 255, 159 / 255, 0])
