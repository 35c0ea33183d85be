import errno
import os

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ae_jax.core import InputError
from ae_jax.data import load

GREY = 255 - np.arange(20 * 2 * 3, dtype=np.uint8).reshape(20, 2, 3)


def write(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path)


def test_pictures_are_read_in_the_order_of_their_paths(tmp_path):
    for i in np.random.default_rng(0).permutation(20):
        write(tmp_path / f"{i:02}.png", GREY[i])
    data = load(f"images:{tmp_path}", "all")
    batch = data.fetch(data.arrays, jnp.arange(20))
    np.testing.assert_allclose(batch["image"][..., 0], GREY / 255, rtol=1e-6)
    assert set(batch) == {"image"}


def test_splits_are_disjoint_and_complete(tmp_path):
    for i in range(20):
        write(tmp_path / f"{i:02}.png", GREY[i])
    parts = [load(f"images:{tmp_path}", s) for s in ("train", "validation", "test")]
    assert [data.size for data in parts] == [16, 2, 2]
    images = np.concatenate([data.arrays["image"][..., 0] for data in parts])
    np.testing.assert_array_equal(images[np.argsort(images[:, 0, 0])[::-1]], GREY)


def test_subfolders_are_labels(tmp_path):
    for i in range(20):
        write(tmp_path / ("cat" if i % 2 else "ant") / "deeper" / f"{i:02}.png", GREY[i])
    data = load(f"images:{tmp_path}", "all")
    np.testing.assert_array_equal(data.arrays["label"], [0] * 10 + [1] * 10)
    np.testing.assert_array_equal(data.arrays["image"][:2, ..., 0], GREY[[0, 2]])
    assert sorted(load(f"images:{tmp_path}", "test").arrays["label"]) == [0, 1]
    write(tmp_path / "loose.png", GREY[0])
    with pytest.warns(UserWarning, match=r"1 beside the folders of .*, so no labels \(loose.png\)"):
        assert "label" not in load(f"images:{tmp_path}", "all").arrays


def test_folders_with_numbers_for_names_are_in_their_order(tmp_path):
    for i in range(12):
        write(tmp_path / str(i) / "a.png", GREY[i])
    data = load(f"images:{tmp_path}", "all")
    np.testing.assert_array_equal(data.arrays["image"][..., 0], GREY[data.arrays["label"]])


def test_one_coloured_picture_makes_all_coloured(tmp_path):
    colour = 255 - np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    write(tmp_path / "a.png", GREY[1])
    write(tmp_path / "b.bmp", colour)
    write(tmp_path / "c.PNG", colour, "RGBA")
    image = load(f"images:{tmp_path}", "all").arrays["image"]
    np.testing.assert_array_equal(image[0], np.repeat(GREY[1][..., None], 3, axis=-1))
    np.testing.assert_array_equal(image[1:], [colour, colour])


def refused(folder, message):
    with pytest.raises(InputError, match=message) as error:
        load(f"images:{folder}")
    assert "\n" not in str(error.value)


def test_refuses_what_is_no_folder_of_pictures(tmp_path):
    refused(tmp_path / "absent", "there is no folder")
    (tmp_path / "notes.txt").write_text("no picture")
    refused(tmp_path, r"there are no pictures .*: 1 of other kinds skipped \(notes.txt\)")
    refused(tmp_path / "notes.txt", "there is no folder")


def test_names_the_first_picture_of_another_size(tmp_path):
    for name, pixels in [("a", GREY[0]), ("b", GREY[1]), ("c", GREY[2].T), ("d", GREY[2, :1])]:
        write(tmp_path / f"{name}.png", np.ascontiguousarray(pixels))
    refused(tmp_path, r"a\.png is 3x2, .*c\.png is 2x3; patches of any are patches32:FOLDER")


@pytest.mark.parametrize("damage", ["text", "empty", "cut"])
def test_names_an_unreadable_picture(tmp_path, damage):
    for name in "abc":
        write(tmp_path / f"{name}.png", GREY[0])
    whole = (tmp_path / "b.png").read_bytes()
    content = {"text": b"not a picture", "empty": b"", "cut": whole[: len(whole) - 30]}
    (tmp_path / "b.png").write_bytes(content[damage])
    refused(tmp_path, r"cannot read the picture .*b\.png")


