import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ae_jax.core import InputError
from ae_jax.data import load

GREY = np.arange(20 * 2 * 3, dtype=np.uint8).reshape(20, 2, 3)


def write(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path)


def test_pictures_are_read_in_the_order_of_their_paths(tmp_path):
    for i in np.random.default_rng(0).permutation(20):
        write(tmp_path / f"{i:02}.png", GREY[i])
    (tmp_path / "notes.txt").write_text("ignored")
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
    np.testing.assert_array_equal(images[np.argsort(images[:, 0, 0])], GREY)


def test_subfolders_are_labels(tmp_path):
    for i in range(20):
        write(tmp_path / ("cat" if i % 2 else "ant") / "deeper" / f"{i:02}.png", GREY[i])
    data = load(f"images:{tmp_path}", "all")
    np.testing.assert_array_equal(data.arrays["label"], [0] * 10 + [1] * 10)
    np.testing.assert_array_equal(data.arrays["image"][:2, ..., 0], GREY[[0, 2]])
    assert sorted(load(f"images:{tmp_path}", "test").arrays["label"]) == [0, 1]
    write(tmp_path / "loose.png", GREY[0])
    assert "label" not in load(f"images:{tmp_path}", "all").arrays


def test_one_coloured_picture_makes_all_coloured(tmp_path):
    colour = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
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
    refused(tmp_path, "there are no pictures")
    refused(tmp_path / "notes.txt", "there is no folder")


def test_names_the_first_picture_of_another_size(tmp_path):
    for name, pixels in [("a", GREY[0]), ("b", GREY[1]), ("c", GREY[2].T), ("d", GREY[2, :1])]:
        write(tmp_path / f"{name}.png", np.ascontiguousarray(pixels))
    refused(tmp_path, r"a\.png is 3x2, .*c\.png is 2x3")


@pytest.mark.parametrize("damage", ["text", "empty", "cut"])
def test_names_an_unreadable_picture(tmp_path, damage):
    for name in "abc":
        write(tmp_path / f"{name}.png", GREY[0])
    whole = (tmp_path / "b.png").read_bytes()
    content = {"text": b"not a picture", "empty": b"", "cut": whole[: len(whole) - 30]}
    (tmp_path / "b.png").write_bytes(content[damage])
    refused(tmp_path, r"cannot read the picture .*b\.png")


def test_refuses_16_bits(tmp_path):
    write(tmp_path / "a.png", GREY[0].astype(np.uint16))
    refused(tmp_path, r"a\.png is of mode I;16; convert")
