import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.metrics import sap, sap_r2
from tests.metrics.disentanglement.known import SIZES, ideal, known, twice


def test_values_of_known_codes(x64):
    found = sap(*known(), *known(600))
    np.testing.assert_allclose(found, 0.445, rtol=1e-12)
    np.testing.assert_allclose(sap_r2(*known()), 0.768648178498, rtol=1e-11)
    np.testing.assert_allclose(sap(*known(), *known()), sap(*known()), rtol=1e-12)
    latents, factors = known(600)
    # codes and values that training has not seen: the outermost bin's answer, and always wrong
    beyond = sap(*known(), np.append(latents, [[99.0] * 4], 0), np.append(factors, [[9] * 3], 0))
    np.testing.assert_allclose(beyond, 0.445 * 600 / 601, rtol=1e-12)


def test_accuracies_by_hand(x64):
    # latent 0 has one value of the factor in each bin; latent 1 has 0, 0 | 0, 1 | 1, 1, where the
    # lower value wins the tie: 5 of 6 are right
    latents = np.array([[0.0, 0], [0, 0], [0, 0.5], [1, 0.5], [1, 1], [1, 1]])
    factors = np.array([[0], [0], [0], [1], [1], [1]])
    np.testing.assert_allclose(sap(latents, factors, bins=3), 1 - 5 / 6, rtol=1e-12)
    np.testing.assert_allclose(sap(latents[:, 1:], factors, bins=3), 5 / 6, rtol=1e-12)
    # held out: the same bins; the middle one is asked for a 0, then for a 1
    test = np.array([[0.0, 0.6], [1, 0.5]]), np.array([[0], [1]])
    np.testing.assert_allclose(sap(latents, factors, *test, bins=3), 1 - 1 / 2, rtol=1e-12)
    # the other way round 1 is the answer of latent 1 in every bin but the first
    test = np.array([[0.0, 0.6], [1, 0.5]]), np.array([[1], [1]])
    np.testing.assert_allclose(sap(latents, factors, *test, bins=3), 1 / 2 - 0, rtol=1e-12)


def test_one_bin_answers_the_most_frequent_value(x64):
    factors = np.array([[0], [1], [1], [2]])
    assert sap(np.arange(4.0)[:, None], factors, bins=1) == 0.5


def test_expectations_of_the_study_for_ideal_codes(x64):
    (latents, factors), test = ideal(3000), ideal(3000, seed=5)
    # the next best latent guesses one value of ten
    np.testing.assert_allclose(sap(latents, factors, *test), 0.9, atol=0.015)
    assert 0 <= sap(0 * latents, factors, *test) <= 0.2
    assert 0 <= sap(twice(latents), factors, twice(test[0]), test[1]) <= 0.2
    assert 0.9 <= sap_r2(latents, factors) <= 1
    assert 0 <= sap_r2(0 * latents, factors) <= 0.2
    assert 0 <= sap_r2(twice(latents), factors) <= 0.2


def test_squared_correlations_agree_with_numpy(x64):
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((50, 2))  # quantities, which need not be integers
    latents = factors @ rng.standard_normal((2, 3)) + rng.standard_normal((50, 3))
    squares = np.corrcoef(latents.T, factors.T)[:3, 3:] ** 2
    expected = np.mean(np.diff(np.sort(squares, axis=0), axis=0)[-1])
    np.testing.assert_allclose(sap_r2(latents, factors), expected, rtol=1e-12)
    # a latent far away, one of small numbers, and upside down
    moved = latents * [-1, 1e-200, 1e5] + [0, 0, 1e7]
    np.testing.assert_allclose(sap_r2(moved, factors), expected, rtol=1e-7)
    np.testing.assert_allclose(sap_r2(latents[:, :1], factors), np.mean(squares[0]), rtol=1e-12)


def test_constants_are_left_out(x64):
    latents, factors = known(count=60)
    constant = np.concatenate([factors, np.full((60, 1), 7)], axis=1)
    for score in (sap, sap_r2):
        np.testing.assert_allclose(score(latents, constant), score(latents, factors), rtol=1e-12)
        assert score(latents, constant[:, 3:]) == 0
        assert score(latents[:1], factors[:1]) == 0
    # a factor that has one value in training only
    assert sap(latents, constant[:, 3:], *known(count=60)[:1], factors[:, :1]) == 0
    with_empty = np.append(latents, np.full((60, 1), 1e7 + 0.3), axis=1)
    np.testing.assert_allclose(sap_r2(with_empty, factors), sap_r2(latents, factors), rtol=1e-12)


