import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import stats

from ae_jax import losses, metrics
from ae_jax.core import InputError

pytestmark = pytest.mark.usefixtures("x64")

mmd2 = jax.jit(losses.mmd2, static_argnames=("kernel", "unbiased"))
KERNELS = [
    losses.gaussian_kernel(0.8),
    losses.gaussian_mixture_kernel([0.3, 2.0]),
    losses.inverse_multiquadric_kernel(1.5),
    losses.linear_kernel,
]


def test_kernels_by_hand():
    x, y = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 1.0]])
    # |x - y|^2 = 2, 0; exp(-2 / (2 * 2^2)) = e^-0.25; 3 / (3 + 2) = 0.6
    expected = [[0.778800783], [1.0]]
    np.testing.assert_allclose(jax.jit(losses.gaussian_kernel(2.0))(x, y), expected, rtol=1e-8)
    value = jax.jit(losses.inverse_multiquadric_kernel(3.0))(x, y)
    np.testing.assert_allclose(value, [[0.6], [1.0]], rtol=1e-12)
    np.testing.assert_array_equal(losses.linear_kernel(x, y), [[0.0], [2.0]])


def test_mmd2_by_hand():
    # linear kernel, x = 0, 2, y = 1, 5: within (2 * 0 * 2) / 2 = 0 and (2 * 1 * 5) / 2 = 5,
    # across mean(0, 0, 2, 10) = 3: 0 + 5 - 6 = -1 unbiased; biased (mean 1 - mean 3)^2 = 4
    x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]])
    np.testing.assert_allclose(mmd2(x, y, losses.linear_kernel), -1.0)
    np.testing.assert_allclose(mmd2(x, y, losses.linear_kernel, unbiased=False), 4.0)


def table(function, rows):
    """A function of row and column, [rows, 3]."""
    return np.array([[function(float(a), float(b)) for b in range(3)] for a in range(rows)])


P = table(lambda a, b: np.sin(2 * a + b + a * b + 1), 6)
Q = table(lambda a, b: np.cos(3 * a + 2 * b + a * b + 0.5), 5)
#: Of Li, Swersky and Zemel (2015): 2 s in the exponent, and not 2 s^2.
PUBLISHED = [2.0, 5.0, 10.0, 20.0, 40.0, 80.0]


def rational_quadratic(x, y):
    squares = np.sum((x[:, None] - y[None]) ** 2, axis=-1)
    return jnp.asarray(sum((1 + squares / (2 * a)) ** -a for a in (0.2, 0.5, 1, 2, 5)))


def test_discrepancies_of_two_small_samples():
    # mmd_small: another implementation, in NumPy
    kernel = losses.gaussian_kernel(1.0)
    np.testing.assert_allclose(mmd2(P, Q, kernel), -0.14402012603327657, rtol=1e-10)
    np.testing.assert_allclose(mmd2(P, Q, kernel, False), 0.15519671615095487, rtol=1e-12)
    mixture = losses.gaussian_mixture_kernel(PUBLISHED)
    np.testing.assert_allclose(mmd2(P, Q, mixture, False), 0.0860533986001144, rtol=1e-12)
    root = jax.jit(lambda x, y, smoothing: losses.mmd(x, y, mixture, smoothing))
    np.testing.assert_allclose(root(P, Q, 0.0), 0.29334859570162325, rtol=1e-12)
    np.testing.assert_allclose(root(P, Q, 0.01), 0.0960533986001144**0.5, rtol=1e-12)
    found = losses.mmd2(P, Q, rational_quadratic)
    np.testing.assert_allclose(found, -0.5028122486473698, rtol=1e-12)


def test_wrong_versions_of_the_matching_loss_are_other_numbers():
    squared = losses.gaussian_mixture_kernel([s**2 for s in PUBLISHED])  # exp(-d^2 / (2 s^2))
    double = losses.gaussian_mixture_kernel([s / 2 for s in PUBLISHED])  # exp(-d^2 / s)
    for kernel in (squared, double):
        assert abs(float(mmd2(P, Q, kernel, False)) - 0.0860533986) > 0.02
    # without the diagonal it is below 0, and has no root
    assert float(mmd2(P, Q, losses.gaussian_mixture_kernel(PUBLISHED))) < 0


