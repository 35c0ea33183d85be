import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from ae_jax.core import InputError
from ae_jax.metrics import mig, modularity, mutual_information
from ae_jax.metrics.disentanglement import information as counting
from tests.metrics.disentanglement.known import ideal, known, rows_permuted, twice

SIZES = (3, 4, 5)


def all_factors(repeats=2):
    """Every combination of three factors, equally often: independent and uniform."""
    return np.tile(list(itertools.product(*map(range, SIZES))), (repeats, 1))


def random_problem(seed=0, count=400):
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(0, size, count) for size in SIZES], axis=1)
    mixed = factors @ rng.normal(size=(3, 4)) + 0.5 * rng.normal(size=(count, 4))
    return mixed.astype(np.float32), factors


def test_oracle_codes_score_one():
    factors = all_factors()
    np.testing.assert_allclose(mig(factors.astype(np.float32), factors), 1, rtol=1e-5)


def test_latents_that_know_nothing_score_zero():
    factors = all_factors()
    assert mig(np.zeros((120, 4), np.float32), factors) == 0
    assert mig(np.full((120, 4), 7.3, np.float32), factors) == 0
    # independent of every factor, yet not constant
    nuisance = np.repeat([[0.0], [1.0]], 60, axis=0).astype(np.float32)
    np.testing.assert_allclose(mig(nuisance, factors), 0, atol=1e-6)


def test_duplicated_codes_score_zero():
    factors = all_factors()
    doubled = np.concatenate([factors, factors], axis=1).astype(np.float32)
    np.testing.assert_allclose(mig(doubled, factors), 0, atol=1e-6)


def test_half_of_the_factors_gives_their_share():
    # one latent knows factor 0 entirely, none knows the others: (1 + 0 + 0) / 3
    factors = all_factors()
    np.testing.assert_allclose(mig(factors[:, :1].astype(np.float32), factors), 1 / 3, rtol=1e-5)