def test_they_can_be_jitted_and_vmapped_over_lanes():
    latents, factors = known(count=120)
    lanes = np.stack([latents, latents[:, ::-1] ** 3, 0 * latents]).astype(np.float32)

    @jax.jit
    def score(latents, factors, test, test_factors):
        held_out = sap(latents, factors, test, test_factors, factor_sizes=SIZES)
        return held_out, sap(latents, factors, factor_sizes=SIZES), sap_r2(latents, factors)

    found = jax.vmap(score, (0, None, 0, None))(lanes, factors, lanes[:, :60], factors[:60])
    for lane, *values in zip(lanes, *found, strict=True):
        expected = sap(lane, factors, lane[:60], factors[:60]), sap(lane, factors)
        np.testing.assert_allclose(values, [*expected, sap_r2(lane, factors)], rtol=1e-5)
    assert found[0].dtype == jnp.float32


def test_what_is_broken_is_not_scored():
    latents, factors = known(count=120)
    latents = latents.astype(np.float32)
    score = jax.jit(lambda *args: sap(*args, factor_sizes=SIZES))
    assert np.isfinite(score(latents, factors, latents, factors))
    for at in (0, 2):
        broken = [latents, factors, latents, factors]
        broken[at] = np.where(np.arange(120)[:, None] == 7, np.nan, latents)
        assert np.isnan(score(*broken))
        assert np.isnan(sap_r2(broken[at], factors))
    for at, wrong in itertools.product((1, 3), (-1, 5)):
        broken = [latents, factors, latents, factors]
        broken[at] = np.where(np.arange(120)[:, None] == 7, wrong, factors)
        assert np.isnan(score(*broken))


def test_half_precision_is_scored_in_single_precision():
    latents, factors = known(count=120)
    half = latents.astype(jnp.bfloat16)
    for score in (sap, sap_r2):
        assert score(half, factors).dtype == jnp.float32
        np.testing.assert_array_equal(score(half, factors), score(half.astype(np.float32), factors))


LATENTS, FACTORS = known(count=12)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((LATENTS, FACTORS[1:]), {}, r"\[12, 4\] and \[11, 3\]"),
        ((LATENTS, FACTORS / 2), {}, "integers"),
        ((LATENTS, FACTORS, LATENTS), {}, "together"),
        ((LATENTS, FACTORS, LATENTS[:, :2], FACTORS), {}, "test_latents must have as many"),
        ((LATENTS, FACTORS, LATENTS, FACTORS[:, :2]), {}, "test_factors must have as many"),
        ((LATENTS, FACTORS, LATENTS[:0], FACTORS[:0]), {}, "empty"),
        ((LATENTS, FACTORS), {"bins": 0}, "bins is 0: use a whole number"),
        (
            (LATENTS, FACTORS),
            {"factor_sizes": (3, 4)},
            r"factor_sizes is \(3, 4\): use a list of .* 3 factors",
        ),
        ((LATENTS, FACTORS), {"factor_sizes": (3, 3, 5)}, "between 0 and"),
        ((LATENTS, FACTORS, LATENTS, FACTORS + 1), {"factor_sizes": SIZES}, "between 0 and"),
    ],
)
def test_input_that_does_not_fit_is_refused(arguments, options, message):
    with pytest.raises(InputError, match=message):
        sap(*arguments, **options)


def test_correlations_need_arrays_that_fit():
    for latents, factors in ((LATENTS, FACTORS[1:]), (LATENTS, FACTORS[:, 0])):
        with pytest.raises(InputError, match=r"\[N, Z\] and \[N, K\]"):
            sap_r2(latents, factors)
    with pytest.raises(InputError, match="empty"):
        sap_r2(LATENTS[:0], FACTORS[:0])


def test_traced_factors_need_their_sizes():
    with pytest.raises(InputError, match="factor_sizes"):
        jax.jit(sap)(LATENTS, FACTORS, LATENTS, FACTORS)