def test_discrepancies_vanish_at_a_match_and_so_do_their_slopes():
    def slope(kernel, unbiased):
        value = jax.jit(jax.grad(lambda x: losses.mmd2(x, P[::-1], kernel, unbiased)))
        return np.asarray(value(P))

    kernel = losses.gaussian_kernel(1.0)
    np.testing.assert_allclose(slope(kernel, False), 0, atol=1e-15)
    # gmmn_gradient_at_match.unbiased_grad: descent on it pushes what is generated apart
    expected = [
        [-0.00801018411436759, -0.004938168860868661, 4.526559345948962e-05],
        [0.003936104198899637, 0.005273630290871257, -0.004660833886947156],
        [0.00548771109042819, -0.003942181659984689, 0.004689843067708517],
        [-0.006742370343417264, 0.006218751565097641, -0.0029310044794043843],
        [0.0006784673893957848, -0.006905912303174823, -0.0016647814895093139],
        [0.004650271779061241, 0.004293880968059274, 0.0045215111946928475],
    ]
    np.testing.assert_allclose(slope(kernel, True), expected, rtol=1e-10)

    @jax.jit
    @jax.value_and_grad
    def root(x, smoothing):
        return losses.mmd(x, P[::-1], losses.gaussian_mixture_kernel(PUBLISHED), smoothing)

    value, gradient = root(P, 1e-6)
    np.testing.assert_allclose(value, 1e-3, rtol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)
    # the root itself has none
    one = np.ones((1, 1))
    assert np.isnan(jax.grad(lambda x: losses.mmd(x, one, losses.linear_kernel, 0.0))(one))


def test_discrepancies_of_gaussians_over_bandwidths():
    # mmd_gaussians: N(0, I) and N((1, -1/2), ((1.5, 0.4), (0.4, 0.5))), in closed form
    exact = {
        0.5: 0.07536614215259321,
        1.0: 0.15415981323451478,
        2.0: 0.14259684494292957,
        5.0: 0.042963447195513815,
    }
    noise = np.random.default_rng(9).standard_normal((2, 200, 60, 2))
    x = noise[0]
    y = noise[1] @ np.linalg.cholesky([[1.5, 0.4], [0.4, 0.5]]).T + [1.0, -0.5]

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None, None))
    def estimates(bandwidth, x, y):
        kernel = losses.gaussian_kernel(bandwidth)
        return jax.vmap(lambda x, y: losses.mmd2(x, y, kernel))(x, y)

    found = np.asarray(estimates(np.array([*exact]), x, y))
    error = np.std(found, axis=1) / 200**0.5
    values = np.array([*exact.values()])
    assert np.all(error < 0.05 * values)
    assert np.all(np.abs(np.mean(found, axis=1) - values) < 4 * error)


def test_the_discrepancy_of_two_shifted_gaussians_is_that_of_their_law():
    # mmd_gaussians.shift_1d: N(0, 1) and N(1, 1) at bandwidth 1, b = s = m = 1:
    # 2 b / sqrt(b^2 + 2 s^2) (1 - exp(-m^2 / (2 (b^2 + 2 s^2))))
    exact = 0.17726763491986194
    np.testing.assert_allclose(2 / np.sqrt(3) * (1 - np.exp(-1 / 6)), exact, rtol=1e-14)
    # quantiles in the middle of their steps have the law's own integrals, up to 1 / n
    u = (np.arange(1000) + 0.5) / 1000
    x = stats.norm.ppf(u)[:, None]
    kernel = losses.gaussian_kernel(1.0)
    found = float(losses.mmd2(x, x + 1, kernel, unbiased=False))
    np.testing.assert_allclose(found, exact, rtol=1e-3)
    # the bandwidth is a deviation, not a variance: exp(-|x - y|^2 / 2 b) at b = 2 is another value
    wide = float(losses.mmd2(x, x + 1, losses.gaussian_kernel(2.0), unbiased=False))
    np.testing.assert_allclose(wide, 4 / np.sqrt(6) * (1 - np.exp(-1 / 12)), rtol=1e-3)
    assert abs(wide - 2 / np.sqrt(2) * (1 - np.exp(-1 / 8))) > 0.01


@pytest.mark.parametrize("variances", [[], [1.0, 0.0], [-2.0], [np.nan], 3.0])
def test_kernels_of_no_width_are_refused(variances):
    with pytest.raises(InputError, match="variances must be one or more positive numbers"):
        losses.gaussian_mixture_kernel(variances)


