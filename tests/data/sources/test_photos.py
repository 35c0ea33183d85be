"""Patches of photographs: whose they are, and that no split shows what another has."""

import importlib.util
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ae_jax import data
from ae_jax.core import InputError
from ae_jax.data.sources import photos

SPLITS = ("train", "validation", "test")


@pytest.fixture
def marked(monkeypatch):
    """Photographs whose pixels tell where they are: the photograph, the row and the column."""

    def photograph(name):
        row, column = np.mgrid[:130, :256]
        which = np.full_like(row, list(photos.FILES).index(name))
        return np.stack([which, row, column], axis=-1).astype(np.uint8)

    monkeypatch.setattr(photos, "_photograph", photograph)


def test_the_three_are_those_of_the_libraries():
    from matplotlib.cbook import get_sample_data
    from sklearn.datasets import load_sample_image

    whole = data.photographs("all")
    assert list(whole) == ["china", "flower", "grace_hopper"]
    for name in ("china", "flower"):
        np.testing.assert_array_equal(whole[name], load_sample_image(f"{name}.jpg"))
    with get_sample_data("grace_hopper.jpg") as file, Image.open(file) as picture:
        np.testing.assert_array_equal(whole["grace_hopper"], np.asarray(picture))
    assert all(picture.dtype == np.uint8 for picture in whole.values())


def test_the_eleven_are_those_of_scikit_image():
    theirs = pytest.importorskip("skimage.data")
    whole = data.photographs("all", more=True)
    assert len(whole) == 11
    for name, picture in (
        ("astronaut", theirs.astronaut()),
        ("chelsea", theirs.chelsea()),
        ("coffee", theirs.coffee()),
        ("rocket", theirs.rocket()),
        ("ihc", theirs.immunohistochemistry()),
        ("hubble_deep_field", theirs.hubble_deep_field()[116:756, 180:820]),
        ("retina", theirs.retina()[385:1025, 385:1025]),
        ("motorcycle_left", theirs.stereo_motorcycle()[0][:, 50:690]),
    ):
        np.testing.assert_array_equal(whole[name], picture)
    assert {max(picture.shape) for picture in whole.values()} <= {451, 512, 600, 640}


def test_sizes_and_pixels_of_the_named_data():
    sizes = [data.load("photos", split).size for split in (*SPLITS, "all")]
    assert sizes == [1450, 350, 1116, 3066]
    train = data.load("photos")
    assert train.arrays["image"].dtype == np.uint8
    assert train.spec["image"].shape == (32, 32, 3)
    first, below = data.photographs("train")["china"], 29  # patches in a row
    batch = train.fetch(train.arrays, jnp.array([0, 1, below]))["image"]
    for patch, (row, column) in zip(batch, [(0, 0), (0, 16), (16, 0)], strict=True):
        expected = first[row : row + 32, column : column + 32] / 255
        np.testing.assert_allclose(patch, expected, rtol=1e-6)
    condition = data.load("grey:photos", "test")
    grey = condition.fetch(condition.arrays, jnp.arange(2))
    assert grey["image"].shape == (2, 32, 32, 1)
    assert grey["target"].shape == (2, 32, 32, 3)


def test_eleven_are_split_by_photograph():
    everywhere = [name for names in photos.ELEVEN.values() for name in names]
    assert sorted(everywhere) == sorted(photos.FILES)
    assert set(photos.THREE["test"]) <= set(photos.ELEVEN["test"])
    assert set(photos.THREE["train"]) <= set(photos.ELEVEN["train"])
    pytest.importorskip("skimage")
    sizes = [data.load("photos11", split).size for split in (*SPLITS, "all")]
    assert sizes == [7889, 864, 2745, 11498]


@pytest.mark.parametrize(("size", "stride"), [(8, 8), (16, 5), (32, None), (90, 1)])
def test_no_column_of_a_photograph_is_in_two_splits(marked, size, stride):
    seen = {}
    for split in SPLITS:
        image = photos.patches(split, size, stride).arrays["image"]
        seen[split] = set(map(tuple, image[:, 0, :, ::2].reshape(-1, 2)))
    assert not seen["train"] & seen["validation"]
    assert not (seen["train"] | seen["validation"]) & seen["test"]
    columns = {split: {column for _, column in pixels} for split, pixels in seen.items()}
    assert min(columns["validation"]) - max(columns["train"]) > photos.GAP
    assert {photo for photo, _ in seen["train"]} == {photo for photo, _ in seen["validation"]}


def test_patches_lie_on_a_grid(marked):
    image = photos.patches("test", 20, 30).arrays["image"]
    corners = [(row, column) for row in range(0, 111, 30) for column in range(0, 237, 30)]
    assert image.shape == (len(corners), 20, 20, 3) == (4 * 8, 20, 20, 3)
    np.testing.assert_array_equal(image[:, 0, 0, 1:], corners)
    np.testing.assert_array_equal(image[:, 19, 15, 1:], np.array(corners) + np.array([19, 15]))
    assert photos.patches("test", 1).size == 130 * 256


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("test", 0), "size and a stride of at least 1, got 0 and 1"),
        (("test", 8, 0), "got 8 and 0"),
        (("validation", 129), "patches of 129 pixels do not fit photographs of 128"),
        (("tests",), "unknown split 'tests'; choose from train, validation, test, all"),
    ],
)
def test_what_cannot_be_cut_is_refused(marked, arguments, message):
    with pytest.raises(InputError, match=message):
        photos.patches(*arguments)


@pytest.mark.parametrize(
    ("name", "module", "message"),
    [
        ("photos", "sklearn", "the photo china comes with sklearn: pip install scikit-learn"),
        ("photos", "matplotlib", "grace_hopper comes with matplotlib: pip install matplotlib"),
        ("photos11", "skimage", r"comes with skimage: pip install 'ae-jax\[images\]'"),
        ("photos", "PIL", "photos are read by pillow: pip install pillow"),
    ],
)
def test_a_missing_library_is_named(monkeypatch, name, module, message):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == module else find(n))
    if module == "PIL":
        monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError, match=message):
        data.load(name, "all")


def test_a_missing_file_is_named(monkeypatch):
    monkeypatch.setitem(photos.FILES, "china", ("sklearn", "datasets", "absent.jpg"))
    with pytest.raises(InputError, match=r"the photo china of sklearn is not to be read: .*absent"):
        data.photographs("train")
