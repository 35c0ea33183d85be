import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ae_jax.core import InputError
from ae_jax.data import load

COUNT = 20
PICTURES = 255 - np.arange(COUNT * 6, dtype=np.uint8).reshape(COUNT, 2, 3)
CLASSES = PICTURES // 7 % 3


def write(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path)


@pytest.fixture
def folder(tmp_path):
    for i in range(COUNT):
        write(tmp_path / "images" / f"{i:02}.png", PICTURES[i])
        write(tmp_path / "masks" / f"{i:02}.png", CLASSES[i])
    return tmp_path


def refused(folder, message, split="train"):
    with pytest.raises(InputError, match=message) as error:
        load(f"masks:{folder}", split)
    assert "\n" not in str(error.value)


def test_every_picture_has_its_mask_in_every_split(folder):
    splits = [load(f"masks:{folder}", split) for split in ("train", "validation", "test")]
    assert [data.size for data in splits] == [16, 2, 2]
    for data in (*splits, load(f"masks:{folder}", "all")):
        batch = data.fetch(data.arrays, jnp.arange(data.size))
        assert set(batch) == {"image", "mask"}
        assert batch["mask"].dtype == data.spec["mask"].dtype == jnp.int32
        pixels = np.rint(np.asarray(batch["image"])[..., 0] * 255)
        np.testing.assert_array_equal(batch["mask"], pixels // 7 % 3)


def test_names_go_together_whatever_the_suffix_and_splits_are_folders(tmp_path):
    for i, part in enumerate(["train/a/x", "train/b/x", "test/x"]):
        write(tmp_path / "images" / f"{part}.bmp", PICTURES[i])
        palette = Image.fromarray(CLASSES[i]).convert("P")
        palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
        (tmp_path / "masks" / part).parent.mkdir(parents=True)
        palette.save(tmp_path / "masks" / f"{part}.png")
    every = load(f"masks:{tmp_path}", "all")
    np.testing.assert_array_equal(every.arrays["image"][..., 0], PICTURES[:3])
    # a palette's indices, not its colours
    np.testing.assert_array_equal(every.arrays["mask"], CLASSES[:3])
    test = load(f"masks:{tmp_path}", "test")
    np.testing.assert_array_equal(test.arrays["mask"], CLASSES[2:3])


def test_white_is_of_no_known_class(folder):
    unknown = CLASSES[3].copy()
    unknown[0, 1] = 255
    write(folder / "masks" / "03.png", unknown)
    with pytest.warns(UserWarning, match=r"255 in masks, 0\.83% of the pixels, is taken for no k"):
        mask = load(f"masks:{folder}", "all").arrays["mask"]
    assert mask[3, 0, 1] == -1
    assert np.sum(mask < 0) == 1


def test_grey_levels_for_classes_are_said(folder):
    for i in range(COUNT):
        write(folder / "masks" / f"{i:02}.png", CLASSES[i] * np.uint8(100))
    with pytest.warns(
        UserWarning, match=r"from 0 to 200, masks have 3 \(0, 100, 200\): number the"
    ):
        mask = load(f"masks:{folder}", "all").arrays["mask"]
    assert mask.max() == 200


def test_masks_of_black_and_white_have_two_classes(folder):
    for i in range(COUNT):
        write(folder / "masks" / f"{i:02}.png", np.where(CLASSES[i] > 1, 255, 0).astype(np.uint8))
    with pytest.warns(UserWarning, match="0 and 255, and are taken for classes 0 and 1"):
        mask = load(f"masks:{folder}", "all").arrays["mask"]
    np.testing.assert_array_equal(mask, CLASSES > 1)
    for i in range(COUNT):
        (folder / "masks" / f"{i:02}.png").unlink()
        bits = Image.fromarray(np.where(CLASSES[i] > 1, 255, 0).astype(np.uint8))
        bits.convert("1").save(folder / "masks" / f"{i:02}.png")
    np.testing.assert_array_equal(load(f"masks:{folder}", "all").arrays["mask"], CLASSES > 1)


def test_what_does_not_go_together_is_named(folder):
    (folder / "masks" / "04.png").unlink()
    write(folder / "masks" / "other.png", CLASSES[0])
    refused(folder, r"^1 pictures without a mask: .*04\.png; 1 masks without a pict.*other\.png$")
    (folder / "masks" / "other.png").unlink()
    write(folder / "masks" / "04.bmp", CLASSES[4][:, :2].copy())
    refused(folder, r"the mask .*04\.bmp is 2x2, its picture 3x2")
    write(folder / "masks" / "04.png", CLASSES[4])
    refused(folder, r"two masks have one name: .*04\.bmp and 04\.png")


@pytest.mark.parametrize(
    ("mode", "suffix", "words"),
    [
        ("RGB", "png", "is of mode RGB: use grey or a palette"),
        ("I;16", "png", "is of mode I;16: use grey"),
        ("L", "jpg", "is a JPEG, which blurs classes"),
    ],
)
def test_what_is_no_mask_is_named(folder, mode, suffix, words):
    for name in ("05", "06"):
        (folder / "masks" / f"{name}.png").unlink()
        pixels = CLASSES[5].astype(np.uint16) if mode == "I;16" else CLASSES[5]
        write(folder / "masks" / f"{name}.{suffix}", pixels, None if mode == "I;16" else mode)
    refused(folder, f"^2 pictures: the mask .*05.{suffix} {words}.*; the mask .*06.{suffix} is")


def test_what_cannot_be_read_is_named(folder):
    (folder / "masks" / "07.png").write_bytes(b"no picture")
    refused(folder, r"cannot read the picture .*masks/07\.png")
    write(folder / "masks" / "07.png", CLASSES[7])
    write(folder / "images" / "07.png", PICTURES[7][:, :2].copy())
    refused(folder, r"07\.png is 2x2; cut or scale them, and their masks, to one")


def test_folders_that_are_not_there(tmp_path):
    refused(tmp_path / "absent", r"there is no folder .*absent/images: pictures are in images, and")
    write(tmp_path / "images" / "a.png", PICTURES[0])
    refused(tmp_path, r"there is no folder .*/masks")
    (tmp_path / "masks").mkdir()
    refused(tmp_path, r"there are no pictures .* in .*/masks")
