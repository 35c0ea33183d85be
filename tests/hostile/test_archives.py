"""Archives of any content, and headers that lie: what is read is what was written, or refused."""

import io
import os
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from ae_jax.core import InputError
from ae_jax.data import load
from tests.hostile.reading import SPLITS, images_of, read

KINDS = ["u1", "b1", "i1", "<i8", ">u2", "<u4", "<f4", ">f8", "<f2"]
NO_IMAGES = ["<c8", "O", "M8[s]", "m8[s]", "U3", "S2", "V3", [("a", "<i4"), ("b", "<f4")]]
NAMES = ["x_train", "x_validation", "x_test", "image", "y_train", "y_test", "label", "factors"]
SHAPES = [(3,), (0,), (), (4, 2), (4, 3, 2), (4, 3, 2, 1), (4, 3, 6, 6), (4, 1, 6, 6), (4, 0, 2)]
SHAPES += [(4, 3, 3, 3), (12, 3, 2), (12, 3, 2, 1), (4, 1, 2, 2), (4, 1, 1, 1, 1)]


def written(dtype, shape, scale, seed):
    """An array of some type, with values that fit `scale` where it is one of numbers."""
    random = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind in "biuf":
        highest = {"bits": 1, "bytes": 127 if dtype == np.int8 else 255, "wide": 1000}[scale]
        values = random.integers(0, highest + 1, shape)
        if dtype.kind == "f" and scale != "wide":
            return np.asarray(values / highest).astype(dtype)
        return np.asarray(values).astype(dtype)
    return np.zeros(shape, dtype)


def bytes_of(array):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=True)
    return stream.getvalue()


def archive_of(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # duplicate names
        with zipfile.ZipFile(stream, "w", compression) as archive:
            for name, content in members:
                archive.writestr(zipfile.ZipInfo(name), content, compression)
    return stream.getvalue()


@pytest.fixture(scope="module")
def place():
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


ARRAY = st.tuples(
    st.sampled_from(KINDS * 2 + NO_IMAGES),
    st.sampled_from(SHAPES),
    st.sampled_from(["bits", "bytes", "bytes", "wide"]),
    st.integers(0, 9),
)

SOUND = [(4, 3, 2), (4, 3, 2, 1), (4, 3, 6, 6), (4, 1, 6, 6), (12, 3, 2), (12, 3, 2, 3)]
ALIKE = st.tuples(
    st.sampled_from(KINDS), st.sampled_from(SOUND), st.sampled_from(["bits", "bytes"])
)


@settings(max_examples=120)
@given(data=st.data())
def test_an_archive_is_read_as_it_was_written_or_refused(place, data):
    alike = data.draw(st.booleans())
    one = data.draw(ALIKE)
    arrays, first = {}, data.draw(st.sampled_from([["x_train"], ["image"], []]))
    others = data.draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4))
    for name in dict.fromkeys([*first, *others]):
        drawn = (*one, data.draw(st.integers(0, 9))) if alike else data.draw(ARRAY)
        if alike and not name.startswith(("x", "i")):
            drawn = ("<i8", (one[1][0],), "bits", drawn[3])
        arrays[name] = written(*drawn)
    members = [(f"{name}.npy", bytes_of(array)) for name, array in arrays.items()]
    odd = data.draw(st.sampled_from([None] * 5 + ["twice", "bare", "../x", "a\nb", "x_train.txt"]))
    if odd == "twice" and members:
        members.append(members[0])
    elif odd is not None:
        members.append((odd, b"text"))
    compression = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    content = archive_of(members, compression)
    damage = data.draw(st.sampled_from([None] * 5 + ["cut", "flip", "flip", "insert"]))
    at = data.draw(st.integers(0, len(content) - 1))
    if damage == "cut":
        content = content[:at]
    elif damage == "flip":
        content = content[:at] + bytes([content[at] ^ 1 << data.draw(st.integers(0, 7))])
        content += archive_of(members, compression)[at + 1 :]
    elif damage == "insert":
        content = content[:at] + b"\0\xff\n" + content[at:]
    (place / "data.npz").write_bytes(content)
    found, _ = read(f"npz:{place / 'data.npz'}")
    event(f"{'refused' if found is None else 'read'}, {damage}")
    if found is None:
        return
    given = [arrays[n] for n in ("x_train", "x_validation", "x_test") if n in arrays]
    given = given if "x_train" in arrays else [arrays["image"]]
    np.testing.assert_allclose(images_of(found), in_unit_interval(given), rtol=1e-3)
    if "label" in found.arrays:
        labels = [name for name in ("y_train", "y_test") if f"x{name[1:]}" in arrays]
        labels = labels if "x_train" in arrays else ["label"]
        label = np.concatenate([arrays[name].ravel() for name in labels])
        np.testing.assert_array_equal(found.arrays["label"], label)
    parts = [read(f"npz:{place / 'data.npz'}", split)[0] for split in SPLITS]
    if None not in parts:
        rows = [part.arrays["image"].reshape(part.size, -1) for part in parts]
        whole = found.arrays["image"].reshape(found.size, -1)
        np.testing.assert_array_equal(in_order(np.concatenate(rows)), in_order(whole))


