"""Files as people have them, and files that lie: what is read is what was written, or refused."""

import contextlib
import importlib.util
import io
import os
import signal
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from PIL import Image

from ae_jax import cli, experiment
from ae_jax.core import InputError
from ae_jax.data import load

ROOT = Path(__file__).parents[2]
SPLITS = ("train", "validation", "test")


class Hangs(BaseException):
    """Not to be taken for damage."""


@contextlib.contextmanager
def ends():
    """Fails instead of hanging."""

    def late(*_):
        raise Hangs

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read(name, split="all", **options):
    """The data, or None where they are refused; and what was said."""
    with ends(), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            data, words = load(name, split, **options), ""
        except InputError as error:
            data, words = None, str(error)
    assert not any("\n" in text for text in (words, *(str(one.message) for one in said)))
    return data, said


def images_of(data):
    return np.asarray(data.fetch(data.arrays, np.arange(data.size))["image"])


def test_binarised_mnist_as_everybody_saves_it(tmp_path):
    bits = (np.random.default_rng(0).uniform(size=(30, 1, 28, 28)) < 0.2).astype(np.uint8)
    label = np.arange(30)[:, None] % 10  # Keras' [N, 1]
    np.savez(tmp_path / "mnist.npz", x_train=bits, y_train=label, x_test=bits[:5], y_test=label[:5])
    with pytest.warns(UserWarning) as said:  # noqa: PT030
        splits = experiment.load_splits(experiment.Config(dataset=f"npz:{tmp_path / 'mnist.npz'}"))
    assert {"are taken as that" in str(one.message) for one in said} == {True, False}
    assert splits.image_shape == (28, 28, 1)
    np.testing.assert_array_equal(images_of(splits.test), bits[:5].transpose(0, 2, 3, 1))
    assert splits.validation.fetch is splits.test.fetch
    assert splits.train.spec["label"].shape == ()


def test_data_of_another_scale_have_a_way_in(tmp_path):
    faces = np.random.default_rng(0).uniform(-1, 1, (20, 3, 8, 8))
    np.savez(tmp_path / "faces.npz", image=faces.transpose(0, 2, 3, 1))
    config = experiment.Config(dataset=f"npz:{tmp_path / 'faces.npz'}")
    with pytest.raises(InputError, match="--value-range LOW HIGH"):
        experiment.load_splits(config)
    options = ["--dataset", config.dataset, "--value-range", "-1", "1"]
    config = cli.parse({"default": experiment.Config()}, options)
    assert cli.identity(config)["value_range"] == [-1, 1]
    image = np.concatenate([images_of(part) for part in experiment.load_splits(config)])
    expected = (faces.transpose(0, 2, 3, 1) + 1) / 2
    np.testing.assert_allclose(np.sort(image, axis=0), np.sort(expected, axis=0), atol=1e-6)


def test_other_content_under_the_same_name_has_another_digest(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 4, 4), np.uint8)
    digests = []
    for images in (pixels[0], pixels[1], pixels[0]):
        np.savez(tmp_path / "data.npz", x_train=images)
        (tmp_path / "folder").mkdir(exist_ok=True)
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / "folder" / f"{i:02}.png")
        names = f"npz:{tmp_path / 'data.npz'}", f"images:{tmp_path / 'folder'}"
        digests.append([[load(name, split).digest for split in SPLITS] for name in names])
    assert digests[0] == digests[2]
    assert all(a != b for a, b in zip(np.ravel(digests[0]), np.ravel(digests[1]), strict=True))


