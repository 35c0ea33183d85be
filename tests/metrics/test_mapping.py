import numpy as np
import pytest

from ae_jax import metrics
from ae_jax.core import InputError

DRAWN = np.random.default_rng(0)
POINTS = DRAWN.normal(size=(30, 3))
MAPPED = POINTS[:, :2] + 0.3 * DRAWN.normal(size=(30, 2))


def distances(x):
    return np.sqrt(np.sum((x[:, None] - x[None]) ** 2, axis=-1))


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


def test_geodesics_are_shortest_paths():
    """By Floyd and Warshall, over edges that either end counts among its nearest."""
    k, count = 4, len(POINTS)
    apart = distances(POINTS)
    paths = np.full((count, count), np.inf)
    for i in range(count):
        for j in np.argsort(apart[i])[1 : k + 1]:
            paths[i, j] = paths[j, i] = apart[i, j]
    np.fill_diagonal(paths, 0)
    for via in range(count):
        paths = np.minimum(paths, paths[:, via : via + 1] + paths[via : via + 1])
    assert np.all(np.isfinite(paths))
    np.testing.assert_allclose(metrics.geodesic_distances(POINTS, k), paths)
    upper = np.triu_indices(count, 1)
    ranks = [d[upper].argsort().argsort() for d in (paths, distances(MAPPED))]
    expected = np.corrcoef(*ranks)[0, 1]
    assert metrics.correlation_of_distances(POINTS, MAPPED, k) == pytest.approx(expected)


def test_along_an_arc_it_is_the_arc():
    angle = np.linspace(0, 1.8 * np.pi, 60)
    arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    found = metrics.geodesic_distances(arc, 2)
    # the ends' two edges reach two steps, and chords are shorter than arcs
    np.testing.assert_allclose(found, distances(angle[:, None]), rtol=2e-3)
    # along it the map is perfect, and through the air it is not
    assert metrics.correlation_of_distances(arc, angle[:, None], 2) > 0.999
    assert metrics.correlation_of_distances(arc, angle[:, None]) < 0.9
    # copies are at a distance of 0, and joined
    assert metrics.geodesic_distances(np.repeat(arc, 2, axis=0), 6)[0, 1] == 0


def test_stress_is_that_of_the_best_scale():
    from scipy.optimize import minimize_scalar

    own, found = (distances(p)[np.triu_indices(len(p), 1)] for p in (POINTS, MAPPED))
    best = minimize_scalar(lambda b: np.sum((found - b * own) ** 2) / np.sum(found**2))
    assert metrics.stress(POINTS, MAPPED) == pytest.approx(np.sqrt(best.fun))
    assert metrics.stress(POINTS, 7 * POINTS + 1) == pytest.approx(0, abs=1e-12)
    assert metrics.stress(POINTS, np.ones((30, 2))) == 1


def test_a_simplex_does_not_fit():
    for n in (3, 5, 12):
        line, turn = np.arange(n)[:, None], 2 * np.pi * np.arange(n) / n
        polygon = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        assert metrics.stress(np.eye(n), line) == pytest.approx(metrics.simplex_stress(n, 1))
        expected = pytest.approx(metrics.simplex_stress(n, 2), abs=1e-7)
        assert metrics.stress(np.eye(n), polygon) == expected
        assert metrics.simplex_stress(n, n - 1) == 0 < metrics.simplex_stress(n, 1)
    # steps that are not equal are worse, and from eight points on one in the middle is better
    assert metrics.stress(np.eye(4), [[0], [1.1], [2], [3]]) > metrics.simplex_stress(4, 1)
    for n, better in ((7, False), (8, True)):
        turn = 2 * np.pi * np.arange(n - 1) / (n - 1)
        middle = np.vstack([[0, 0], np.stack([np.cos(turn), np.sin(turn)], axis=1)])
        assert (metrics.stress(np.eye(n), middle) < metrics.simplex_stress(n, 2)) == better


def test_distortion_is_that_of_the_best_scale():
    steps = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]])
    assert metrics.distortion(7.0 * steps, steps) == pytest.approx(0, abs=1e-12)
    own = np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 6.0], [2.0, 6.0, 0.0]])
    # ratios 1, 1 and 2 about the scale 4/6
    assert metrics.distortion(own, steps) == pytest.approx((1 / 3 + 1 / 3 + 1 / 3) / 3)
    assert metrics.distortion(0 * own, steps) == 1
    with pytest.raises(InputError, match="distances between points are"):
        metrics.distortion(own[:2], steps)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.trustworthiness(POINTS, MAPPED[1:]), "30 examples and mapped 29"),
        (lambda: metrics.trustworthiness(POINTS, MAPPED, 15), "fewer than half of 30"),
        (lambda: metrics.correlation_of_distances(POINTS[:2], MAPPED[:2]), "give 3 or more"),
        (
            lambda: metrics.geodesic_distances(np.vstack([POINTS, POINTS + 99]), 3),
            "3 neighbours falls apart into 2: use more",
        ),
        (lambda: metrics.geodesic_distances(POINTS, 30), "fewer than the 30 examples"),
        (lambda: metrics.stress(np.ones((3, 2)), MAPPED[:3]), "at one place"),
        (lambda: metrics.simplex_stress(9, 3), "3 dimensions has no closed form: use 1 or 2"),
    ],
)
def test_what_cannot_be_used(call, words):
    with pytest.raises(InputError, match=words):
        call()
