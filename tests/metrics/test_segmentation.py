import numpy as np
import pytest
from sklearn import metrics as scikit_learns

from ae_jax import metrics
from ae_jax.core import InputError

DRAWN = np.random.default_rng(0)
LABELS = DRAWN.integers(0, 3, (2, 6, 5))
PREDICTED = np.where(
    DRAWN.uniform(size=LABELS.shape) < 0.7, LABELS, DRAWN.integers(0, 3, (2, 6, 5))
)


def square(top, left, size=8, side=3):
    image = np.zeros((1, size, size), int)
    image[:, top : top + side, left : left + side] = 1
    return image


def test_pixels_are_counted_by_class_and_by_what_they_were_taken_for():
    expected = scikit_learns.confusion_matrix(LABELS.ravel(), PREDICTED.ravel(), labels=range(4))
    np.testing.assert_array_equal(metrics.confusion(PREDICTED, LABELS, 4), expected)
    unknown = np.where(LABELS == 2, -1, LABELS)
    expected[2] = 0
    np.testing.assert_array_equal(metrics.confusion(PREDICTED, unknown, 4), expected)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # IoU 3 / 6 and 2 / 5
        ([[3, 1], [2, 2]], (5 / 8, (3 / 4 + 1 / 2) / 2, (1 / 2 + 2 / 5) / 2)),
        # a class that is nowhere counts in no mean
        ([[3, 1, 0], [2, 2, 0], [0, 0, 0]], (5 / 8, 5 / 8, 9 / 20)),
        # one that is only found has an IoU of 0, and no share of its own pixels
        ([[3, 0, 1], [0, 4, 0], [0, 0, 0]], (7 / 8, 7 / 8, (3 / 4 + 1 + 0) / 3)),
        # all is background
        ([[9, 0], [1, 0]], (9 / 10, 1 / 2, 9 / 20)),
        ([[5, 0], [0, 2]], (1, 1, 1)),
        # a single pixel
        ([[0, 0], [0, 1]], (1, 1, 1)),
    ],
)
def test_matrices_by_hand(counts, expected):
    found = metrics.segmentation_quality(np.array(counts))
    assert tuple(found.values()) == pytest.approx(expected, rel=1e-12)


def test_edges_are_found_within_a_tolerance():
    true = square(2, 2)
    assert metrics.boundary_f1(true, true, 2) == 1
    assert metrics.boundary_f1(true, square(2, 2), 2, 0.0) == 1
    # shifted by one pixel: of the square's 8 boundary pixels 4 are at the same place; of the
    # background's 12 around it, which touch it by a side, 8
    shifted = square(2, 3)
    ours, theirs = shifted[0] == 1, true[0] == 1

    def edge(inside):
        padded = np.pad(inside, 1, constant_values=True)
        around = [np.roll(padded, s, a)[1:-1, 1:-1] for s in (1, -1) for a in (0, 1)]
        return inside & ~np.logical_and.reduce(around)

    def f1(a, b):
        hits = np.sum(a & b)
        return 2 * hits / (a.sum() + b.sum())

    by_hand = [f1(edge(ours), edge(theirs)), f1(edge(~ours), edge(~theirs))]
    found = metrics.boundary_f1(shifted, true, 2, 0.0)
    assert found == pytest.approx(np.mean(by_hand), rel=1e-12)
    assert metrics.boundary_f1(shifted, true, 2, 1.0) == 1
    assert metrics.boundary_f1(square(2, 4), true, 2, 1.0) < 1
    # 0.75% of a diagonal of 11.3 pixels is less than one pixel
    assert metrics.boundary_f1(shifted, true, 2) == found


def test_edges_of_what_is_not_known_do_not_count():
    true, found = square(2, 2), square(2, 2)
    found[0, :, 0] = 1  # a wrong stripe, of which nothing is known
    assert metrics.boundary_f1(found, true, 2, 0.0) < 1
    true[0, :, :2] = -1
    assert metrics.boundary_f1(found, true, 2, 0.0) == 1
    # a square among pixels of no known class has no edge
    alone = np.where(square(2, 2) == 1, 1, -1)
    assert np.isnan(metrics.boundary_f1(alone * 0 + 1, alone, 2))


def test_images_without_edges_count_only_where_one_has_some():
    empty = np.zeros((1, 8, 8), int)
    assert np.isnan(metrics.boundary_f1(empty, empty, 2))
    assert metrics.boundary_f1(empty, square(2, 2), 2) == 0
    two = np.concatenate([square(2, 2), empty])
    assert metrics.boundary_f1(two, two, 2) == 1


def test_rare_classes_weigh_more():
    # class 0 has 20 + 9 of 32 pixels, class 1 has 3 of 16, the one image that it is in
    labels = np.zeros((2, 4, 4), int)
    labels[0, 0, :3] = 1
    weights = metrics.median_frequency_weights(labels, 3)
    frequency = np.array([29 / 32, 3 / 16])
    np.testing.assert_allclose(weights, [*(np.median(frequency) / frequency), 0], rtol=1e-12)
    labels[1] = -1
    weights = metrics.median_frequency_weights(labels, 2)
    frequency = np.array([13 / 16, 3 / 16])
    np.testing.assert_allclose(weights, np.median(frequency) / frequency, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.confusion(PREDICTED, LABELS[0], 3), r"one shape, got \[2, 6, 5\]"),
        (lambda: metrics.confusion(PREDICTED * 1.0, LABELS, 3), "predicted must be integers"),
        (lambda: metrics.confusion(PREDICTED, LABELS, 2), "predicted are from 0 to 1, got 0 to 2"),
        (lambda: metrics.confusion(PREDICTED - 1, LABELS, 3), "predicted are from 0 to 2, got -1"),
        (lambda: metrics.confusion(PREDICTED, LABELS, 0), "classes is 0"),
        (lambda: metrics.segmentation_quality(np.zeros((2, 2))), "of one pixel at least"),
        (lambda: metrics.segmentation_quality(np.ones((2, 3))), r"\[K, K\], got \[2, 3\]"),
        (lambda: metrics.boundary_f1(PREDICTED[0], LABELS[0], 3), r"\[B, H, W\], got \[6, 5\]"),
        (lambda: metrics.boundary_f1(PREDICTED, LABELS, 3, -1.0), "tolerance is -1.0"),
        (lambda: metrics.median_frequency_weights(LABELS * 0 - 1, 3), "no pixel is of any class"),
    ],
)
def test_what_cannot_be_used(call, words):
    with pytest.raises(InputError, match=words):
        call()
