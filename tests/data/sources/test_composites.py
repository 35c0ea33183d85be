"""Composites against the same sprites put together pixel by pixel, and photographs searched."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from ae_jax import data
from ae_jax.core import Domain, InputError, check_ranges
from ae_jax.data.sources import composites, shapes

SPLITS = ("train", "validation", "test")
draw = jax.jit(shapes.render, static_argnums=1)


def rows_of(dataset, count):
    batch = jax.jit(dataset.fetch)(dataset.arrays, np.arange(count))
    return {name: np.asarray(entry) for name, entry in batch.items()}


def is_in(image, mask, photographs):
    """Whether the ground of an image, uint8, is a piece of one of the photographs."""
    places = np.argwhere(mask == 0)
    side = len(image)
    for photo in photographs:
        height, width = photo.shape[0] - side + 1, photo.shape[1] - side + 1
        starts = np.indices((height, width)).reshape(2, -1)
        for i, j in places[:: len(places) // 40]:
            same = (photo[starts[0] + i, starts[1] + j] == image[i, j]).all(axis=-1)
            starts = starts[:, same]
        for row, column in starts.T[:5]:
            piece = photo[row : row + side, column : column + side]
            if (piece == image)[mask == 0].all():
                return True
    return False


def test_images_and_masks_are_what_the_factors_say():
    dataset = data.composites(6, "train", size=32, sprites=3, noise=0)
    batch = rows_of(dataset, 6)
    image = np.rint(batch["image"] * 255).astype(np.uint8)
    assert dataset.arrays["image"].dtype == dataset.arrays["mask"].dtype == np.uint8
    grounds = list(data.photographs("train").values())
    for pixels, mask, factors in zip(image, batch["mask"], batch["factors"], strict=True):
        silhouettes = np.asarray(draw(factors.reshape(3, 6)[:, :5], 32))[..., 0] == 1
        expected, known = np.zeros((32, 32), int), np.zeros((32, 32, 3), np.uint8)
        for sprite, inside in zip(factors.reshape(3, 6), silhouettes, strict=True):
            expected[inside] = 1 + sprite[0]  # a later one covers an earlier one
            red, green, blue = sprite[5] // 9, sprite[5] // 3 % 3, sprite[5] % 3
            known[inside] = np.array([51, 128, 204])[[red, green, blue]]
        np.testing.assert_array_equal(mask, expected)
        np.testing.assert_array_equal(pixels[mask > 0], known[mask > 0])
        assert is_in(pixels, mask, grounds)
    names = [f"{name}_{i}" for i in (1, 2, 3) for name in (*shapes.FACTOR_SIZES, "colour")]
    assert list(dataset.factor_sizes) == names
    assert (batch["factors"] < list(dataset.factor_sizes.values())).all()


def test_no_photograph_is_behind_two_splits():
    grounds = {split: list(data.photographs(split).values()) for split in SPLITS}
    for split in SPLITS:
        arrays = data.load("composites", split).arrays
        for row in range(3):
            found = [
                s for s in SPLITS if is_in(arrays["image"][row], arrays["mask"][row], grounds[s])
            ]
            assert found == [split]
    assert data.load("composites", "all").size == 5000


def test_all_pieces_are_as_likely():
    photos = [np.arange(height * 7 * 3, dtype=np.uint8).reshape(height, 7, 3) for height in (5, 6)]
    photos[1] += 105
    found = composites.pieces(np.random.RandomState(0), photos, 3000, 4)
    places, counts = np.unique(found.reshape(3000, -1), axis=0, return_counts=True)
    assert len(places) == 2 * 4 + 3 * 4
    chi = ((counts - 150) ** 2 / 150).sum()
    assert chi < 44  # 19 degrees of freedom, one in a thousand


def test_a_class_has_one_colour_and_colours_are_as_bright():
    batch = rows_of(data.composites(20, size=24, colour="class", noise=0), 20)
    pixels, mask = np.rint(batch["image"] * 255), batch["mask"]
    colours = [np.unique(pixels[mask == i], axis=0) for i in (1, 2, 3)]
    np.testing.assert_array_equal(
        np.concatenate(colours), [[204, 51, 51], [51, 128, 51], [128, 51, 204]]
    )
    luma = np.concatenate(colours) @ [0.299, 0.587, 0.114]
    assert np.ptp(luma) < 6  # of 255
    random = rows_of(data.composites(20, size=24, noise=0), 20)
    assert len(np.unique(random["image"][random["mask"] == 1], axis=0)) > 5


def test_noise_is_on_sprites_only_and_as_large_as_said():
    clean, noisy = (rows_of(data.composites(60, size=32, noise=noise), 60) for noise in (0, 0.1))
    np.testing.assert_array_equal(clean["mask"], noisy["mask"])
    difference, inside = noisy["image"] - clean["image"], clean["mask"] > 0
    assert not difference[~inside].any()
    middle = np.rint(255 * clean["image"][inside]) == 128  # where nothing is cut off
    found = difference[inside][middle]
    assert abs(found.std() - 0.1) < 0.005
    assert abs(found.mean()) < 0.005
    assert noisy["image"].min() >= 0
    assert noisy["image"].max() <= 1


def test_the_entries_are_those_of_the_spec_and_seeds_differ():
    dataset = data.composites(8, size=16, seed=3)
    batch = jax.eval_shape(dataset.fetch, dataset.arrays, np.arange(8))
    for name, entry in dataset.spec.items():
        assert (batch[name].shape, batch[name].dtype) == ((8, *entry.shape), entry.dtype)
    assert dataset.spec["mask"].dtype == np.int32
    check_ranges({"mask": Domain(0, 3, whole=True)}, dataset, "training")
    with pytest.raises(InputError, match="the training data have mask"):
        check_ranges({"mask": Domain(0, 1, whole=True)}, dataset, "training")
    assert data.composites(8, size=16, seed=3).digest == dataset.digest
    assert data.composites(8, size=16, seed=4).digest != dataset.digest
    code = "from ae_jax import data; print(data.composites(8, size=16, seed=3).digest)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == dataset.digest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "valid"}, "unknown split 'valid'; choose from train"),
        ({"colour": "grey"}, "unknown colour 'grey': choose from random, class"),
        ({"count": 0}, "count of composites is a whole number from 1, not 0"),
        ({"sprites": 1.5}, "sprites of composites is a whole number from 1, not 1.5"),
        ({"seed": -1}, "seed of composites is a whole number from 0, not -1"),
        ({"size": 129}, "composites are 16 to 128 pixels a side, not 129"),
        ({"noise": float("nan")}, "noise of composites is a number from 0 to 1, not nan"),
        ({"noise": -0.1}, "noise of composites is a number from 0 to 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        data.composites(**{"count": 5} | arguments)
    assert "\n" not in str(error.value)