@pytest.mark.parametrize("width", [0, -1.0, np.nan, np.inf, [1.0]])
def test_kernels_of_no_single_width_are_refused(width):
    with pytest.raises(InputError, match="bandwidth must be a positive number, got"):
        losses.gaussian_kernel(width)
    with pytest.raises(InputError, match="scale must be a positive number, got"):
        losses.inverse_multiquadric_kernel(width)


def _all_samples(points, probabilities, size):
    """Every sample of a distribution on a few points, and its probability."""
    indices = np.array(list(itertools.product(range(len(points)), repeat=size)))
    return points[indices], np.prod(probabilities[indices], axis=1)


@pytest.mark.parametrize("kernel", KERNELS)
def test_mmd2_is_unbiased_over_all_samples(kernel):
    points = np.array([[-1.0], [0.5], [2.0]])
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.3, 0.1])
    gram = np.asarray(jax.jit(kernel)(points, points))

    def expectation(p, q, unbiased):
        x, p_x = _all_samples(points, p, 2)
        y, p_y = _all_samples(points, q, 3)
        estimate = functools.partial(losses.mmd2, kernel=kernel, unbiased=unbiased)
        pairs = jax.jit(jax.vmap(jax.vmap(estimate, (None, 0)), (0, None)))
        return p_x @ np.asarray(pairs(x, y)) @ p_y

    # sum (p - q)_i (p - q)_j k(i, j)
    np.testing.assert_allclose(expectation(p, q, True), (p - q) @ gram @ (p - q), atol=1e-12)
    np.testing.assert_allclose(expectation(p, p, True), 0, atol=1e-12)
    assert expectation(p, p, False) > 0.01


def test_mmd2_between_gaussians_tends_to_the_closed_form():
    # E k = b / sqrt(b^2 + s^2 + t^2) exp(-(m - n)^2 / (2 (b^2 + s^2 + t^2))) in one dimension
    bandwidth, means, stds = 0.8, (0.0, 1.0), (1.0, 0.5)

    def expected(i, j):
        total = bandwidth**2 + stds[i] ** 2 + stds[j] ** 2
        gap = means[i] - means[j]
        return bandwidth / np.sqrt(total) * np.exp(-(gap**2) / (2 * total))

    exact = expected(0, 0) + expected(1, 1) - 2 * expected(0, 1)
    noise = np.random.default_rng(0).standard_normal((2, 100, 40, 1))
    estimate = functools.partial(losses.mmd2, kernel=losses.gaussian_kernel(bandwidth))
    x, y = means[0] + stds[0] * noise[0], means[1] + stds[1] * noise[1]
    estimates = np.asarray(jax.jit(jax.vmap(estimate))(x, y))
    error = np.std(estimates) / 10
    assert error < 0.1 * exact
    assert abs(np.mean(estimates) - exact) < 4 * error


def test_biased_mmd2_is_zero_for_a_sample_and_itself_and_never_negative():
    x, y = np.random.default_rng(1).standard_normal((2, 6, 3))
    kernel = losses.gaussian_kernel(1.0)
    np.testing.assert_allclose(mmd2(x, x, kernel, unbiased=False), 0, atol=1e-15)
    assert float(mmd2(x, y, kernel, unbiased=False)) > 0


def test_distances_keep_their_digits_far_from_the_origin():
    x, y = np.random.default_rng(2).standard_normal((2, 6, 3))
    kernel = losses.gaussian_kernel(1.0)
    moved = mmd2((x + 100).astype(np.float32), (y + 100).astype(np.float32), kernel)
    np.testing.assert_allclose(moved, mmd2(x, y, kernel), atol=2e-5)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("unbiased", [True, False])
def test_gradients_equal_finite_differences(kernel, unbiased):
    x, y = np.random.default_rng(3).standard_normal((2, 4, 3))
    check_grads(
        jax.jit(lambda x: losses.mmd2(x, y, kernel, unbiased=unbiased)),
        (x,),
        order=1,
        modes=["rev"],
        atol=1e-7,
        rtol=1e-6,
    )