def test_names_all_that_are_unreadable_at_once(tmp_path, monkeypatch):
    """Of patches too, of all splits: those that lack an end are opened, and not read."""
    for i in range(20):
        write(tmp_path / f"{i:02}.pgm", GREY[i])
    for broken in range(12):
        path = tmp_path / f"{broken:02}.pgm"
        path.write_bytes(path.read_bytes()[:-1])
    for name in ("images", "patches2"):
        with pytest.raises(InputError, match=r"^12 pictures: cannot read the") as error:
            load(f"{name}:{tmp_path}", "train")
        said = str(error.value)
        assert said.count("cannot read the picture") == 12
        assert all(f"{broken:02}.pgm" in said for broken in range(12))
    (tmp_path / "00.pgm").write_bytes(b"")  # is not even opened
    write(tmp_path / "19.tif", GREY[0].astype(np.float32))
    monkeypatch.setattr("ae_jax.data.sources.images._MOST_NAMED", 1)
    refused(tmp_path, r"^2 pictures: cannot read the picture .*00\.pgm: [^;]*; and 1 more$")


def test_refuses_16_bits(tmp_path):
    write(tmp_path / "a.png", GREY[0].astype(np.uint16))
    refused(tmp_path, r"a\.png is of mode I;16: convert")


def test_train_and_test_folders_are_the_splits(tmp_path):
    order = {"train": range(10), "test": range(10, 14), "Valid": range(14, 17)}
    for folder, numbers in order.items():
        for i in numbers:
            write(tmp_path / folder / ("cat" if i % 2 else "ant") / f"{i:02}.png", GREY[i])
    for split, folder in [("train", "train"), ("test", "test"), ("validation", "Valid")]:
        data = load(f"images:{tmp_path}", split)
        numbers = sorted(order[folder], key=lambda i: (i % 2, i))
        np.testing.assert_array_equal(data.arrays["image"][..., 0], GREY[numbers])
        np.testing.assert_array_equal(data.arrays["label"], np.array(numbers) % 2)
    assert load(f"images:{tmp_path}", "all").size == 17


def test_a_missing_split_is_cut_off_the_train_folder(tmp_path):
    for i in range(20):
        write(tmp_path / "train" / f"{i:02}.png", GREY[i])
    sizes = [load(f"images:{tmp_path}", s).size for s in ("train", "validation", "test")]
    assert sizes == [16, 2, 2]
    (tmp_path / "test" / "cat").mkdir(parents=True)
    with pytest.warns(UserWarning, match=r"2 without pictures \(cat, test\)"):
        assert load(f"images:{tmp_path}", "train").size == 16
    write(tmp_path / "test" / "cat" / "a.png", GREY[7])
    sizes = [load(f"images:{tmp_path}", s).size for s in ("train", "validation", "test")]
    assert sizes == [18, 2, 1]


def test_a_train_among_other_classes_is_a_class(tmp_path):
    for i, name in enumerate(["car", "train", "tram"]):
        write(tmp_path / name / "a.png", GREY[i])
    data = load(f"images:{tmp_path}", "all")
    np.testing.assert_array_equal(data.arrays["label"], [0, 1, 2])


def test_what_lies_beside_the_splits_is_said(tmp_path):
    for name in ("train", "test", "unlabelled"):
        write(tmp_path / name / "a.png", GREY[0])
    with pytest.warns(UserWarning, match=r"1 beside train and test skipped \(unlabelled\)"):
        assert load(f"images:{tmp_path}", "all").size == 2


def test_refuses_splits_that_are_not_clear(tmp_path):
    for name in ("val", "test"):
        write(tmp_path / name / "a.png", GREY[0])
    refused(tmp_path, "has test and validation, but no train")
    for name in ("train", "validation"):
        write(tmp_path / name / "a.png", GREY[0])
    refused(tmp_path, "two folders for validation: val and validation")


def test_linked_folders_are_followed(tmp_path):
    for i in range(4):
        write(tmp_path / "elsewhere" / ("cat" if i % 2 else "ant") / f"{i}.png", GREY[i])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "elsewhere" / "cat")
    (tmp_path / "data" / "ant").symlink_to(tmp_path / "elsewhere" / "ant")
    data = load(f"images:{tmp_path / 'data'}", "all")
    np.testing.assert_array_equal(data.arrays["image"][..., 0], GREY[[0, 2, 1, 3]])
    np.testing.assert_array_equal(data.arrays["label"], [0, 0, 1, 1])


def test_links_in_circles_end(tmp_path):
    write(tmp_path / "cat" / "a.png", GREY[0])
    write(tmp_path / "cat" / "deeper" / "b.png", GREY[1])
    (tmp_path / "cat" / "deeper" / "up").symlink_to(tmp_path / "cat")
    (tmp_path / "cat" / "top").symlink_to(tmp_path)
    (tmp_path / "cat" / "self.png").symlink_to(tmp_path / "cat" / "self.png")
    with pytest.warns(UserWarning, match="2 linked to a folder that is read already") as said:
        data = load(f"images:{tmp_path}", "all")
    assert "1 broken links skipped (self.png)" in str(said[0].message)
    np.testing.assert_array_equal(data.arrays["image"][..., 0], GREY[:2])


