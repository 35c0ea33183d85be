import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.metrics import irs
from tests.metrics.disentanglement.known import SIZES, ideal, known


def by_hand(latents, factors, quantile):
    """The score by loops, and numpy's quantiles."""
    latents = latents[:, np.ptp(latents, axis=0) > 0]
    largest = np.abs(latents - latents.mean(axis=0)).max(axis=0)
    robust = np.empty((latents.shape[1], factors.shape[1]))
    for k, column in enumerate(factors.T):
        held = []
        for value in np.unique(column):
            own = latents[column == value]
            held.append(np.quantile(np.abs(own - own.mean(axis=0)), quantile, axis=0))
        robust[:, k] = 1 - np.mean(held, axis=0) / largest
    return np.average(robust.max(axis=1), weights=largest)


def test_values_of_known_codes(x64):
    np.testing.assert_allclose(irs(*known()), 0.530300404711, rtol=1e-11)
    np.testing.assert_allclose(irs(*known(), quantile=1.0), 0.529207621487, rtol=1e-11)


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.83, 1.0])
def test_it_agrees_with_a_loop(x64, quantile):
    rng = np.random.default_rng(0)
    # values of unequal frequency, one of them once, and one that no example has
    factors = np.stack([rng.choice([0, 1, 3], 50, p=[0.7, 0.2, 0.1]), np.arange(50) // 49], axis=1)
    latents = rng.standard_normal((50, 3)) + factors @ rng.standard_normal((2, 3))
    latents = np.append(latents, np.full((50, 1), 1e3 + 0.1), axis=1)
    expected = by_hand(latents, factors, quantile)
    found = irs(latents, factors, quantile, factor_sizes=(4, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(irs(latents, factors, quantile), expected, rtol=1e-12)


def test_expectations_of_the_study_for_ideal_codes():
    latents, factors = ideal(3000)
    latents = latents.astype(np.float32)
    assert 0.9 <= irs(latents, factors) <= 1
    assert irs(0 * latents, factors) == 0
    # the number of latents that vary, for which popular code takes the sum of the latents
    moves = latents.std(axis=0) > 0
    assert moves.sum() == 10 != np.sum(latents)


def test_constants_are_left_out(x64):
    latents, factors = known(count=60)
    expected = irs(latents, factors)
    constant = np.concatenate([factors, np.full((60, 1), 2)], axis=1)
    np.testing.assert_allclose(irs(latents, constant), expected, rtol=1e-12)
    still = np.append(latents, np.full((60, 1), 1e7 + 0.3), axis=1)
    np.testing.assert_allclose(irs(still, factors), expected, rtol=1e-12)
    assert irs(latents, constant[:, 3:]) == 0
    assert irs(latents[:1], factors[:1]) == 0


def test_it_can_be_jitted_and_vmapped_over_lanes():
    latents, factors = known(count=60)
    lanes = np.stack([latents, latents[:, ::-1] ** 3, 0 * latents]).astype(np.float32)
    score = functools.partial(irs, factor_sizes=SIZES)
    found = jax.jit(jax.vmap(score, (0, None)))(lanes, factors)
    np.testing.assert_allclose(found, [irs(lane, factors) for lane in lanes], rtol=1e-5)
    quantiles = jax.vmap(lambda q: score(lanes[0], jnp.asarray(factors), q))(jnp.array([0.5, 1]))
    np.testing.assert_allclose(quantiles[1], irs(lanes[0], factors, 1.0), rtol=1e-5)


def test_what_is_broken_is_not_scored():
    latents, factors = known(count=60)
    latents = latents.astype(np.float32)
    score = jax.jit(functools.partial(irs, factor_sizes=SIZES))
    first = np.arange(60)[:, None] == 7
    assert np.isnan(score(np.where(first, np.nan, latents), factors))
    assert np.isnan(score(latents, np.where(first, 5, factors)))
    assert np.isnan(score(latents, np.where(first, -1, factors)))
    half = latents.astype(jnp.bfloat16)
    assert score(half, factors).dtype == jnp.float32
    # bytes hold the factors, and there are more examples than a byte counts
    many, bytes_ = known(count=600)
    many = many.astype(np.float32)
    np.testing.assert_allclose(irs(many, bytes_.astype(np.uint8)), irs(many, bytes_), rtol=1e-6)


def test_input_that_does_not_fit_is_refused():
    latents, factors = known(count=12)
    for quantile in (-0.1, 1.1, 99, float("nan")):
        with pytest.raises(InputError, match="from 0 to 1"):
            irs(latents, factors, quantile)
    with pytest.raises(InputError, match=r"\[12, 4\] and \[11, 3\]"):
        irs(latents, factors[1:])
    with pytest.raises(InputError, match="factor_sizes"):
        jax.jit(irs)(latents, factors)
