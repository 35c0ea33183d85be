import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.data import load

COUNT = 40
BYTES = np.arange(COUNT * 6, dtype=np.uint8).reshape(COUNT, 2, 3)
LABEL = np.arange(COUNT) % 4
FACTORS = np.stack([np.arange(COUNT) % 2, np.arange(COUNT) % 5], axis=1)


@pytest.fixture
def archive(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return f"npz:{tmp_path / 'data.npz'}"

    return write


def rows(data):
    """Which of BYTES a data set holds."""
    return data.arrays["image"][:, 0, 0, 0] // 6


def image(data):
    return np.asarray(data.fetch(data.arrays, np.arange(data.size))["image"])


def test_train_and_test_arrays(archive):
    name = archive(x_train=BYTES[:30], y_train=LABEL[:30], x_test=BYTES[30:], y_test=LABEL[30:])
    parts = {split: load(name, split) for split in ("train", "validation", "test", "all")}
    assert {split: data.size for split, data in parts.items()} == {
        "train": 27, "validation": 3, "test": 10, "all": 40,
    }  # fmt: skip
    np.testing.assert_array_equal(rows(parts["test"]), np.arange(30, 40))
    together = np.concatenate([rows(parts["train"]), rows(parts["validation"])])
    np.testing.assert_array_equal(np.sort(together), np.arange(30))
    for data in parts.values():
        np.testing.assert_array_equal(data.arrays["label"], rows(data) % 4)
    np.testing.assert_array_equal(rows(load(name, "validation")), rows(parts["validation"]))


def test_train_arrays_alone_are_split_in_three(archive):
    name = archive(x_train=BYTES, y_train=LABEL)
    parts = [rows(load(name, split)) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [32, 4, 4]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(COUNT))
    # Stratified: four labels, four examples.
    np.testing.assert_array_equal(np.sort(load(name, "test").arrays["label"]), np.arange(4))


def test_images_labels_and_factors(archive):
    name = archive(image=BYTES / 255, label=LABEL, factors=FACTORS)
    data = load(name, "all")
    batch = data.fetch(data.arrays, jnp.array([5, 3]))
    np.testing.assert_allclose(batch["image"][..., 0], BYTES[[5, 3]] / 255, rtol=1e-6)
    np.testing.assert_array_equal(batch["label"], LABEL[[5, 3]])
    np.testing.assert_array_equal(batch["factors"], FACTORS[[5, 3]])
    assert data.factor_sizes == {"factor_0": 2, "factor_1": 5}
    # The sizes of the whole, whatever values a split holds.
    assert load(name, "validation").factor_sizes == data.factor_sizes


MASK = (BYTES // 7 % 3).astype(np.int64)


def test_masks_go_with_their_images(archive):
    data = load(archive(image=BYTES, mask=MASK, label=LABEL), "test")
    batch = data.fetch(data.arrays, jnp.arange(data.size))
    np.testing.assert_array_equal(batch["mask"], MASK[rows(data)])
    np.testing.assert_array_equal(batch["label"], LABEL[rows(data)])
    parts = {"x_train": BYTES[:30], "x_test": BYTES[30:], "mask_train": MASK[:30]}
    name = archive(**parts, mask_test=MASK[30:, ..., None])
    for split in ("train", "test", "all"):
        data = load(name, split)
        np.testing.assert_array_equal(data.arrays["mask"], MASK[rows(data)])
    with pytest.raises(InputError, match="has mask_train, but no mask_test: give all, or none"):
        load(archive(**parts), "train")


def test_what_255_is_in_masks_is_decided_for_all_parts(archive):
    mask = np.where(MASK > 1, 255, 0)
    mask[30:] = np.where(mask[30:] == 0, 2, 255)
    parts = {"x_train": BYTES[:30], "x_test": BYTES[30:]}
    with pytest.warns(UserWarning, match="255 in masks, .* is taken for no known class"):
        data = load(archive(**parts, mask_train=mask[:30], mask_test=mask[30:]), "train")
    np.testing.assert_array_equal(np.unique(data.arrays["mask"]), [-1, 0])


def test_labels_of_one_part_only(archive):
    name = archive(x_train=BYTES[:30], y_train=LABEL[:30], x_test=BYTES[30:])
    assert set(load(name, "train").arrays) == {"image", "label"}
    assert set(load(name, "test").arrays) == {"image"}
    with pytest.warns(UserWarning, match="some parts have no labels, so all has none"):
        assert set(load(name, "all").arrays) == {"image"}


def test_validation_arrays(archive):
    name = archive(
        x_train=BYTES[:20], y_train=LABEL[:20],
        x_validation=BYTES[20:24], y_validation=LABEL[20:24],
        x_test=BYTES[24:30], y_test=LABEL[24:30],
    )  # fmt: skip
    for split, start, stop in [("train", 0, 20), ("validation", 20, 24), ("test", 24, 30)]:
        np.testing.assert_array_equal(rows(load(name, split)), np.arange(start, stop))
        np.testing.assert_array_equal(load(name, split).arrays["label"], LABEL[start:stop])
    np.testing.assert_array_equal(rows(load(name, "all")), np.arange(30))


def test_validation_arrays_without_test_arrays(archive):
    name = archive(x_train=BYTES[:30], x_validation=BYTES[30:])
    np.testing.assert_array_equal(rows(load(name, "validation")), np.arange(30, 40))
    train, test = rows(load(name, "train")), rows(load(name, "test"))
    assert len(test) == 3
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(30))


def test_arrays_that_are_not_used_are_said(archive):
    name = archive(x_train=BYTES, x_val=BYTES, y_test=LABEL, label=OBJECTS)
    with pytest.warns(UserWarning, match="not used: label, x_val, y_test; x_train goes with y_tr"):
        assert load(name, "all").size == COUNT


def test_the_scale_is_that_of_all_parts_together(archive):
    bits = BYTES % 2
    name = archive(x_train=BYTES[:30], x_test=bits[30:])
    test = load(name, "test")
    np.testing.assert_allclose(image(test)[..., 0], bits[30:] / 255, rtol=1e-6)
    name = archive(x_train=bits[:30], x_test=bits[30:].astype(np.int64))
    with pytest.warns(UserWarning, match="all image values are 0 and 1"):
        data = load(name, "all")
    np.testing.assert_array_equal(image(data)[..., 0], bits)
    with pytest.warns(UserWarning, match="highest image value is 15, and 255 is taken for white"):
        load(archive(x_train=BYTES % 16))


def test_a_value_range(archive):
    wide = BYTES.astype(np.float32) / 100 - 1
    parts = {"x_train": wide[:30], "x_test": wide[30:]}
    with pytest.raises(InputError, match=r"from -1 to 1\.39; scale them .*, or .*--value-range"):
        load(archive(**parts))
    data = load(archive(**parts), "all", value_range=(-1, 2))
    np.testing.assert_allclose(image(data)[..., 0], (wide + 1) / 3, rtol=1e-6)
    with pytest.raises(InputError, match="past the value range 0 to 2"):
        load(archive(**parts), "train", value_range=(0, 2))


def test_channels_first(archive):
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 5, 6), np.uint8)
    with pytest.warns(UserWarning, match=r"x_train: .*taken as \[N, C, H, W\]") as said:
        data = load(archive(x_train=images[:12], x_test=images[12:]), "test")
    assert len(said) == 1
    np.testing.assert_array_equal(data.arrays["image"], images[12:].transpose(0, 2, 3, 1))


