import errno
import json
import os
import sys
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from ae_jax.core import InputError
from ae_jax.data import load, stored
from ae_jax.data.sources import prepared


def numbers(data):
    """The numbers of the examples of `write_digits`, after checking their labels."""
    batch = data.fetch(data.arrays, jnp.arange(data.size))
    found = 255 - np.rint(np.asarray(batch["image"][:, 3, 4, 0]) * 255).astype(int)
    np.testing.assert_array_equal(batch["label"], found % 3)
    return found.tolist()


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (
            {"train": 20, "test": 4},
            {"train": range(18), "validation": [18, 19], "test": range(20, 24)},
        ),
        ({"train": 20}, {"train": range(16), "validation": [16, 17], "test": [18, 19]}),
        (
            {"train": 20, "validation": 3},
            {"train": range(18), "validation": [20, 21, 22], "test": [18, 19]},
        ),
        (
            {"train": 5, "validation": 3, "test": 2, "unlabelled": 4},
            {"train": range(5), "validation": [5, 6, 7], "test": [8, 9]},
        ),
    ],
)
def test_reads_tfds_files_and_cuts_missing_splits_off_train(write_digits, sizes, expected):
    root = write_digits("fake", sizes)
    for split, rows in expected.items():
        assert numbers(load("tfds:fake", split, root)) == list(rows)
    count = sum(size for split, size in sizes.items() if split != "unlabelled")
    assert numbers(load("tfds:fake", "all", root)) == list(range(count))
    assert "tensorflow" not in sys.modules


def test_decodes_once_and_maps_the_file_afterwards(write_digits, monkeypatch):
    root = write_digits("fake", {"train": 20, "test": 4})
    load("tfds:fake", "train", root)
    monkeypatch.setattr(prepared, "_decode", None)
    data = load("tfds:fake", "test", root)
    assert numbers(data) == [20, 21, 22, 23]
    owner = data.arrays["image"]
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    assert isinstance(owner, np.memmap)
    assert [path.name for path in (root / "ae_jax").iterdir()] == ["fake-1.0.0-1"]


def damage_image(folder):
    (folder / "image.npy").write_bytes((folder / "image.npy").read_bytes()[:-1])


def empty_image(folder):
    (folder / "image.npy").write_bytes(b"")


def no_label(folder):
    (folder / "label.npy").unlink()


def damage_facts(folder):
    (folder / "facts.json").write_text("{")


def no_facts(folder):
    (folder / "facts.json").write_text("[]")


def other_data(folder):
    facts = json.loads((folder / "facts.json").read_text())
    facts["bytes"]["train"] += 1
    (folder / "facts.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(
    "damage", [damage_image, empty_image, no_label, damage_facts, no_facts, other_data]
)
def test_damaged_files_are_written_anew(write_digits, damage):
    root = write_digits("fake", {"train": 20, "test": 4})
    load("tfds:fake", "train", root)
    folder = root / "ae_jax" / "fake-1.0.0-1"
    before = (folder / "facts.json").read_text()
    damage(folder)
    assert numbers(load("tfds:fake", "test", root)) == [20, 21, 22, 23]
    assert (folder / "facts.json").read_text() == before


