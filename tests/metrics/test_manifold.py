import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, metrics
from ae_jax.core import InputError

DRAWN = np.random.default_rng(0)
POINTS = DRAWN.normal(size=(30, 3))


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


def test_balls_vanish_in_cubes():
    # exact in low dimensions; 2^-d, as often said, is another number
    shares = [1, np.pi / 4, np.pi / 6, np.pi**2 / 32, np.pi**2 / 60]
    found = [np.exp(metrics.log_ball_share(d)) for d in range(1, 6)]
    np.testing.assert_allclose(found, shares)
    assert np.exp(metrics.log_ball_share(10)) == pytest.approx(np.pi**5 / 120 / 1024)
    # V(d + 2) / V(d) = pi / 2 / (d + 2), where exponentials would be 0
    step = metrics.log_ball_share(1002) - metrics.log_ball_share(1000)
    assert step == pytest.approx(np.log(np.pi / 2 / 1002), rel=1e-9)


def test_tangent_planes_are_those_of_the_jacobian(x64):
    own = data.manifold("swiss_roll3d")
    at = np.array([[5.0, 3.0], [9.0, 20.0], [12.0, 7.0]])
    planes = metrics.tangent_planes(own.embed, at, 2)
    t = at[:, 0]
    along = np.stack([np.cos(t) - t * np.sin(t), 0 * t, np.sin(t) + t * np.cos(t)], axis=1)
    true = np.stack([along, np.broadcast_to([0.0, 1, 0], along.shape)], axis=2)
    np.testing.assert_allclose(metrics.tangent_angles(planes, true), 0, atol=1e-7)
    # the steepest direction alone, and planes of what goes in
    line = metrics.tangent_planes(own.embed, at, 1)
    np.testing.assert_allclose(metrics.tangent_angles(line, along[..., None]), 0, atol=1e-7)
    weights = np.random.default_rng(0).normal(size=(2, 5))
    rows = metrics.tangent_planes(lambda x: jnp.tanh(weights @ x), np.zeros((1, 5)), 2, "input")
    np.testing.assert_allclose(metrics.tangent_angles(rows, weights.T[None]), 0, atol=1e-7)
    # the same function of other numbers is traced once
    traced = []

    def linear(weights, x):
        traced.append(x)
        return weights @ x

    for own in (weights, weights[:, ::-1].copy()):
        function = jax.tree_util.Partial(linear, own)
        rows = metrics.tangent_planes(function, np.zeros((1, 5)), 2, "input")
        np.testing.assert_allclose(metrics.tangent_angles(rows, own.T[None]), 0, atol=1e-7)
        assert len(traced) == 2 + (own is not weights)  # and once for its shape, each time


def test_dimensions_know_copies_and_distances_among_many_columns():
    wide = np.random.default_rng(0).random((40, 64))
    with pytest.raises(InputError, match=r"^80 examples have a copy"):  # by products fewer
        metrics.intrinsic_dimension(np.repeat(wide, 2, 0))
    away = np.sort(np.linalg.norm(wide[:, None] - wide, axis=2), axis=1)[:, 1:6]
    expected = 4 / np.log(away[:, -1:] / away[:, :-1]).sum(axis=1).mean()
    np.testing.assert_allclose(metrics.intrinsic_dimension(wide + 1e6, 5), expected, rtol=1e-8)


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
        (lambda: metrics.two_nn_dimension(np.arange(30.0)[:, None]), "as far as the other"),
        (lambda: metrics.log_ball_share(0), "dimension is 0"),
        (lambda: metrics.tangent_planes(lambda x: x, POINTS, 4), "dimension is 4: use"),
        (lambda: metrics.tangent_angles(np.ones((2, 3, 1)), np.ones((3, 3, 1))), "2 planes and b"),
    ],
)
def test_what_cannot_be_used(call, words):
    with pytest.raises(InputError, match=words):
        call()
