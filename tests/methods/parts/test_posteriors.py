"""The Gaussian posterior, read from an encoder's outputs."""

import jax
import numpy as np
import pytest
from scipy.stats import norm

from ae_jax.core import InputError
from ae_jax.methods import posteriors

pytestmark = pytest.mark.usefixtures("x64")

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
