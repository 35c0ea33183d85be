import itertools

import jax
import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from ae_jax import losses, metrics
from ae_jax.core import InputError
from ae_jax.metrics import two_sample

pytestmark = pytest.mark.usefixtures("x64")

ROWS = np.arange(4.0)[:, None]
COLUMNS = np.arange(3.0)[None]
P = np.sin(2 * ROWS + COLUMNS + ROWS * COLUMNS + 1)
Q = np.cos(3 * ROWS + 2 * COLUMNS + ROWS * COLUMNS + 0.5)
KEY = jax.random.key(0)
KERNEL = losses.gaussian_kernel(1.0)
mmd2 = jax.jit(losses.mmd2, static_argnames="kernel")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_all_splits_of_eight_points():
    pooled = np.concatenate([P, Q])
    splits = np.array([np.isin(range(8), s) for s in itertools.combinations(range(8), 4)])
    found = np.asarray(jax.jit(two_sample._discrepancies)(jax.jit(KERNEL)(pooled, pooled), splits))
    np.testing.assert_allclose(found[0], -0.1541060851675894, rtol=1e-12)
    np.testing.assert_allclose(np.mean(found), 0, atol=1e-15)
    assert np.mean(found >= found[0] - 1e-12) == 50 / 70
    for split in (0, 17):
        x, y = pooled[splits[split]], pooled[~splits[split]]
        np.testing.assert_allclose(found[split], mmd2(x, y, KERNEL), rtol=1e-10)


def test_random_splits_have_the_probability_of_all():
    # 0.714286 of all 70; half of those that are equal but for rounding are the data's own
    test = metrics.kernel_two_sample_test(KEY, P, Q, KERNEL, permutations=4000)
    np.testing.assert_allclose(test.statistic, -0.1541060851675894, rtol=1e-12)
    np.testing.assert_allclose(test.p_value, 0.7142857142857143, atol=0.025)


def test_the_split_that_was_observed_counts():
    # without it the probability would be 0, which no finite number of splits can show
    test = metrics.kernel_two_sample_test(KEY, normal(30, 2), normal(20, 2) + 9, permutations=99)
    np.testing.assert_allclose(test.p_value, 0.01, rtol=1e-12)
    # all splits of equal points are equal
    test = metrics.kernel_two_sample_test(
        KEY, np.full((30, 2), 0.1), np.full((20, 2), 0.1), permutations=99
    )
    assert test.p_value == 1
    np.testing.assert_allclose(test.statistic, 0, atol=1e-15)


def test_the_level_is_exact():
    # of 20 exchangeable splits the observed one is the largest once in 20: 20 of 400, sd 4.4
    x, y = normal(400, 6, 2), normal(400, 5, 2, seed=1)
    test = jax.jit(
        jax.vmap(lambda key, x, y: metrics.kernel_two_sample_test(key, x, y, permutations=19))
    )(jax.random.split(KEY, 400), x, y)
    assert 8 <= np.sum(test.p_value < 0.0501) <= 34
    np.testing.assert_allclose(np.mean(test.p_value), 0.525, atol=0.06)


def test_a_kernel_that_breaks_says_nothing():
    test = metrics.kernel_two_sample_test(KEY, P, Q, losses.gaussian_kernel(1e-200), 3)
    assert np.isnan([test.statistic, test.p_value]).all()


def test_the_bandwidth_is_the_median_distance_of_different_points():
    points = np.array([[0.0], [0.0], [1.0], [3.0]])  # 1, 1, 3, 3, 2
    test = metrics.kernel_two_sample_test(KEY, points[:2], points[2:], permutations=1)
    expected = mmd2(points[:2], points[2:], losses.gaussian_kernel(2.0))
    np.testing.assert_allclose(test.statistic, expected, rtol=1e-12)


class Told:
    """Tells a given number of the second sample's 200 held-out examples, and all the first's."""

    def __init__(self, count):
        self.count = count

    def fit(self, features, labels):
        assert np.sum(labels == 0) == np.sum(labels == 1) == 200

    def predict(self, features):
        return np.arange(400) >= 400 - self.count


def test_the_probability_of_an_accuracy():
    x, y = normal(400, 2), normal(400, 2, seed=1)
    test = metrics.classifier_two_sample_test(KEY, x, y, Told(24))
    # the binomial distribution's own, and not 0.008198 of its normal approximation
    assert test.statistic == 0.56
    np.testing.assert_allclose(test.p_value, 0.009330760158679972, rtol=1e-10)
    np.testing.assert_allclose(norm.sf(0.06 * 2 * 20), 0.008197535924596079, rtol=1e-10)
    # a sample of another size does not move chance
    assert metrics.classifier_two_sample_test(KEY, x, normal(5000, 2), Told(24)) == test
    assert metrics.classifier_two_sample_test(KEY, x, y, Told(0)).p_value > 0.5


def test_the_best_accuracy_for_two_gaussians():
    # Phi(|d| / 2) for a shift by d
    x, y = normal(6000, 2), normal(6000, 2, seed=1) + np.array([0.6, 0.8])
    test = metrics.classifier_two_sample_test(KEY, x, y, LogisticRegression())
    np.testing.assert_allclose(test.statistic, 0.6914624612740131, atol=0.02)
    assert test.p_value < 1e-10


def test_only_examples_that_were_not_seen_count():
    x, y = normal(300, 2), normal(300, 2, seed=1)
    nearest = KNeighborsClassifier(1)
    test = metrics.classifier_two_sample_test(KEY, x, y, nearest)
    assert abs(test.statistic - 0.5) < 0.1
    assert test.p_value > 0.01
    # on its own training examples it is always right
    both, labels = np.concatenate([x, y]), np.repeat([0, 1], 300)
    assert nearest.fit(both, labels).score(both, labels) == 1


def test_the_default_classifier_needs_no_shift():
    x, y = normal(400, 2), 3 * normal(400, 2, seed=1)
    test = metrics.classifier_two_sample_test(KEY, x, y)
    assert test.statistic > 0.65
    assert test.p_value < 1e-6
    assert metrics.classifier_two_sample_test(KEY, x, y) == test
    same = metrics.classifier_two_sample_test(KEY, x, normal(400, 2, seed=2))
    assert same.p_value > 0.01


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.kernel_two_sample_test(KEY, P, Q[:1]), "at least 2 examples"),
        (
            lambda: metrics.kernel_two_sample_test(KEY, P, Q, permutations=0),
            "at least 1 permutation",
        ),
        (lambda: metrics.classifier_two_sample_test(KEY, P[:3], Q), "at least 4 examples"),
        (lambda: metrics.classifier_two_sample_test(KEY, P, Q[:, :2]), "of the same D"),
        (lambda: metrics.classifier_two_sample_test(KEY, P * np.nan, Q), "x contains values"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=message):
        call()
