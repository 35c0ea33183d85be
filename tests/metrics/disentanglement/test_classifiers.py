import jax
import numpy as np
import pytest
from scipy.special import xlogy
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier

from ae_jax.core import InputError
from ae_jax.metrics import dci, explicitness, sap_svc
from tests.marks import rare
from tests.metrics.disentanglement.known import ideal, known, rows_permuted, twice

#: Few values of few factors, which trees are quickly fitted to.
FEW = {"factors": 4, "values": 5}


def test_values_of_known_codes():
    data = *known(), *known(600)
    np.testing.assert_allclose(sap_svc(*data), 0.277777777778, atol=0.01)
    np.testing.assert_allclose(explicitness(*data), 0.912249691358, atol=1e-4)
    np.testing.assert_allclose(explicitness(*known()), 0.939313117284, atol=1e-4)


def test_trees_of_known_codes():
    found = dci(*known(), *known(600))
    assert list(found) == ["dci_disentanglement", "dci_completeness", "dci_informativeness"]
    # ties of splits are broken at random: another seed has 0.643334 and 0.669066
    expected = [0.643301771942, 0.668835462489, 0.746111111111]
    np.testing.assert_allclose(list(found.values()), expected, atol=2e-3)


def test_a_forest_of_known_codes():
    found = dci(*known(), *known(600), importance="forest")
    assert list(found) == [
        *("forest_disentanglement", "forest_completeness", "forest_informativeness")
    ]
    latents, factors = known()
    forest = RandomForestClassifier(20, max_depth=8, max_features=None, random_state=0)
    fitted = [clone(forest).fit(latents, column) for column in factors.T]
    matrix = np.stack([one.feature_importances_ for one in fitted], axis=1)
    right = [one.score(known(600)[0], known(600)[1][:, k]) for k, one in enumerate(fitted)]

    def spread(rows):
        share = rows / rows.sum(axis=1, keepdims=True)
        entropy = -np.sum(xlogy(share, share), axis=1) / np.log(rows.shape[1])
        return np.average(1 - entropy, weights=rows.sum(axis=1))

    expected = [spread(matrix), spread(matrix.T), np.mean(right)]
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-5)
    other = dci(*known(), *known(600), importance="forest", seed=1)
    assert found != other
    assert found == dci(*known(), *known(600), importance="forest")


def test_information_needs_no_classifier():
    found = dci(*known(), importance="information")
    assert list(found) == ["mi_disentanglement", "mi_completeness"]
    np.testing.assert_allclose(list(found.values()), [0.593439646, 0.572201679], rtol=1e-6)


@pytest.mark.parametrize("importance", [rare("boosting"), "forest"])
def test_ideal_codes_and_codes_that_change_places(importance):
    (latents, factors), (test, test_factors) = ideal(250, **FEW), ideal(250, **FEW, seed=3)
    good = dci(latents, factors, test, test_factors, importance=importance)
    bad = dci(
        rows_permuted(latents), factors, rows_permuted(test, 4), test_factors, importance=importance
    )
    good, bad = list(good.values()), list(bad.values())
    assert min(good) >= 0.9  # a forest whose splits see some latents only has 0.64
    assert good[2] == 1
    assert max(bad[:2]) <= 0.2
    assert bad[2] < 0.6


@pytest.mark.full
def test_expectations_of_the_study():
    (latents, factors), (test, test_factors) = ideal(1000), ideal(1000, seed=3)
    found = dci(latents, factors, test, test_factors)
    assert min(found["dci_disentanglement"], found["dci_completeness"]) >= 0.9
    found = dci(rows_permuted(latents), factors, rows_permuted(test, 4), test_factors)
    assert max(found["dci_disentanglement"], found["dci_completeness"]) <= 0.2
    found = dci(twice(latents), factors, twice(test), test_factors)
    assert found["dci_disentanglement"] >= 0.9
    np.testing.assert_allclose(found["dci_completeness"], 1 - np.log(2) / np.log(10), atol=0.1)


def test_doubled_codes_are_as_disentangled_and_less_complete():
    latents, factors = ideal(250, **FEW)
    found = dci(twice(latents), factors)
    assert found["dci_disentanglement"] >= 0.9
    # two of eight latents share a factor
    np.testing.assert_allclose(found["dci_completeness"], 1 - np.log(2) / np.log(8), atol=0.1)
    assert sap_svc(twice(latents), factors) <= 0.2


