"""Bounds of a model of one dimension, and their gradients, by Gauss-Hermite quadrature."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from ae_jax.core import InputError
from ae_jax.methods import bounds
from ae_jax.methods.variational.bounds import Terms
from ae_jax.probability import gaussian

pytestmark = pytest.mark.usefixtures("x64")

# z ~ N(0, 1), x | z ~ N(z, 0.5) at x = 1.5, and a posterior N(0.4, exp(-0.8)) that is off
X, VARIANCE, MEAN, LOG_VAR = 1.5, 0.5, 0.4, -0.8
LIKELIHOOD = -1.87167108726
VALUES = {1: -2.4363583891, 2: -2.14305647351, 3: -2.04786374353, 4: -2.00146194187}
#: By the mean and the log-variance: means and variances of one draw's gradient of the bound.
SLOPES = {
    1: (1.8, -0.173993446176),
    2: (1.00797041925, 0.101909620707),
    3: (0.695683727595, 0.128837106746),
}
NOISE = {
    ("iwae", 1): (4.04396067705, 1.27249079191),
    ("iwae", 2): (2.5266150936, 0.39913767082),
    ("iwae", 3): (1.88110249691, 0.308874013913),
    ("dreg", 1): (0.269501605547, 0.424503899559),
    ("dreg", 2): (0.0939475327808, 0.0619245222672),
    ("dreg", 3): (0.0420605201549, 0.0207549958409),
}  # fmt: skip
STUCK = {"mean": (1.8, -0.173993446176), "variance": (0.269501605547, 0.424503899559)}


def nodes(count, order=40):
    """Noise of `count` draws, [K, order^K], and the weight of each."""
    at, weight = np.polynomial.hermite_e.hermegauss(order)
    grid = np.stack(np.meshgrid(*[at] * count, indexing="ij")).reshape(count, -1)
    weights = np.stack(np.meshgrid(*[weight / weight.sum()] * count, indexing="ij"))
    return grid, np.prod(weights.reshape(count, -1), axis=0)


def terms(bound, parameters, held, noise, hold_rest=False):
    """As a method has them: of K draws [K, B] by parameters [B]."""
    stop, mean, log_var = jax.lax.stop_gradient, *parameters
    z = mean[None] + jnp.exp(log_var / 2)[None] * noise
    own = stop(parameters) if bound.held else parameters
    x, scale = stop(held) if hold_rest else held

    def log_prob(x, mean, log_var):
        return -0.5 * ((x - mean) ** 2 * jnp.exp(-log_var) + log_var + jnp.log(2 * jnp.pi))

    error = -log_prob(x, scale * z, jnp.log(VARIANCE))
    return Terms(error, log_prob(z, own[0][None], own[1][None]) - log_prob(z, 0.0, 0.0))


@functools.partial(jax.jit, static_argnames="make")
def slopes(make, noise, parameters, beta=1.0, held=(X, 1.0)):
    """Of every node: the loss, and what is differentiated by the posterior's parameters and by a
    factor of the decoder."""
    bound = make(len(noise))
    size = noise.shape[1:]

    def lowered(parameters, factor):
        given = jnp.asarray(held[0]), factor[None]
        if bound.objective is None:
            loss = bound.loss(terms(bound, parameters, given, noise), {"beta": beta})
            return jnp.sum(loss), loss
        stopped = jax.lax.stop_gradient(parameters)
        first = terms(bound, stopped, given, noise)
        second = terms(bound, parameters, given, noise, hold_rest=True)
        numbers = {"beta": beta}
        return jnp.sum(bound.objective(first, second, numbers)), bound.loss(first, numbers)

    given = tuple(jnp.full(size, p) for p in parameters), jnp.full(size, held[1])
    (_, loss), gradient = jax.value_and_grad(lowered, (0, 1), has_aux=True)(*given)
    return loss, jnp.stack([*gradient[0], gradient[1]])


def moments(make, count, beta=1.0):
    """Means of minus the loss and its slopes, and variances of the slopes."""
    noise, weight = nodes(count)
    loss, slope = map(np.asarray, slopes(make, noise, (MEAN, LOG_VAR), beta))
    mean = -np.sum(weight * slope, axis=1)
    variance = np.sum(weight * (slope + mean[:, None]) ** 2, axis=1)
    return -np.sum(weight * loss), mean, variance


DREG, IWAE = bounds.doubly_reparametrised, bounds.iwae


@pytest.mark.parametrize("count", [1, 2, 3])
def test_both_importance_weighted_bounds_have_the_value_and_its_gradient(count):
    plain, doubly = moments(IWAE, count), moments(DREG, count)
    for name, (value, slope, noise) in (("iwae", plain), ("dreg", doubly)):
        np.testing.assert_allclose(value, VALUES[count], atol=2e-9, err_msg=name)
        np.testing.assert_allclose(slope[:2], SLOPES[count], atol=5e-9, err_msg=name)
        np.testing.assert_allclose(noise[:2], NOISE[name, count], rtol=1e-7, err_msg=name)
    # the decoder's gradient is the same, draw by draw
    np.testing.assert_allclose(plain[1][2], doubly[1][2], rtol=1e-10)
    np.testing.assert_allclose(plain[2][2], doubly[2][2], rtol=1e-10)


@pytest.mark.parametrize("beta", [0.4, 2.5])
def test_a_weighted_divergence_has_the_bounds_gradient_as_well(beta):
    # by finite differences of the quadrature
    noise, weight = nodes(2)

    def value(mean, log_var):
        loss, _ = slopes(IWAE, noise, (mean, log_var), beta)
        return -np.sum(weight * loss)

    step = 1e-5
    by_mean = value(MEAN + step, LOG_VAR) - value(MEAN - step, LOG_VAR)
    by_log_var = value(MEAN, LOG_VAR + step) - value(MEAN, LOG_VAR - step)
    expected = np.array([by_mean, by_log_var]) / (2 * step)
    for make in (IWAE, DREG):
        np.testing.assert_allclose(moments(make, 2, beta)[1][:2], expected, atol=1e-6)
    # for beta 1 the encoder's weights are squares; here they would be wrong
    assert np.max(np.abs(moments(DREG, 2)[1][:2] - expected)) > 0.1


def test_the_reported_loss_is_the_bound_and_not_the_surrogate():
    def popular(terms, hparams):
        log_weights = -terms.error - terms.divergence
        share = jax.lax.stop_gradient(jax.nn.softmax(log_weights, axis=0))
        return -jnp.sum(share * log_weights, axis=0)

    def make(count):
        return IWAE(count)._replace(loss=popular)

    value, slope, _ = moments(make, 2)
    np.testing.assert_allclose(slope[:2], SLOPES[2], atol=5e-9)  # right, which hides it
    np.testing.assert_allclose(value, -1.95125487902, atol=2e-9)
    assert value > VALUES[2] + 0.1


def test_weights_that_are_not_detached_have_another_gradient():
    def attached(terms, hparams):
        log_weights = -terms.error - terms.divergence
        return -jnp.sum(jax.nn.softmax(log_weights, axis=0) * log_weights, axis=0)

    slope = moments(lambda count: IWAE(count)._replace(loss=attached), 2)[1]
    assert np.max(np.abs(slope[:2] - SLOPES[2])) > 0.05


def test_sticking_the_landing_has_the_elbos_gradient_and_of_iwae_another_one():
    value, slope, noise = moments(bounds.sticking_the_landing, 1)
    np.testing.assert_allclose(value, VALUES[1], atol=2e-9)
    np.testing.assert_allclose(slope[:2], STUCK["mean"], atol=5e-9)
    np.testing.assert_allclose(noise[:2], STUCK["variance"], rtol=1e-7)
    # the mean of two draws: the same gradient, half the variance
    _, slope, noise = moments(bounds.sticking_the_landing, 2)
    np.testing.assert_allclose(slope[:2], STUCK["mean"], atol=5e-9)
    np.testing.assert_allclose(noise[:2], np.divide(STUCK["variance"], 2), rtol=1e-7)
    # held parameters alone do not make it right for an importance-weighted bound
    for count, mean, variance in (
        (2, [1.59553516876, 0.0735011896799], [0.168381168538, 0.142516381163]),
        (3, [1.51491741501, 0.149953282995], [0.125362283069, 0.0756718737854]),
    ):
        _, biased, noise = moments(lambda count: IWAE(count)._replace(held=True), count)
        np.testing.assert_allclose(biased[:2], mean, atol=5e-9)
        np.testing.assert_allclose(noise[:2], variance, rtol=1e-7)
        assert abs(biased[0] - SLOPES[count][0]) > 0.5


def test_at_the_exact_posterior_weights_are_constant_and_gradients_vanish():
    exact = (X / (1 + VARIANCE), np.log(VARIANCE / (1 + VARIANCE)))
    noise = np.array([[-1.3, 0.2, 2.1], [0.4, -0.9, 1.7]])
    for make in (bounds.sticking_the_landing, DREG):
        loss, slope = slopes(make, noise, exact)
        np.testing.assert_allclose(loss, -LIKELIHOOD, rtol=1e-10)
        np.testing.assert_allclose(slope[:2], 0, atol=1e-14)
    _, slope = slopes(functools.partial(bounds.elbo, "sampled"), noise, exact)
    assert np.min(np.abs(slope[:2])) > 1e-3


def test_the_elbo_is_that_of_a_closed_divergence():
    noise, weight = nodes(1)
    mean, log_var = np.full((1, 1), MEAN), np.full((1, 1), LOG_VAR)
    bound, parameters = bounds.elbo(), (mean[0], log_var[0])
    error = terms(bound, parameters, (X, 1.0), noise).error
    found = bound.loss(Terms(error, gaussian.kl_standard(mean, log_var)[None]), {"beta": 1.0})
    np.testing.assert_allclose(-np.sum(weight * found), VALUES[1], atol=2e-9)
    assert bound.closed
    assert not bounds.elbo("sampled").closed


def test_fixed_weights():
    log_weights = np.array([[-3.0, -90, 0.5], [-2, -91, 0.1], [-5, -89.5, 0.2], [-2.5, -300, -0.7]])
    draws = Terms(-log_weights, np.zeros((4, 3)))
    expected = [-2.6811211988, -90.2821637558, 0.111514596809]
    for make in (IWAE, DREG):
        np.testing.assert_allclose(-make(4).loss(draws, {"beta": 1.0}), expected, atol=1e-9)
    np.testing.assert_allclose(
        -bounds.elbo(samples=4).loss(draws, {"beta": 1.0}), log_weights.mean(axis=0)
    )
    # a mean over draws of bounds of fewer: sums and means run over axes of their own
    halves = [Terms(-log_weights[rows], np.zeros((2, 3))) for rows in (slice(2), slice(2, 4))]
    found = -np.mean([IWAE(2).loss(each, {"beta": 1.0}) for each in halves], axis=0)
    np.testing.assert_allclose(found, [-2.74707146965, -90.2865163368, 0.0839373830061], atol=1e-9)
    wrong = logsumexp(log_weights.mean(axis=0)) - np.log(3)
    assert abs(wrong - found[0]) > 1


@pytest.mark.parametrize("bound", [bounds.elbo, bounds.sticking_the_landing, IWAE, DREG])
def test_refuses(bound):
    for samples in (0, -1, 1.5):
        with pytest.raises(
            InputError, match=f"samples is {samples}: use a whole number, 1 or more"
        ):
            bound(samples=samples)
    with pytest.raises(InputError, match="unknown kl 'open': use closed or sampled"):
        bounds.elbo("open")


COMBINED = np.array([[-3.0, -90, 0.5], [-2, -91, 0.1], [-5, -89.5, 0.2], [-2.5, -300, -0.7]])


def bound_of(bound, log_weights, **numbers):
    draws = Terms(-log_weights, np.zeros(log_weights.shape))
    return -bound.loss(draws, {"beta": 1.0, **bound.hparams, **numbers})


def test_several_bounds_of_fewer_draws_are_means_over_their_own():
    miwae = bounds.multiply_importance_weighted
    expected = [-2.74707146965, -90.2865163368, 0.0839373830061]
    np.testing.assert_allclose(bound_of(miwae(2, 2), COMBINED), expected, atol=1e-10)
    rows = [logsumexp(COMBINED[rows], axis=0) - np.log(2) for rows in ([0, 2], [1, 3])]
    assert np.max(np.abs(np.mean(rows, axis=0) - expected)) > 0.1  # sums over the other draws
    for repeats, bound in ((1, IWAE(4)), (4, bounds.elbo("sampled", 4))):
        found = bound_of(miwae(repeats, 4 // repeats), COMBINED)
        np.testing.assert_allclose(found, bound_of(bound, COMBINED), rtol=1e-12)
    # M and K are not exchanged: of 6 draws the two differ
    six = np.random.default_rng(0).normal(size=(6, 3))
    wide, narrow = (bound_of(miwae(*both), six) for both in ((2, 3), (3, 2)))
    own = [logsumexp(six[k : k + 3], axis=0) - np.log(3) for k in (0, 3)]
    np.testing.assert_allclose(wide, np.mean(own, axis=0), rtol=1e-12)
    assert np.min(np.abs(wide - narrow)) > 1e-3


@pytest.mark.parametrize("weight", [0.0, 0.05, 0.5, 1.0])
def test_the_combined_bound_is_between_two(weight):
    value, slope, _ = moments(lambda count: fixed(bounds.combined(count, weight)), 2)
    # the mean of two draws has the value and the slope of one
    both = [np.array([VALUES[k], *SLOPES[k]]) for k in (1, 2)]
    expected = weight * both[0] + (1 - weight) * both[1]
    np.testing.assert_allclose([value, *slope[:2]], expected, atol=5e-9)
    published = {0.05: -2.15772156929, 0.5: -2.28970743131}
    np.testing.assert_allclose(value, published.get(weight, value), atol=2e-9)


def fixed(bound):
    """With its own numbers at their defaults."""
    return bound._replace(
        loss=lambda terms, hparams: bound.loss(terms, {**bound.hparams, **hparams})
    )


@pytest.mark.parametrize(("repeats", "samples"), [(1, 2), (2, 1), (3, 1)])
def test_the_partial_bound_has_the_decoders_gradient_of_all_draws_and_the_encoders_of_fewer(
    repeats, samples
):
    def both(make):
        return moments(lambda count: make(repeats, samples), repeats * samples)

    value, slope, _ = both(bounds.partially_importance_weighted)
    _, of_encoder, _ = both(bounds.multiply_importance_weighted)
    together, of_decoder, _ = both(lambda repeats, samples: IWAE(repeats * samples))
    np.testing.assert_allclose(value, together, rtol=1e-12)
    np.testing.assert_allclose(slope[:2], of_encoder[:2], rtol=1e-9)
    np.testing.assert_allclose(slope[:2], SLOPES[samples], atol=5e-9)
    np.testing.assert_allclose(slope[2], of_decoder[2], rtol=1e-9)
    if repeats > 1:
        assert abs(of_encoder[2] - of_decoder[2]) > 1e-3  # the decoder tells them apart


def test_numbers_of_draws_are_positive():
    for make in (bounds.multiply_importance_weighted, bounds.partially_importance_weighted):
        with pytest.raises(InputError, match="repeats is 0: use a whole number, 1 or more"):
            make(0, 3)
        with pytest.raises(InputError, match="samples is 0: use a whole number, 1 or more"):
            make(3, 0)
    with pytest.raises(InputError, match="samples is 0: use a whole number, 1 or more"):
        bounds.combined(0)
