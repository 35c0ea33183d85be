"""Grey photographs and their patches, against NumPy."""

import numpy as np
import pytest

from ae_jax import data, experiment, watermarks

WEIGHTS = np.array([0.299, 0.587, 0.114])


def test_photographs_are_the_middle_of_luma():
    pictures = data.photographs("validation")
    found = experiment.grey_photographs("validation", 200)
    assert list(found) == list(pictures)
    for name, picture in pictures.items():
        height = len(picture)
        first = (height - 200) // 2
        luma = picture[first : first + 200] / 255 @ WEIGHTS  # 128 pixels wide: whole
        assert found[name].shape == (200, 128, 1)
        np.testing.assert_allclose(found[name][..., 0], luma, atol=1e-6)


def test_patches_have_no_mean_and_say_what_it_was():
    splits = experiment.grey_patches(9)
    assert splits.image_shape == (9, 9, 1)
    batch = data.head(splits.train, 300)
    image, target = np.asarray(batch["image"]), np.asarray(batch["target"])
    picture = next(iter(data.photographs("train").values())) / 255 @ WEIGHTS
    np.testing.assert_allclose(target[1, ..., 0], picture[:9, 3:12], atol=1e-6)  # by thirds
    np.testing.assert_allclose(image.mean(axis=(1, 2, 3)), 0, atol=1e-6)
    means = target.mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(image, target - means, atol=1e-6)
    assert means.std() > 0.01
    second = data.head(splits.test, 2)["target"][1, ..., 0]
    picture = next(iter(data.photographs("test").values())) / 255 @ WEIGHTS
    np.testing.assert_allclose(second, picture[:9, 9:18], atol=1e-6)  # side by side


def test_a_scale_is_what_counts_as_1_and_comes_off_again():
    plain, scaled = (data.head(experiment.grey_patches(9, scale=s).test, 20) for s in (1.0, 0.1))
    np.testing.assert_allclose(scaled["image"], plain["image"] / 0.1, rtol=1e-5)
    np.testing.assert_array_equal(scaled["target"], plain["target"])
    image = np.random.RandomState(0).uniform(size=(8, 8, 1)).astype(np.float32)
    clipped = experiment.patchwise(lambda x: x.clip(-2, 2), 8, 8, 0.1)(image)
    np.testing.assert_allclose(clipped, image.mean() + (image - image.mean()).clip(-0.2, 0.2), 1e-5)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_map_of_patches_sees_no_mean_and_gets_it_back(stride):
    image = np.random.RandomState(0).uniform(size=(8, 12, 1)).astype(np.float32)
    same = experiment.patchwise(lambda x: x, 4, stride)(image)
    np.testing.assert_allclose(same, image, atol=1e-6)
    flat = experiment.patchwise(lambda x: 0 * x, 4, stride)(image)
    assert flat.mean() == pytest.approx(image.mean(), abs=0.05)
    if stride == 4:
        blocks = image.reshape(2, 4, 3, 4).mean(axis=(1, 3))
        np.testing.assert_allclose(flat[..., 0], np.kron(blocks, np.ones((4, 4))), atol=1e-6)
    brighter = experiment.patchwise(lambda x: 0 * x, 4, stride)(image + 1)
    np.testing.assert_allclose(brighter, flat + 1, atol=1e-5)


def test_patches_and_what_is_seen_of_them_differ_under_text_alone():
    images = np.random.default_rng(0).uniform(0.2, 0.8, (50, 6, 6, 1)).astype(np.float32)
    lay = watermarks.overlay(data.page(("one",), "DejaVuSans", 9, 40, seed=0)[None])
    drawn = data.stamped(data.stored(images), lay)
    batch = data.head(experiment.stamped_pairs(drawn, 0.5), 50)
    clean, seen = np.asarray(batch["image"]), np.asarray(batch["target"])
    text, known = seen[..., :1], seen[..., 1:]
    assert set(np.unique(known)) == {0.0, 1.0}
    assert 0.1 < 1 - known.mean() < 0.6
    np.testing.assert_array_equal(np.where(known, text, 0), np.where(known, clean, 0))
    assert np.abs(text - clean)[known == 0].mean() > 0.2
    np.testing.assert_allclose(np.median(text, axis=(1, 2, 3)), 0, atol=1e-6)
    shift = images - 0.5 * clean  # the median of what is seen, but for rounding to 8 bits
    np.testing.assert_allclose(shift, shift[:, :1, :1] * np.ones_like(shift), atol=1 / 255 + 1e-6)
