"""Samplers against the distributions they are of, by Kolmogorov and Smirnov's statistic."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import ndtri
from scipy import stats

from ae_jax.core import InputError
from ae_jax.probability import sampling

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(0)
#: Of sqrt(n) times the statistic, exceeded by 1 sample in 100.
CRITICAL = 1.6276


def distance(x, distribution):
    """The largest difference of a sample's distribution function from what it should be."""
    levels = distribution(np.sort(np.asarray(x)))
    n = len(levels)
    return max(np.max(np.arange(1, n + 1) / n - levels), np.max(levels - np.arange(n) / n))


def fits(x, distribution):
    return np.sqrt(len(x)) * distance(x, distribution) < CRITICAL


def exponential(u):
    return -jnp.log1p(-u) / 2


def cauchy(u):
    return jnp.tan(np.pi * (u - 0.5))


CONTINUOUS = {
    "exponential": (exponential, stats.expon(scale=0.5).cdf),
    "normal": (ndtri, stats.norm.cdf),
    "Cauchy": (cauchy, stats.cauchy.cdf),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_inverse_transform(name):
    quantile, distribution = CONTINUOUS[name]
    # of the middles of 100 equal cells it is half a cell
    x = quantile((np.arange(100) + 0.5) / 100)
    np.testing.assert_allclose(distance(x, distribution), 0.005, rtol=1e-9)
    draw = jax.jit(functools.partial(sampling.inverse_transform, quantile=quantile, shape=(4000,)))
    x = draw(KEY)
    assert fits(x, distribution)
    assert not fits(1.2 * x + 0.2, distribution)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_uniform_numbers_are_in_the_open_interval(dtype, monkeypatch):
    u = sampling.uniform(KEY, (1000,), dtype)
    assert u.dtype == dtype
    assert fits(u, stats.uniform.cdf)
    # the least and the largest number that JAX may draw
    eps = jnp.finfo(dtype).eps
    monkeypatch.setattr(jax.random, "uniform", lambda *_: jnp.asarray([0, 1 - eps], dtype))
    low, high = np.asarray(sampling.uniform(KEY, (2,), dtype))
    assert (low, 1 - high) == (eps / 2, eps / 2)
    for quantile, _ in CONTINUOUS.values():
        x = sampling.inverse_transform(KEY, jax.jit(quantile), (2,), dtype)
        assert np.all(np.isfinite(x))
        assert x[0] < x[1]
    assert ndtri(jnp.zeros(1, dtype)) == -np.inf  # what 0 itself would give


def test_discrete_inverse_transform():
    p = np.arange(1, 6) / 15
    quantile = sampling.discrete_quantile(p)
    np.testing.assert_array_equal(quantile(np.array([0.2, 0.4, 0.6, 0.99])), [2, 3, 3, 4])
    # boundaries: the least k of which F(k) is above u
    halves = sampling.discrete_quantile(np.array([0, 2.0, 0, 2.0, 0]))
    u = np.array([0.0, 0.4999, 0.5, 0.9999999])
    np.testing.assert_array_equal(halves(u), [1, 1, 3, 3])
    draws = jax.jit(lambda key: sampling.inverse_transform(key, quantile, (3000,)))(KEY)
    assert jnp.issubdtype(draws.dtype, jnp.integer)
    counts = np.bincount(draws, minlength=5)
    assert stats.chisquare(counts, 3000 * p).pvalue > 0.01
    assert stats.chisquare(counts, np.full(5, 600.0)).pvalue < 1e-6


def test_a_distribution_function_on_a_grid():
    x = np.sinh(np.linspace(-2.8, 2.8, 4001))  # not equally spaced
    levels = sampling.grid_distribution(x, 3 * np.exp(-(x**2) / 2))
    np.testing.assert_allclose(levels, stats.norm.cdf(x), atol=2e-6)
    quantile = jax.jit(sampling.grid_quantile(x, levels))
    u = np.array([[0.01, 0.5], [0.9, 0.999]])
    np.testing.assert_allclose(quantile(u), stats.norm.ppf(u), atol=1e-4)
    assert fits(
        jax.jit(lambda key: sampling.inverse_transform(key, quantile, (4000,)))(KEY), stats.norm.cdf
    )


def test_a_grid_with_gaps_and_cut_tails():
    # mass 1/3 on [0, 1], none on [1, 3], 2/3 on [3, 4], and levels that begin at 0.2
    x, levels = np.array([0.0, 1, 2, 3, 4]), 0.2 + np.array([0, 0.1, 0.1, 0.1, 0.3])
    quantile = jax.jit(sampling.grid_quantile(x, levels))
    u = np.array([0.0, 1 / 6, 0.34, 2 / 3, 0.999999999])
    expected = [0, 0.5, 3.01, 3.5, 4]
    np.testing.assert_allclose(quantile(u), expected, atol=1e-8)
    draws = quantile(sampling.uniform(KEY, (1000,)))
    assert not np.any((draws > 1) & (draws < 3))
    assert (np.min(draws), np.max(draws)) > (0, 3.9)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (sampling.grid_quantile, ([0.0, 1.0], [0.0]), r"got \[2\] and \[1\]"),
        (sampling.grid_quantile, ([0.0], [0.0]), "2 or more"),
        (sampling.grid_quantile, ([0.0, 0.0], [0.0, 1.0]), "points of a grid must increase"),
        (sampling.grid_quantile, ([0.0, 1.0], [1.0, 0.0]), "may not decrease"),
        (sampling.grid_quantile, ([0.0, 1.0], [1.0, 1.0]), "must increase"),
        (sampling.grid_distribution, ([0.0, 1.0], [-1.0, 1.0]), "0 or more"),
        (sampling.grid_distribution, ([0.0, 1.0], [0.0, 0.0]), "not 0 everywhere"),
        (sampling.discrete_quantile, ([0.5, -0.5],), "0 or more"),
        (sampling.discrete_quantile, ([0.0, 0.0],), "not all 0"),
        (sampling.discrete_quantile, ([np.nan, 1.0],), "must be finite"),
        (sampling.discrete_quantile, (np.ones((2, 2)),), r"must be \[K\], got \[2, 2\]"),
        (sampling.discrete_quantile, ([],), r"must be \[K\], got \[0\]"),
    ],
)
def test_what_is_no_distribution_is_refused(function, arguments, message):
    with pytest.raises(InputError, match=message):
        function(*map(np.asarray, arguments))


