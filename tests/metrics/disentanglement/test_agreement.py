import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.linear_model import Lasso

from ae_jax.core import InputError
from ae_jax.metrics import rank_correlations, udr
from ae_jax.metrics.disentanglement.agreement import relative_strength
from tests.metrics.disentanglement.known import known


def known_models():
    """A model, another order of its latents with other signs and noise, and a mixture of two."""
    latents = known()[0]
    order, wave = [2, 0, 3, 1], np.sin(np.arange(600)[:, None] * (1.7 + np.arange(4)))
    other = latents[:, order] * [1, -1, 1, -1] + 0.05 * wave
    cos, sin = np.cos(0.6), np.sin(0.6)
    mixed = latents.copy()
    mixed[:, :2] = latents[:, :2] @ np.array([[cos, sin], [-sin, cos]])
    active = np.array([True, True, True, False])
    return [latents, other, mixed], [active, active[order], active]


def test_ranks_of_known_models():
    found = udr(*known_models())
    expected = [0.650238249461, 0.650167673683, 0.572554612803]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-10)
    pairs = [0.727851310341, 0.572625188581, 0.572484037025]
    np.testing.assert_allclose(found.pairs[np.triu_indices(3, 1)], pairs, rtol=1e-10)
    np.testing.assert_allclose(found.pairs, found.pairs.T, rtol=1e-12)
    np.testing.assert_array_equal(np.diagonal(found.pairs), 0)


def test_weights_of_known_models():
    found = udr(*known_models(), relation="lasso")
    expected = [0.754554881074, 0.754317757914, 0.595631802399]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-6)
    pairs = [
        [0, 0.899378285851, 0.595853604073],
        [0.899378285851, 0, 0.595410000725],
        [0.609731476297, 0.609257229978, 0],
    ]
    np.testing.assert_allclose(found.pairs, pairs, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("relations", "low", "high"),
    [
        (np.eye(3), 1, 1),
        ([[1, 1, 0], [1, 1, 0], [0, 0, 1]], 2 / 3, 2 / 3),
        (np.ones((3, 3)), 1 / 3, 1 / 3),
        (np.zeros((3, 3)), 0, 0),
        # columns (0.4^2 / 0.5 + 0.2^2 / 0.2) / 2 and rows (0.4^2 / 0.6 + 0.1^2 / 0.1) / 2
        ([[0.4, 0.2], [0.1, 0.0]], 0.26 * 0.5 + (0.16 / 0.6 + 0.1) / 4, None),
    ],
)
def test_strength_of_relations(relations, low, high):
    found = relative_strength(np.array(relations, float))
    assert found == pytest.approx(low, rel=1e-12)
    assert high is None or found == pytest.approx(high, rel=1e-12)


@pytest.mark.parametrize("relation", ["spearman", "lasso"])
def test_expectations_of_the_study(relation):
    rng = np.random.default_rng(0)
    latents, fresh = rng.standard_normal((1000, 10)), rng.standard_normal((1000, 10))
    order, sign = rng.permutation(10), rng.choice([-1, 1], 10)
    found = udr([latents, latents[:, order] * sign], relation=relation)
    assert np.all((found.scores >= 0.8) & (found.scores <= 1))
    # only the first latent is shared, and only it counts
    fresh[:, 0] = latents[:, 0]
    kl = np.array([0.5] + 9 * [0.001])
    assert np.all(udr([latents, fresh], relation=relation).scores <= 0.2)
    found = udr([latents, fresh], np.stack([kl > 0.01] * 2), relation)
    assert np.all((found.scores >= 0.8) & (found.scores <= 1))


@settings(max_examples=10, deadline=None)
@given(
    st.permutations(range(3)),
    st.lists(st.sampled_from([-2.0, -1.0, 0.5, 3.0]), min_size=3, max_size=3),
    st.integers(0, 2**31),
    st.sampled_from(["spearman", "lasso"]),
)
def test_order_sign_and_scale_do_not_matter(order, scale, seed, relation):
    rng = np.random.default_rng(seed)
    models = rng.standard_normal((3, 30, 3)) + rng.standard_normal((30, 3))
    active = rng.random((3, 3)) < 0.8
    expected = udr(models, active, relation)
    # another order of one model's latents, and of the examples
    rows = rng.permutation(30)
    moved = [models[0][:, order] * scale + 5, *models[1:]]
    found = udr([m[rows] for m in moved], [active[0][order], *active[1:]], relation)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.pairs, expected.pairs, rtol=1e-3, atol=1e-3)


