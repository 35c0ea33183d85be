"""Pictures compressed by a run's models: beside themselves, over nothing, always the same."""

import dataclasses
import importlib
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from ae_jax import coding
from ae_jax.core import InputError
from ae_jax.experiment import codecs

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The smallest form of the experiment, with two lanes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "experiments")
        script = importlib.import_module("image_compression")
        patch.setattr(script, "SETTINGS", {"JPEG": (20, 60), "PCA": (1, 0.5), "DCT": (1, 0.5)})
        out = tmp_path_factory.mktemp("compress") / "run"
        config = dataclasses.replace(
            script.PRESETS["smoke"], variance=(0.1,), linear=True, steps=2, out=out, devices=1
        )
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            script.image_compression(config)
    return out


@pytest.fixture
def compress(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield importlib.import_module("compress")


def picture(path, shape=(11, 13, 3), mode=None, **options):
    pixels = RNG.integers(0, 256, shape).astype(np.uint8)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.full
def test_pictures_come_back_in_their_size(run, compress, tmp_path, capsys):
    colour = picture(tmp_path / "colour.png")
    grey = picture(tmp_path / "grey.jpg", (9, 20))
    kept = colour.read_bytes()
    compress.main("encode", run, (colour, grey), lane=1)
    files = tmp_path / "colour.png.aej", tmp_path / "grey.jpg.aej"
    said = capsys.readouterr().out
    assert f"[2/2] {grey}" in said
    size = files[0].stat().st_size
    assert f"{files[0]}: {size:,} bytes, {8 * size / (11 * 13):.3f} bits per pixel" in said
    compress.main("decode", run, files)
    made = tmp_path / "colour.png.decoded.png", tmp_path / "grey.jpg.decoded.png"
    decoded = [pixels_of(path) for path in made]
    assert [pixels.shape for pixels in decoded] == [(11, 13, 3), (9, 20)]
    assert colour.read_bytes() == kept
    # what the codec says by itself, opened again
    codec = codecs.opened(run, 1)[1]
    content = coding.compress(codec, pixels_of(colour))
    assert content == files[0].read_bytes()
    np.testing.assert_array_equal(coding.decompress(codec, content), decoded[0])
    # nothing is written over
    for action, paths, there in (("encode", (colour,), files[0]), ("decode", files, made[0])):
        with pytest.raises(SystemExit):
            compress.main(action, run, paths, lane=1)
        assert f"error: {there} is there already: move it first" in capsys.readouterr().err


def test_a_picture_is_read_as_it_is_seen(compress, tmp_path):
    turned = picture(tmp_path / "turned.jpg", (6, 9), exif=_turned())
    assert compress.read(turned).shape == (9, 6, 1)
    assert compress.read(picture(tmp_path / "palette.png", mode="P")).shape == (11, 13, 3)
    opaque = np.dstack([RNG.integers(0, 256, (5, 4, 3)), np.full((5, 4), 255)]).astype(np.uint8)
    Image.fromarray(opaque).save(tmp_path / "opaque.png")
    np.testing.assert_array_equal(compress.read(tmp_path / "opaque.png"), opaque[..., :3])


def _turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_pictures_that_cannot_be_compressed(run, compress, tmp_path):
    (tmp_path / "words.png").write_text("words")
    cut = picture(tmp_path / "cut.png", (40, 40))
    cut.write_bytes(cut.read_bytes()[:500])
    picture(tmp_path / "clear.png", (5, 4, 4))
    Image.fromarray(RNG.integers(0, 2**16, (5, 4)).astype(np.uint16)).save(tmp_path / "deep.png")
    whole = picture(tmp_path / "whole.png")
    for name, words in {
        "none.png": "none.png: No such file",
        "words.png": "words.png: it is no whole PNG or JPEG",
        "cut.png": "cut.png: it is no whole PNG or JPEG",
        "clear.png": "clear.png is transparent",
        "deep.png": "deep.png is of mode I;16: convert it to 8 bits",
    }.items():
        with pytest.raises(InputError, match=words):
            compress.encode(run, (whole, tmp_path / name), 0)
    for files, lane, words in (
        ((), 0, "name a file"),
        ((whole, whole), 0, "named twice"),
        ((whole,), None, "has lanes 0, 1: choose one, as --lane 0"),
        ((whole,), 7, "no codec of lane 7"),
    ):
        with pytest.raises(InputError, match=words):
            compress.encode(run, files, lane)
    with pytest.raises(InputError, match="is no run directory"):
        compress.encode(tmp_path, (whole,), 0)
    assert not list(tmp_path.glob("*.aej"))


def test_files_that_cannot_be_decoded(run, compress, tmp_path):
    whole = picture(tmp_path / "whole.png")
    compress.encode(run, (whole,), 0)
    file = tmp_path / "whole.png.aej"
    content = file.read_bytes()
    other = coding.pack(coding.unpack(content)._replace(model=b"another!"))
    for name, changed, words in (
        ("cut", content[:-1], "cut.aej: it is cut short"),
        ("damaged", content[:-1] + b"?", "damaged.aej: it is damaged"),
        ("picture", whole.read_bytes(), "picture.aej: it is no compressed picture"),
        ("other", other, "other.aej: another model wrote it than those of"),
    ):
        (tmp_path / f"{name}.aej").write_bytes(changed)
        with pytest.raises(InputError, match=words):
            compress.decode(run, (file, tmp_path / f"{name}.aej"))
    with pytest.raises(InputError, match=r"cannot read .*none\.aej: No such file"):
        compress.decode(run, (file, tmp_path / "none.aej"))
    assert not list(tmp_path.glob("*.decoded.png"))


def test_tables_that_were_damaged_or_are_of_another_model(run, tmp_path):
    own = tmp_path / "run"
    shutil.copytree(run, own)
    first, second = (own / "codecs" / f"lane-00{lane}.npz" for lane in (0, 1))
    shutil.copy(second, first)
    with pytest.raises(InputError, match="of another state of the model"):
        codecs.opened(own, 0)
    first.write_bytes(first.read_bytes()[:100])
    with pytest.raises(InputError, match="was damaged: delete it and repeat"):
        codecs.opened(own, 0)
    shutil.rmtree(own / "codecs")
    with pytest.raises(InputError, match="has no codec of any lane"):
        codecs.opened(own)