# p(x) = 2 N(x; 0, 1) on x > 0 by q(x) = exp(-x): M = sqrt(2 e / pi), where x = 1
BOUND = 1.315489246958914
HALF_NORMAL = (
    lambda x: jnp.where(x < 0, -jnp.inf, 0.5 * np.log(2 / np.pi) - x**2 / 2),
    lambda x: -x,
    lambda key, count: -jnp.log(sampling.uniform(key, (count,))),
)
propose = jax.jit(sampling.propose, static_argnames=("target", "proposal", "sampler", "count"))
reject = jax.jit(
    sampling.reject, static_argnames=("target", "proposal", "sampler", "count", "rounds")
)


def test_a_fixed_number_of_proposals():
    n = 10_000
    proposed = propose(KEY, *HALF_NORMAL, np.log(BOUND), n)
    assert proposed.x.shape == proposed.accepted.shape == (n,)
    # 1 / M, and its standard error of 0.0043
    assert abs(proposed.acceptance - 0.7601734505331403) < 3 * 0.004269774884436878
    np.testing.assert_allclose(proposed.acceptance, np.mean(proposed.accepted))
    assert fits(np.asarray(proposed.x)[np.asarray(proposed.accepted)], stats.halfnorm.cdf)
    assert fits(proposed.x, stats.expon.cdf)
    assert 0.999 < proposed.largest <= 1 + 1e-12
    assert sampling.checked(proposed) is proposed


def test_a_sample_of_a_given_size():
    count, lanes = 2000, 3
    draw = jax.jit(jax.vmap(lambda key: sampling.reject(key, *HALF_NORMAL, np.log(BOUND), count)))
    keys = jax.random.split(jax.random.key(1), lanes)
    drawn = draw(keys)
    assert drawn.x.shape == (lanes, count)
    for x in drawn.x:
        assert fits(x, stats.halfnorm.cdf)
        assert not fits(x, stats.expon.cdf)
    assert sampling.checked(drawn) is drawn
    np.testing.assert_array_equal(drawn.filled, count)
    # a sample takes M proposals on average, with a variance of M (M - 1)
    error = np.sqrt(0.41502271190561646 / count)
    np.testing.assert_allclose(drawn.trials / count, BOUND, atol=4 * error)
    np.testing.assert_allclose(drawn.acceptance, count / drawn.trials)
    # lanes do not see each other
    alone = reject(keys[1], *HALF_NORMAL, np.log(BOUND), count)
    np.testing.assert_array_equal(alone.x, drawn.x[1])
    assert alone.trials == drawn.trials[1]


def test_the_draws_are_the_first_accepted_proposals():
    count = 50
    drawn = reject(KEY, *HALF_NORMAL, np.log(BOUND), count)
    accepted, trials, key = [], 0, KEY
    while len(accepted) < count:
        key, own = jax.random.split(key)
        proposed = propose(own, *HALF_NORMAL, np.log(BOUND), count)
        for x, taken in zip(proposed.x, proposed.accepted, strict=True):
            trials += len(accepted) < count
            accepted += [x] * bool(taken)
    np.testing.assert_array_equal(drawn.x, accepted[:count])
    assert drawn.trials == trials


