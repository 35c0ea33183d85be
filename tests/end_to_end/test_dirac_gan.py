"""The Dirac-GAN's script: training against the formulas, and both against known trajectories."""

import dataclasses

import numpy as np
import pytest

from tests import loading


@pytest.fixture(scope="module")
def script():
    return loading.script("dirac_gan")


# (theta, psi) after 10 and after 100 steps of 0.1 from (1, 1); and the radius after 1000
KNOWN = {
    ("minimax", "alternating", 0.0): (
        [1.3751013690446123, 0.1777775213536104],
        [-1.1097897978473992, 0.8159668084944052],
        1.3820652705258298,
    ),
    ("minimax", "simultaneous", 0.0): (
        [1.4388105797340203, 0.1559697581237201],
        [-1.3600087500500546, 0.8178351691211413],
        2.756088981837077,
    ),
    ("non_saturating", "alternating", 0.0): (
        [1.1957732784195938, 0.2626599849265759],
        [-0.31832352495196, 0.664852342538518],
        0.28103995873770726,
    ),
    ("non_saturating", "simultaneous", 0.5): (
        [1.1730925903165155, 0.04789424848433847],
        [-0.12739867493838156, 0.0812525400536952],
        3.051108852514911e-11,
    ),
    ("wasserstein", "alternating", 0.5): (
        [1.2056774477008765, -0.3777128419028036],
        [-0.10575418785997083, -0.03577586053813726],
        1.1077388672040312e-11,
    ),
    ("wasserstein", "simultaneous", 0.0): (
        [1.4532984599, -0.31171756010000007],
        [-2.257353911673798, -0.5603400541582387],
        204.73961823649918,
    ),
}


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: " ".join(map(str, case)))
def test_formulas_against_known_trajectories(script, case):
    path = script.written_out(*case, rate=0.1, start=1.0, steps=1000)
    after_10, after_100, radius = KNOWN[case]
    np.testing.assert_allclose(path[[10, 100]], [after_10, after_100], rtol=1e-10)
    np.testing.assert_allclose(np.hypot(*path[1000]), radius, rtol=1e-9)


@pytest.mark.parametrize(
    ("objective", "order"), [("non_saturating", "alternating"), ("wasserstein", "simultaneous")]
)
def test_training_follows_the_formulas(script, objective, order):
    config = dataclasses.replace(script.PRESETS["smoke"], gamma=(0.0, 0.5), steps=30)
    found = script.followed(config, objective, order)
    assert found.shape == (2, 2, 31, 2)
    for lane, gamma in zip(found, config.gamma, strict=True):
        for path in lane:
            expected = script.written_out(objective, order, gamma, 0.1, path[0, 0], 30)
            np.testing.assert_allclose(path, expected, rtol=1e-12)
    # neither the other order nor another penalty would do
    other = {"alternating": "simultaneous", "simultaneous": "alternating"}[order]
    wrong = script.written_out(objective, other, 0.5, 0.1, 1.0, 30)
    assert np.abs(found[1, 1] - wrong).max() > 1e-3
    doubled = script.written_out(objective, order, 1.0, 0.1, 1.0, 30)
    assert np.abs(found[1, 1] - doubled).max() > 0.1


@pytest.mark.parametrize(
    ("objective", "order", "gamma", "expected"),
    [
        ("wasserstein", "simultaneous", 0.0, 1.004987562112089),
        ("wasserstein", "alternating", 0.0, 1.0),
        ("wasserstein", "simultaneous", 0.5, 0.9797958971132712),
        ("wasserstein", "alternating", 0.5, 0.9746794344808963),
        ("minimax", "simultaneous", 0.0, 1.0012492197250393),
        ("non_saturating", "simultaneous", 0.5, 0.9759610647971566),
        ("non_saturating", "alternating", 0.5, 0.9746794344808963),
    ],
)
def test_factors_of_the_linearised_moves(script, objective, order, gamma, expected):
    np.testing.assert_allclose(script.modulus(objective, order, gamma, 0.1), expected, rtol=1e-13)
    path = script.written_out(objective, order, gamma, 0.1, 1e-3, 1000)
    np.testing.assert_allclose(script.measured(path), expected, atol=2e-4)


def test_what_alternating_wasserstein_moves_conserve(script):
    theta, psi = script.written_out("wasserstein", "alternating", 0.0, 0.1, 1.0, 500).T
    np.testing.assert_allclose(theta**2 + psi**2 - 0.1 * theta * psi, 1.9, rtol=1e-11)
