"""The script on restoring photographs: its noise, and what its filters are chosen on."""

import dataclasses

import numpy as np
import pytest

from ae_jax import data, experiment
from tests import loading


@pytest.fixture(scope="module")
def script():
    return loading.script("stacked_denoising")


def test_noise_has_the_psnr_of_its_deviation_and_is_not_clipped(script):
    clean = np.full((256, 256, 1), 0.5, np.float32)
    for sigma in (25, 50, 100):
        spoiled = script.noisy(clean, sigma, seed=0)
        found = -10 * np.log10(np.mean((spoiled - clean) ** 2))
        # the mean of n squares is within sqrt(2 / n)
        assert found == pytest.approx(20 * np.log10(255 / sigma), abs=0.1)
    assert spoiled.min() < -0.5
    assert not np.array_equal(spoiled, script.noisy(clean, sigma, seed=1))


def test_filters_are_chosen_without_a_look_at_the_test_photographs(script, monkeypatch):
    splits, whole = [], data.photographs

    def watched(split, more=False):
        splits.append(split)
        return whole(split, more)

    monkeypatch.setattr(data, "photographs", watched)
    simple = {name: experiment.filters()[name] for name in ("nothing", "Gaussian")}
    monkeypatch.setattr(experiment, "filters", lambda: simple)
    config = dataclasses.replace(script.PRESETS["smoke"], side=128)
    light, heavy = (script.chosen(config, sigma)["Gaussian"] for sigma in (2.0, 100.0))
    assert set(splits) == {"train"}
    assert light.keywords["setting"] < heavy.keywords["setting"]


def test_the_best_baseline_is_none_of_ours_and_gains_are_paired(script):
    rows = [
        {"status": "ok", "method": method, "sigma": sigma, "seed": seed, "psnr": psnr + seed}
        for sigma in (25.0, 50.0)
        for seed in (0, 1)
        for method, psnr in (("a", 20.0), ("b", 18.5 + sigma / 25), (script.WHOLE, 30.0))
    ]
    best = script.best_baselines(rows)
    assert best == {25.0: "a", 50.0: "b"}
    said = script.gains(rows, best)
    assert "+10.00 ± 0.00 dB at sigma 25 (a)" in said
    assert "+9.50 ± 0.00 dB at sigma 50 (b)" in said