def test_ranks_and_weights_are_those_of_libraries():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, (50, 3)), rng.standard_normal((50, 2))  # with ties, of other sizes
    b[:, 0] += a[:, 1]
    ranks = np.abs(spearmanr(np.append(a, b, axis=1)).statistic[:3, 3:])
    np.testing.assert_allclose(udr([a, b]).pairs[0, 1], relative_strength(ranks), rtol=1e-10)
    a, b = ((m - m.mean(axis=0)) / m.std(axis=0) for m in (a, b))
    weights = np.abs(Lasso(alpha=0.1).fit(a, b).coef_.T)
    pairs = udr([a, b], relation="lasso").pairs
    np.testing.assert_allclose(pairs[0, 1], relative_strength(weights), rtol=1e-10)
    # one latent to predict, and one to predict by
    weights = np.abs(Lasso(alpha=0.1).fit(a, b[:, 0]).coef_)[:, None]
    pairs = udr([a, b[:, :1]], relation="lasso").pairs
    np.testing.assert_allclose(pairs[0, 1], relative_strength(weights), rtol=1e-10)


@pytest.mark.parametrize("relation", ["spearman", "lasso"])
def test_what_does_not_vary_agrees_with_nothing(relation):
    latents = known(count=60)[0]
    still = np.append(latents[:, :1], np.full((60, 1), 1e7 + 0.3), axis=1)
    found = udr([still, still], relation=relation)
    # one latent of two has a partner, itself
    alone = udr([latents[:, :1]] * 2, relation=relation)
    np.testing.assert_allclose(found.scores, alone.scores / 2, rtol=1e-10)
    none = np.array([False, False])
    np.testing.assert_array_equal(udr([still, still], [none, ~none], relation).scores, 0)
    np.testing.assert_array_equal(udr([still[:1], still[:1]], relation=relation).scores, 0)


def test_rank_correlations_are_those_of_scipy():
    figures = np.random.default_rng(0).integers(0, 8, (20, 3)).astype(float)
    found = rank_correlations(figures)
    np.testing.assert_allclose(found, spearmanr(figures).statistic, rtol=1e-12)
    np.testing.assert_allclose(rank_correlations(np.exp(figures)), found, rtol=1e-12)
    assert np.all(np.abs(found) <= 1)
    # a pair is of the models that have both
    figures[3, 0] = figures[5, 2] = np.nan
    found = rank_correlations(figures)
    both = ~np.isnan(figures[:, [0, 2]]).any(axis=1)
    expected = spearmanr(figures[both, 0], figures[both, 2]).statistic
    np.testing.assert_allclose(found[0, 2], expected, rtol=1e-12)
    expected = spearmanr(np.delete(figures, 5, axis=0)[:, 1:]).statistic
    np.testing.assert_allclose(found[1, 2], expected, rtol=1e-12)


def test_figures_without_a_rank():
    found = rank_correlations([[1.0, 2, 5], [2, 2, 4], [3, 2, np.nan]])
    np.testing.assert_array_equal(np.isnan(found), [[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    assert found[0, 2] == -1
    assert np.all(np.isnan(rank_correlations(np.full((3, 2), np.nan))))
    assert np.all(np.isnan(rank_correlations([[1.0, 2.0]])))


LATENTS = np.random.default_rng(0).standard_normal((2, 5, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LATENTS[:1],), "at least 2 models"),
        (([LATENTS[0], LATENTS[1][:4]],), "same N"),
        ((LATENTS[0],), "same N"),
        ((LATENTS[:, :, :0],), "same N"),
        ((np.where(LATENTS > 1, np.inf, LATENTS),), "not finite"),
        ((LATENTS, np.ones((2, 2), bool)), "active must be bool"),
        ((LATENTS, np.ones((2, 3))), "active must be bool"),
        ((LATENTS, None, "pearson"), "spearman, lasso, not 'pearson'"),
    ],
)
def test_input_that_does_not_fit_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        udr(*arguments)


def test_figures_that_do_not_fit_are_refused():
    for figures, message in (([1.0, 2.0], r"\[L, M\]"), ([[np.inf, 1.0]], "infinite")):
        with pytest.raises(InputError, match=message):
            rank_correlations(figures)
    with pytest.raises(InputError, match="not empty"):
        rank_correlations(np.ones((0, 2)))
