import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import sqrtm

from ae_jax.core import InputError
from ae_jax.metrics import gaussian_total_correlation, wasserstein_correlation
from tests.metrics.disentanglement.known import known


def with_covariance(covariance, count=500):
    """Examples whose covariance, by 1 / (N - 1), is exactly the one given."""
    rng = np.random.default_rng(0)
    white = rng.standard_normal((count, len(covariance)))
    white = np.linalg.qr(white - white.mean(axis=0))[0] * np.sqrt(count - 1)
    return white @ np.linalg.cholesky(covariance).T + 3


def test_values_of_known_codes(x64):
    latents = known()[0]
    np.testing.assert_allclose(gaussian_total_correlation(latents), 0.075063457581, rtol=1e-10)
    np.testing.assert_allclose(wasserstein_correlation(latents), 0.067414104868, rtol=1e-10)


def test_gaussians_of_known_covariance(x64):
    independent = with_covariance(np.diag([1.0, 4, 9]))
    np.testing.assert_allclose(gaussian_total_correlation(independent), 0, atol=1e-12)
    np.testing.assert_allclose(wasserstein_correlation(independent), 0, atol=1e-12)
    correlated = with_covariance(np.array([[1, 0.9], [0.9, 1]]))
    # -1/2 log(1 - 0.9^2), and 4 - 2 (1.9^0.5 + 0.1^0.5)
    np.testing.assert_allclose(gaussian_total_correlation(correlated), 0.830365603411, rtol=1e-10)
    expected = 4 - 2 * (np.sqrt(1.9) + np.sqrt(0.1))
    np.testing.assert_allclose(wasserstein_correlation(correlated), expected, rtol=1e-10)


def test_other_scales_and_constants(x64):
    rng = np.random.default_rng(1)
    latents = rng.standard_normal((40, 4)) @ rng.standard_normal((4, 4))
    covariance = np.cov(latents.T)
    moved = latents * [1e-200, -1, 1e3, 1] + [0, 5, 0, 1e4]
    expected = -0.5 * np.linalg.slogdet(np.corrcoef(latents.T))[1]
    np.testing.assert_allclose(gaussian_total_correlation(moved), expected, rtol=1e-9)
    root = sqrtm(covariance * np.diag(covariance)[:, None])
    expected_distance = 2 * np.trace(covariance) - 2 * np.trace(root).real
    np.testing.assert_allclose(
        wasserstein_correlation(latents * [1, -1, 1, 1] + 7), expected_distance, rtol=1e-9
    )
    still = np.insert(latents, 2, 1e7 + 0.3, axis=1)
    np.testing.assert_allclose(gaussian_total_correlation(still), expected, rtol=1e-12)
    np.testing.assert_allclose(wasserstein_correlation(still), expected_distance, rtol=1e-9)
    assert gaussian_total_correlation(np.ones((3, 2))) == 0
    assert wasserstein_correlation(np.ones((3, 2))) == 0


def test_a_function_of_other_latents_is_all_but_infinite():
    latents = np.random.default_rng(0).standard_normal((30, 2)).astype(np.float32)
    doubled = np.concatenate([latents, latents.sum(axis=1, keepdims=True)], axis=1)
    assert gaussian_total_correlation(doubled) > 10
    assert gaussian_total_correlation(doubled[:2]) > 10  # two examples lie on a line
    assert np.isfinite(wasserstein_correlation(doubled))


@pytest.mark.parametrize("score", [gaussian_total_correlation, wasserstein_correlation])
def test_far_from_zero_nothing_is_lost_to_rounding(score):
    mixed = np.random.default_rng(0).standard_normal((777, 3)) @ [[9, 1, 2], [1, 9, 8], [0, 3, 9]]
    whole = np.round(mixed).astype(np.float32)
    far = whole + np.float32(2**23)  # where numbers are whole
    np.testing.assert_allclose(score(far), score(whole), rtol=1e-4)


@pytest.mark.parametrize("score", [gaussian_total_correlation, wasserstein_correlation])
def test_lanes_precision_and_broken_latents(score):
    latents = known(count=60)[0].astype(np.float32)
    lanes = np.stack([latents, latents[:, ::-1] ** 3, latents * 0])
    found = jax.jit(jax.vmap(score))(lanes)
    np.testing.assert_allclose(found, [score(lane) for lane in lanes], rtol=1e-4, atol=1e-6)
    half = latents.astype(jnp.bfloat16)
    assert score(half).dtype == jnp.float32
    broken = np.where(np.arange(60)[:, None] == 7, np.nan, latents)
    assert np.isnan(jax.jit(score)(broken))
    for wrong, message in ((broken, "not finite"), (latents[:1], "2 examples"), (latents[0], "D")):
        with pytest.raises(InputError, match=message):
            score(wrong)