def in_unit_interval(arrays):
    """What [N, H, W], [N, H, W, C] or [N, C, H, W] of any number type stand for."""
    stacked = np.concatenate([np.asarray(array, np.float64) for array in arrays])
    if arrays[0].dtype.kind in "iu" and stacked.max() != 1:
        stacked = stacked / 255
    if stacked.ndim == 3:
        return stacked[..., None]
    return stacked.transpose(0, 2, 3, 1) if stacked.shape[2:] == (6, 6) else stacked


def in_order(rows):
    return rows[np.lexsort(rows.T)]


def header(descr="'|u1'", order="False", shape="(4, 2, 2)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def npy(text, content=b"\x80" * 16, version=b"\1\0", length=None):
    text = text.encode("latin1") + b"\n"
    length = len(text) if length is None else length
    return b"\x93NUMPY" + version + length.to_bytes(2 * version[0], "little") + text + content


LYING = {
    "honest": npy(header()),
    "huge": npy(header(shape="(10**12, 2, 2)".replace("10**12", "1000000000000"))),
    "beyond 64 bits": npy(header(shape=f"({2**70}, 2, 2)")),
    "negative": npy(header(shape="(-4, -2, 2)")),
    "too few": npy(header(shape="(3, 2, 2)")),
    "too many": npy(header(), b"\x80" * 15),
    "objects": npy(header("'|O'")),
    "subarrays": npy(header("('|u1', (2,))", shape="(2, 2, 2)")),
    "no numbers": npy(header(shape="(4, 2, 'a')")),
    "nested": npy("(" * 5000),
    "a program": npy("__import__('os').system('false')"),
    "empty": b"",
    "no header": npy("", b""),
    "long header": npy(header() + " " * 60_000),
    "a header beyond the end": npy(header(), version=b"\2\0", length=2**32 - 1),
    "the third version": npy(header(), version=b"\3\0"),
    "the ninth version": npy(header(), version=b"\x09\0"),
    "text": b"not an array",
}


@pytest.mark.parametrize("kind", LYING)
def test_a_header_that_lies_is_refused(kind, tmp_path):
    (tmp_path / "data.npz").write_bytes(archive_of([("image.npy", LYING[kind])]))
    found, _ = read(f"npz:{tmp_path / 'data.npz'}")
    if kind == "honest":
        np.testing.assert_allclose(images_of(found), np.full((4, 2, 2, 1), 128 / 255), rtol=1e-6)
    else:
        assert found is None


def test_more_than_the_memory_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", image=np.zeros((500, 100, 100), np.uint8))
    assert (tmp_path / "bomb.npz").stat().st_size < 50_000
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 1_000_000}.get)
    with pytest.raises(InputError, match="image takes 0 GB, more than the 0 GB of memory"):
        load(f"npz:{tmp_path / 'bomb.npz'}")