def test_machines_of_the_study():
    latents, factors = ideal(300)
    assert (
        0 <= sap_svc(twice(latents), factors, *map(twice, ideal(300, seed=2)[:1]), factors) <= 0.2
    )


def test_a_factor_that_a_line_tells_is_explicit():
    latents, factors = ideal(200, factors=2, values=2)
    assert explicitness(latents, factors) == 1
    assert explicitness(np.zeros_like(latents), factors) == 0.5
    # a parity of both latents, which no line tells
    odd = (factors.sum(axis=1) % 2)[:, None]
    assert abs(explicitness(latents, odd) - 0.5) < 0.1


def test_explicitness_counts_each_value_alike():
    # of two values the areas are the same: of 3 pairs of a 0 and a 1, two are in order
    latents, factors = np.array([[1.0], [0], [2], [3]]), np.array([[0], [1], [1], [1]])
    np.testing.assert_allclose(explicitness(latents, factors), 2 / 3, rtol=1e-12)
    # a value that the test does not have, and one that training does not have
    test = np.array([[0.0], [1.0], [3.0]]), np.array([[0], [1], [7]])
    three = explicitness(np.array([[0.0], [1], [2]]), np.array([[0], [1], [2]]), *test)
    assert 0.5 <= three <= 1


def test_scale_order_and_sign_do_not_matter():
    (latents, factors), test = known(count=120), known(600, 60)
    order, sign = [2, 0, 3, 1], [1, -1, -1, 1]
    moved = latents[:, order] * sign, factors, test[0][:, order] * sign, test[1]
    relabelled = latents, 10 - 3 * factors, test[0], 10 - 3 * test[1]
    for score in (sap_svc, explicitness):
        expected = score(latents, factors, *test)
        np.testing.assert_allclose(score(*moved), expected, atol=1e-3)
        np.testing.assert_allclose(score(*relabelled), expected, atol=1e-3)
    far = latents * [10, 0.1, 3, 1] + [100, -5, 0, 7]
    expected = explicitness(latents, factors)
    np.testing.assert_allclose(explicitness(far, factors), expected, atol=1e-6)
    # trees split in the middle between two latents of training
    expected = list(dci(latents, factors, importance="forest").values())
    found = list(dci(3 * latents, 10 + 3 * factors, importance="forest").values())
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_factors_of_a_single_value_are_left_out():
    latents, factors = known(count=60)
    constant = np.concatenate([factors, np.full((60, 1), 4)], axis=1)
    for importance in ("forest", "information"):
        found = dci(latents, constant, importance=importance)
        expected = dci(latents, factors, importance=importance)
        np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-6)
        assert set(dci(latents, constant[:, 3:], importance=importance).values()) == {0.0}
    for score, none in ((explicitness, 0.5), (sap_svc, 0.0)):
        assert score(latents, constant) == score(latents, factors)
        assert score(latents, constant[:, 3:]) == none
        assert score(latents[:1], factors[:1]) == none
    assert sap_svc(latents[:, :1], factors[:, :1]) > 0.5


LATENTS, FACTORS = known(count=12)


@pytest.mark.parametrize("score", [dci, explicitness, sap_svc])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LATENTS, FACTORS[1:]), r"\[12, 4\] and \[11, 3\]"),
        ((LATENTS, FACTORS / 2), "integers"),
        ((LATENTS, FACTORS, LATENTS), "together"),
        ((LATENTS, FACTORS, LATENTS[:, :2], FACTORS), "test_latents must have as many"),
        ((np.full_like(LATENTS, np.nan), FACTORS), "not finite"),
        ((LATENTS, FACTORS, LATENTS + np.inf, FACTORS), "not finite"),
    ],
)
def test_input_that_does_not_fit_is_refused(score, arguments, message):
    with pytest.raises(InputError, match=message):
        score(*arguments)


def test_other_wrong_input():
    with pytest.raises(InputError, match="boosting, forest, information, not 'trees'"):
        dci(LATENTS, FACTORS, importance="trees")
    with pytest.raises(InputError, match="no two values"):
        explicitness(LATENTS, FACTORS, LATENTS, FACTORS + 10)
    for score in (dci, explicitness, sap_svc):
        with pytest.raises(InputError, match="cannot be jitted"):
            jax.jit(score)(LATENTS, FACTORS)