@pytest.mark.parametrize("mode", ["P", "RGB", "RGBA", "LA", "L", "1"])
def test_greys_are_one_channel_in_whatever_mode(tmp_path, mode):
    pixels = GREY[0] if mode != "1" else GREY[0] % 2 * 255
    write(tmp_path / "a.png", pixels.astype(np.uint8), mode)
    write(tmp_path / "b.png", GREY[1])
    data = load(f"images:{tmp_path}", "all")
    np.testing.assert_array_equal(data.arrays["image"], np.stack([pixels, GREY[1]])[..., None])


def test_a_palette_of_colours_is_coloured(tmp_path):
    colour = np.zeros((2, 3, 3), np.uint8)
    colour[..., 1] = 204  # of the web palette
    write(tmp_path / "a.png", GREY[0])
    write(tmp_path / "b.png", colour, "P")
    write(tmp_path / "c.jpg", np.full((2, 3, 4), 99, np.uint8), "CMYK")
    image = load(f"images:{tmp_path}", "all").arrays["image"]
    np.testing.assert_array_equal(image[0], np.repeat(GREY[0][..., None], 3, axis=-1))
    np.testing.assert_array_equal(image[1], colour)


def test_pictures_are_turned_as_their_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(GREY[0]).save(tmp_path / "a.png", exif=exif)
    write(tmp_path / "b.png", np.ascontiguousarray(GREY[1].T))
    image = load(f"images:{tmp_path}", "all").arrays["image"]
    np.testing.assert_array_equal(image[..., 0], [np.rot90(GREY[0], -1), GREY[1].T])


def test_frames_and_transparency_that_are_dropped_are_said(tmp_path):
    frames = [Image.fromarray(GREY[i]) for i in range(2)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    clear = np.stack([GREY[2]] * 3 + [np.full((2, 3), 9, np.uint8)], axis=-1)
    write(tmp_path / "b.png", clear)
    with pytest.warns(UserWarning, match="images:") as said:
        data = load(f"images:{tmp_path}", "all")
    assert len(said) == 1
    assert "1 of several frames, the first taken (a.tif)" in str(said[0].message)
    assert "1 of which transparency is dropped (b.png)" in str(said[0].message)
    np.testing.assert_array_equal(data.arrays["image"][..., 0], GREY[[0, 2]])


def test_what_systems_leave_behind_is_counted_and_said(tmp_path):
    write(tmp_path / "cat" / "a.PNG", GREY[0])
    write(tmp_path / "cat" / "b.png", GREY[1])
    (tmp_path / "cat" / "b.png").rename(tmp_path / "cat" / "b")  # a picture without suffix
    write(tmp_path / "__MACOSX" / "cat" / "a.png", GREY[2])
    write(tmp_path / ".ipynb_checkpoints" / "a.png", GREY[2])
    write(tmp_path / "cat" / ".a.png", GREY[2])
    (tmp_path / "Thumbs.db").write_text("x")
    (tmp_path / "cat" / "LICENSE").write_text("no picture")
    (tmp_path / "cat" / "c.png").symlink_to(tmp_path / "absent.png")
    (tmp_path / "dog").mkdir()
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    with pytest.warns(UserWarning, match="images:") as said:
        data = load(f"images:{tmp_path}", "all")
    np.testing.assert_array_equal(data.arrays["image"][..., 0], GREY[:2])
    assert len(said) == 1
    message = str(said[0].message)
    assert "4 hidden or left behind by a system skipped (.ipynb_checkpoints, Thumbs" in message
    assert "1 of other kinds skipped (LICENSE)" in message
    assert "1 broken links skipped (c.png)" in message
    assert "1 neither files nor folders skipped (pipe.png)" in message
    assert "1 without pictures (dog)" in message
    assert "\n" not in message


def test_names_what_the_system_says(tmp_path, monkeypatch):
    write(tmp_path / "a.png", GREY[0])

    def failing(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO), "a.png")

    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", failing)
        refused(tmp_path, r"cannot read the picture .*a\.png: Input/output error$")
    monkeypatch.setattr(os, "listdir", failing)
    refused(tmp_path, "cannot read the folder .*: Input/output error$")


def test_masks_of_zeros_and_ones_and_value_ranges(tmp_path):
    write(tmp_path / "a.png", GREY[0] % 2)
    with pytest.warns(UserWarning, match="all image values are 0 and 1"):
        data = load(f"images:{tmp_path}", "all")
    image = data.fetch(data.arrays, jnp.arange(1))["image"]
    np.testing.assert_array_equal(image[0, ..., 0], GREY[0] % 2)
    write(tmp_path / "a.png", GREY[0] % 16)
    data = load(f"images:{tmp_path}", "all", value_range=(0, 15))
    image = data.fetch(data.arrays, jnp.arange(1))["image"]
    np.testing.assert_allclose(image[0, ..., 0], GREY[0] % 16 / 15, rtol=1e-6)


