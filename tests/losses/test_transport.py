"""Transport as a loss: against assignments, primal problems solved in NumPy, and differences."""

import jax
import numpy as np
import pytest
from jax.test_util import check_grads

from ae_jax import losses
from ae_jax.core import InputError

pytestmark = pytest.mark.usefixtures("x64")

ROWS = np.arange(6.0)[:, None]
COLUMNS = np.arange(3.0)[None]
P = np.sin(2 * ROWS + COLUMNS + ROWS * COLUMNS + 1)
Q = np.cos(3 * ROWS + 2 * COLUMNS + ROWS * COLUMNS + 0.5)[:5]
DIRECTIONS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 2, 2], [-1, 1, 0.0]])

sliced = jax.jit(losses.sliced_wasserstein, static_argnames="power")
sinkhorn = jax.jit(losses.sinkhorn_divergence, static_argnames="iterations")
slope = jax.jit(jax.grad(losses.sinkhorn_divergence), static_argnames="iterations")


def test_random_directions_are_uniform():
    directions = losses.random_directions(jax.random.key(0), 4000, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(np.mean(directions, axis=0), 0, atol=0.04)
    np.testing.assert_allclose(directions.T @ directions / 4000, np.eye(3) / 3, atol=0.03)
    assert abs(losses.random_directions(jax.random.key(0), 1, 1)) == 1  # on a line there are two


def test_sliced_wasserstein_is_the_mean_over_directions():
    # wasserstein.sliced_w2_squared_5_directions
    np.testing.assert_allclose(sliced(P[:5], Q, DIRECTIONS), 0.19563852415267052, rtol=1e-12)
    # of unequal sizes: quantiles, as of examples that are repeated to a common size
    x, y = (
        np.sort(np.repeat(s @ DIRECTIONS[3:4].T / 12**0.5, n, 0), 0) for s, n in ((P, 5), (Q, 6))
    )
    np.testing.assert_allclose(sliced(P, Q, DIRECTIONS[3:4]), np.mean((x - y) ** 2), rtol=1e-12)
    cubes = np.mean(np.abs(x - y) ** 3)
    np.testing.assert_allclose(sliced(P, Q, DIRECTIONS[3:4], power=3.0), cubes, rtol=1e-12)
    # a shift, whatever the order
    shift = np.array([3.0, 0, -4])
    np.testing.assert_allclose(sliced(P + shift, P[::-1], np.eye(3)), 25 / 3, rtol=1e-12)


def test_slopes_of_sliced_wasserstein_are_those_of_differences():
    check_grads(lambda x: sliced(x, Q, DIRECTIONS), (P,), order=1, modes=["rev"], rtol=1e-6)
    gradient = jax.jit(jax.grad(losses.sliced_wasserstein))
    np.testing.assert_allclose(gradient(P, P[::-1], DIRECTIONS), 0, atol=1e-15)


def entropic(x, y, epsilon=0.8):
    """min <c, plan> + epsilon KL(plan | a b'), by plain scaling in NumPy until it stands."""
    cost = np.sum((x[:, None] - y[None]) ** 2, axis=-1)
    a, b = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
    kernel, u = np.exp(-cost / epsilon), np.ones(len(x))
    for _ in range(5000):
        v = 1 / (kernel.T @ (a * u))
        u = 1 / (kernel @ (b * v))
    plan = (a * u)[:, None] * kernel * (b * v)[None]
    return np.sum(plan * cost) + epsilon * np.sum(plan * np.log(plan / np.outer(a, b)))


def test_sinkhorn_divergence_is_that_of_the_primal_problems():
    expected = entropic(P, Q) - (entropic(P, P) + entropic(Q, Q)) / 2
    np.testing.assert_allclose(sinkhorn(P, Q, 0.8, 3000), expected, rtol=1e-10)
    np.testing.assert_allclose(sinkhorn(Q, P, 0.8, 3000), expected, rtol=1e-10)
    assert expected > 0


def test_sinkhorn_divergence_lies_between_transport_and_means():
    # wasserstein.w2_squared, of the best of all matchings
    np.testing.assert_allclose(sinkhorn(P[:5], Q, 1e-3, 400), 1.0937778557679845, rtol=1e-6)
    means = np.sum((P.mean(axis=0) - Q.mean(axis=0)) ** 2)
    np.testing.assert_allclose(sinkhorn(P, Q, 1e7, 20), means, rtol=1e-5)


def test_the_envelope_gradient_is_exact_where_the_iterations_have_converged():
    def differences(iterations):
        step, found = 1e-5, np.zeros_like(P)
        for place in np.ndindex(*P.shape):
            moved = [P.copy(), P.copy()]
            moved[0][place] += step
            moved[1][place] -= step
            ahead, behind = (float(sinkhorn(x, Q, 0.8, iterations)) for x in moved)
            found[place] = (ahead - behind) / (2 * step)
        return found

    exact = differences(1000)
    np.testing.assert_allclose(slope(P, Q, 0.8, 1000), exact, rtol=1e-6, atol=1e-8)
    # before that it is near: by how much is less with every iteration
    errors = [np.max(np.abs(slope(P, Q, 0.8, count) - exact)) for count in (4, 8, 16)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 0


def test_the_sinkhorn_divergence_has_its_least_value_at_a_match():
    for iterations in (3, 1000):
        np.testing.assert_allclose(sinkhorn(P, P[::-1], 0.8, iterations), 0, atol=1e-12)
        np.testing.assert_allclose(slope(P, P[::-1], 0.8, iterations), 0, atol=1e-10)
    # what is not freed of its bias shrinks the generated sample
    step = 1e-5 * (P - P.mean(axis=0))
    assert entropic(P - step, P) < entropic(P, P) - 1e-6


def test_few_iterations_give_no_number_that_is_not_finite():
    for count in (1, 3):
        assert np.isfinite(sinkhorn(100 * P, 100 * Q, 1e-3, count))
        assert np.all(np.isfinite(slope(100 * P, 100 * Q, 1e-3, count)))


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, y, **masks: losses.sliced_wasserstein(x, y, DIRECTIONS, **masks),
        lambda x, y, **masks: losses.sinkhorn_divergence(x, y, 0.3, 20, **masks),
    ],
)
def test_padding_counts_for_nothing(loss):
    present = np.array([True, False, True, True, False, True, True, False])
    value = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    expected, slopes = value(P[:5], Q)
    for garbage in (1e30, np.nan, -7.0):
        x, y = np.full((2, 8, 3), garbage)
        x[present], y[present] = P[:5], Q
        found, gradients = value(x, y, present=present)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        for gradient, exact in zip(gradients, slopes, strict=True):
            np.testing.assert_allclose(gradient[present], exact, rtol=1e-8, atol=1e-12)
            np.testing.assert_array_equal(gradient[~present], 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.random_directions(jax.random.key(0), 0, 3), "at least 1, got 0, 3"),
        (lambda: losses.sliced_wasserstein(P, Q[:, :2], DIRECTIONS), r"\[N, D\] and \[M, D\]"),
        (lambda: losses.sliced_wasserstein(P, Q, np.eye(2)), r"directions must be \[L, 3\]"),
        (lambda: losses.sinkhorn_divergence(P, Q, 0.1, 0), "at least 1 iteration, got 0"),
        (lambda: losses.sinkhorn_divergence(P, Q, 0.0, 5), "epsilon must be a positive number"),
        (lambda: losses.sinkhorn_divergence(P, Q, np.nan, 5), "epsilon must be a positive number"),
        (
            lambda: losses.sinkhorn_divergence(P, Q, 0.1, present=np.ones(6, bool)),
            "present or not, but they are 6 and 5",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=message):
        call()
