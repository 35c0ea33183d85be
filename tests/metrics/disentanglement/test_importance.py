import jax
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.metrics import disentanglement_completeness, mi_completeness, mi_disentanglement
from tests.metrics.disentanglement.known import SIZES, ideal, known, twice

#: 1 - the entropy of two equal parts, to the base of ten.
HALF = 1 - np.log(2) / np.log(10)
#: 1 - the entropy of 1/2, 1/6, 1/3, to the base of three.
SIXTHS = 1 - (np.log(2) / 2 + np.log(6) / 6 + np.log(3) / 3) / np.log(3)


@pytest.mark.parametrize(
    ("importance", "disentanglement", "completeness"),
    [
        (5 * np.eye(10), 1, 1),
        (np.append(np.eye(9), np.zeros((1, 9)), axis=0), 1, 1),
        (np.zeros((10, 10)), 0, 0),
        (np.tile(np.eye(5), (2, 1)), 1, HALF),
        (np.eye(10)[:2], 1, 1),
        (np.kron(np.eye(5), [[1, 1]]), HALF, 1),
        ([[2.0, 1, 0], [0, 1, 3], [1, 1, 1], [0, 0, 0]], 0.321442147807, 0.462255624794),
        ([[3.0, 1, 2]], SIXTHS, 1),  # one latent
        ([[3.0], [1]], 1, 1 - 0.8112781244591328),  # one factor, and 1 - H(1/4, 3/4) in bits
    ],
)
def test_matrices(x64, importance, disentanglement, completeness):
    found = disentanglement_completeness(np.array(importance))
    np.testing.assert_allclose(found, [disentanglement, completeness], rtol=1e-9)
    # its scale does not matter
    again = disentanglement_completeness(np.array(importance) * 1e-30)
    np.testing.assert_allclose(again, found, rtol=1e-12)


@pytest.mark.parametrize(
    ("importance", "disentanglement", "completeness"),
    [  # of the known codes, by scikit-learn: boosting, a forest, extra trees
        (
            [
                [1.0, 0.126662399948, 0.168924396036],
                [4.27034299542e-16, 0.826910112419, 0.0319049362082],
                [0.0, 0.0194099664099, 0.746230518263],
                [1.34598746079e-16, 0.027017521224, 0.0529401494927],
            ],
            0.643301771942,
            0.668835462489,
        ),
        (
            [
                [0.900989194901, 0.119628357644, 0.163652997816],
                [0.033389151363, 0.771314224083, 0.0659762788591],
                [0.0593101494649, 0.0508470138509, 0.669239743877],
                [0.0063115042716, 0.0582104044219, 0.101130979448],
            ],
            0.471461889774,
            0.481993211855,
        ),
        (
            [
                [0.874831320235, 0.0744937206109, 0.121422979528],
                [0.0387594818304, 0.849684797886, 0.0376956182082],
                [0.0732905725335, 0.0304125462915, 0.778982609649],
                [0.013118625401, 0.045408935212, 0.0618987926151],
            ],
            0.559048124423,
            0.56328903086,
        ),
    ],
)
def test_importances_of_known_codes(x64, importance, disentanglement, completeness):
    found = disentanglement_completeness(np.array(importance))
    np.testing.assert_allclose(found, [disentanglement, completeness], rtol=1e-9)


def test_factors_may_be_left_out(x64):
    matrix = np.random.default_rng(0).random((4, 3))
    chosen = np.array([True, False, True])
    found = disentanglement_completeness(matrix, chosen)
    np.testing.assert_allclose(found, disentanglement_completeness(matrix[:, [0, 2]]), rtol=1e-12)


def test_information_of_known_codes(x64):
    np.testing.assert_allclose(mi_disentanglement(*known()), 0.593439645868, rtol=1e-9)
    np.testing.assert_allclose(mi_completeness(*known()), 0.572201678568, rtol=1e-9)


def test_ideal_codes():
    latents, factors = ideal(3000)
    latents = latents.astype(np.float32)
    # log 10 of the factor that it is, and by chance (9 * 9) / (2 * 3000) of each of the others
    expected = np.full((10, 10), 81 / 6000) + np.diag(np.full(10, np.log(10) - 81 / 6000))
    scores = mi_disentanglement(latents, factors), mi_completeness(latents, factors)
    np.testing.assert_allclose(scores, disentanglement_completeness(expected), atol=0.01)
    doubled = twice(latents)
    np.testing.assert_allclose(mi_disentanglement(doubled, factors), scores[0], rtol=1e-4)
    expected = np.tile(expected, (2, 1))
    found = mi_completeness(doubled, factors)
    np.testing.assert_allclose(found, disentanglement_completeness(expected)[1], atol=0.01)


def test_constants_are_left_out():
    latents, factors = known(count=60)
    latents = latents.astype(np.float32)
    constant = np.concatenate([factors, np.full((60, 1), 2)], axis=1)
    for score in (mi_disentanglement, mi_completeness):
        np.testing.assert_allclose(score(latents, constant), score(latents, factors), rtol=1e-6)
        assert score(latents, constant[:, 3:]) == 0
        assert score(latents[:1], factors[:1]) == 0
        assert score(0 * latents, factors) == 0
        broken = np.where(np.arange(60)[:, None] == 7, np.inf, latents)
        assert np.isnan(score(broken, factors))


def test_they_can_be_jitted():
    latents, factors = known(count=60)
    latents = latents.astype(np.float32)
    for score in (mi_disentanglement, mi_completeness):
        found = jax.jit(lambda *args, score=score: score(*args, factor_sizes=SIZES))
        np.testing.assert_allclose(found(latents, factors), score(latents, factors), rtol=1e-6)
    both = jax.jit(disentanglement_completeness)(latents**2)
    np.testing.assert_allclose(both, disentanglement_completeness(latents**2), rtol=1e-6)


@pytest.mark.parametrize(
    ("importance", "varies", "message"),
    [
        (np.ones(3), None, r"\[Z, K\]"),
        (np.ones((0, 3)), None, "empty"),
        (np.ones((2, 3)), np.ones(2, bool), r"varies \[K\]"),
        (np.array([[1.0, -1]]), None, "negative"),
        (np.array([[1.0, np.nan]]), None, "not finite"),
    ],
)
def test_input_that_does_not_fit_is_refused(importance, varies, message):
    with pytest.raises(InputError, match=message):
        disentanglement_completeness(importance, varies)