def test_samples_that_cannot_be_compared_are_refused():
    with pytest.raises(InputError, match=r"\[N, D\]"):
        losses.mmd2(np.zeros((3, 2)), np.zeros((3, 4)), losses.linear_kernel)
    with pytest.raises(InputError, match="at least 2 points"):
        losses.mmd2(np.zeros((3, 2)), np.zeros((1, 2)), losses.linear_kernel)


def padded(rows, garbage, seed=4):
    """Rows with garbage among them, and which are present."""
    present = np.random.default_rng(seed).permutation([True] * len(rows) + [False] * 3)
    table = np.full((len(present), rows.shape[1]), garbage)
    table[present] = rows
    return table, present


def test_covariance_is_that_of_the_sample():
    # columns 0, 2, 4 and 1, 1, 4: deviations -2, 0, 2 and -1, -1, 2: 8/3, 6/3, 6/3
    x = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]])
    found = jax.jit(losses.covariance)(x)
    np.testing.assert_allclose(found, [[8 / 3, 2], [2, 2]], rtol=1e-12)
    x = np.random.default_rng(5).standard_normal((30, 4))
    np.testing.assert_allclose(losses.covariance(x), np.cov(x.T, bias=True), rtol=1e-10)


def test_covariance_of_a_large_constant_is_0_in_single_precision():
    x = np.full((777, 2), [1e5 + 0.1, 0], np.float32)
    x[:, 1] = np.arange(777)
    found = losses.covariance(x)
    np.testing.assert_array_equal(found[0], 0)
    np.testing.assert_allclose(found[1, 1], (777**2 - 1) / 12, rtol=1e-5)
    np.testing.assert_array_equal(losses.covariance(x[:1]), 0)


def test_covariance_over_padded_rows_and_its_gradient_are_exact():
    rows = 100 + np.random.default_rng(6).standard_normal((5, 3))
    weights = np.arange(9.0).reshape(3, 3)

    @jax.jit
    @jax.value_and_grad
    def value(x, present=None):
        return (losses.covariance(x, present) * weights).sum()

    expected, slope = value(rows)
    for garbage in (1e30, np.nan, np.inf, -7.0):
        table, present = padded(rows, garbage)
        found, gradient = jax.device_get(value(table, present))
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        np.testing.assert_allclose(gradient[present], slope, rtol=1e-8, atol=1e-12)
        np.testing.assert_array_equal(gradient[~present], 0)


def test_moment_distance_by_hand():
    # means 2 and 5, deviations 1 and 3: (9 + 4) / 5; the second column's 0 and 2, 0 and 2:
    # (4 + 4) / 2; the third has no variance
    x = np.array([[1.0, 0.0, 7.0], [3.0, 0.0, 7.0]])
    y = np.array([[2.0, 0.0, 7.0], [8.0, 4.0, 7.0]])
    found = jax.jit(losses.moment_distance)
    np.testing.assert_allclose(found(x, y), 13 / 5 + 4, rtol=1e-12)
    np.testing.assert_allclose(found(y, x), 13 / 5 + 4, rtol=1e-12)
    assert float(found(x, x)) == 0


