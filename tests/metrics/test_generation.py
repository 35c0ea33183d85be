import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import sqrtm

from ae_jax import losses, metrics
from ae_jax.core import InputError

pytestmark = pytest.mark.usefixtures("x64")

ROWS = np.arange(6.0)[:, None]
COLUMNS = np.arange(3.0)[None]
P = np.sin(2 * ROWS + COLUMNS + ROWS * COLUMNS + 1)
Q = np.cos(3 * ROWS + 2 * COLUMNS + ROWS * COLUMNS + 0.5)[:5]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        # (1 - 3)^2 + (2 - 1)^2
        ((np.zeros(2), np.diag([1.0, 4])), (np.zeros(2), np.diag([9.0, 1])), 5.0),
        # singular, and of no common direction: tr S1 + tr S2
        ((np.zeros(2), np.diag([1.0, 0])), (np.zeros(2), np.diag([0.0, 1])), 2.0),
        ((np.ones(2), np.zeros((2, 2))), (np.ones(2), np.zeros((2, 2))), 0.0),
        (
            (np.zeros(2), np.eye(2)),
            (np.array([1, -0.5]), np.array([[1.5, 0.4], [0.4, 0.5]])),
            1.4890271739488883,
        ),
    ],
)
def test_frechet_distance_of_gaussians(first, second, distance):
    value = metrics.frechet_distance(*first, *second)
    np.testing.assert_allclose(value, distance, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(metrics.frechet_distance(*second, *first), value, atol=1e-13)


def test_frechet_distance_in_closed_form():
    # rank 1: |a|^2 + |b|^2 - 2 |a.b|; of the same shape: D (s - t)^2
    a, b = np.array([1.0, 2, -1]), np.array([0.5, 0, 2])
    distance = jax.jit(metrics.frechet_distance)
    value = distance(np.zeros(3), np.outer(a, a), np.zeros(3), np.outer(b, b))
    np.testing.assert_allclose(value, 7.25, rtol=1e-7)
    value = distance(np.ones(3), 4 * np.eye(3), np.ones(3), 0.25 * np.eye(3))
    np.testing.assert_allclose(value, 3 * 1.5**2, rtol=1e-12)


def test_frechet_distance_of_samples():
    value = metrics.frechet_distance_of_samples(P, Q)
    np.testing.assert_allclose(value, 0.6116361930214147, rtol=1e-10)
    moments = (np.mean(P, 0), np.cov(P.T), np.mean(Q, 0), np.cov(Q.T))
    np.testing.assert_allclose(metrics.frechet_distance(*moments), value, rtol=1e-10)
    # covariances by 1 / N give another number
    biased = (np.mean(P, 0), np.cov(P.T, bias=True), np.mean(Q, 0), np.cov(Q.T, bias=True))
    np.testing.assert_allclose(metrics.frechet_distance(*biased), 0.5044621409562793, rtol=1e-10)


def test_frechet_distance_agrees_with_the_square_root_of_a_matrix():
    x, y = normal(40, 6), normal(30, 6, seed=1) @ normal(6, 6, seed=2) + 1
    s1, s2 = np.cov(x.T), np.cov(y.T)
    gap = np.sum((x.mean(0) - y.mean(0)) ** 2)
    expected = gap + np.trace(s1) + np.trace(s2) - 2 * np.trace(sqrtm(s1 @ s2)).real
    value = metrics.frechet_distance_of_samples(x, y)
    np.testing.assert_allclose(value, expected, rtol=1e-8)
    # the transposed root, S1^1/2 S2^1/2, is another matrix whose trace is smaller
    wrong = gap + np.trace(s1) + np.trace(s2) - 2 * np.trace(sqrtm(s1) @ sqrtm(s2)).real
    assert wrong > value + 0.05


def test_frechet_distance_of_fewer_examples_than_dimensions():
    # the nuclear norm of the centred samples' products; the square root has no such digits
    x, y = normal(5, 12), normal(7, 12, seed=1) + 0.5
    a, b = (x - x.mean(0)) / 2, (y - y.mean(0)) / 6**0.5
    nuclear = np.sum(np.linalg.svd(a @ b.T, compute_uv=False))
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.sum(a**2) + np.sum(b**2) - 2 * nuclear
    distance = jax.jit(metrics.frechet_distance_of_samples)
    np.testing.assert_allclose(distance(x, y), expected, rtol=1e-12)
    assert distance(x, x[::-1]) < 1e-25
    # a translation by d, wherever the samples are
    np.testing.assert_allclose(distance(x, x + 0.25), 12 * 0.25**2, rtol=1e-12)
    np.testing.assert_allclose(distance(x + 2.0**20, x + 2.0**20 + 0.25), 0.75, rtol=1e-8)


def test_frechet_distance_loses_no_digits_in_single_precision():
    x = (100 * normal(50, 8)).astype(np.float32)
    y = x + (0.01 * normal(50, 8, seed=1)).astype(np.float32)
    value = metrics.frechet_distance_of_samples(x, y)
    assert value.dtype == jnp.float32
    exact = metrics.frechet_distance_of_samples(x.astype(float), y.astype(float))
    np.testing.assert_allclose(value, exact, rtol=0.05)
    # the difference of traces, which are of size 1e5, has none
    a, b = ((z - z.mean(0)) / np.float32(7) for z in (x, y))
    nuclear = np.sum(np.linalg.svd(a @ b.T, compute_uv=False))
    difference = float(np.sum(a**2) + np.sum(b**2) - 2 * nuclear)
    assert abs(difference - exact) > 10 * exact


def test_frechet_distance_of_the_same_distribution_depends_on_the_number_of_examples():
    # of 50 examples of 16 dimensions 3.309 with a standard error of 0.08, of 200 0.864: not 0
    for count, known in ((50, 3.308519983829494), (200, 0.8642710982817488)):
        samples = normal(20, 2, count, 16)
        distance = jax.jit(jax.vmap(metrics.frechet_distance_of_samples))
        values = distance(samples[:, 0], samples[:, 1])
        np.testing.assert_allclose(np.mean(values), known, rtol=0.1)


def test_kernel_distance():
    distance = metrics.kernel_distance(P, Q)
    np.testing.assert_allclose(distance.mean, -1.0574751123721997, rtol=1e-12)
    kernel = losses.polynomial_kernel
    np.testing.assert_allclose(kernel(P, Q), (P @ Q.T / 3 + 1) ** 3, rtol=1e-12)
    # with the diagonal it is another number, and never negative
    biased = jax.jit(lambda x, y: losses.mmd2(x, y, kernel, unbiased=False))(P, Q)
    np.testing.assert_allclose(biased, 0.33766708321912065, rtol=1e-12)
    assert f"{distance:.3f}".startswith("-1.057 ± ")


def test_kernel_distance_has_the_mean_of_all_samples_that_there_are():
    # 3 and 2 draws with replacement from 4 points each
    first, second = (np.array(list(itertools.product(range(4), repeat=draws))) for draws in (3, 2))
    x, y = np.repeat(P[first], len(second), axis=0), np.tile(Q[second], (len(first), 1, 1))
    kernel = losses.polynomial_kernel

    def of_all(unbiased):
        return jax.jit(jax.vmap(lambda x, y: losses.mmd2(x, y, kernel, unbiased)))(x, y)

    population = jax.jit(lambda x, y: losses.mmd2(x, y, kernel, unbiased=False))(P[:4], Q[:4])
    np.testing.assert_allclose(population, 0.5729751366088536, rtol=1e-12)
    found = of_all(True)
    np.testing.assert_allclose(np.mean(found), population, rtol=1e-12)
    assert np.mean(found < 0) == 0.4619140625  # an estimate of 0 is below it as often as above
    np.testing.assert_allclose(np.mean(of_all(False)), 2.829417317896648, rtol=1e-12)


def test_the_error_of_the_kernel_distance_is_the_jackknife():
    def estimate(x, y):
        def within(z):
            values = (z @ z.T / 3 + 1) ** 3
            return (values.sum() - np.trace(values)) / (len(z) * (len(z) - 1))

        return within(x) + within(y) - 2 * np.mean((x @ y.T / 3 + 1) ** 3)

    without_x = [estimate(np.delete(P, i, axis=0), Q) for i in range(6)]
    without_y = [estimate(P, np.delete(Q, i, axis=0)) for i in range(5)]
    variance = 5 * np.var(without_x) + 4 * np.var(without_y)
    np.testing.assert_allclose(metrics.kernel_distance(P, Q).error, variance**0.5, rtol=1e-10)


@pytest.mark.parametrize(("shift", "ratio"), [(0.0, 2**0.5), (1.0, 1.0)])
def test_the_error_of_the_kernel_distance_is_that_of_its_draws(shift, ratio):
    x, y = normal(1000, 40, 2), normal(1000, 30, 2, seed=1) + shift
    distance = jax.jit(jax.vmap(metrics.kernel_distance))(x, y)
    spread = np.std(distance.mean)
    np.testing.assert_allclose(np.mean(distance.error**2) ** 0.5 / spread, ratio, rtol=0.12)
    if not shift:
        np.testing.assert_allclose(np.mean(distance.mean), 0, atol=4 * spread / 1000**0.5)
        assert 0.3 < np.mean(distance.mean < 0) < 0.8


def test_inception_score():
    logits = 3 * np.sin(ROWS + 2 * np.arange(4.0)[None] + 1)
    p = np.exp(logits) / np.sum(np.exp(logits), axis=1, keepdims=True)
    value = metrics.inception_score(p)
    np.testing.assert_allclose(value, 2.1148851202656838, rtol=1e-12)
    # exp(H(c) - H(c | x))
    mean = p.mean(0)
    entropies = np.sum(p * np.log(p)) / 6 - np.sum(mean * np.log(mean))
    np.testing.assert_allclose(value, np.exp(entropies), rtol=1e-12)
    np.testing.assert_allclose(metrics.inception_score(np.eye(4)), 4, rtol=1e-12)
    np.testing.assert_allclose(metrics.inception_score(np.eye(4)[[2, 2, 2, 2]]), 1, rtol=1e-12)
    for wrong in (logits, p - 0.2, 2 * p):
        with pytest.raises(InputError, match="add up to 1 in each row"):
            metrics.inception_score(wrong)


ANGLES = 2 * np.pi * np.arange(8) / 8
RING = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


def test_modes_by_hand():
    # of standard deviation 0.1: at 2, 3.5 and 0 of them from the first centre, at 1 from the third
    samples = RING[[0, 0, 0, 2]] + 0.1 * np.array([[2.0, 0], [0, 3.5], [0, 0], [1, 0]])
    found = metrics.mode_coverage(samples, RING, 0.1)
    assert (found["modes"], found["high_quality"]) == (2, 0.75)
    # all samples count at their nearest mode: (3/4, 1/4) against 1/8 each
    divergence = 0.75 * np.log(6) + 0.25 * np.log(2)
    np.testing.assert_allclose(found["mode_kl"], divergence, rtol=1e-12)
    found = metrics.mode_coverage(samples, RING, np.full(8, 0.1), radius=4.0, least=3)
    assert (found["modes"], found["high_quality"]) == (1, 1)
    weights = np.array([0.75, 0, 0.25, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(
        metrics.mode_coverage(samples, RING, 0.1, weights=weights)["mode_kl"], 0, atol=1e-15
    )
    # nearest is in units of each deviation: at 5 of the first centre's, at 0.8 of the second's
    sample, centres, scale = np.array([[0.5]]), np.array([[0.0], [1.3]]), np.array([0.1, 1])
    found = metrics.mode_coverage(sample, centres, scale, weights=np.array([0.0, 1]))
    assert (found["high_quality"], found["mode_kl"]) == (1, 0)


def test_modes_of_samples_of_the_mixture_itself():
    count = 20_000
    rng = np.random.default_rng(0)
    samples = RING[rng.integers(0, 8, count)] + 0.05 * rng.normal(size=(count, 2))
    found = metrics.mode_coverage(samples, RING, 0.05)
    assert found["modes"] == 8
    # 1 - exp(-9/2), not the 0.9973 of one dimension: a standard error of 0.00074
    np.testing.assert_allclose(found["high_quality"], 0.9888910034617577, atol=0.003)
    assert 0 < found["mode_kl"] < 4 * 7 / (2 * count)
    found = metrics.mode_coverage(samples, RING, 0.05, radius=4.0)
    np.testing.assert_allclose(found["high_quality"], 0.9996645373720975, atol=0.0005)
    collapsed = metrics.mode_coverage(samples[:1], RING, 0.05)
    np.testing.assert_allclose(collapsed["mode_kl"], np.log(8), rtol=1e-12)
    far = metrics.mode_coverage(samples + 9, RING, 0.05)
    assert (far["modes"], far["high_quality"]) == (0, 0)


#: Functions of two samples, of which one value or more is returned.
OF_SAMPLES = {
    "frechet_distance_of_samples": metrics.frechet_distance_of_samples,
    "kernel_distance": metrics.kernel_distance,
    "mode_coverage": lambda x, y: metrics.mode_coverage(x, y, 1.0),
    "precision_recall": metrics.precision_recall,
    "density_coverage": lambda x, y: metrics.density_coverage(x, y, 2),
    "nearest_examples": lambda x, y: metrics.nearest_examples(x, y)[1],
    "memorisation": lambda x, y: metrics.memorisation(x, y, y[:2]),
    "sliced_wasserstein": lambda x, y: metrics.sliced_wasserstein(x, y, x[:2]),
    "kernel_two_sample_test": lambda x, y: metrics.kernel_two_sample_test(
        jax.random.key(0), x, y, permutations=3
    ),
}


@pytest.mark.parametrize("name", OF_SAMPLES)
def test_they_can_be_compiled_and_refuse_what_they_cannot_measure(name):
    function = OF_SAMPLES[name]
    compiled = jax.jit(function)
    assert all(np.all(np.isfinite(value)) for value in jax.tree.leaves(compiled(P, Q)))
    for broken in (np.nan, np.inf):
        bad = np.where(np.arange(18).reshape(6, 3) == 0, broken, P)
        for x, y in ((bad, Q), (P, bad[:5])):
            assert all(np.all(np.isnan(v)) for v in jax.tree.leaves(compiled(x, y)))
            with pytest.raises(InputError, match="values that are not finite") as error:
                function(x, y)
            assert "\n" not in str(error.value)
    for x, y in ((P, Q[:, :2]), (P[:, 0], Q), (P[None], Q), (P[:, :0], Q[:, :0])):
        with pytest.raises(InputError, match=r"must be \[N, D\] of the same D"):
            function(x, y)
    with pytest.raises(InputError, match=r"(at least|from 1 to|must be)"):
        function(P[:0], Q)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.frechet_distance_of_samples(P, Q[:1]), r"at least 2 .* y \[1, 3\]"),
        (lambda: metrics.kernel_distance(P[:2], Q), r"at least 3 .* x \[2, 3\]"),
        (
            # the covariance of the rows, not the columns
            lambda: metrics.frechet_distance(P.mean(0), np.cov(P), Q.mean(0), np.cov(Q)),
            r"covariances \[D, D\], got mean1 \[3\], cov1 \[6, 6\]",
        ),
        (
            lambda: metrics.frechet_distance(P[0], np.triu(np.ones((3, 3))), P[0], np.eye(3)),
            "cov1 is not symmetric",
        ),
        (
            lambda: metrics.frechet_distance(P[0], np.eye(3), P[0], np.eye(3) * np.nan),
            "cov2 contains values that are not finite",
        ),
        (lambda: metrics.mode_coverage(P, Q, 0.0), "scale must be positive"),
        (lambda: metrics.mode_coverage(P, Q, np.nan), "scale must be positive"),
        (lambda: metrics.mode_coverage(P, Q, 1.0, radius=-1.0), "radius must be positive"),
        (lambda: metrics.mode_coverage(P, Q, 1.0, radius=np.nan), "radius must be positive"),
        (lambda: metrics.mode_coverage(P, Q, 1.0, least=-1), "least must be 1 or more, got -1"),
        (lambda: metrics.mode_coverage(P, Q, np.ones(3)), r"scale must be a scalar or \[5\]"),
        (lambda: metrics.mode_coverage(P, Q, 1.0, weights=np.ones(5)), "add up to 1"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
