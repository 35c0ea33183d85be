import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from ae_jax import metrics
from ae_jax.core import InputError
from ae_jax.metrics import Groups, active_units, beta_vae_score, factor_vae_score
from tests.metrics.disentanglement.known import codes, ideal, known

# With --full alone: they take long.
pytestmark = pytest.mark.full

KEY = jax.random.key(0)
FACTORS = known(count=60)[1]


def hashed(group, count, salt):
    """Factors [count, 3] and noise indices [count] of a group."""
    h = 7919 * group + 104729 * np.arange(count) + 1299709 * salt
    return np.stack([h % 3, h // 11 % 4, h // 101 % 5], axis=-1), h % 100003


def known_groups(count, salt):
    """Groups of five with one factor fixed."""
    latents = []
    for g in range(count):
        factors, noise = hashed(g, 5, salt)
        factors[:, g % 3] = factors[0, g % 3]
        latents.append(codes(factors, noise))
    return Groups(np.array(latents), np.arange(count) % 3)


def known_differences(count, salt):
    """Groups of eight pairs that share one factor."""
    latents = []
    for g in range(count):
        first, second = hashed(g, 8, salt), hashed(g + 50021, 8, salt + 5)
        second[0][:, g % 3] = first[0][:, g % 3]
        latents.append(codes(*first) - codes(*second))
    return Groups(np.array(latents), np.arange(count) % 3)


def test_factor_vae_score_of_known_groups(x64):
    train, test = known_groups(300, 1), known_groups(150, 2)
    variances = known()[0].var(axis=0, ddof=1)
    score = metrics.factor_vae_score_of_groups
    np.testing.assert_allclose(score(train, test, variances), 0.98, rtol=1e-9)
    np.testing.assert_allclose(score(train, train, variances), 0.983333333333, rtol=1e-9)
    # without the normalisation of each latent's variance, or with too few latents voting
    assert score(train, test, np.ones(4)) < 0.95
    assert score(train, test, variances, least_deviation=np.sqrt(variances.max())) < 0.5
    assert score(train, test, variances, least_deviation=99.0) == 0


def test_beta_vae_score_of_known_differences():
    train, test = known_differences(300, 1), known_differences(150, 2)
    sizes = np.mean(np.abs(train.latents[:2]), axis=1)
    expected = [[0.408825143551, 1.8424042638, 0.640043147272, 0.861220035695]]
    expected += [[0.398972838046, 0.964151943723, 0.627458307999, 1.04728518654]]
    np.testing.assert_allclose(sizes, expected, rtol=1e-10)
    score = metrics.beta_vae_score_of_groups
    np.testing.assert_allclose(score(train, test), 0.9, atol=1 / 150 + 1e-9)
    np.testing.assert_allclose(score(train, train), 0.923333333333, atol=1 / 300 + 1e-9)
    # the sign of a difference does not matter, its mean over the pairs does
    flipped = Groups(-train.latents, train.fixed)
    assert score(flipped, test) == score(train, test)
    single = Groups(test.latents[:, :1], test.fixed)
    assert score(train, single) < 0.8


def test_examples_of_a_group_have_one_factor_in_common():
    indices, fixed = metrics.fixed_factor_groups(KEY, FACTORS, 30, 40)
    assert indices.shape == (30, 40)
    np.testing.assert_array_equal(fixed, np.arange(30) % 3)
    for members, k in zip(FACTORS[np.asarray(indices)], np.asarray(fixed), strict=True):
        constant = (members == members[:1]).all(axis=0)
        np.testing.assert_array_equal(constant, np.arange(3) == k)
    # values, and examples of a value, are as frequent as in the data: 60, each drawn 20 times
    counts = np.bincount(np.ravel(metrics.fixed_factor_groups(KEY, FACTORS, 600, 2)[0]))
    assert len(counts) == 60
    assert 5 <= counts.min() < counts.max() <= 45


def test_pairs_of_a_group_share_a_factor_and_nothing_else():
    (first, second), fixed = metrics.fixed_factor_pairs(KEY, FACTORS, 30, 40)
    equal = FACTORS[np.asarray(first)] == FACTORS[np.asarray(second)]
    for same, k in zip(equal, np.asarray(fixed), strict=True):
        assert same[:, k].all()
        assert np.delete(same.mean(axis=0), k).max() < 0.7
    # each pair has values of its own
    assert np.any(FACTORS[np.asarray(first[0])] != FACTORS[np.asarray(first[0, :1])])
    assert len(np.unique(first)) == len(np.unique(second)) == 60


def test_rare_values_are_drawn_as_they_are_frequent():
    factors = np.array([[5], [5], [5], [-2]])
    indices, fixed = metrics.fixed_factor_groups(KEY, factors, 4000, 2)
    assert not np.any(fixed)
    rare = np.asarray(indices) == 3
    np.testing.assert_array_equal(rare[:, 0], rare[:, 1])  # the only one of its value
    np.testing.assert_allclose(rare.mean(), 1 / 4, atol=0.03)


def test_constant_factors_are_never_fixed():
    factors = np.concatenate([np.full((60, 1), 3), FACTORS[:, :1], FACTORS[:, :1] * 0], axis=1)
    for draw in (metrics.fixed_factor_groups, metrics.fixed_factor_pairs):
        assert set(np.ravel(draw(KEY, factors, 9, 2)[1])) == {1}


def by_hand(key, latents, factors, groups, test_groups, size):
    """The FactorVAE score by loops over the same groups."""
    indices, fixed = metrics.fixed_factor_groups(key, factors, groups + test_groups, size)
    spread, votes = latents.var(axis=0, ddof=1), []
    for members, k in zip(np.asarray(indices), np.asarray(fixed), strict=True):
        ratio = latents[members].var(axis=0, ddof=1) / np.where(spread > 0, spread, 1)
        ratio[np.sqrt(spread) < 0.05] = np.inf
        votes.append((int(np.argmin(ratio)), int(k)))
    table = np.zeros((latents.shape[1], factors.shape[1]))
    for vote in votes[:groups]:
        table[vote] += 1
    return np.mean([table[latent].argmax() == k for latent, k in votes[groups:]])


def test_factor_vae_score_by_hand(x64):
    latents, factors = known(count=180)
    latents = np.append(latents, [[1e6 + 0.04 * (i % 2)] for i in range(180)], axis=1)
    numbers = {"groups": 90, "test_groups": 50, "size": 3}
    expected = by_hand(KEY, latents, factors, **numbers)
    assert 0.3 < expected < 1
    found = factor_vae_score(KEY, latents, factors, **numbers)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_beta_vae_score_by_hand():
    latents, factors = known(count=180)
    (first, second), fixed = metrics.fixed_factor_pairs(KEY, factors, 90 + 50, 4)
    sizes = np.abs(latents[np.asarray(first)] - latents[np.asarray(second)]).mean(axis=1)
    model = LogisticRegression(max_iter=5000, tol=1e-10).fit(sizes[:90], fixed[:90])
    expected = model.score(sizes[90:], fixed[90:])
    assert 0.5 < expected < 1
    found = beta_vae_score(KEY, latents, factors, groups=90, test_groups=50, size=4)
    assert found == pytest.approx(expected, abs=1e-9)


def test_expectations_of_the_study_for_ideal_codes():
    latents, factors = ideal(2500)
    latents = latents.astype(np.float32)
    numbers = {"groups": 600, "test_groups": 300, "size": 5}
    assert 0.9 <= factor_vae_score(KEY, latents, factors, **numbers) <= 1
    assert 0 <= factor_vae_score(KEY, 0 * latents, factors, **numbers) <= 0.2
    assert 0.9 <= beta_vae_score(KEY, latents, factors, **numbers) <= 1
    assert beta_vae_score(KEY, 0 * latents, factors, **numbers) <= 0.2


def test_latents_that_hardly_vary_do_not_vote():
    latents, factors = known(count=600)
    # of standard deviations 0.04 and 0.06, and the same for all examples of a value
    small = np.stack([factors[:, 0] % 2 * 0.08, factors[:, 0] * 0.07], axis=1) + 5.0
    both = np.concatenate([latents * 0, small], axis=1).astype(np.float32)
    # the number of latents that vote, for which popular code takes the length of a mask
    mask = np.sqrt(both.var(axis=0)) >= 0.05
    assert int(active_units(both, threshold=0.05**2)) == mask.sum() == 1 != len(mask)
    assert factor_vae_score(KEY, both[:, :5], factors, size=4) == 0
    assert factor_vae_score(KEY, both, factors, size=4) > 0.3
    assert factor_vae_score(KEY, both, factors, size=4, least_deviation=0.03) > 0.3


def test_a_large_constant_has_no_variance_by_rounding():
    latents, factors = known(count=600)
    numbers = {"groups": 60, "test_groups": 60, "size": 3}
    far = np.append(latents, np.full((600, 2), [3e6 + 0.3, 1.1e7]), axis=1).astype(np.float32)
    found = factor_vae_score(KEY, far, factors, **numbers)
    expected = factor_vae_score(KEY, latents.astype(np.float32), factors, **numbers)
    assert found == expected > 0.5


def test_scores_of_what_does_not_vary():
    latents, factors = known(count=60)
    latents = latents.astype(np.float32)
    for score in (factor_vae_score, beta_vae_score):
        score = functools.partial(score, groups=30, test_groups=20)
        assert score(KEY, latents, 0 * factors, size=3) == 0
        assert score(KEY, latents[:1], factors[:1], size=3) == 0
        # one factor that varies is always right
        assert score(KEY, latents, factors * [1, 0, 0], size=3) == 1
    same = Groups(np.ones((4, 2, 3)), np.zeros(4, int))
    other = Groups(np.ones((4, 2, 3)), np.array([0, 1, 0, 0]))
    assert metrics.beta_vae_score_of_groups(same, other) == 0.75


def test_the_score_can_be_jitted_and_vmapped_over_lanes():
    latents, factors = known(count=60)
    lanes = np.stack([latents, latents[:, ::-1] ** 3, 0 * latents, latents * np.nan])
    lanes = lanes.astype(np.float32)
    numbers = {"groups": 30, "test_groups": 20, "size": 4}
    score = jax.jit(lambda *args: factor_vae_score(*args, **numbers))
    found = jax.vmap(score, (None, 0, None))(KEY, lanes, factors)
    expected = [factor_vae_score(KEY, lane, factors, **numbers) for lane in lanes]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.isnan(found[3])
    assert found[2] == 0
    half = latents.astype(jnp.bfloat16)
    assert factor_vae_score(KEY, half, factors, **numbers).dtype == jnp.float32


LATENTS = known(count=60)[0]
GROUPS = Groups(np.ones((4, 2, 3)), np.zeros(4, int))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: factor_vae_score(KEY, LATENTS, FACTORS[1:]), r"\[60, 4\] and \[59, 3\]"),
        (lambda: factor_vae_score(KEY, LATENTS, FACTORS / 2), "integers"),
        (lambda: factor_vae_score(KEY, LATENTS, FACTORS, size=1), "2 examples or more"),
        (lambda: factor_vae_score(KEY, LATENTS, FACTORS, groups=0), "positive"),
        (lambda: factor_vae_score(KEY, LATENTS, FACTORS, test_groups=0), "positive"),
        (lambda: beta_vae_score(KEY, LATENTS, FACTORS[1:]), r"\[60, 4\] and \[59, 3\]"),
        (lambda: beta_vae_score(KEY, LATENTS, FACTORS, size=0), "size 0"),
        (lambda: beta_vae_score(KEY, LATENTS, FACTORS, groups=0), "positive"),
        (lambda: beta_vae_score(KEY, LATENTS, FACTORS, test_groups=0), "positive"),
        (lambda: beta_vae_score(KEY, LATENTS + np.nan, FACTORS), "not finite"),
        (lambda: jax.jit(beta_vae_score)(KEY, LATENTS, FACTORS), "cannot be jitted"),
        (lambda: metrics.fixed_factor_groups(KEY, FACTORS[:, 0], 3, 2), r"integers \[N, K\]"),
        (lambda: metrics.fixed_factor_groups(KEY, FACTORS / 1, 3, 2), "float"),
        (lambda: metrics.fixed_factor_pairs(KEY, FACTORS, 3, 0), "size 0"),
        (
            lambda: metrics.beta_vae_score_of_groups(GROUPS, GROUPS._replace(fixed=np.ones(3))),
            r"test groups must be latents \[G, L, Z\] and fixed \[G\]",
        ),
        (
            lambda: metrics.beta_vae_score_of_groups(
                GROUPS._replace(fixed=-np.ones(4, int)), GROUPS
            ),
            "integers from 0",
        ),
        (
            lambda: metrics.beta_vae_score_of_groups(
                GROUPS._replace(latents=np.ones((4, 2, 2))), GROUPS
            ),
            "as many latents",
        ),
        (
            lambda: metrics.beta_vae_score_of_groups(
                GROUPS._replace(latents=np.full((4, 2, 3), np.nan)), GROUPS
            ),
            "not finite",
        ),
        (
            lambda: metrics.factor_vae_score_of_groups(
                GROUPS._replace(latents=np.ones((4, 1, 3))), GROUPS, np.ones(3)
            ),
            "2 examples",
        ),
        (
            lambda: metrics.fixed_factor_groups(jax.random.key(0), None, 3, 2),
            r"factors must be integers \[N, K\] and not empty, got object \[\]",
        ),
        (
            lambda: metrics.factor_vae_score_of_groups(GROUPS, GROUPS, np.ones(2)),
            r"variances must be \[3\]",
        ),
    ],
)
def test_input_that_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