def test_moment_distance_is_that_of_gaussians_in_units_of_their_deviations():
    """The Frechet distance of diagonal covariances, by another implementation."""
    x, y = np.random.default_rng(8).standard_normal((2, 9, 3)) * [1.0, 2.0, 0.1] + 4
    y = 1.5 * y + 1
    unit = np.sqrt((x.var(axis=0) + y.var(axis=0)) / 2)
    moments = [
        part for rows in (x / unit, y / unit) for part in (rows.mean(0), np.diag(rows.var(0)))
    ]
    expected = metrics.frechet_distance(*moments)
    found, slope = jax.value_and_grad(losses.moment_distance)(x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    # no shift and no scale of both, nor of one column of both, changes it: so none is learned
    scale = np.array([7.0, 1e-3, -2.0])
    np.testing.assert_allclose(losses.moment_distance(scale * x - 3, scale * y - 3), found)
    along = np.sum(slope * x + jax.grad(losses.moment_distance, 1)(x, y) * y)
    np.testing.assert_allclose(along, 0, atol=1e-10)
    check_grads(losses.moment_distance, (x, y), order=1, modes=["rev"], rtol=1e-6)


def test_moment_distance_over_padded_rows_and_its_gradient_are_exact():
    x, y = 100 + np.random.default_rng(9).standard_normal((2, 5, 3))
    x[:, 2] = y[:, 2] = 100.1
    value = jax.jit(
        jax.value_and_grad(lambda x, y, p=None: losses.moment_distance(x, y, present=p))
    )
    expected, slope = value(x, y)
    np.testing.assert_array_equal(slope[:, 2], 0)
    for garbage in (1e30, np.nan, np.inf):
        (wide, present), (other, _) = padded(x, garbage), padded(y, garbage)
        found, gradient = value(wide, other, present)
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        np.testing.assert_allclose(gradient[present], slope, rtol=1e-8, atol=1e-12)
        np.testing.assert_array_equal(gradient[~present], 0)
    assert np.isnan(losses.moment_distance(x, y, present=np.zeros(5, bool)))


@pytest.mark.parametrize("x", [np.zeros(3), np.zeros((0, 3)), np.zeros((2, 3, 1))])
def test_moment_distance_is_of_rows(x):
    with pytest.raises(InputError, match=r"must be \[N, D\]|start with a batch axis"):
        losses.moment_distance(x, x)


@pytest.mark.parametrize(
    ("kernel", "unbiased", "one_sided"),
    [
        (losses.gaussian_kernel(0.8), True, False),
        (losses.inverse_multiquadric_kernel(1.5), False, False),
        *((losses.linear_kernel, u, True) for u in (0, 1)),
    ],
)
def test_mmd2_over_padded_rows_and_its_gradient_are_exact(kernel, unbiased, one_sided):
    x, y = 100 + np.random.default_rng(7).standard_normal((2, 5, 3))
    y = y[:4]

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1))
    def value(x, y, x_present=None, y_present=None):
        return losses.mmd2(x, y, kernel, unbiased, x_present=x_present, y_present=y_present)

    def tables(garbage):
        (x_table, x_present), (y_table, y_present) = padded(x, garbage), padded(y, garbage, 8)
        yield x_table, y_table, x_present, y_present
        if one_sided:
            yield x, y_table, None, y_present
            yield x_table, y, x_present, None

    expected, slopes = jax.device_get(value(x, y))
    cases = [case for garbage in (1e30, np.nan, np.inf, -7.0) for case in tables(garbage)]
    for arguments in cases:
        found, gradients = jax.device_get(value(*arguments))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
        for gradient, slope, present in zip(gradients, slopes, arguments[2:], strict=True):
            present = np.ones(len(gradient), bool) if present is None else present
            np.testing.assert_allclose(gradient[present], slope, rtol=1e-7, atol=1e-10)
            np.testing.assert_array_equal(gradient[~present], 0)


def test_too_few_present_rows_give_no_number():
    x, one, none = np.zeros((3, 2)), np.array([True, False, False]), np.zeros(3, bool)
    assert np.isnan(mmd2(x, x, losses.linear_kernel, x_present=one))
    assert np.isnan(mmd2(x, x, losses.linear_kernel, unbiased=False, x_present=none))
    assert float(mmd2(x, x, losses.linear_kernel, unbiased=False, x_present=one)) == 0
    assert np.all(np.isnan(losses.covariance(x, none)))
    np.testing.assert_array_equal(losses.covariance(x, one), 0)


def test_bytes_are_not_multiplied_as_bytes():
    x = np.array([[200], [100]], np.uint8)
    np.testing.assert_array_equal(losses.linear_kernel(x, x), [[40000, 20000], [20000, 10000]])


@pytest.mark.parametrize("present", [np.ones(3), np.ones(4, bool), np.ones((3, 1), bool)])
def test_a_mask_is_a_truth_value_for_each_row(present):
    x = np.zeros((3, 2))
    for call in (
        lambda: losses.covariance(x, present),
        lambda: losses.mmd2(x, x, losses.linear_kernel, x_present=present),
        lambda: losses.mmd2(x, x, losses.linear_kernel, y_present=present),
        lambda: losses.kl_sparsity(x, 0.1, present),
    ):
        with pytest.raises(InputError, match=r"present must be bool \[3\]"):
            call()


def test_covariance_needs_rows():
    for shape in ((3,), (0, 2)):
        with pytest.raises(InputError, match=r"\[N, D\] of at least 1 row"):
            losses.covariance(np.zeros(shape))
