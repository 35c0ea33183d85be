import numpy as np
import pytest

from ae_jax import metrics
from ae_jax.core import InputError

DRAWN = np.random.default_rng(0)
POINTS = DRAWN.normal(size=(30, 3))
MAPPED = POINTS[:, :2] + 0.3 * DRAWN.normal(size=(30, 2))


def distances(x):
    return np.sqrt(np.sum((x[:, None] - x[None]) ** 2, axis=-1))


def cube(count, dimension, inside, seed=1):
    """Points of a cube, turned into a larger space."""
    drawn = np.random.default_rng(seed)
    turn = np.linalg.qr(drawn.normal(size=(inside, inside)))[0]
    flat = np.zeros((count, inside))
    flat[:, :dimension] = drawn.uniform(size=(count, dimension))
    return flat @ turn


def test_dimensions_by_their_definition():
    near = np.sort(distances(POINTS), axis=1)[:, 1:]
    for k in (3, 8):
        sums = np.log(near[:, k - 1 : k] / near[:, : k - 1]).sum(axis=1)
        np.testing.assert_allclose(metrics.intrinsic_dimensions(POINTS, k), (k - 2) / sums)
        assert metrics.intrinsic_dimension(POINTS, k) == pytest.approx((k - 1) / sums.mean())
    # one of 30 ratios has a share of 1, and is on no line; 0.9 of 30 are 27
    mu = np.sort(near[:, 1] / near[:, 0])
    for share, used in ((0.9, 27), (1.0, 29)):
        x, y = np.log(mu[:used]), -np.log(1 - np.arange(1, used + 1) / 30)
        expected = np.sum(x * y) / np.sum(x**2)
        assert metrics.two_nn_dimension(POINTS, share) == pytest.approx(expected)


@pytest.mark.parametrize(("dimension", "tolerance"), [(1, 0.05), (2, 0.08), (5, 0.5)])
def test_cubes_have_their_dimension(dimension, tolerance):
    x = cube(2000, dimension, 8)
    assert metrics.intrinsic_dimension(x) == pytest.approx(dimension, abs=tolerance)
    assert metrics.two_nn_dimension(x) == pytest.approx(dimension, abs=1.5 * tolerance)
    assert np.mean(metrics.intrinsic_dimensions(x)) == pytest.approx(dimension, abs=tolerance)


def test_a_divisor_of_single_points_is_wrong_for_all_together():
    x = cube(4000, 1, 3)
    assert metrics.intrinsic_dimension(x, 10) == pytest.approx(1, abs=0.02)
    # (k - 2) / (k - 1) of it
    wrong = 1 / np.mean(1 / metrics.intrinsic_dimensions(x, 10))
    assert wrong == pytest.approx(8 / 9, abs=0.02)


def test_a_sphere_has_the_dimension_of_its_surface():
    x = np.random.default_rng(3).normal(size=(2000, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert metrics.intrinsic_dimension(x) == pytest.approx(2, abs=0.08)
    assert metrics.two_nn_dimension(x) == pytest.approx(2, abs=0.1)


def by_ranks(x, mapped, k):
    count, total = len(x), 0
    rank = distances(x).argsort(axis=1).argsort(axis=1)  # 0 is the point itself
    for i in range(count):
        near = distances(mapped)[i].argsort()[1 : k + 1]
        total += sum(max(0, rank[i, j] - k) for j in near)
    return 1 - 2 / (count * k * (2 * count - 3 * k - 1)) * total


@pytest.mark.parametrize("k", [1, 5, 14])
def test_trust_and_continuity_by_their_definition(k):
    assert metrics.trustworthiness(POINTS, MAPPED, k) == pytest.approx(by_ranks(POINTS, MAPPED, k))
    assert metrics.continuity(POINTS, MAPPED, k) == pytest.approx(by_ranks(MAPPED, POINTS, k))
    assert metrics.trustworthiness(POINTS, 3 * POINTS + 1, k) == 1


def test_a_shuffle_is_trusted_by_half():
    x = np.random.default_rng(4).normal(size=(400, 2))
    shuffled = np.random.default_rng(5).permutation(x)
    assert metrics.trustworthiness(x, shuffled) == pytest.approx(0.5, abs=0.03)
    assert metrics.correlation_of_distances(x, shuffled) == pytest.approx(0, abs=0.03)


def test_what_keeps_the_order_of_distances_is_perfect():
    line = np.array([[0.0], [1.0], [3.0], [7.0]])
    assert metrics.correlation_of_distances(line, line**1.0 * 5) == pytest.approx(1)
    # distances 1 3 7 2 6 4 of the line and 1 9 49 8 48 40 of its squares: ranks 1 3 6 2 5 4 of both
    assert metrics.correlation_of_distances(line, line**2) == pytest.approx(1)
    # distances 7 1 3 6 4 2: ranks 6 1 3 5 4 2
    turned = line[[1, 2, 0, 3]]
    ours, theirs = np.array([1, 3, 6, 2, 5, 4]), np.array([2, 1, 5, 3, 4, 6])
    expected = np.corrcoef(ours, theirs)[0, 1]
    assert metrics.correlation_of_distances(line, turned) == pytest.approx(expected)
    assert np.isnan(metrics.correlation_of_distances(np.eye(3), line[:3]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.intrinsic_dimension(np.repeat(POINTS, 2, 0)), "60 examples have a copy"),
        (lambda: metrics.intrinsic_dimensions(POINTS, 2), "neighbours are 2: use .* 3 or more"),
        (lambda: metrics.intrinsic_dimension(POINTS, 30), "fewer than the 30 examples"),
        (
            lambda: metrics.intrinsic_dimension(POINTS[:, 0]),
            r"\[N, ...\] and not empty, got \[30\]",
        ),
        (lambda: metrics.two_nn_dimension(POINTS, 0), "share is 0: use"),
        (lambda: metrics.two_nn_dimension(POINTS * np.nan), "not finite"),
        (lambda: metrics.trustworthiness(POINTS, MAPPED[1:]), "30 examples and mapped 29"),
        (lambda: metrics.trustworthiness(POINTS, MAPPED, 15), "fewer than half of 30"),
        (lambda: metrics.correlation_of_distances(POINTS[:2], MAPPED[:2]), "give 3 or more"),
    ],
)
def test_what_cannot_be_used(call, words):
    with pytest.raises(InputError, match=words):
        call()
