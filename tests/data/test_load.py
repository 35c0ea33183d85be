import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ae_jax.core import InputError
from ae_jax.data import binarized, load, names, subset
from ae_jax.data.sources import prepared
from tests.marks import rare


@pytest.mark.parametrize(
    "name",
    [
        "nope",
        "",
        "npz:",
        "images:",
        "changed:",
        "noisy:",
        "tfds:",
        "Digits",
        "digits:",
        "tfds:<name>",
    ],
)
def test_an_unknown_name_lists_the_known_ones(name, tmp_path):
    with pytest.raises(InputError, match=r"(no|unknown) data set") as error:
        load(name, data_dir=tmp_path)
    if "<" not in name:
        assert str(error.value).endswith(", ".join(names()))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["digits", "shapes32", "mnist", "npz:absent"])
def test_an_unknown_split_is_refused_before_anything_is_read(name):
    with pytest.raises(InputError, match="unknown split 'valid'; choose from train, validation"):
        load(name, "valid")


EMBEDDED = [name for name in names() if ":" not in name and name not in prepared.NAMES]


DRAWN_SLOWLY = ("composites", "glyphs")


@pytest.mark.parametrize(
    "name", [rare(name) if name in DRAWN_SLOWLY else name for name in EMBEDDED]
)
def test_validation_and_test_are_fetched_by_one_function(name):
    if name == "photos11":
        pytest.importorskip("skimage")
    validation, test = load(name, "validation"), load(name, "test")
    assert validation.fetch is test.fetch
    assert binarized(validation).fetch is binarized(test).fetch
    assert subset(validation, slice(1)).fetch is subset(test, slice(1)).fetch is test.fetch
    digests = [load(name, split).digest for split in ("train", "validation", "test", "all")]
    alike = name.startswith("bars") or name == "sprites16"  # every split has all of them
    assert len(set(digests)) == (1 if alike else 4)
    assert all(len(digest) == 64 for digest in digests)


@pytest.mark.parametrize("kind", ["npz", "images"])
def test_so_are_those_of_files(kind, tmp_path):
    pixels = np.arange(40 * 6, dtype=np.uint8).reshape(40, 2, 3)
    np.savez(tmp_path / "data.npz", x_train=pixels, x_test=pixels[:3])
    (tmp_path / "folder").mkdir()
    for i in range(40):
        Image.fromarray(pixels[i]).save(tmp_path / "folder" / f"{i:02}.png")
    name = {"npz": f"npz:{tmp_path / 'data.npz'}", "images": f"images:{tmp_path / 'folder'}"}[kind]
    validation, test = load(name, "validation"), load(name, "test")
    assert validation.fetch is test.fetch is load(name).fetch
    assert binarized(validation).fetch is binarized(test).fetch
    digests = [load(name, split).digest for split in ("train", "validation", "test", "all")]
    assert len(set(digests)) == 4
    assert digests == [load(name, s).digest for s in ("train", "validation", "test", "all")]


def test_what_has_a_range_of_its_own_takes_no_other():
    with pytest.raises(InputError, match="digits has a value range of its own"):
        load("digits", value_range=(0, 1))


def test_names():
    assert names()[:3] == ("digits", "shapes", "shapes32")
    assert {"mnist", "dsprites", "celeb_a", "tfds:<name>", "npz:<path>"} < set(names())


def test_importing_needs_nothing_heavy():
    heavy = "tensorflow_datasets PIL sklearn tqdm pandas scipy"
    code = f"import sys, ae_jax.data; print([m for m in {heavy.split()} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