def test_patches_of_pictures_of_any_sizes(tmp_path):
    """By hand: they overlap by half, and the last of a row and a column end with the picture."""
    colour = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    write(tmp_path / "a.png", colour)
    write(tmp_path / "b.png", GREY.reshape(10, 12)[:4, :4])
    write(tmp_path / "c.png", GREY[0])
    with pytest.warns(UserWarning, match=r"1 smaller than a patch of 4 pixels skipped \(c.png\)"):
        found = load(f"patches4:{tmp_path}", "all")
    image = found.arrays["image"]
    expected = [colour[y : y + 4, x : x + 4] for y in (0, 1) for x in (0, 2, 3)]
    np.testing.assert_array_equal(image[:-1], expected)
    assert (image[-1] == GREY.reshape(10, 12)[:4, :4, None]).all()
    unit = found.fetch(found.arrays, jnp.arange(1))["image"]
    np.testing.assert_allclose(unit[0], expected[0] / 255, rtol=1e-6)


def test_splits_of_patches_share_no_picture(tmp_path):
    for i in range(20):
        write(tmp_path / f"{i:02}.png", np.full((3, 4), 100 + i, np.uint8))
    greys = [
        set(np.unique(load(f"patches2:{tmp_path}", split).arrays["image"]))
        for split in ("train", "validation", "test")
    ]
    assert [len(own) for own in greys] == [16, 2, 2]
    assert len(set.union(*greys)) == 20
    write(tmp_path / "test" / "a.png", np.zeros((3, 4), np.uint8))
    (tmp_path / "train").mkdir()
    for i in range(2):
        (tmp_path / f"{i:02}.png").rename(tmp_path / "train" / f"{i}.png")
    with pytest.warns(UserWarning, match="beside train and test"):
        assert not load(f"patches2:{tmp_path}", "test").arrays["image"].any()


def test_of_two_pictures_none_is_held_out(tmp_path):
    for i in range(2):
        write(tmp_path / f"{i}.png", GREY[i])
    for split in ("train", "validation", "test"):
        with pytest.warns(UserWarning, match="2 too few to hold any out, in every split"):
            assert load(f"patches2:{tmp_path}", split).size == 4


def test_patches_are_at_most_so_many(tmp_path, monkeypatch):
    monkeypatch.setattr("ae_jax.data.sources.images.MOST_PATCHES", 5)
    for i in range(3):
        write(tmp_path / f"{i}.png", np.full((2, 9 - i), 100 + i, np.uint8))
    image = load(f"patches2:{tmp_path}", "all").arrays["image"]
    np.testing.assert_array_equal(image[:, 0, 0, 0], [100, 101, 102])
    monkeypatch.setattr("ae_jax.data.sources.images.MOST_PATCHES", 2)
    with pytest.warns(UserWarning, match=r"1 beyond 2 skipped \(2.png\)"):
        assert load(f"patches2:{tmp_path}", "all").size == 2


@pytest.mark.parametrize("kind", ["png", "pgm"])
def test_patches_take_the_upper_8_of_16_bits(tmp_path, kind):
    write(tmp_path / f"a.{kind}", 256 * GREY[0].astype(np.uint16) + 7)
    with pytest.warns(UserWarning, match=rf"1 of 16 bits, the upper 8 taken \(a.{kind}\)"):
        image = load(f"patches2:{tmp_path}", "all").arrays["image"]
    np.testing.assert_array_equal(image[0, ..., 0], GREY[0][:, :2])


def test_refuses_what_has_no_patches(tmp_path):
    write(tmp_path / "a.png", GREY[0])
    with pytest.raises(InputError, match=r"patch of 32 pixels .*smaller patches, of 16 say"):
        load(f"patches:{tmp_path}")
    Image.fromarray(GREY[0].astype(np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(InputError, match=r"b\.tif is of mode F: convert"):
        load(f"patches2:{tmp_path}")


def test_what_the_scripts_made_of_pictures_is_no_picture_of_the_set(tmp_path):
    """Restored and decoded ones would be learned from, and change the data of a run."""
    for name in ("a.png", "a.restored.png", "a.restored-2.png", "b.png", "b.jpg.decoded.png"):
        Image.fromarray(np.full((4, 4), 255, np.uint8)).save(tmp_path / name)
    with pytest.warns(UserWarning, match=r"3 made of others, as NAME.restored.png, skipped"):
        assert load(f"images:{tmp_path}", "all").size == 2
