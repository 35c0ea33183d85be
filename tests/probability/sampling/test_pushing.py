"""Noise pushed through maps, against densities that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ae_jax.core import InputError
from ae_jax.probability import sampling

pytestmark = pytest.mark.usefixtures("x64")


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