def test_the_number_of_trials_is_geometric():
    draw = jax.jit(jax.vmap(lambda key: sampling.reject(key, *HALF_NORMAL, np.log(BOUND), 1)))
    trials = np.asarray(draw(jax.random.split(KEY, 4000)).trials)
    observed = [np.sum(trials == i) for i in range(1, 4)] + [np.sum(trials > 3)]
    p = 0.7601734505331403
    expected = np.array([p, p * (1 - p), p * (1 - p) ** 2, (1 - p) ** 3]) * len(trials)
    assert stats.chisquare(observed, expected).pvalue > 0.01


BETA = (
    lambda x: jnp.log(6 * x * (1 - x)),
    lambda x: jnp.zeros_like(x),
    lambda key, count: sampling.uniform(key, (count,)),
)
DISC = (
    lambda x: jnp.where(jnp.sum(x**2, axis=1) < 1, 0.0, -jnp.inf),
    lambda x: jnp.full(len(x), -np.log(4)),
    lambda key, count: 2 * sampling.uniform(key, (count, 2)) - 1,
)


@pytest.mark.parametrize(
    ("densities", "log_bound", "acceptance"),
    # the disc's density is not normalised: its area is pi, which the rate estimates over 4
    [(BETA, np.log(1.5), 2 / 3), (DISC, np.log(4), 0.7853981633974483)],
)
def test_acceptance(densities, log_bound, acceptance):
    proposed = propose(KEY, *densities, log_bound, 10_000)
    error = np.sqrt(acceptance * (1 - acceptance) / 10_000)
    assert abs(proposed.acceptance - acceptance) < 3 * error
    x = np.asarray(proposed.x)[np.asarray(proposed.accepted)]
    if densities is BETA:
        assert fits(x, stats.beta(2, 2).cdf)
    else:
        assert fits(np.sum(x**2, axis=1), stats.uniform.cdf)


def test_acceptance_falls_with_the_dimension():
    # a Gaussian by one that is 1.1 times as wide: M = 1.1^d
    for dimension, bound in ((1, 1.1), (10, 2.5937424601000023)):
        proposed = propose(
            KEY,
            lambda x: -jnp.sum(x**2, axis=1) / 2,
            lambda x: -jnp.sum(x**2, axis=1) / 2 / 1.21 - x.shape[1] * np.log(1.1),
            lambda key, count, d=dimension: 1.1 * jax.random.normal(key, (count, d)),
            np.log(bound),
            4000,
        )
        error = np.sqrt((1 - 1 / bound) / bound / 4000)
        assert abs(proposed.acceptance - 1 / bound) < 3 * error
    np.testing.assert_allclose(1.1**100, 13780.61233982238)


def test_an_envelope_below_the_density_is_found():
    low = np.log(BOUND / 1.25)
    message = "density, which is 1.2(5|49.*) times as large at a proposal: use a bound at least 1.2"
    # while sampling, where nothing is traced
    with pytest.raises(InputError, match=message):
        sampling.reject(KEY, *HALF_NORMAL, low, 500)
    # or else no sample is returned
    drawn = reject(KEY, *HALF_NORMAL, low, 500)
    assert np.all(np.isnan(drawn.x))
    proposed = propose(KEY, *HALF_NORMAL, low, 500)
    for result in (drawn, proposed):
        np.testing.assert_allclose(result.largest, 1.25, rtol=1e-3)
        with pytest.raises(InputError, match=message):
            sampling.checked(result)
    # one lane is enough
    draw = jax.vmap(
        lambda key, bound: sampling.reject(key, *HALF_NORMAL, bound, 100), in_axes=(0, 0)
    )
    drawn = jax.jit(draw)(jax.random.split(KEY), np.array([np.log(BOUND), low]))
    np.testing.assert_array_equal(np.any(np.isnan(drawn.x), axis=1), [False, True])
    with pytest.raises(InputError, match=message):
        sampling.checked(drawn)


def test_an_envelope_that_touches_the_density_is_no_error_in_single_precision():
    same = (
        lambda x: (-(x**2) / 2 * 3) / 3 + 1e-6,
        lambda x: -(x**2) / 2,
        lambda key, count: jax.random.normal(key, (count,), jnp.float32),
    )
    drawn = sampling.reject(KEY, *same, np.float32(0), 100)
    assert drawn.x.dtype == jnp.float32
    assert drawn.largest > 1


