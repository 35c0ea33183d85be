"""All scores at once, and what none of them depends on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_jax import metrics
from ae_jax.core import InputError
from tests.metrics.disentanglement.known import SIZES, known

KEY = jax.random.key(0)
#: With room for every order of the factors.
SCORES = jax.jit(functools.partial(metrics.disentanglement_scores, factor_sizes=(5, 5, 5)))


def scores(latents, factors):
    """Of one shape, so that there is one program."""
    assert latents.shape == (60, 4)
    found = SCORES(KEY, latents.astype(np.float32), factors)
    return {name: float(value) for name, value in found.items()}


def problem(seed):
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(0, size, 60) for size in SIZES], axis=1)
    factors[:5] = np.stack([np.arange(5) % size for size in SIZES], axis=1)  # every value is there
    return factors @ rng.normal(size=(3, 4)) + 0.3 * rng.normal(size=(60, 4)), factors


def same(found, expected, *but):
    assert set(found) == set(expected)
    for name in set(found) - set(but):
        assert found[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-5), name


def test_each_is_the_function_of_its_name():
    latents, factors = problem(0)
    found = scores(latents, factors)
    latents = latents.astype(np.float32)
    names = ["mig", "modularity", "sap", "sap_r2", "mi_disentanglement", "mi_completeness", "irs"]
    expected = {name: getattr(metrics, name)(latents, factors) for name in names}
    expected["weighted_modularity"] = metrics.modularity(latents, factors, weighted=True)
    expected["factor_vae_score"] = metrics.factor_vae_score(KEY, latents, factors)
    same(found, {name: float(value) for name, value in expected.items()})
    assert len(set(found.values())) == len(found)


def test_known_codes():
    latents, factors = known()
    found = metrics.disentanglement_scores(KEY, latents.astype(np.float32), factors)
    expected = {
        "mig": 0.605932442389,
        "modularity": 0.889161888757,
        "weighted_modularity": 0.970083651092,
        "sap_r2": 0.768648178498,
        "mi_disentanglement": 0.593439645868,
        "mi_completeness": 0.572201678568,
        "irs": 0.530300404711,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**31),
    st.permutations(range(4)),
    st.lists(st.sampled_from([-1.0, 1.0]), min_size=4, max_size=4),
)
def test_order_and_sign_of_latents_do_not_matter(seed, order, sign):
    latents, factors = problem(seed)
    # no latent lies on an edge between two bins but the first and the last
    same(scores(latents[:, order] * sign, factors), scores(latents, factors))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.tuples(*(st.permutations(range(size)) for size in SIZES)))
def test_order_of_examples_and_names_of_values_do_not_matter(seed, names):
    latents, factors = problem(seed)
    rows = np.random.default_rng(seed).permutation(60)
    expected = scores(latents, factors)
    drawn = "factor_vae_score"  # of groups that are drawn by place
    same(scores(latents[rows], factors[rows]), expected, drawn)
    renamed = np.stack([np.take(n, f) for n, f in zip(names, factors.T, strict=True)], axis=1)
    same(scores(latents, renamed), expected, drawn, "sap_r2")  # and of quantities


def test_order_of_factors_does_not_matter():
    latents, factors = problem(1)
    found = scores(latents, factors[:, [2, 0, 1]])
    same(found, scores(latents, factors), "factor_vae_score")


def test_a_factor_that_does_not_vary_is_left_out_and_bins_are_as_asked_for():
    latents, factors = problem(1)
    latents = latents.astype(np.float32)
    constant = np.append(factors, np.full((60, 1), 1), axis=1)
    found = metrics.disentanglement_scores(KEY, latents, constant, bins=7)
    expected = scores(latents, factors)
    for name in ("sap_r2", "irs", "factor_vae_score"):  # which know no bins
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
    for name in ("mig", "modularity", "sap", "mi_disentanglement", "mi_completeness"):
        score = getattr(metrics, name)(latents, factors, bins=7)
        np.testing.assert_allclose(found[name], score, rtol=1e-5)
        assert abs(score - expected[name]) > 1e-3


def test_ideal_and_empty_codes():
    factors = known(count=60)[1]
    ideal = scores(np.append(factors, np.zeros((60, 1)), axis=1), factors)
    perfect = {"mig", "weighted_modularity", "sap_r2", "mi_disentanglement", "mi_completeness"}
    for name in (*perfect, "irs", "factor_vae_score"):
        assert ideal[name] == pytest.approx(1, abs=1e-5), name
    assert ideal["modularity"] == pytest.approx(3 / 4, abs=1e-5)
    # the next latent guesses one value: 1 - (1/3 + 1/4 + 1/5) / 3
    assert ideal["sap"] == pytest.approx(1 - 47 / 180, abs=1e-5)
    assert set(scores(np.full((60, 4), 7.3), factors).values()) == {0.0}
    assert set(scores(factors[:, [0, 0, 1, 2]], 0 * factors).values()) == {0.0}


def test_one_example_is_a_sample_in_which_nothing_varies():
    found = metrics.disentanglement_scores(KEY, np.ones((1, 4), np.float32), np.ones((1, 3), int))
    assert set(map(float, found.values())) == {0.0}


def test_lanes_are_scored_side_by_side():
    problems = [problem(seed)[0].astype(np.float32) for seed in range(3)]
    factors = problem(0)[1]
    problems[2][5] = np.nan
    lanes = jax.vmap(SCORES, (None, 0, None))(KEY, np.stack(problems), factors)
    for i, latents in enumerate(problems[:2]):
        same({k: float(v[i]) for k, v in lanes.items()}, scores(latents, factors))
    assert all(np.isnan(value[2]) for value in lanes.values())


def test_factors_beyond_their_size_are_not_scored():
    latents, factors = problem(0)
    for wrong in (-1, 5):
        factors[5, 2] = wrong
        assert all(map(np.isnan, scores(latents, factors).values()))


def test_precision_is_that_of_the_latents_and_single_at_least(x64):
    factors = jax.ShapeDtypeStruct((60, 3), jnp.int32)
    for dtype, expected in (("bfloat16", "float32"), ("float64", "float64")):
        latents = jax.ShapeDtypeStruct((60, 4), dtype)
        found = jax.eval_shape(SCORES, KEY, latents, factors)
        own = [found[name].dtype for name in ("sap_r2", "irs")]
        assert own == [jnp.dtype(expected)] * 2
        assert {value.dtype for value in found.values()} <= {*own, jnp.dtype(jnp.float64)}


@pytest.mark.parametrize(
    ("latents", "factors", "options", "message"),
    [
        (np.ones((4, 2)), np.ones((3, 2), int), {}, r"\[4, 2\] and \[3, 2\]"),
        (np.ones((4, 2)), np.ones((4, 2)), {}, "integers"),
        (np.ones((4, 2)), np.ones((4, 2), int), {"bins": 0}, "bins is 0: use a whole number"),
        (np.ones((4, 2)), np.ones((4, 2), int), {"factor_sizes": (2,)}, "use a list of"),
    ],
)
def test_input_that_does_not_fit_is_refused(latents, factors, options, message):
    with pytest.raises(InputError, match=message):
        metrics.disentanglement_scores(KEY, latents, factors, **options)
