"""Inverse transforms against the distributions that they are of."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import ndtri
from scipy import stats

from ae_jax.core import InputError
from ae_jax.probability import sampling
from tests.probability.sampling.fit import distance, fits

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(0)


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
    # masses 1 and 1, about a point at which there is none
    assert sampling.grid_distribution([0.0, 1.0, 3.0], [2.0, 0.0, 1.0]).tolist() == [0, 0.5, 1]
    quantile = jax.jit(sampling.grid_quantile(x, levels))
    u = np.array([[0.01, 0.5], [0.9, 0.999]])
    np.testing.assert_allclose(quantile(u), stats.norm.ppf(u), atol=1e-4)
    assert fits(
        jax.jit(lambda key: sampling.inverse_transform(key, quantile, (4000,)))(KEY), stats.norm.cdf
    )


@pytest.mark.parametrize("jitted", [False, True])
def test_rounded_sums_do_not_decrease_nor_grow_without_mass(jitted):
    """In single precision sums of thousands of numbers, made in parallel, do both."""

    def found(p, u):
        return sampling.discrete_quantile(p)(u)

    with jax.enable_x64(False):
        p = jnp.asarray(np.random.RandomState(0).uniform(size=5000) * (np.arange(5000) % 2))
        levels = jnp.cumsum(p) / jnp.sum(p)
        assert jnp.any(jnp.diff(levels)[p[1:] == 0] != 0)  # of which one of no mass would be found
        u = jnp.concatenate([levels, jnp.nextafter(levels, jnp.float32(0))])
        k = (jax.jit(found) if jitted else found)(p, u[u < 1])
        assert jnp.all(p[k] > 0)
        for bound, points in ((6, 2001), (8, 1001)):
            x = jnp.linspace(-bound, bound, points)
            distribution = sampling.grid_distribution(x, jax.scipy.stats.norm.pdf(x))
            middle = sampling.grid_quantile(x, distribution)(0.5)
            np.testing.assert_allclose(middle, 0, atol=1e-3)


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
