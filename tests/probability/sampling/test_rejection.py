"""Rejection against the distributions that it draws from, its rate and its count of trials."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ae_jax.core import InputError
from ae_jax.probability import sampling
from tests.probability.sampling.fit import fits

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(0)

# p(x) = 2 N(x; 0, 1) on x > 0 by q(x) = exp(-x): M = sqrt(2 e / pi), where x = 1
BOUND = 1.315489246958914
HALF_NORMAL = sampling.Envelope(
    lambda x: jnp.where(x < 0, -jnp.inf, 0.5 * np.log(2 / np.pi) - x**2 / 2),
    lambda x: -x,
    lambda key, count: -jnp.log(sampling.uniform(key, (count,))),
    np.log(BOUND),
)


@functools.partial(jax.jit, static_argnames=("envelope", "count"))
def propose(key, envelope, count, log_bound=None):
    return sampling.propose(key, bounded(envelope, log_bound), count)


@functools.partial(jax.jit, static_argnames=("envelope", "count", "rounds"))
def reject(key, envelope, count, log_bound=None, rounds=10_000):
    return sampling.reject(key, bounded(envelope, log_bound), count, rounds=rounds)


def bounded(envelope, log_bound):
    return envelope if log_bound is None else envelope._replace(log_bound=log_bound)


def test_a_fixed_number_of_proposals():
    n = 10_000
    proposed = propose(KEY, HALF_NORMAL, n)
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
    draw = jax.jit(jax.vmap(lambda key: sampling.reject(key, HALF_NORMAL, count)))
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
    alone = reject(keys[1], HALF_NORMAL, count)
    np.testing.assert_array_equal(alone.x, drawn.x[1])
    assert alone.trials == drawn.trials[1]


def test_the_draws_are_the_first_accepted_proposals():
    count = 50
    drawn = reject(KEY, HALF_NORMAL, count)
    accepted, trials, key = [], 0, KEY
    while len(accepted) < count:
        key, own = jax.random.split(key)
        proposed = propose(own, HALF_NORMAL, count)
        for x, taken in zip(proposed.x, proposed.accepted, strict=True):
            trials += len(accepted) < count
            accepted += [x] * bool(taken)
    np.testing.assert_array_equal(drawn.x, accepted[:count])
    assert drawn.trials == trials


def test_the_number_of_trials_is_geometric():
    draw = jax.jit(jax.vmap(lambda key: sampling.reject(key, HALF_NORMAL, 1)))
    trials = np.asarray(draw(jax.random.split(KEY, 4000)).trials)
    observed = [np.sum(trials == i) for i in range(1, 4)] + [np.sum(trials > 3)]
    p = 0.7601734505331403
    expected = np.array([p, p * (1 - p), p * (1 - p) ** 2, (1 - p) ** 3]) * len(trials)
    assert stats.chisquare(observed, expected).pvalue > 0.01


BETA = sampling.Envelope(
    lambda x: jnp.log(6 * x * (1 - x)),
    lambda x: jnp.zeros_like(x),
    lambda key, count: sampling.uniform(key, (count,)),
    np.log(1.5),
)
DISC = sampling.Envelope(
    lambda x: jnp.where(jnp.sum(x**2, axis=1) < 1, 0.0, -jnp.inf),
    lambda x: jnp.full(len(x), -np.log(4)),
    lambda key, count: 2 * sampling.uniform(key, (count, 2)) - 1,
    np.log(4),
)


@pytest.mark.parametrize(
    ("envelope", "acceptance"),
    # the disc's density is not normalised: its area is pi, which the rate estimates over 4
    [(BETA, 2 / 3), (DISC, 0.7853981633974483)],
)
def test_acceptance(envelope, acceptance):
    proposed = propose(KEY, envelope, 10_000)
    error = np.sqrt(acceptance * (1 - acceptance) / 10_000)
    assert abs(proposed.acceptance - acceptance) < 3 * error
    x = np.asarray(proposed.x)[np.asarray(proposed.accepted)]
    if envelope is BETA:
        assert fits(x, stats.beta(2, 2).cdf)
    else:
        assert fits(np.sum(x**2, axis=1), stats.uniform.cdf)


def test_a_tail_is_accepted_as_often_as_it_is_met():
    # truncated_normal_gt2_naive: a normal beyond 2 by the whole normal, 1 - Phi(2) of the proposals
    tail = 0.022750131948179195
    cut = sampling.Envelope(
        lambda x: jnp.where(x > 2, -(x**2) / 2 - np.log(tail), -jnp.inf),
        lambda x: -(x**2) / 2,
        lambda key, count: jax.random.normal(key, (count,)),
        -np.log(tail),
    )
    proposed = propose(KEY, cut, 40_000)
    error = np.sqrt(tail * (1 - tail) / 40_000)
    assert abs(proposed.acceptance - tail) < 3 * error
    x = np.asarray(proposed.x)[np.asarray(proposed.accepted)]
    assert fits(x, stats.truncnorm(2, np.inf).cdf)
    np.testing.assert_allclose(proposed.largest, 1, rtol=1e-12)


def test_acceptance_falls_with_the_dimension():
    # a Gaussian by one that is 1.1 times as wide: M = 1.1^d
    for dimension, bound in ((1, 1.1), (10, 2.5937424601000023)):
        wider = sampling.Envelope(
            lambda x: -jnp.sum(x**2, axis=1) / 2,
            lambda x: -jnp.sum(x**2, axis=1) / 2 / 1.21 - x.shape[1] * np.log(1.1),
            lambda key, count, d=dimension: 1.1 * jax.random.normal(key, (count, d)),
            np.log(bound),
        )
        proposed = propose(KEY, wider, 4000)
        error = np.sqrt((1 - 1 / bound) / bound / 4000)
        assert abs(proposed.acceptance - 1 / bound) < 3 * error
    np.testing.assert_allclose(1.1**100, 13780.61233982238)


def test_an_envelope_below_the_density_is_found():
    low = np.log(BOUND / 1.25)
    message = "density, which is 1.2(5|49.*) times as large at a proposal: use a bound at least 1.2"
    # while sampling, where nothing is traced
    with pytest.raises(InputError, match=message):
        sampling.reject(KEY, HALF_NORMAL._replace(log_bound=low), 500)
    # or else no sample is returned
    drawn = reject(KEY, HALF_NORMAL, 500, low)
    assert np.all(np.isnan(drawn.x))
    proposed = propose(KEY, HALF_NORMAL, 500, low)
    for result in (drawn, proposed):
        np.testing.assert_allclose(result.largest, 1.25, rtol=1e-3)
        with pytest.raises(InputError, match=message):
            sampling.checked(result)
    # one lane is enough
    draw = jax.vmap(lambda key, bound: reject(key, HALF_NORMAL, 100, bound))
    drawn = jax.jit(draw)(jax.random.split(KEY), np.array([np.log(BOUND), low]))
    np.testing.assert_array_equal(np.any(np.isnan(drawn.x), axis=1), [False, True])
    with pytest.raises(InputError, match=message):
        sampling.checked(drawn)


def test_an_envelope_that_touches_the_density_is_no_error_in_single_precision():
    same = sampling.Envelope(
        lambda x: (-(x**2) / 2 * 3) / 3 + 1e-6,
        lambda x: -(x**2) / 2,
        lambda key, count: jax.random.normal(key, (count,), jnp.float32),
        np.float32(0),
    )
    drawn = sampling.reject(KEY, same, 100)
    assert drawn.x.dtype == jnp.float32
    assert drawn.largest > 1


def test_proposals_that_run_out():
    nowhere = HALF_NORMAL._replace(target=lambda x: jnp.full_like(x, -jnp.inf))
    drawn = reject(KEY, nowhere, 5, rounds=7)
    assert (drawn.filled, drawn.trials, drawn.largest) == (0, 35, 0)
    assert np.all(np.isnan(drawn.x))
    with pytest.raises(InputError, match="35 proposals gave 0 of 5 samples: use a proposal"):
        sampling.checked(drawn)
    few = reject(KEY, HALF_NORMAL, 40, np.log(4 * BOUND), rounds=1)
    assert 0 < few.filled < 40
    np.testing.assert_array_equal(np.isnan(few.x), np.arange(40) >= few.filled)


def test_densities_that_are_not_numbers():
    strange = HALF_NORMAL._replace(target=lambda x: jnp.log(x - 1))
    drawn = reject(KEY, strange, 5, rounds=7)
    with pytest.raises(InputError, match="are not numbers"):
        sampling.checked(drawn)


def test_what_is_no_sampler_is_refused():
    for count in (0, 1.5):
        with pytest.raises(InputError, match=f"is {count}: use a whole number, 1 or more"):
            sampling.propose(KEY, HALF_NORMAL, count)
        with pytest.raises(InputError, match=f"is {count}: use a whole number, 1 or more"):
            sampling.reject(KEY, HALF_NORMAL, 5, rounds=count)
    columns = HALF_NORMAL._replace(target=lambda x: x[:, None])
    with pytest.raises(InputError, match=r"log-densities \[5\], got \[5\], the target's \[5, 1\]"):
        sampling.propose(KEY, columns, 5)
    pairs = sampling.Envelope(
        lambda x: x[:, 0], lambda x: x, lambda key, count: jnp.zeros((count, 2)), 0.0
    )
    with pytest.raises(InputError, match=r"got \[5, 2\].* the proposal's \[5, 2\]"):
        sampling.reject(KEY, pairs, 5)

    def flat(x):
        return jnp.zeros(len(x))

    whole = sampling.Envelope(flat, flat, lambda key, count: jnp.arange(count), 0.0)
    with pytest.raises(InputError, match="must give floats, not int"):
        sampling.reject(KEY, whole, 5)