def test_the_digest_follows_the_content(archive):
    def digests(**changes):
        arrays = {"x_train": BYTES[:30], "y_train": LABEL[:30], "x_test": BYTES[30:]} | changes
        return [load(archive(**arrays), s).digest for s in ("train", "validation", "test")]

    first = digests()
    assert len(set(first)) == 3
    assert digests() == first
    pixel = BYTES[30:].copy()
    pixel[4, 1, 1] ^= 1
    assert digests(x_test=pixel)[:2] == first[:2]
    assert digests(x_test=pixel)[2] != first[2]
    assert not set(digests(y_train=LABEL[1:31])) & set(first[:2])


OBJECTS = np.array([None] * 3)


@pytest.mark.parametrize(
    ("arrays", "split", "message"),
    [
        ({"pictures": BYTES}, "train", "neither 'x_train' nor 'image', but pictures"),
        ({}, "train", "but no arrays"),
        ({"image": OBJECTS}, "train", "Python objects"),
        ({"image": BYTES, "label": OBJECTS}, "train", "Python objects"),
        ({"image": BYTES[0]}, "train", r"image: images have shape \(2, 3\)"),
        ({"image": BYTES.astype(complex)}, "train", "image is complex128"),
        ({"image": BYTES.astype(int) * 9}, "train", "from 0 to 2151, not 0 to 255; give the"),
        ({"image": BYTES / 1.0}, "train", "from 0 to 239; scale them"),
        ({"image": BYTES / np.nan}, "train", "not finite"),
        ({"x_train": BYTES[:0]}, "train", "x_train: there are no images"),
        ({"x_train": BYTES, "y_train": LABEL[1:]}, "train", "label has 39 rows for 40"),
        ({"x_train": BYTES, "x_test": BYTES[:, 1:]}, "test", "images of train are .* of test"),
        ({"x_train": BYTES, "x_test": BYTES / 255}, "test", "different types"),
        ({"x_train": BYTES, "x_test": BYTES > 9}, "test", "different types: bool, uint8; give th"),
        ({"x_train": BYTES, "x_test": np.zeros(3)}, "test", "x_test: images have shape"),
        ({"image": BYTES[-2:]}, "train", "2 examples are too few"),
        ({"image": BYTES, "mask": MASK[1:]}, "train", r"masks have shape \(39, 2, 3\), images"),
        (
            {"image": BYTES, "mask": MASK / 1.0},
            "train",
            "masks are float64 .*: use the whole",
        ),
        ({"image": BYTES, "mask": MASK + 300}, "train", "a mask has 302: .* from 0 to 254"),
        ({"image": BYTES, "mask": MASK * 0 - 1}, "train", "no pixel .* is of a known class"),
    ],
)
def test_refuses(archive, arrays, split, message):
    with pytest.raises(InputError, match=message) as error:
        load(archive(**arrays), split)
    assert "\n" not in str(error.value)


def test_refuses_other_files(tmp_path):
    def refused(path, message):
        with pytest.raises(InputError, match=message) as error:
            load(f"npz:{path}")
        assert "\n" not in str(error.value)

    refused(tmp_path / "absent.npz", "there is no file")
    refused(tmp_path, "there is no file")
    np.save(tmp_path / "single.npy", BYTES)
    refused(tmp_path / "single.npy", "a single array")
    (tmp_path / "text.npz").write_text("not an archive")
    refused(tmp_path / "text.npz", "cannot read")
    (tmp_path / "empty.npz").touch()
    refused(tmp_path / "empty.npz", "cannot read")
    np.savez(tmp_path / "cut.npz", image=BYTES)
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.npz", "cannot read")