def test_what_cannot_be_read_just_now_is_not_taken_for_damaged(write_digits, monkeypatch):
    root = write_digits("fake", {"train": 20, "test": 4})
    load("tfds:fake", "train", root)
    image = root / "ae_jax" / "fake-1.0.0-1" / "image.npy"
    before = image.stat()

    def exhausted(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(np, "load", exhausted)
        refused("cannot read .*fake-1.0.0-1: Too many open files", "tfds:fake", root)
    assert (image.stat().st_ino, image.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_image_that_cannot_be_decoded_is_named(write_digits, monkeypatch):
    root = write_digits("fake", {"train": 20})

    def source(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(prepared, "_source", lambda *_: SimpleNamespace(__getitem__=source))
    refused("cannot decode image 0 of fake's train", "tfds:fake", root)
    assert list((root / "ae_jax").iterdir()) == []


def test_a_full_disk_is_noticed_before_it_is_written_to(write_digits, monkeypatch):
    root = write_digits("fake", {"train": 20})

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.warns(UserWarning, match=r"cannot be kept in .* \(No space left on device\)"):
        assert numbers(load("tfds:fake", "test", root)) == [18, 19]
    assert list((root / "ae_jax").iterdir()) == []


def test_the_digest_is_that_of_the_content_and_computed_once(write_digits, monkeypatch, tmp_path):
    root = write_digits("fake", {"train": 20, "test": 4})
    first = load("tfds:fake", "all", root)
    monkeypatch.setattr(prepared, "digest_of_arrays", None)
    again = [load("tfds:fake", split, root) for split in ("all", "train", "validation", "test")]
    assert (
        again[0].digest
        == first.digest
        == stored(np.asarray(first.arrays["image"]), np.asarray(first.arrays["label"])).digest
    )
    assert len({data.digest for data in again}) == 4
    assert again[2].fetch is again[3].fetch is again[1].fetch


def test_zeros_and_ones_are_taken_as_such(write_tfds):
    features = {"image": tfds.features.Image(shape=(2, 2, 1))}
    pixels = np.random.default_rng(0).integers(0, 2, (12, 2, 2)).astype(np.uint8)
    root = write_tfds("bits", features, {"train": [{"image": Image.fromarray(p)} for p in pixels]})
    with pytest.warns(UserWarning, match="bits: all image values are 0 and 1"):
        data = load("tfds:bits", "all", root)
    np.testing.assert_array_equal(data.fetch(data.arrays, np.arange(12))["image"][..., 0], pixels)
    data = load("tfds:bits", "all", root, value_range=(0, 255))
    image = data.fetch(data.arrays, np.arange(12))["image"][..., 0]
    np.testing.assert_allclose(image, pixels / 255, rtol=1e-6)


def test_an_interrupted_decoding_leaves_nothing_behind(write_digits, monkeypatch):
    root = write_digits("fake", {"train": 20})

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prepared, "_source", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load("tfds:fake", "train", root)
    assert list((root / "ae_jax").iterdir()) == []
    assert load("tfds:fake", "train", root).size == 16


def test_two_processes_may_decode_at_once(write_digits, monkeypatch):
    root = write_digits("fake", {"train": 20})
    decode = prepared._decode

    def second(*arguments):
        monkeypatch.setattr(prepared, "_decode", decode)
        load("tfds:fake", "train", root)  # another process, which ends first
        return decode(*arguments)

    monkeypatch.setattr(prepared, "_decode", second)
    assert numbers(load("tfds:fake", "test", root)) == [18, 19]
    assert len(list((root / "ae_jax").iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_read_into_memory(write_digits, monkeypatch):
    root = write_digits("fake", {"train": 20})
    (root / "ae_jax").write_text("a file in the way")
    with pytest.warns(UserWarning, match="cannot be kept in .*, and are decoded again"):
        assert numbers(load("tfds:fake", "test", root)) == [18, 19]


def test_an_ordered_data_set_is_shuffled(write_digits):
    root = write_digits("fake", {"train": 100}, disable_shuffling=True)
    held = numbers(load("tfds:fake", "test", root))
    assert held != list(range(90, 100))
    assert sorted(numbers(load("tfds:fake", "all", root))) == list(range(100))


#: As TFDS has them, of which it may forget the order; and the factors in their authors' order.
GRIDS = {
    "smallnorb": (
        {
            "image2": None,
            "instance": 10,
            "label_azimuth": 18,
            "label_category": 5,
            "label_elevation": 9,
            "label_lighting": 6,
        },
        {"category": 5, "instance": 10, "elevation": 9, "azimuth": 18, "lighting": 6},
    ),
    "shapes3d": (
        {
            "label_floor_hue": 10,
            "label_object_hue": 10,
            "label_orientation": 15,
            "label_scale": 8,
            "label_shape": 4,
            "label_wall_hue": 10,
            "value_scale": None,
        },
        {
            "floor_hue": 10,
            "wall_hue": 10,
            "object_hue": 10,
            "scale": 8,
            "shape": 4,
            "orientation": 15,
        },
    ),
}


@pytest.mark.parametrize("name", GRIDS)
def test_factors_are_in_the_order_of_their_authors(write_tfds, name):
    stored, sizes = GRIDS[name]
    shape = (96, 96, 1) if name == "smallnorb" else (64, 64, 3)
    other = {"image2": tfds.features.Image(shape=shape), "value_scale": np.float32}
    features = {"image": tfds.features.Image(shape=shape)} | {
        key: other[key] if size is None else tfds.features.ClassLabel(num_classes=size)
        for key, size in stored.items()
    }
    rows = np.random.default_rng(0).integers(0, list(sizes.values()), (4, len(sizes)))
    picture = Image.fromarray(np.full(shape[: 2 + (shape[2] > 1)], 200, np.uint8))
    more = {"image2": picture, "value_scale": 1.5}
    examples = []
    for row in rows.tolist():
        known = dict(zip(sizes, row, strict=True))
        examples.append(
            {"image": picture}
            | {key: known.get(key.removeprefix("label_"), more.get(key)) for key in stored}
        )
    root = write_tfds(name, features, {"train": examples}, version="2.0.0")
    data = load(f"tfds:{name}", "all", root)
    assert list(data.factor_sizes.items()) == list(sizes.items())
    np.testing.assert_array_equal(data.fetch(data.arrays, jnp.arange(4))["factors"], rows)
    # what was decoded in another order is not taken for this
    (folder,) = (root / "ae_jax").iterdir()
    facts = json.loads((folder / "facts.json").read_text())
    (folder / "facts.json").write_text(json.dumps(facts | {"factors": facts["factors"][::-1]}))
    np.save(folder / "factors.npy", rows[:, ::-1].astype(np.int32))
    data = load(f"tfds:{name}", "all", root)
    np.testing.assert_array_equal(data.fetch(data.arrays, jnp.arange(4))["factors"], rows)


FACTORS = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}


def test_dsprites(write_tfds):
    labels = [f"label_{name}" + "_position" * (name in "xy") for name in FACTORS]
    rows = np.random.default_rng(0).integers(0, list(FACTORS.values()), (12, 5))
    pixels = np.random.default_rng(1).integers(0, 2, (12, 64, 64)).astype(np.uint8)
    features = {"image": tfds.features.Image(shape=(64, 64, 1))} | {
        label: tfds.features.ClassLabel(num_classes=size)
        for label, size in zip(labels, FACTORS.values(), strict=True)
    }
    examples = [
        {"image": Image.fromarray(pixels[i])} | dict(zip(labels, rows[i].tolist(), strict=True))
        for i in range(12)
    ]
    root = write_tfds("dsprites", features, {"train": examples}, version="2.0.0")
    data = load("dsprites", "all", root)
    batch = data.fetch(data.arrays, jnp.arange(12))
    assert list(data.factor_sizes.items()) == list(FACTORS.items())
    np.testing.assert_array_equal(batch["factors"], rows)
    np.testing.assert_array_equal(batch["image"][..., 0], pixels)  # 0 and 1


def test_celeb_a_keeps_the_middle(write_tfds):
    pixels = np.zeros((218, 178, 3), np.uint8)
    pixels[39:179, 19:159] = [255, 100, 0]
    features = {"image": tfds.features.Image(shape=(218, 178, 3))}
    examples = [{"image": Image.fromarray(pixels)}] * 2
    splits = {"train": examples, "validation": examples, "test": examples}
    root = write_tfds("celeb_a", features, splits, version="2.1.0")
    images = load("celeb_a", "validation", root).arrays["image"]
    np.testing.assert_array_equal(images, np.broadcast_to([255, 100, 0], (2, 64, 64, 3)))


def test_reads_through_the_mock_of_tfds(write_digits, tmp_path):
    # Its metadata; the examples are the mock's.
    metadata = write_digits("mnist", {"train": 20, "test": 20}, version="3.0.1")
    with tfds.testing.mock_data(num_examples=20, data_dir=str(metadata)):
        data = load("mnist", "train", tmp_path / "elsewhere")
    assert data.size == 18
    assert data.arrays["image"].std() > 10


def refused(message, name, root, **options):
    with pytest.raises(InputError, match=message) as error:
        load(name, data_dir=root, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", [*prepared.NAMES, "tfds:emnist/letters"])
def test_what_is_not_prepared_is_refused_with_the_command(name, tmp_path):
    message = refused("is not prepared in", name, tmp_path)
    command = f"python scripts/prepare_data.py {name} --data-dir {tmp_path}"
    assert f"`{command}`, or use digits or shapes32" in message
    assert list(tmp_path.iterdir()) == []


def test_the_directory_comes_from_the_environment(write_digits, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(write_digits("fake", {"train": 20})))
    assert load("tfds:fake").size == 16
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "empty"))
    message = refused("is not prepared in", "mnist", None)
    assert f"in {tmp_path / 'empty'}: run `python scripts/prepare_data.py mnist`," in message
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert prepared.data_directory() == str(tmp_path / "tensorflow_datasets")


@pytest.mark.parametrize("name", ["tfds:nope", "tfds:mnist/nope", "tfds:mnist:9.9.9", "tfds:a b"])
def test_what_tfds_does_not_know_is_refused(name, tmp_path):
    refused("TFDS has no data set", name, tmp_path)


def test_a_format_that_needs_tensorflow_is_refused(write_digits):
    root = write_digits("fake", {"train": 20}, suffix="tfrecord")
    refused("only TensorFlow reads: delete that folder", "tfds:fake", root)
    assert not list(root.glob("ae_jax/*"))


def test_data_without_images_of_equal_sizes_are_refused(write_tfds):
    text = {"text": tfds.features.Text()}
    root = write_tfds("words", text, {"train": [{"text": "a"}] * 3})
    refused("words has no uint8 feature 'image', but text", "tfds:words", root)
    image = {"image": tfds.features.Image(shape=(None, None, 3))}
    pixels = Image.fromarray(np.zeros((2, 2, 3), np.uint8))
    write_tfds("sizes", image, {"train": [{"image": pixels}] * 3})
    refused("only equal sizes", "tfds:sizes", root)


def test_splits_that_cannot_be_made_are_refused(write_digits):
    root = write_digits("fake", {"train": 2})
    refused("2 examples are too few to split", "tfds:fake", root)
    assert load("tfds:fake", "all", root).size == 2
    write_digits("other", {"test": 2})
    refused("no train split, but test", "tfds:other", root)


def test_tfds_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    refused("pip install tensorflow-datasets", "mnist", tmp_path)
