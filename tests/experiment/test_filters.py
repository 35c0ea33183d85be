"""Filters that take noise out of images, and the best linear map of patches."""

import numpy as np
import pytest

from ae_jax import experiment
from ae_jax.experiment import Filter

LEVEL = 0.2


def picture(seed=0, side=24):
    """A smooth image [side, side, 1] in [0, 1], with an edge, and it with noise."""
    at = np.linspace(0, 1, side)
    clean = 0.3 + 0.4 * (at[:, None] + at > 1) + 0.1 * np.sin(5 * at)
    noise = np.random.RandomState(seed).normal(size=clean.shape)
    return clean[..., None].astype(np.float32), (clean + LEVEL * noise)[..., None].astype(
        np.float32
    )


def test_the_setting_is_the_best_on_what_is_given():
    clean = [0.5 * picture()[0], 0.25 * picture()[0]]
    known = {"scaled": Filter(lambda x, level, scale: scale * x * level, (5.0, 2.5, 10.0))}
    for factor, best in ((2.0, 2.5), (1.0, 5.0), (0.5, 10.0)):
        chosen = experiment.tuned(known, [factor * x for x in clean], clean, LEVEL)["scaled"]
        assert chosen.keywords["setting"] == best
        np.testing.assert_allclose(chosen(factor * clean[0]), clean[0], rtol=1e-6)


def test_every_filter_takes_noise_away_and_has_a_setting_for_it():
    clean, noisy = picture()
    known = experiment.filters()
    assert {"nothing", "median", "Gaussian", "Wiener"} <= set(known)
    chosen = experiment.tuned(known, [noisy], [clean], LEVEL)
    other, spoiled = picture(seed=1)
    reached = {}
    for name, restore in chosen.items():
        made = restore(spoiled)
        assert made.shape == spoiled.shape
        reached[name] = experiment.clipped_psnr(made, other)
    assert min(reached, key=reached.get) == "nothing"
    np.testing.assert_array_equal(chosen["nothing"](spoiled), spoiled)


def test_settings_are_in_their_order_and_windows_have_a_middle():
    known = experiment.filters()
    for name, (_, settings) in known.items():
        if name not in ("nothing", "wavelets"):
            assert list(settings) == sorted(set(settings))
    for name in ("median", "Wiener"):
        assert all(side % 2 for side in known[name].settings)


def test_filters_of_scikit_image_are_there_where_it_is():
    pytest.importorskip("skimage")
    assert {"total variation", "non-local means"} <= set(experiment.filters())


def test_psnr_is_of_what_is_clipped():
    clean = np.array([[[1.0], [0.0]]], np.float32)
    found = np.array([[[4.0], [0.1]]], np.float32)
    expected = -10 * np.log10(0.1**2 / 2)
    assert experiment.clipped_psnr(found, clean) == pytest.approx(expected, abs=1e-4)


@pytest.mark.usefixtures("x64")
def test_the_linear_map_reaches_the_wiener_bound():
    random = np.random.RandomState(0)
    patches = (random.normal(size=(50, 6)) @ random.normal(size=(6, 6))).reshape(50, 2, 3, 1)
    moments = patches.reshape(50, 6).T @ patches.reshape(50, 6) / 50
    values = np.linalg.eigvalsh(moments)
    for level in (0.3, 2.0):
        found = experiment.linear_map(patches, level)(np.eye(6).reshape(6, 2, 3, 1))
        kernel = np.asarray(found).reshape(6, 6)

        def error(kernel, level=level):
            """Expected over patches and noise: |x - (x + n) K|^2."""
            rest = np.eye(6) - kernel
            return np.trace(rest.T @ moments @ rest) + level**2 * np.sum(kernel**2)

        bound = np.sum(values * level**2 / (values + level**2))
        np.testing.assert_allclose(error(kernel), bound, rtol=1e-10)
        for other in (np.linalg.inv(moments + level * np.eye(6)) @ moments, 0.99 * kernel):
            assert error(other) > bound * (1 + 1e-5)