def test_gap_by_hand():
    # one binary factor; latent 0 equals it, latent 1 equals it on 3 of 4 values:
    # p(1, .) = (1/4, 1/4), (0, 1/2): I = log 2 - H(f | l) = log 2 - (3/4) H(1/3)
    # H(1/3) = 0.636514; I = 0.693147 - 0.477386 = 0.215762; gap = 1 - 0.311278 = 0.688722
    factors = np.array([[0], [0], [1], [1]])
    latents = np.array([[0, 0], [0, 1], [1, 1], [1, 1]], np.float32)
    information, entropies = mutual_information(latents, factors)
    np.testing.assert_allclose(information[:, 0], [0.693147, 0.215762], rtol=1e-5)
    np.testing.assert_allclose(entropies, [np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(mig(latents, factors), 0.688722, rtol=1e-5)


def test_rotated_codes_score_low():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 10, (5000, 2))
    centred = (factors - 4.5).astype(np.float32)
    turn = np.array([[1, -1], [1, 1]], np.float32) / np.sqrt(2)
    assert mig(centred, factors) > 0.99
    # at 45 degrees both latents know the same about either factor
    assert 0 <= mig(centred @ turn, factors) < 0.05


def test_factors_of_a_single_value_are_left_out():
    factors = all_factors()
    constant = np.concatenate([factors, np.full((120, 1), 2)], axis=1)
    latents, _ = random_problem(count=120)
    np.testing.assert_allclose(mig(latents, constant), mig(latents, factors), rtol=1e-6)
    assert mig(latents, constant[:, 3:]) == 0


@pytest.mark.parametrize("count", [777, 4608])
@pytest.mark.parametrize("constant", [0, 2])
def test_a_factor_of_a_single_value_is_known_by_its_counts(count, constant):
    # sums of rounded probabilities gave it an entropy of 1e-7, and a gap of 0 / 1e-7 or more
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((count, 3)).astype(np.float32)
    latents[:, 1] = 7.3
    factors = np.stack([rng.integers(0, 3, count), np.full(count, constant)], axis=1)
    information, entropies = mutual_information(latents, factors, factor_sizes=(3, 3))
    assert entropies[1] == 0
    np.testing.assert_array_equal(information[:, 1], 0)
    np.testing.assert_array_equal(information[1], 0)
    value = mig(latents, factors, factor_sizes=(3, 3))
    assert value == mig(latents, factors[:, :1], factor_sizes=(3,)) < 0.02


def test_a_factor_of_which_one_example_differs_varies():
    count = 4608
    factors = np.zeros((count, 1), int)
    factors[17] = 1
    information, entropies = mutual_information(factors.astype(np.float32), factors)
    p = 1 / count
    np.testing.assert_allclose(entropies, -p * np.log(p) - (1 - p) * np.log1p(-p), rtol=1e-3)
    np.testing.assert_allclose(mig(factors.astype(np.float32), factors), 1, rtol=1e-3)
    np.testing.assert_allclose(information[:, 0], entropies, rtol=1e-3)


def test_bins_are_of_equal_width_and_closed_at_the_top():
    # 0, 1, 2, 3, 4 in 2 bins over [0, 4]: 2 belongs to the upper bin
    latents, factors = np.arange(5, dtype=np.float32)[:, None], np.arange(5)[:, None]
    joint = [[0.2, 0.2, 0, 0, 0], [0, 0, 0.2, 0.2, 0.2]]
    expected = np.sum([p * np.log(p / (np.sum(row) * 0.2)) for row in joint for p in row if p])
    information, _ = mutual_information(latents, factors, bins=2)
    np.testing.assert_allclose(information, [[expected]], rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_mutual_information_agrees_with_scikit_learn(seed):
    latents, factors = random_problem(seed)
    information, entropies = mutual_information(latents, factors)
    for i, k in itertools.product(range(4), range(3)):
        edges = np.histogram(latents[:, i], 20)[1]
        binned = np.digitize(latents[:, i], edges[:-1])
        expected = mutual_info_score(binned, factors[:, k])
        np.testing.assert_allclose(information[i, k], expected, rtol=2e-5)
    expected = [mutual_info_score(column, column) for column in factors.T]
    np.testing.assert_allclose(entropies, expected, rtol=1e-5)


def test_bins_are_20_by_default():
    latents, factors = random_problem()
    assert mig(latents, factors) == mig(latents, factors, bins=20) != mig(latents, factors, bins=21)
    information, _ = mutual_information(latents, factors)
    np.testing.assert_array_equal(information, mutual_information(latents, factors, bins=20)[0])


def test_order_scale_and_sign_of_latents_do_not_matter():
    latents, factors = random_problem()
    value = mig(latents, factors)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(mig(latents[:, order], factors), value, rtol=1e-5)
    np.testing.assert_allclose(mig(latents, factors[:, [1, 2, 0]]), value, rtol=1e-5)
    rows = np.random.default_rng(1).permutation(len(latents))
    np.testing.assert_allclose(mig(latents[rows], factors[rows]), value, rtol=1e-5)
    # powers of two and shifts that are exact in float32, so that no value changes its bin
    exact = np.round(latents * 256) / 256
    moved = exact * np.array([[4, 2**-6, 1, 2]], np.float32) + np.float32(8)
    np.testing.assert_allclose(mig(moved, factors), mig(exact, factors), rtol=1e-5)
    # upside down, bins are closed at the other end: only values on an edge move
    np.testing.assert_allclose(mig(-latents, factors), value, atol=0.01)


def test_counting_in_chunks_changes_nothing(monkeypatch):
    latents, factors = random_problem()
    whole = mig(latents, factors)
    monkeypatch.setattr(counting, "CHUNK", 37)
    np.testing.assert_allclose(mig(latents, factors), whole, rtol=1e-6)


def test_it_can_be_jitted_and_vmapped_over_lanes():
    problems = [random_problem(seed)[0] for seed in range(3)]
    _, factors = random_problem()
    score = functools.partial(mig, factor_sizes=SIZES)
    values = jax.jit(jax.vmap(score, (0, None)))(np.stack(problems), factors)
    expected = [mig(latents, factors) for latents in problems]
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_labels_need_not_be_consecutive():
    latents, factors = random_problem()
    np.testing.assert_allclose(mig(latents, 10 * factors - 7), mig(latents, factors), rtol=1e-6)


def test_a_broken_latent_is_not_scored():
    latents, factors = random_problem()
    for broken in (np.nan, np.inf, 3e38):  # a width of 6e38 is infinite
        latents[5:7, 2] = broken, -broken
        assert np.isnan(mig(latents, factors))
        information, _ = mutual_information(latents, factors)
        np.testing.assert_array_equal(np.isnan(information).all(axis=1), np.arange(4) == 2)
        assert np.isnan(information).sum() == 3


def test_traced_factors_beyond_their_size_are_not_scored():
    latents, factors = random_problem()
    score = jax.jit(functools.partial(mig, factor_sizes=(3, 4, 5)))
    assert np.isfinite(score(latents, factors))
    for wrong in (-1, 5):
        factors[5, 2] = wrong
        assert np.isnan(score(latents, factors))


def test_half_precision_is_binned_in_single_precision():
    latents, factors = random_problem()
    half = latents.astype(jnp.bfloat16)
    assert mig(half, factors).dtype == jnp.float32
    np.testing.assert_array_equal(mig(half, factors), mig(half.astype(np.float32), factors))


def test_double_precision_is_kept(x64):
    factors = all_factors()
    value = mig(factors.astype(np.float64), factors)
    assert value.dtype == jnp.float64
    np.testing.assert_allclose(value, 1, rtol=1e-12)


@pytest.mark.parametrize(
    ("latents", "factors", "options", "message"),
    [
        (np.zeros((4, 2)), np.zeros((3, 1), int), {}, r"\[4, 2\] and \[3, 1\]"),
        (np.zeros(4), np.zeros((4, 1), int), {}, r"\[N, Z\]"),
        (np.zeros((4, 2)), np.zeros((4, 1)), {}, "integers"),
        (np.zeros((0, 2)), np.zeros((0, 1), int), {}, "empty"),
        (np.zeros((4, 2)), np.zeros((4, 1), int), {"factor_sizes": (2, 2)}, "use a list of"),
        (np.zeros((4, 2)), np.full((4, 1), 2), {"factor_sizes": (2,)}, "between 0 and"),
        (np.zeros((4, 2)), np.full((4, 1), -1), {"factor_sizes": (2,)}, "between 0 and"),
        (
            np.zeros((4, 2)),
            np.zeros((4, 1), int),
            {"bins": 0},
            "bins is 0: use a whole number, 1 or more",
        ),
    ],
)
def test_input_that_does_not_fit_is_refused(latents, factors, options, message):
    with pytest.raises(InputError, match=message):
        mig(latents.astype(np.float32), factors, **options)


def test_traced_factors_need_their_sizes():
    with pytest.raises(InputError, match="factor_sizes"):
        jax.jit(mig)(*random_problem())


def test_a_factor_of_a_single_value_is_left_out_whatever_the_number_of_examples():
    # entropies of 6e-8, of rounding, were divided by
    rng = np.random.default_rng(0)
    for count in (100, 600, 1536):
        latents = rng.standard_normal((count, 3)).astype(np.float32)
        factors = np.stack([rng.integers(0, 3, count), np.full(count, 1)], axis=1)
        alone = mig(latents, factors[:, :1], factor_sizes=(3,))
        assert mig(latents, factors, factor_sizes=(3, 2)) == alone


#: Of `known`, in 20 bins, nats: by scikit-learn and by a loop.
INFORMATION = [
    [1.0073806176, 0.0451946961424, 0.00599088988259],
    [0.0999592755992, 0.956543316782, 0.0129599743825],
    [0.188837213207, 0.0568109926992, 0.745197887202],
    [0.0241724668939, 0.0513030536796, 0.0632672453235],
]
GAP = 0.605932442389


def test_information_of_known_codes(x64):
    information, entropies = mutual_information(*known())
    np.testing.assert_allclose(information, INFORMATION, rtol=1e-10)
    np.testing.assert_allclose(entropies, np.log([3, 4, 5]), rtol=1e-12)
    np.testing.assert_allclose(mig(*known()), GAP, rtol=1e-11)
    np.testing.assert_allclose(modularity(*known()), 0.889161888757, rtol=1e-11)
    weighted = modularity(*known(), weighted=True)
    np.testing.assert_allclose(weighted, 0.970083651092, rtol=1e-11)


def test_examples_may_come_in_any_order():
    latents, factors = known()
    latents = latents.astype(np.float32)
    order = np.random.default_rng(0).permutation(600)
    ours, ours_again = mig(latents, factors), mig(latents[order], factors[order])
    np.testing.assert_allclose([ours, ours_again], GAP, rtol=1e-6)

    def popular(latents, factors):  # a change of shape where latents [N, Z] are to be transposed
        return mig(latents.ravel().reshape(latents.shape[::-1]).T, factors)

    assert abs(popular(latents, factors) - GAP) > 0.3
    assert abs(popular(latents, factors) - popular(latents[order], factors[order])) > 1e-3
    perfect = all_factors().astype(np.float32)
    assert mig(perfect, all_factors()) > 0.999 > 0.3 > popular(perfect, all_factors())


def test_a_draw_from_posteriors_tells_less_than_their_means():
    # a fair bit and z = ±1 + N(0, 1): their information by quadrature, of which 20 bins keep
    # nearly all
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (20_000, 1))
    means = (2 * bits - 1).astype(np.float32)
    drawn = means + rng.standard_normal(means.shape).astype(np.float32)
    grid = np.linspace(-9, 9, 20_001)
    density = np.exp(-0.5 * (grid[:, None] - [-1, 1]) ** 2) / np.sqrt(2 * np.pi)
    mixture = density.mean(axis=1)
    entropy = -np.trapezoid(mixture * np.log(mixture), grid)
    exact = entropy - 0.5 * np.log(2 * np.pi * np.e)
    np.testing.assert_allclose(mig(means, bits), 1, rtol=1e-5)
    np.testing.assert_allclose(mig(drawn, bits) * np.log(2), exact, atol=0.015)


@pytest.mark.parametrize(
    ("information", "expected", "weighted"),
    [
        (5 * np.eye(3), 1, 1),
        (np.append(np.eye(2), np.zeros((1, 2)), axis=0), 2 / 3, 1),  # an empty code
        (np.zeros((3, 3)), 0, 0),
        (np.tile(np.eye(3), (2, 1)), 1, 1),
        (np.eye(3)[:2], 1, 1),
        (np.kron(np.eye(5), [[1, 1]]), 1 - 1 / 9, 1 - 1 / 9),  # two factors in each code
        ([[1e-8, 0.0], [2.0, 1.0]], 0.375, 0.75),  # what rounding leaves is no information
    ],
)
def test_modularity_of_matrices(information, expected, weighted):
    information = np.array(information, np.float32)
    entropies = np.ones(information.shape[1], np.float32)
    np.testing.assert_allclose(counting.modularity_of(information, entropies), expected, rtol=1e-6)
    found = counting.modularity_of(information, entropies, weighted=True)
    np.testing.assert_allclose(found, weighted, rtol=1e-6)


def test_modularity_counts_empty_codes_only_as_published():
    factors = all_factors()
    perfect = np.concatenate([factors, np.zeros((120, 1)), np.full((120, 2), 0.7)], axis=1)
    perfect = perfect.astype(np.float32)
    np.testing.assert_allclose(modularity(perfect, factors), 1 / 2, rtol=1e-6)
    np.testing.assert_allclose(modularity(perfect, factors, weighted=True), 1, rtol=1e-6)


def test_one_factor_or_none_leaves_nothing_to_mix():
    factors, latents = all_factors(), all_factors().astype(np.float32)
    assert modularity(latents[:, :1], factors[:, :1]) == 1
    for weighted in (False, True):
        assert modularity(latents, np.zeros((120, 2), int), weighted=weighted) == 0
        constant = np.concatenate([factors, np.full((120, 1), 3)], axis=1)
        np.testing.assert_allclose(
            modularity(latents, constant, weighted=weighted),
            modularity(latents, factors, weighted=weighted),
            rtol=1e-6,
        )
        latents_broken = np.where(np.arange(120)[:, None] == 3, np.nan, latents)
        assert np.isnan(modularity(latents_broken, factors, weighted=weighted))


def test_expectations_of_the_study_for_ideal_codes():
    latents, factors = ideal(3000)
    latents = latents.astype(np.float32)
    assert 0.9 <= mig(latents, factors) <= 1
    assert 0 <= mig(0 * latents, factors) <= 0.2
    assert 0 <= mig(twice(latents), factors) <= 0.1
    assert 0.9 <= modularity(latents, factors) <= 1
    assert 0.9 <= modularity(twice(latents), factors) <= 1


def test_modularity_of_codes_that_change_places():
    latents, factors = ideal(20_000)
    assert 0 <= modularity(rows_permuted(latents).astype(np.float32), factors) <= 0.2
