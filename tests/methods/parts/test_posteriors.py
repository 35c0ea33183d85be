"""The Gaussian posterior, read from an encoder's outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, multivariate_normal, norm

from ae_jax.core import InputError
from ae_jax.methods import posteriors

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(0)
OUTPUTS = np.random.default_rng(0).standard_normal((5, 4))
Z = np.random.default_rng(1).standard_normal((5, 2))


@pytest.mark.parametrize("bound", [None, 0.8])
def test_outputs_are_means_and_log_variances(bound):
    posterior = posteriors.gaussian(bound)
    assert (posterior.outputs(2), posterior.support) == (4, "plane")
    found = posterior.read(OUTPUTS, 2, {})
    mean, log_var = OUTPUTS[:, :2], OUTPUTS[:, 2:]
    if bound is not None:
        log_var = bound * np.tanh(log_var / bound)
    deviation = np.exp(log_var / 2)
    single = norm.logpdf(Z, mean, deviation)
    np.testing.assert_allclose(posterior.log_probs(Z, found), single, rtol=1e-12)
    np.testing.assert_allclose(posterior.log_prob(Z, found), single.sum(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(posterior.mean(found), mean)
    np.testing.assert_allclose(posterior.variance(found), deviation**2, rtol=1e-12)
    kl = (mean**2 + deviation**2 - 2 * np.log(deviation) - 1).sum(axis=1) / 2
    np.testing.assert_allclose(posterior.kl_standard(found), kl, rtol=1e-12)
    key = jax.random.key(0)
    noise = jax.random.normal(key, (10,), float).reshape(5, 2)
    np.testing.assert_allclose(posterior.sample(key, found), mean + deviation * noise, rtol=1e-12)


def test_refuses():
    with pytest.raises(InputError, match=r"of 3 latents, \[B, 6\], and gives \[5, 4\]"):
        posteriors.gaussian().read(OUTPUTS, 3, {})
    with pytest.raises(InputError, match="log_var_bound is 0: use more than 0"):
        posteriors.gaussian(0)


def test_the_uniform_one_is_rounding_as_it_is_trained():
    posterior, key = posteriors.uniform(), jax.random.key(4)
    centre = posterior.read(3 * OUTPUTS, 4, {})
    assert (posterior.outputs(4), posterior.support) == (4, "plane")
    np.testing.assert_array_equal(posterior.mean(centre), np.rint(3 * OUTPUTS))
    slope = jax.grad(lambda x: jnp.sum(posterior.mean(x) ** 2))(centre)
    np.testing.assert_allclose(slope, 2 * np.rint(3 * OUTPUTS))
    wide = jnp.broadcast_to(centre[:1], (20_000, 4))
    drawn = posterior.sample(key, wide)
    assert kstest(np.ravel(drawn - wide) + 0.5, "uniform").pvalue > 0.01
    np.testing.assert_array_equal(posterior.log_prob(drawn, wide), 0)
    np.testing.assert_array_equal(posterior.variance(centre), np.full((5, 4), 1 / 12))
    # KL(q || N(0, I)) = -E log N(z; 0, I), as log q = 0
    inside = np.linspace(-0.5, 0.5, 2001)[:, None, None] + np.asarray(centre)[None]
    expected = -np.trapezoid(norm.logpdf(inside), axis=0, dx=1 / 2000).sum(axis=1)
    np.testing.assert_allclose(posterior.kl_standard(centre), expected, rtol=1e-6)


def test_draws_at_the_edge_of_the_uniform_one_are_inside_in_single_precision():
    centre = jnp.asarray([[1000.3, -3e4, 0.0, 1e6]], jnp.float32)
    posterior = posteriors.uniform()
    for edge in (-0.5, 0.5):
        np.testing.assert_array_equal(posterior.log_prob(centre + jnp.float32(edge), centre), 0)
    assert posterior.log_prob(centre + jnp.float32(0.51), centre) == -np.inf
    assert (
        np.asarray(posterior.log_probs(jnp.zeros(2), jnp.zeros(2) + 0.6)).tolist() == [-np.inf] * 2
    )


def test_the_uniform_one_refuses():
    with pytest.raises(InputError, match=r"centres of 3 latents, \[B, 3\], and gives \[5, 4\]"):
        posteriors.uniform().read(OUTPUTS, 3, {})


def test_the_gaussian_of_any_covariance():
    posterior = posteriors.full_gaussian()
    assert posterior.outputs(3) == 9
    outputs = jax.random.normal(KEY, (4, 9))
    parameters = posterior.read(outputs, 3, {})
    lower = np.zeros((4, 3, 3))
    lower[:, *np.tril_indices(3)] = outputs[:, 3:]
    diagonal = np.arange(3)
    lower[:, diagonal, diagonal] = np.exp(lower[:, diagonal, diagonal])
    np.testing.assert_allclose(parameters.triangle, lower, rtol=1e-12)
    z, covariance = np.random.default_rng(0).normal(size=(4, 3)), lower @ lower.swapaxes(1, 2)
    pairs = list(zip(np.asarray(outputs[:, :3]), covariance, strict=True))
    expected = [multivariate_normal(*own).logpdf(one) for own, one in zip(pairs, z, strict=True)]
    np.testing.assert_allclose(posterior.log_prob(z, parameters), expected, rtol=1e-10)
    kl = [(np.trace(c) + m @ m - 3 - np.linalg.slogdet(c)[1]) / 2 for m, c in pairs]
    np.testing.assert_allclose(posterior.kl_standard(parameters), kl, rtol=1e-10)
    wide = jax.tree.map(lambda own: jnp.broadcast_to(own[:1], (20_000, *own.shape[1:])), parameters)
    drawn = np.asarray(posterior.sample(KEY, wide))
    np.testing.assert_allclose(drawn.mean(axis=0), outputs[0, :3], atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), covariance[0], rtol=0.1, atol=0.1)
    # zeros say: the standard one
    plain = posterior.read(jnp.zeros((1, 9)), 3, {})
    np.testing.assert_array_equal(posterior.kl_standard(plain), 0)