@pytest.mark.parametrize("script", ["rbm_bars_and_stripes", "boltzmann_machine"])
def test_an_enumerated_distribution_is_seen_whole(script, tmp_path, monkeypatch):
    patterns = (np.arange(20)[:, None] >> np.arange(6) & 1).reshape(20, 2, 3).astype(bool)
    np.savez(tmp_path / "patterns.npz", image=patterns)
    spec = importlib.util.spec_from_file_location(script, ROOT / "experiments" / f"{script}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    seen = []

    class Stop(Exception):
        pass

    def sweep(config, name, method, splits, *_, batch_size, **__):
        seen.append((splits, batch_size))
        raise Stop

    monkeypatch.setattr(experiment, "sweep", sweep)
    config = module.Config(dataset=f"npz:{tmp_path / 'patterns.npz'}")
    with pytest.raises(Stop):
        getattr(module, script)(config)
    splits, batch_size = seen[0]
    assert batch_size == 20
    for part in splits:
        np.testing.assert_array_equal(images_of(part)[..., 0], patterns)


def test_an_enumerated_distribution_is_one_of_bits(tmp_path):
    np.savez(tmp_path / "greys.npz", image=np.full((20, 2, 3), 0.5))
    for name, message in [
        (f"npz:{tmp_path / 'greys.npz'}", "needs images of zeros and ones"),
        ("tones", "but no image"),
    ]:
        with pytest.raises(InputError, match=message):
            experiment.load_splits(experiment.Config(dataset=name), whole=True)


# -- npz: whatever an archive may hold ------------------------------------------------------------

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


def denied(*_):
    raise PermissionError(13, "x")


def test_what_the_system_says_is_not_called_damage(tmp_path, monkeypatch):
    np.savez(tmp_path / "data.npz", image=np.full((4, 2, 2), 99, np.uint8))
    for error, message in [(OSError(5, "x"), "Input/output error"), (MemoryError(), "not enough")]:
        with monkeypatch.context() as patch:

            def failing(*_, error=error, **__):
                raise error

            patch.setattr(np.lib.format, "read_array", failing)
            with pytest.raises(InputError, match=rf"cannot read .*: [^(]*{message}") as refused:
                load(f"npz:{tmp_path / 'data.npz'}")
            assert "damaged" not in str(refused.value)
    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(InputError, match=r"cannot read .*: Permission denied"):
        load(f"npz:{tmp_path / 'data.npz'}")
    monkeypatch.undo()
    for path in ["x" * 5000, "~nobody-has-this-name/x", "a\0b", str(tmp_path / "data.npz" / "x")]:
        assert read(f"npz:{path}")[0] is None
        assert read(f"images:{path}")[0] is None


# -- images: whatever a folder may hold -----------------------------------------------------------

FOLDERS = ["cat", "dog", "10", "9", "train", "test", "val", ".hidden", "__MACOSX", "a\nb", "é"]
FILES = ["a.png", "b.PNG", "c.bmp", "d", "e.gif", "f.tif", "g.txt", ".h.png", "i\n.png"]
FILES += ["Thumbs.db"]
CONTENTS = ["L", "L", "L", "L", "P", "RGB", "RGBA", "LA", "I;16", "text", "nothing", "cut"]
LINKS = ["link.png", "linked", "cat", "train"]


def draw_tree(data, root):
    """Writes files and links at random; returns the grey of each whole picture by its path."""
    greys = {}
    count = data.draw(st.integers(0, 9))
    plain = data.draw(st.booleans())
    for number in range(count):
        depth = data.draw(st.integers(0, 2))
        folder = root.joinpath(*(data.draw(st.sampled_from(FOLDERS)) for _ in range(depth)))
        path = folder / data.draw(st.sampled_from(FILES))
        content = "L" if plain else data.draw(st.sampled_from(CONTENTS))
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            continue
        grey = 100 + number
        picture = Image.fromarray(np.full((2, 3), grey, np.uint8))
        stream = io.BytesIO()
        mode = "I" if content == "I;16" else content if content[0] in "LPR" else "L"
        picture = picture.convert(mode)
        kind = "GIF" if path.suffix == ".gif" and mode in ("L", "P") else "PNG"
        (picture.convert("I;16") if mode == "I" else picture).save(stream, kind)
        whole = stream.getvalue()
        damaged = {"text": b"x" * 99, "nothing": b"", "cut": whole[:-30]}
        path.write_bytes(damaged.get(content, whole))
        greys[path] = grey
    for number in range(0 if plain else data.draw(st.integers(0, 3))):
        places = [root, *(path for path in sorted(root.rglob("*")) if path.is_dir())]
        link = data.draw(st.sampled_from(places)) / data.draw(st.sampled_from(LINKS))
        target = data.draw(st.sampled_from([*places, *greys, root / "absent", link]))
        if not os.path.lexists(link):
            if number == 2:
                os.mkfifo(link)
            else:
                link.symlink_to(target)
    return greys, plain


@settings(max_examples=60)
@given(data=st.data())
def test_a_folder_is_read_as_it_was_written_or_refused(data):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        greys, plain = draw_tree(data, root)
        found, said = read(f"images:{root}")
        event("refused" if found is None else "read")
        if plain and greys:
            check_plain(root, greys, found, said)
        if found is None:
            return
        image = found.arrays["image"]
        assert image.shape[1:3] == (2, 3)
        assert set(image.ravel().tolist()) <= set(greys.values())
        parts = [read(f"images:{root}", split)[0] for split in SPLITS]
        if None not in parts:
            seen = np.concatenate([part.arrays["image"].ravel() for part in parts])
            np.testing.assert_array_equal(np.sort(seen), np.sort(image.ravel()))


def check_plain(root, greys, found, said):
    """Without links and damage every picture that is not hidden is there, with its label."""
    inside = {path.relative_to(root): grey for path, grey in greys.items()}
    folders = {path.parts[0].lower() for path in inside if len(path.parts) > 1}
    if folders & {"train", "test", "val"}:
        return
    own = [
        (path.parts, grey)
        for path, grey in inside.items()
        if not any(part.startswith((".", "__")) for part in path.parts)
        and path.suffix.lower() not in (".txt", ".db")
    ]
    if not own:
        assert found is None
        return
    own.sort()
    np.testing.assert_array_equal(found.arrays["image"][:, 0, 0, 0], [grey for _, grey in own])
    if len(own) < len(greys):
        assert "skipped" in str(said[0].message)
    classes = {parts[0] for parts, _ in own if len(parts) > 1}
    if all(len(parts) > 1 for parts, _ in own):
        order = sorted(classes, key=int if all(map(str.isdigit, classes)) else None)
        label = [order.index(parts[0]) for parts, _ in own]
        np.testing.assert_array_equal(found.arrays["label"], label)
    else:
        assert "label" not in found.arrays