def test_proposals_that_run_out():
    nowhere = (lambda x: jnp.full_like(x, -jnp.inf), *HALF_NORMAL[1:])
    drawn = reject(KEY, *nowhere, 0.0, 5, rounds=7)
    assert (drawn.filled, drawn.trials, drawn.largest) == (0, 35, 0)
    assert np.all(np.isnan(drawn.x))
    with pytest.raises(InputError, match="35 proposals gave 0 of 5 samples: use a proposal"):
        sampling.checked(drawn)
    few = reject(KEY, *HALF_NORMAL, np.log(4 * BOUND), 40, rounds=1)
    assert 0 < few.filled < 40
    np.testing.assert_array_equal(np.isnan(few.x), np.arange(40) >= few.filled)


def test_densities_that_are_not_numbers():
    strange = (lambda x: jnp.log(x - 1), *HALF_NORMAL[1:])
    drawn = reject(KEY, *strange, 0.0, 5, rounds=7)
    with pytest.raises(InputError, match="are not numbers"):
        sampling.checked(drawn)


def test_what_is_no_sampler_is_refused():
    target, proposal, sampler = HALF_NORMAL
    for count in (0, 1.5):
        with pytest.raises(InputError, match=f"1 or more, not {count}"):
            sampling.propose(KEY, target, proposal, sampler, 0.0, count)
        with pytest.raises(InputError, match=f"1 or more, not {count}"):
            sampling.reject(KEY, target, proposal, sampler, 0.0, 5, rounds=count)
    with pytest.raises(InputError, match=r"log-densities \[5\], got \[5\], the target's \[5, 1\]"):
        sampling.propose(KEY, lambda x: x[:, None], proposal, sampler, 0.0, 5)
    with pytest.raises(InputError, match=r"got \[5, 2\].* the proposal's \[5, 2\]"):
        sampling.reject(
            KEY,
            lambda x: x[:, 0],
            lambda x: x,
            lambda key, count: jnp.zeros((count, 2)),
            0.0,
            5,
        )
    with pytest.raises(InputError, match="must give floats, not int"):
        sampling.reject(
            KEY,
            lambda x: jnp.zeros(len(x)),
            lambda x: jnp.zeros(len(x)),
            lambda key, count: jnp.arange(count),
            0.0,
            5,
        )


def test_noise_that_is_pushed_through_a_map():
    z = np.linspace(-2, 2, 9)
    # y = exp(z / 2 + 1) of a standard normal z is log-normal
    pushed = jax.jit(
        lambda z, log_density: sampling.pushed(lambda z: jnp.exp(z / 2 + 1), z, log_density)
    )
    y, log_density = pushed(z, stats.norm.logpdf(z))
    np.testing.assert_allclose(y, np.exp(z / 2 + 1), rtol=1e-14)
    expected = stats.lognorm(0.5, scale=np.e).logpdf(y)
    np.testing.assert_allclose(log_density, expected, rtol=1e-12)
    y, log_density = sampling.pushed(lambda z: 1 - 3 * z, z, stats.norm.logpdf(z))
    np.testing.assert_allclose(log_density, stats.norm(1, 3).logpdf(y), rtol=1e-12)


def test_noise_of_several_dimensions():
    z = np.random.default_rng(0).normal(size=(6, 3))
    mixing = np.array([[1.0, 2, 0], [0, -1, 1], [1, 0, 3]])
    log_density = stats.multivariate_normal(np.zeros(3)).logpdf(z)
    y, log_density = jax.jit(
        lambda z, log_density: sampling.pushed(lambda z: mixing @ z + 1, z, log_density)
    )(z, log_density)
    expected = stats.multivariate_normal(np.ones(3), mixing @ mixing.T).logpdf(y)
    np.testing.assert_allclose(log_density, expected, rtol=1e-10)
    with pytest.raises(InputError, match=r"got \[6, 3\], mapped to \[6, 2\]"):
        sampling.pushed(lambda z: z[:2], z, log_density)


def test_the_density_of_a_map_that_folds():
    z = np.linspace(-8, 8, 20_001)
    y = np.array([-0.5, 0.01, 0.3, 1.0, 4.0])
    push = jax.jit(sampling.pushed_density, static_argnums=0)
    density = push(jnp.square, z, stats.norm.pdf(z), y)
    # z^2 is a chi-square variable: both roots count
    np.testing.assert_allclose(density, stats.chi2(1).pdf(y), rtol=2e-2)
    np.testing.assert_allclose(density[2:], stats.chi2(1).pdf(y)[2:], rtol=2e-3)
    one_root = stats.norm.pdf(np.sqrt(y[3])) / (2 * np.sqrt(y[3]))
    np.testing.assert_allclose(density[3], 2 * one_root, rtol=2e-3)
    # a half that is flat is a point mass, which no density has
    density = push(jax.nn.relu, z, stats.norm.pdf(z), np.array([0.0, 1.0]))
    np.testing.assert_allclose(density, stats.norm.pdf([0, 1]), rtol=1e-3)
