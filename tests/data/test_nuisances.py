"""What the factors of sprites do not tell, and that nothing else is in it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.stats import chisquare

from ae_jax import data
from ae_jax.core import InputError
from ae_jax.data.nuisances import NUISANCES, coloured, noisy, photo
from tests.marks import rare

WHITE = 255


def drawn(nuisance, count=400, side=6):
    """Draws before and behind a sprite that is the right half: levels int [N, H, W, 3]."""
    image = np.zeros((side, side, 1), np.float32)
    image[:, side // 2 :] = 1
    keys = jax.random.split(jax.random.key(0), count)
    return np.asarray(jax.jit(jax.vmap(nuisance, (0, None)))(keys, image))


def test_a_coloured_sprite_is_of_one_colour_on_black():
    images = drawn(coloured, 2000)
    assert (images[:, :, :3] == 0).all()
    colours = images[:, 0, 3]
    np.testing.assert_array_equal(
        images[:, :, 3:], np.broadcast_to(colours[:, None, None], (2000, 6, 3, 3))
    )
    levels = np.rint(colours * WHITE).astype(int)
    np.testing.assert_allclose(colours, levels / WHITE, rtol=1e-6)
    assert levels.min() == 128
    assert levels.max() == 255
    for channel in range(3):
        assert chisquare(np.bincount(levels[:, channel] - 128, minlength=128)).pvalue > 1e-3
    assert np.abs(np.corrcoef(levels.T) - np.eye(3)).max() < 4 / np.sqrt(2000)


def test_noise_is_uniform_and_the_sprite_white():
    images = drawn(noisy)
    assert (images[:, :, 3:] == 1).all()
    levels = np.rint(images[:, :, :3] * WHITE).astype(int)
    np.testing.assert_allclose(images[:, :, :3], levels / WHITE, rtol=1e-6)
    assert chisquare(np.bincount(levels.ravel(), minlength=256)).pvalue > 1e-3
    flat = levels.reshape(400, -1).T  # neither pixels nor channels go together
    assert np.abs(np.corrcoef(flat) - np.eye(len(flat))).max() < 5 / np.sqrt(400)


def test_a_photo_is_tinted_behind_and_inverted_in_the_sprite():
    pictures = pytest.importorskip("sklearn.datasets")
    whole = pictures.load_sample_image("china.jpg").astype(float)
    blocks = 64 // 16
    cut = whole[: 427 // blocks * blocks]
    small = np.rint(cut.reshape(427 // blocks, blocks, -1, blocks, 3).mean(axis=(1, 3))).astype(int)
    images = drawn(photo, 20, 16).copy()
    images[:, :, 8:] = 1 - images[:, :, 8:]  # as if there were no sprite
    levels = np.rint(images * 2 * WHITE).astype(int)
    np.testing.assert_allclose(images, levels / (2 * WHITE), atol=1e-6)
    windows = sliding_window_view(small, (16, 16), axis=(0, 1))  # [Y, X, 3, 16, 16]
    rows = windows[:, :, :, 0, :] - windows[:, :, :, :1, 0]
    places = set()
    for image in np.moveaxis(levels, -1, 1):
        row = image[:, 0] - image[:, :1, 0]
        for y, x in np.argwhere((rows == row).all(axis=(2, 3))):
            tint = image - windows[y, x]
            if (tint == tint[:, :1, :1]).all():
                assert 0 <= tint.min() <= tint.max() <= 255
                places.add((y, x, *tint[:, 0, 0]))
                break
        else:
            pytest.fail("that is no piece of the photo")
    assert len(places) == 20


@pytest.mark.parametrize("name", ["noisy", *map(rare, sorted({*NUISANCES} - {"noisy"}))])
def test_a_sprite_has_its_draw_in_any_split_program_and_precision(name):
    test = data.load(f"{name}:shapes32", "test")
    index = jnp.arange(20, 26)
    batch = jax.jit(test.fetch)(test.arrays, index)
    sizes = tuple(test.factor_sizes.values())
    cells = np.ravel_multi_index(np.asarray(batch["factors"]).T, sizes)
    whole = data.load(f"{name}:shapes32", "all")
    assert len(whole.digest) == 64
    alike = jax.jit(whole.fetch)(whole.arrays, cells)["image"]
    np.testing.assert_array_equal(alike, batch["image"])
    assert batch["image"].shape == (6, *test.spec["image"].shape) == (6, 32, 32, 3)
    alone = jax.jit(jax.vmap(lambda i: test.fetch(test.arrays, i[None])["image"][0]))(index)
    np.testing.assert_array_equal(alone, batch["image"])
    with jax.enable_x64(True):
        wide = jax.jit(whole.fetch)(whole.arrays, cells)["image"]
        assert wide.dtype == jnp.float64
        np.testing.assert_allclose(wide, batch["image"], rtol=1e-6, atol=1e-7)
    assert len(np.unique(np.asarray(batch["image"]).reshape(6, -1), axis=0)) == 6


def test_the_draws_never_change():
    """Those of the first sprite, the first but one of the second copy, and another."""
    pixels = {
        "coloured": [[430, 342, 352], [270, 262, 320], [372, 510, 390]],
        "photo": [[192, 127, 218], [394, 445, 344], [265, 234, 332]],
    }
    for name, expected in pixels.items():
        sprites = data.load(f"{name}:sprites16")
        image = jax.jit(sprites.fetch)(sprites.arrays, np.array([0, 577, 5000]))["image"]
        np.testing.assert_allclose(image[:, 5, 5] * 510, expected, atol=1e-3)


def test_copies_of_a_small_grid_have_draws_of_their_own():
    single = data.load("sprites16")
    several = data.load("noisy:sprites16")
    assert several.size == 17 * 576
    assert all(len(leaf) == several.size for leaf in jax.tree.leaves(several.arrays))
    fetch = jax.jit(several.fetch)
    batch = fetch(several.arrays, np.array([7, 576 + 7, 2 * 576 + 7, 8]))
    np.testing.assert_array_equal(batch["factors"][:3], np.tile(batch["factors"][:1], (3, 1)))
    assert len(np.unique(np.asarray(batch["image"]).reshape(4, -1), axis=0)) == 4
    one = data.with_nuisance(single, noisy)
    assert one.size == 576
    np.testing.assert_array_equal(
        jax.jit(one.fetch)(one.arrays, np.array([7, 8]))["image"], batch["image"][::3]
    )
    part = data.subset(several, np.array([576 + 7]))
    np.testing.assert_array_equal(
        jax.jit(part.fetch)(part.arrays, np.array([0]))["image"], batch["image"][1:2]
    )
    pairs = data.changed(several, 1, size=50)
    pair = jax.jit(pairs.fetch)(pairs.arrays, np.arange(50))
    assert (np.asarray(pair["factors"] != pair["other_factors"]).sum(axis=1) == 1).all()
    away = np.abs(np.asarray(pair["image"] - pair["other"])).mean(axis=(1, 2, 3))
    assert away.min() > 0.2  # each has its own noise: independent uniforms are 1/3 apart


def test_digests_tell_nuisances_apart():
    sprites = data.load("sprites16")
    own = [lambda key, image, by=by: image * by for by in (0.5, 0.25, 0.5)]
    made = [data.with_nuisance(sprites, nuisance) for nuisance in (*NUISANCES.values(), *own)]
    digests = [dataset.digest for dataset in made]
    assert digests[3] == digests[5]
    assert len(set(digests)) == 5
    assert made[0].fetch is data.with_nuisance(sprites, coloured).fetch
    np.testing.assert_array_equal(
        data.head(made[4], 3)["image"], 0.25 * data.head(sprites, 3)["image"]
    )
    assert data.with_nuisance(sprites, noisy, 2).digest != made[1].digest


def test_what_has_no_grey_images_or_no_factors_is_refused(monkeypatch):
    with pytest.raises(
        InputError, match="nuisances are drawn by factors, and these data have none"
    ):
        data.load("noisy:digits")
    with pytest.raises(
        InputError, match=r"of grey images \[H, W, 1\], and these are \[16, 16, 3\]"
    ):
        data.load("coloured:scenes16")
    with pytest.raises(InputError, match="make pairs of what has them"):
        data.with_nuisance(data.changed(data.load("sprites16"), size=5), photo)
    for copies in (1.5, "two", None, math.nan, 2**31):
        with pytest.raises(InputError, match=r"copies is .*: use a whole number, from 1 to"):
            data.with_nuisance(data.load("sprites16"), noisy, copies)
    with pytest.raises(InputError, match="nuisance is 'noisy': use a function"):
        data.with_nuisance(data.load("sprites16"), "noisy")
    with pytest.raises(InputError, match="copies is 0: use a whole number, from 1 to"):
        data.with_nuisance(data.load("sprites16"), noisy, 0)
    large = data.stored(np.zeros((2, 500, 3)), factors=np.array([[0], [1]]))
    with pytest.raises(InputError, match=r"the photo has \[427, 640\] pixels, images 500 x 3"):
        data.with_nuisance(large, photo)


def test_the_photo_is_read_by_libraries_that_are_named(monkeypatch):
    import sklearn.datasets

    def absent(_):
        raise ImportError("no pillow")

    data.nuisances._photograph.cache_clear()
    monkeypatch.setattr(sklearn.datasets, "load_sample_image", absent)
    with pytest.raises(InputError, match="pip install scikit-learn pillow"):
        data.load("photo:sprites16")
