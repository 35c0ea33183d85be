import itertools

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from ae_jax import metrics
from ae_jax.core import InputError

pytestmark = pytest.mark.usefixtures("x64")

ROWS = np.arange(5.0)[:, None]
COLUMNS = np.arange(3.0)[None]
P = np.sin(2 * ROWS + COLUMNS + ROWS * COLUMNS + 1)
Q = np.cos(3 * ROWS + 2 * COLUMNS + ROWS * COLUMNS + 0.5)


def test_wasserstein_distances():
    np.testing.assert_array_equal(metrics.optimal_matching(P, Q), [2, 3, 1, 0, 4])
    np.testing.assert_allclose(metrics.wasserstein_distance(P, Q), 1.0458383506871338, rtol=1e-12)
    np.testing.assert_allclose(
        metrics.wasserstein_distance(P, Q, 1), 0.9134331285545851, rtol=1e-12
    )
    # the least of all matchings, of squared distances and not of distances
    squares = np.sum((P[:, None] - Q[None]) ** 2, axis=-1)
    orders = [list(order) for order in itertools.permutations(range(5))]
    least = min(np.mean(squares[np.arange(5), order]) for order in orders)
    np.testing.assert_allclose(least, 1.0937778557679845, rtol=1e-12)
    np.testing.assert_allclose(metrics.wasserstein_distance(P, Q) ** 2, least, rtol=1e-12)


def test_a_translation_costs_its_length():
    shift = np.array([3.0, 0, -4])
    for power in (1, 2, 3.5):
        value = metrics.wasserstein_distance(P, P[::-1] + shift, power)
        np.testing.assert_allclose(value, 5, rtol=1e-12)
    np.testing.assert_array_equal(metrics.optimal_matching(P, P[::-1]), [4, 3, 2, 1, 0])
    assert metrics.wasserstein_distance(P, P) == 0
    # along the axes it is |d| / D^1/2
    value = metrics.sliced_wasserstein(P, P[::-1] + shift, np.eye(3))
    np.testing.assert_allclose(value, 5 / 3**0.5, rtol=1e-12)


def test_samples_of_the_same_distribution_are_at_a_distance():
    x, y = np.random.default_rng(0).normal(size=(2, 10, 100, 2))
    values = [metrics.wasserstein_distance(*pair) ** 2 for pair in zip(x, y, strict=True)]
    np.testing.assert_allclose(np.mean(values), 0.22895148126028175, atol=0.08)


def test_sliced_wasserstein_along_five_directions():
    directions = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [1, -1, 0]])
    value = metrics.sliced_wasserstein(P, Q, directions)
    np.testing.assert_allclose(value**2, 0.19563852415267052, rtol=1e-12)


def test_one_dimension_is_exact_and_sizes_may_differ():
    x, y = np.array([[0.0], [1], [3]]), np.array([[5.0], [6], [8], [9]])
    value = metrics.sliced_wasserstein(x, y, np.array([[-2.0]]), 1.0)
    np.testing.assert_allclose(value, 5.666666666666666, rtol=1e-12)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=12), 2 * rng.normal(size=9)
    value = metrics.sliced_wasserstein(x[:, None], y[:, None], np.ones((1, 1)), 1.0)
    np.testing.assert_allclose(value, wasserstein_distance(x, y), rtol=1e-12)
    # W_2 by repeating examples up to a common size
    value = metrics.sliced_wasserstein(x[:, None], y[:, None], np.ones((1, 1)))
    both = np.sort(np.repeat(x, 3)), np.sort(np.repeat(y, 4))
    np.testing.assert_allclose(value, np.mean((both[0] - both[1]) ** 2) ** 0.5, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.wasserstein_distance(P, Q[:4]), "equally many examples, got 5 and 4"),
        (lambda: metrics.wasserstein_distance(P, Q[:, :2]), r"of the same D"),
        (lambda: metrics.optimal_matching(P, Q * np.nan), "y contains values"),
        (lambda: metrics.wasserstein_distance(P, Q, 0.5), "power must be"),
        (lambda: metrics.sliced_wasserstein(P, Q, np.eye(3), np.nan), "power must be"),
        (lambda: metrics.sliced_wasserstein(P, Q, np.zeros((1, 3))), "directions must not be 0"),
        (lambda: metrics.sliced_wasserstein(P, Q, np.eye(2)), r"directions \[2, 2\]"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=message):
        call()
