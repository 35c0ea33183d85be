"""The script on text over photographs: what networks are shown, and what is measured of fills."""

import dataclasses

import jax
import numpy as np
import pytest

from tests import loading

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def script():
    return loading.script("text_removal")


def test_only_who_is_told_the_mask_sees_it_and_no_text(script):
    part = script.seen()
    image = np.array([1.0, 2.0, 3.0], np.float32).reshape(1, 3, 1, 1)
    text = np.array([1.0, 9.0, 3.0], np.float32).reshape(1, 3, 1, 1)
    known = np.array([1.0, 0.0, 1.0], np.float32).reshape(1, 3, 1, 1)
    batch = {"image": image, "target": np.concatenate([text, known], axis=-1)}
    there = part.apply(batch, {})[0, :, 0]
    np.testing.assert_array_equal(there, [[1, 1], [2, 1], [3, 1]])
    blind, told = (part.train(KEY, batch, {"told": told})[0, :, 0] for told in (0.0, 1.0))
    np.testing.assert_array_equal(blind, [[1, 1], [9, 1], [3, 1]])
    np.testing.assert_array_equal(told, [[1, 1], [0, 0], [3, 1]])


def test_decibels_are_of_the_pixels_under_text_and_of_all(script):
    known = np.ones((16, 16, 1), bool)
    known[0] = False  # a 16th
    image = np.full((16, 16, 1), 0.5, np.float32)
    made = np.where(known, image, image + np.float32(0.1))
    found = script.measured([made], [script.Written(image, image, known)])
    assert found["text_psnr"] == pytest.approx(20, abs=1e-3)
    assert found["psnr"] == pytest.approx(20 + 10 * np.log10(16), abs=1e-3)


def test_text_over_photographs_is_white_and_black_and_all_else_is_known(script):
    config = dataclasses.replace(script.PRESETS["smoke"], side=40)
    white, black = script.over(config, "test", "DejaVuSerif-Bold", seed=1)
    for one, most in ((white, 1.0), (black, 0.0)):
        np.testing.assert_array_equal(one.spoiled[one.known], one.image[one.known])
        sign = 2 * most - 1
        assert np.all(sign * (one.spoiled - one.image)[~one.known] >= -0.5 / 255 - 1e-6)
        assert np.any(one.spoiled == most)
    np.testing.assert_array_equal(white.known, black.known)
    other = script.over(config, "test", "DejaVuSerif-Bold", seed=2)[0]
    assert np.any(other.known != white.known)
