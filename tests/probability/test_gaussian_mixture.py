"""Mixtures of Gaussians against SciPy's densities, and their gradients against what they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import special, stats

from ae_jax.core import InputError
from ae_jax.probability import gaussian, gaussian_mixture

MEAN = np.array([[-1.5, 0.2], [0.0, 2.0], [0.7, -1.0]])
LOG_VAR = np.array([[0.5, -3.0], [1.0, 0.0], [-1.0, 0.3]])
LOGITS = np.array([2.0, 1.0, -1.0])  # of weights that do not add up to 1 before they are divided
WEIGHTS = special.softmax(LOGITS)
MIXTURE = (MEAN, LOG_VAR, LOGITS)
Z = np.random.default_rng(0).normal(size=(5, 2), scale=2)


def joint(z):
    densities = [
        stats.multivariate_normal(m, np.diag(v)).pdf(z)
        for m, v in zip(MEAN, np.exp(LOG_VAR), strict=True)
    ]
    return WEIGHTS * np.stack(densities, axis=1)


@pytest.mark.usefixtures("x64")
def test_densities_are_scipys():
    @jax.jit
    def found(z):
        return (
            gaussian_mixture.log_joint(z, *MIXTURE),
            gaussian_mixture.log_prob(z, *MIXTURE),
            gaussian_mixture.log_responsibilities(z, *MIXTURE),
        )

    together, alone, responsible = found(Z)
    np.testing.assert_allclose(together, np.log(joint(Z)), rtol=1e-12)
    np.testing.assert_allclose(alone, np.log(joint(Z).sum(axis=1)), rtol=1e-12)
    shares = joint(Z) / joint(Z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(responsible), shares, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_far_from_all_components_nothing_is_lost():
    # where the densities themselves are 0
    far = Z + np.array([[60.0, -80.0]])
    assert joint(far).sum() == 0
    nats = (far[:, None] - MEAN) ** 2 / np.exp(LOG_VAR) + LOG_VAR + np.log(2 * np.pi)
    expected = special.logsumexp(-0.5 * nats.sum(axis=2) + np.log(WEIGHTS), axis=1)
    found = jax.jit(gaussian_mixture.log_prob)(far, *MIXTURE)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_gradients_are_what_responsibilities_make_of_them():
    def log_likelihood(z, mean, log_var, logits):
        return jnp.sum(gaussian_mixture.log_prob(z, mean, log_var, logits))

    of_z, of_mean, of_log_var, of_logits = jax.jit(jax.grad(log_likelihood, range(4)))(Z, *MIXTURE)
    shares = joint(Z) / joint(Z).sum(axis=1, keepdims=True)
    pull = (Z[:, None] - MEAN) / np.exp(LOG_VAR)
    np.testing.assert_allclose(of_z, -np.einsum("bk,bkz->bz", shares, pull), rtol=1e-10)
    np.testing.assert_allclose(of_mean, np.einsum("bk,bkz->kz", shares, pull), rtol=1e-10)
    spread = (pull**2 * np.exp(LOG_VAR) - 1) / 2
    np.testing.assert_allclose(of_log_var, np.einsum("bk,bkz->kz", shares, spread), rtol=1e-10)
    np.testing.assert_allclose(of_logits, (shares - WEIGHTS).sum(axis=0), rtol=1e-10)
    check_grads(jax.jit(log_likelihood), (Z, *MIXTURE), 1, ["rev"], rtol=1e-5)


def test_draws_are_of_the_mixture():
    given = [jnp.asarray(x, jnp.float32) for x in MIXTURE]
    drawn = jax.jit(gaussian_mixture.sample, static_argnums=1)(jax.random.key(1), 20_000, *given)
    for dimension in range(2):

        def below(z, dimension=dimension):
            deviation = np.exp(LOG_VAR[:, dimension] / 2)
            return stats.norm.cdf(z[:, None], MEAN[:, dimension], deviation) @ WEIGHTS

        assert stats.kstest(np.asarray(drawn[:, dimension]), below).pvalue > 0.01
    # dimensions belong together: of independent ones the covariance would be 0
    centred = MEAN - WEIGHTS @ MEAN
    covariance = (WEIGHTS * centred[:, 0]) @ centred[:, 1]
    np.testing.assert_allclose(np.cov(np.asarray(drawn).T)[0, 1], covariance, atol=0.05)
    assert abs(covariance) > 0.1


def test_one_component_is_a_gaussian_and_half_precision_is_summed_in_single():
    one = [jnp.asarray(x[:1], jnp.float32) for x in MIXTURE]
    z = jnp.asarray(Z, jnp.float32)

    @jax.jit
    def found(z):
        alone = gaussian.log_prob(z, *(jnp.tile(x, (5, 1)) for x in one[:2]))
        half = gaussian_mixture.log_prob(z.astype(jnp.bfloat16), *one)
        return gaussian_mixture.log_prob(z, *one), alone, half

    mixed, alone, half = found(z)
    np.testing.assert_array_equal(mixed, alone)
    assert half.dtype == jnp.float32
    with pytest.raises(InputError, match=r"got \[5, 2\], \[1, 2\], \[1, 2\] and \[3\]"):
        gaussian_mixture.log_joint(z, *one[:2], LOGITS)
