"""Estimates of the aggregate posterior against exact ones, and versions that are copied wrong."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from ae_jax import losses
from ae_jax.core import InputError
from ae_jax.probability import gaussian

pytestmark = pytest.mark.usefixtures("x64")

B, D, N = 8, 3, 1000
ROWS, COLUMNS = np.arange(B)[:, None], np.arange(D)[None]
MEAN = 1.2 * np.sin(1.0 + 0.9 * ROWS + 2.0 * COLUMNS)
LOG_VAR = -1.0 + 0.5 * np.cos(0.7 * ROWS * (COLUMNS + 1))
NOISE = 1.3 * np.sin(3.1 * ROWS + 1.3 * COLUMNS + 0.4)
Z = MEAN + np.exp(LOG_VAR / 2) * NOISE

#: The means of log q(z|x) - log q(z), log q(z) - sum log q(z_d), sum log q(z_d) - log p(z).
PARTS = {
    "mws": (8.62501487484, 13.9413517837, -20.500398845),
    "mss": (2.88982672929, -0.578482007796, -0.245376907998),
    "symmetric": (2.88803370237, -0.578733101118, -0.243332787757),
}
DIVERGENCE = 2.06596781349


def popular_weights(batch_size, data_size):
    """Copied from one place to the next: strides of M + 1 = B fill columns and no diagonal."""
    others = batch_size - 1
    weights = np.full((batch_size, batch_size), 1 / others)
    weights.reshape(-1)[:: others + 1] = 1 / data_size
    weights.reshape(-1)[1 :: others + 1] = (data_size - others) / (data_size * others)
    weights[others - 1, 0] = (data_size - others) / (data_size * others)
    return np.log(weights)


def pairs(z, mean, log_var):
    """log q(z_id | x_j), [d, i, j]."""
    return norm.logpdf(z.T[:, :, None], mean.T[:, None], np.exp(log_var.T / 2)[:, None])


def parts(log_weights, z=Z, mean=MEAN, log_var=LOG_VAR):
    joint, product = losses.aggregate_log_prob(pairs(z, mean, log_var), log_weights)
    own = np.sum(norm.logpdf(z, mean, np.exp(log_var / 2)), axis=1)
    prior = np.sum(norm.logpdf(z), axis=1)
    return [float(np.mean(x)) for x in (own - joint, joint - product, product - prior)]


@pytest.mark.parametrize("weights", PARTS)
def test_parts_of_the_divergence_of_a_fixed_batch(weights):
    found = parts(losses.aggregate_weights(B, N, weights))
    np.testing.assert_allclose(found, PARTS[weights], atol=2e-10)
    np.testing.assert_allclose(sum(found), DIVERGENCE, atol=1e-10)


def test_the_popular_weights_are_others():
    for weights in ("symmetric", "mss"):
        found = np.exp(losses.aggregate_weights(B, N, weights))
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
        np.testing.assert_allclose(np.diagonal(found), 1 / N, rtol=1e-12)
    popular = popular_weights(B, N)
    assert abs(np.exp(popular).sum(axis=1)[B - 2] - 1) > 0.1
    wrong = parts(popular)
    np.testing.assert_allclose(wrong, [1.73091438868, 0.0487995404326, 0.286253884376], atol=1e-10)
    assert np.min(np.abs(np.subtract(wrong, PARTS["mss"]))) > 0.5
    np.testing.assert_allclose(sum(wrong), DIVERGENCE, atol=1e-10)  # which cannot see it


def test_collapsed_posteriors_have_no_total_correlation_but_by_mws():
    collapsed = NOISE, 0 * MEAN, 0 * LOG_VAR
    for weights in ("symmetric", "mss"):
        found = parts(losses.aggregate_weights(B, N, weights), *collapsed)
        np.testing.assert_allclose(found, 0, atol=1e-13)
    found = parts(losses.aggregate_weights(B, N, "mws"), *collapsed)
    np.testing.assert_allclose(found[1], (D - 1) * np.log(N), rtol=1e-12)
    wrong = parts(popular_weights(B, N), *collapsed)
    np.testing.assert_allclose(wrong[1], -0.0329449648964, atol=1e-12)


def test_over_all_batches_stratified_weights_are_unbiased():
    size, batch, own, z = 6, 4, 2, 0.35
    q = norm.pdf(z, 1.2 * np.sin(1.0 + 0.9 * np.arange(size)), np.exp(-0.5))
    others = [n for n in range(size) if n != own]
    batches = [[own, *rest] for rest in itertools.permutations(others, batch - 1)]

    def estimates(log_weights):
        return [np.sum(np.exp(log_weights[0]) * q[rows]) for rows in batches]

    exact = np.mean(q)
    np.testing.assert_allclose(exact, 0.26651423962, atol=1e-11)
    for weights, mean, deviation in (
        ("symmetric", exact, 0.0418126025079),
        ("mss", exact, 0.0458034111631),
        ("mws", 0.0508993540848, 0.00627189037618),
    ):
        found = estimates(losses.aggregate_weights(batch, size, weights))
        np.testing.assert_allclose(np.mean(found), mean, atol=1e-11, err_msg=weights)
        np.testing.assert_allclose(np.std(found), deviation, atol=1e-11, err_msg=weights)


def test_a_batch_of_all_data_gives_the_exact_aggregate_posterior():
    whole = losses.aggregate_weights(6, 6)
    np.testing.assert_allclose(np.exp(whole), 1 / 6, rtol=1e-12)
    mss = np.exp(losses.aggregate_weights(6, 6, "mss")[0])
    np.testing.assert_allclose(mss, [1 / 6, 1 / 30, 0.2, 0.2, 0.2, 0.2], rtol=1e-12)
    joint, product = losses.aggregate_log_prob(
        pairs(Z, MEAN[:6], LOG_VAR[:6]), np.broadcast_to(whole[:1], (B, 6))
    )
    density = pairs(Z, MEAN[:6], LOG_VAR[:6])
    np.testing.assert_allclose(joint, logsumexp(density.sum(0), axis=1) - np.log(6), rtol=1e-12)
    each = logsumexp(density, axis=2) - np.log(6)
    np.testing.assert_allclose(product, each.sum(0), rtol=1e-12)


def test_of_two_the_other_stands_for_all_the_rest():
    for weights in ("symmetric", "mss"):
        found = np.exp(losses.aggregate_weights(2, 10, weights))
        np.testing.assert_allclose(found, [[0.1, 0.9], [0.9, 0.1]], rtol=1e-12)


def test_gradients_flow_through_all_posteriors():
    log_weights = losses.aggregate_weights(B, N)

    def total_correlation(mean):
        log_probs = jax.vmap(
            lambda z: gaussian.log_probs(jnp.broadcast_to(z[None], (B, D)), mean, LOG_VAR)
        )(jnp.asarray(Z)).transpose(2, 0, 1)
        joint, product = losses.aggregate_log_prob(log_probs, log_weights)
        return joint[0] - product[0]

    gradient = jax.jit(jax.grad(total_correlation))(MEAN)
    assert np.all(np.any(np.asarray(gradient) != 0, axis=1))


def test_covariance_penalties_of_a_fixed_batch():
    off, on = losses.covariance_penalties(MEAN)
    np.testing.assert_allclose(off, 0.860463000281, atol=1e-11)
    np.testing.assert_allclose(on, 0.252837623944, atol=1e-11)
    np.testing.assert_allclose(10 * off + 100 * on, 33.8883923972, atol=1e-9)
    off, on = losses.covariance_penalties(MEAN, np.exp(LOG_VAR))
    np.testing.assert_allclose(10 * off + 10 * on, 9.0685161761, atol=1e-9)
    # by 1 / (N - 1) it would be another
    wrong = np.cov(MEAN.T)
    diagonal = np.diagonal(wrong)
    wrong = 10 * np.sum((wrong - np.diag(diagonal)) ** 2) + 100 * np.sum((diagonal - 1) ** 2)
    np.testing.assert_allclose(wrong, 22.5855969247, atol=1e-9)


def test_covariance_penalties_at_the_prior_and_with_padding():
    # posteriors that are the prior have variance 1, of which the means have none
    off, on = losses.covariance_penalties(np.zeros((4, 3)))
    assert (float(off), float(on)) == (0, 3)
    off, on = losses.covariance_penalties(np.zeros((4, 3)), np.ones((4, 3)))
    assert (float(off), float(on)) == (0, 0)
    padded = [np.concatenate([x, np.full((2, D), 7.0)]) for x in (MEAN, np.exp(LOG_VAR))]
    found = losses.covariance_penalties(*padded, np.arange(B + 2) < B)
    np.testing.assert_allclose(
        found, losses.covariance_penalties(MEAN, np.exp(LOG_VAR)), rtol=1e-12
    )


def test_each_dimension_is_permuted_on_its_own():
    latent = np.arange(3 * 50.0).reshape(50, 3)
    found = np.asarray(losses.permuted_dimensions(jax.random.key(0), jnp.asarray(latent)))
    np.testing.assert_array_equal(np.sort(found, axis=0), latent)
    moved = (found - latent) / 3
    assert all(np.any(moved[:, i] != moved[:, j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_the_density_ratio_tells_the_total_correlation():
    zeros = np.zeros(4)
    np.testing.assert_allclose(losses.density_ratio_loss(zeros, zeros), np.log(2), rtol=1e-12)
    # of Gaussian latents of correlation rho, on a grid: q(z) against q(z_1) q(z_2)
    for rho, exact in ((0.9, 0.830365603411), (0.5, 0.143841036226)):
        axis = np.linspace(-9, 9, 400)
        x, y = np.meshgrid(axis, axis)
        product = norm.logpdf(x) + norm.logpdf(y)
        square = (x**2 - 2 * rho * x * y + y**2) / (1 - rho**2)
        joint = -0.5 * square - np.log(2 * np.pi) - 0.5 * np.log(1 - rho**2)
        cell = (axis[1] - axis[0]) ** 2
        best = joint - product
        np.testing.assert_allclose(np.sum(np.exp(joint) * best) * cell, exact, atol=1e-8)

        @jax.jit
        def loss(logit, p, q):
            both = losses.density_ratio_loss(logit, jnp.zeros_like(logit))
            other = losses.density_ratio_loss(jnp.zeros_like(logit), logit)
            half = 0.5 * jnp.log(2.0)
            return jnp.sum(p * (both - half) + q * (other - half))

        densities = np.exp(joint) * cell, np.exp(product) * cell
        slope = jax.jit(jax.grad(loss))(best, *densities)
        np.testing.assert_allclose(slope, 0, atol=1e-15)
        assert loss(best, *densities) < loss(0.9 * best, *densities)


def test_what_does_not_fit_is_refused():
    for batch, size, weights, message in (
        (1, 10, "symmetric", "a batch of 1 is not defined: use 2 or more"),
        (8, 7, "mss", "data_size is 7, less than the batch of 8"),
        (8, 10, "stratified", "unknown weights 'stratified': use symmetric, mss or mws"),
    ):
        with pytest.raises(InputError, match=message):
            losses.aggregate_weights(batch, size, weights)
    with pytest.raises(InputError, match=r"must be \[Z, S, B\] and \[S, B\]"):
        losses.aggregate_log_prob(np.zeros((1, 2, 3)), np.zeros((3, 2)))
