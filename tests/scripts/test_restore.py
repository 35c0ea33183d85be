import contextlib
import importlib
import io
import struct
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ae_jax.core import InputError
from ae_jax.training import Model

SCRIPTS = Path(__file__).parents[2] / "scripts"
LEVELS = ("--channels", "2", "4")
SIDEWAYS = Image.Exif()
SIDEWAYS[0x0112] = 6  # to be turned clockwise


@pytest.fixture(scope="module")
def restore():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield importlib.import_module("restore")


def waves(height, width, channels=3):
    y, x = np.mgrid[:height, :width]
    return np.stack(
        [127 + 100 * np.sin(x / (5 + i) + y / (7 - i) + i) for i in range(channels)], axis=-1
    ).astype(np.uint8)


def deep(height, width):
    """16 bits, the lower 8 of which are not those that the upper would be repeated as."""
    return 256 * waves(height, width, 1)[..., 0].astype(np.uint16) + np.arange(width, dtype="u2")


def write_deep_colour(path):
    """A PNG of one pixel with 16 bits a channel, which Pillow reads as 8."""
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    parts = {b"IHDR": header, b"IDAT": zlib.compress(bytes(range(7))), b"IEND": b""}
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
            for name, content in parts.items()
        )
    )
    return path


def write(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    write(root / "a.png", waves(20, 25))
    write(root / "b.jpg", waves(19, 27), exif=SIDEWAYS)
    write(root / "c.png", deep(16, 21))
    write(root / "d.png", waves(23, 17, 4))
    write(root / "e.png", waves(18, 18, 1)[..., 0])
    write(root / "f.png", waves(5, 40))
    return root


@pytest.fixture(scope="module")
def run(restore, folder, tmp_path_factory):
    """Trained to inpaint, and what was said."""
    out, said = tmp_path_factory.mktemp("restore") / "run", io.StringIO()
    sizes = ("--patch", "8", "--steps", "3", "--batch-size", "4")
    with (
        pytest.warns(UserWarning, match=r"1 smaller than a patch of 8 pixels skipped \(f.png\)"),
        contextlib.redirect_stdout(said),
    ):
        restore.main(
            ["train", str(folder), "--task", "inpaint", *LEVELS, *sizes, "--out", str(out)]
        )
    return out, said.getvalue()


def applied(restore, *arguments, status=None):
    """Runs `apply`."""
    ends = contextlib.nullcontext() if status is None else pytest.raises(SystemExit)
    with ends as stopped:
        restore.main(["apply", *map(str, arguments)])
    assert status is None or stopped.value.code == status


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def mask(tmp_path):
    """Of a picture 37 wide and 50 high, and its file."""
    hole = np.zeros((50, 37), bool)
    hole[3:20, 5:30], hole[::7, ::5] = True, True
    return hole, write(tmp_path / "mask.png", np.where(hole, 255, 0).astype(np.uint8))


@pytest.mark.full
def test_a_run_says_what_it_makes_of_other_patches(run):
    out, said = run
    assert {"shown", "restored"} <= set(said.split())
    assert f"restore.py apply {out} FILES" in said
    assert (out / "report.html").exists()


def test_what_is_known_comes_back_bit_for_bit(restore, run, mask, tmp_path, capsys):
    """In colour and clear, in grey, in 16 bits, turned; holes as the network fills them at once."""
    hole, file = mask
    pictures = {
        "colour": waves(50, 37, 4),
        "grey": waves(50, 37, 1)[..., 0],
        "deep": deep(50, 37),
        "turned": waves(37, 50),
    }
    notes = {"turned": {"exif": SIDEWAYS}, "grey": {"dpi": (300, 300)}}
    paths = [
        write(tmp_path / f"{name}.png", pixels, **notes.get(name, {}))
        for name, pixels in pictures.items()
    ]
    before = [path.read_bytes() for path in paths]
    applied(restore, run[0], *paths, "--mask", file, "--tile", "8")
    assert [path.read_bytes() for path in paths] == before
    pictures["turned"] = np.rot90(pictures["turned"], -1)
    for name, pixels in pictures.items():
        found = read(tmp_path / f"{name}.restored.png")
        assert (found.shape, found.dtype) == (pixels.shape, pixels.dtype)
        np.testing.assert_array_equal(found[~hole], pixels[~hole])
        assert (found[hole] != pixels[hole]).any()
    np.testing.assert_array_equal(
        read(tmp_path / "colour.restored.png")[..., 3], pictures["colour"][..., 3]
    )
    with Image.open(tmp_path / "turned.restored.png") as turned:
        assert 0x0112 not in turned.getexif()
    with Image.open(tmp_path / "grey.restored.png") as grey:
        np.testing.assert_allclose(grey.info["dpi"], 300, atol=0.1)
    assert capsys.readouterr().out.split() == [
        str(path.with_suffix(".restored.png")) for path in paths
    ]

    # at once, by the network's own parameters
    [model] = restore.experiment.open(run[0], script=SCRIPTS / "restore.py")
    colours = pictures["colour"][..., :3] / np.float32(255)
    batch = [
        np.pad(x, ((0, 2), (0, 3), (0, 0))[: x.ndim], mode="symmetric")[None]
        for x in (colours, ~hole)
    ]
    network = restore.network("inpaint", (2, 4), 3)
    shown = np.where(batch[1][..., None], batch[0], np.float32(0.5))
    x = np.concatenate([shown, batch[1][..., None].astype(np.float32)], axis=-1)
    whole = np.asarray(network.apply(model.state.params["decoder"], x))[0, :50, :37]
    expected = np.rint(255 * np.clip(whole, 0, 1))
    made = read(tmp_path / "colour.restored.png")[..., :3].astype(float)
    assert np.abs(made - expected)[hole].max() <= 1  # of rounding
    assert (made == expected)[hole].mean() > 0.99


def test_nothing_is_written_over(restore, run, tmp_path):
    hole = np.zeros((8, 8), np.uint8)
    hole[2:5, 3:6] = 255
    mask = write(tmp_path / "mask.png", hole)
    path = write(tmp_path / "a.png", waves(8, 8, 1)[..., 0])
    (tmp_path / "a.restored-2.png").write_text("mine")
    applied(restore, run[0], path, path, "--mask", mask)
    first, third = (tmp_path / f"a.restored{end}.png" for end in ("", "-3"))
    assert first.read_bytes() == third.read_bytes()
    (tmp_path / "elsewhere").mkdir()
    applied(restore, run[0], path, "--mask", mask, "--out", tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / first.name).read_bytes() == first.read_bytes()
    assert (tmp_path / "a.restored-2.png").read_text() == "mine"


def test_what_cannot_be_restored_is_named_and_the_others_are_done(
    restore, run, mask, tmp_path, capsys, monkeypatch
):
    _, file = mask
    good = [write(tmp_path / f"{name}.png", waves(50, 37, 1)[..., 0]) for name in "az"]
    (tmp_path / "broken.png").write_bytes(good[0].read_bytes()[:-30])
    frames = [Image.fromarray(waves(50, 37, 1)[..., 0] + i) for i in range(2)]
    frames[0].save(tmp_path / "frames.gif", save_all=True, append_images=frames[1:])
    write(tmp_path / "other.png", waves(37, 50))
    write(tmp_path / "small.png", waves(3, 50))
    clear = write(tmp_path / "clear.png", deep(50, 37), transparency=300)
    names = ["broken.png", "absent.png", "frames.gif", "other.png", "small.png"]
    bad = [*(tmp_path / name for name in names), clear, write_deep_colour(tmp_path / "rgb.png")]
    applied(restore, run[0], good[0], *bad, good[1], "--mask", file, status=1)
    assert all(path.with_suffix(".restored.png").exists() for path in good)
    said = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    reasons = ("cannot read", "No such file", "several frames", "the mask 37x50", "4 pixels")
    for path, line, reason in zip(bad, said, (*reasons, "16 bits", "16 bits"), strict=True):
        assert line.count(str(path)) == 1
        assert reason in line
        assert not path.with_suffix(".restored.png").exists()


def test_notes_that_make_no_sense(restore, tmp_path):
    files = restore.restore_files
    path = tmp_path / "a.png"
    write(path, waves(9, 11), dpi=(0, 0))
    assert "dpi" not in files.read(path).notes
    with pytest.raises(InputError, match="cannot be written as PNG"):
        files.write(restore.Photo(waves(9, 11), None, {"dpi": "many"}), tmp_path / "a")
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_no_half_of_a_picture(restore, tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, content):
            super().write(bytes(content)[:10])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda self, mode: Full(self, mode.replace("b", "")))
    with pytest.raises(OSError, match="No space"):
        restore.restore_files.write(restore.Photo(waves(9, 11), None, {}), tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_mask_that_is_drawn_by_transparency_is_refused(restore, tmp_path):
    """Under what is erased there may be any colour."""
    mask = write(tmp_path / "mask.png", waves(4, 5, 4))
    with pytest.raises(InputError, match=r"mask.png is transparent in places: make them white"):
        restore.restore_files.holes(mask)


def test_a_mask_of_zeros_and_ones_is_one(restore, tmp_path):
    hole = np.arange(20).reshape(4, 5) % 3 == 0
    for pixels in (hole.astype(np.uint8), np.repeat(hole[..., None], 3, -1).astype(np.uint8)):
        found = restore.restore_files.holes(write(tmp_path / "mask.png", pixels))
        np.testing.assert_array_equal(found, hole)
    for dark in (hole.astype(np.uint8) + 1, 2 * hole.astype(np.uint8), np.ones((4, 5), np.uint8)):
        with pytest.raises(InputError, match="all black"):
            restore.restore_files.holes(write(tmp_path / "mask.png", dark))


def test_16_bits_of_a_pgm_are_read(restore, tmp_path):
    read = restore.restore_files.read
    np.testing.assert_array_equal(
        read(write(tmp_path / "a.pgm", deep(6, 7))).pixels[..., 0], deep(6, 7)
    )
    (tmp_path / "rgb.ppm").write_bytes(b"P6 1 1 65535\n" + bytes(range(6)))
    with pytest.raises(InputError, match="16 bits a channel"):
        read(tmp_path / "rgb.ppm")


def test_a_run_that_did_not_end_is_said(restore, run, monkeypatch, capsys):
    opened = restore.experiment.open

    def broken(*given, **more):
        [model] = opened(*given, **more)
        return [model._replace(row={**model.row, "status": "unfinished", "step": 1})]

    monkeypatch.setattr(restore.experiment, "open", broken)
    restore._opened(run[0])
    said = f"{run[0]} is unfinished, after 1 of 3 steps: repeat its command"
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": 255}, "is all white, so nothing is known"),
        ({"mask": 0}, "is all black, so there is nothing to fill"),
        ({"mask": None}, "inpaint, which needs a --mask"),
        ({"mask": "absent.png"}, "cannot read the picture absent.png"),
        ({"run": "absent"}, "absent is no run directory"),
        ({"files": []}, "name the files"),
        ({"options": ["--out", "absent"]}, "there is no folder absent"),
        ({"options": ["--tile", "0"]}, "--tile is 0"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(
    restore, run, tmp_path, monkeypatch, capsys, change, message
):
    monkeypatch.chdir(tmp_path)
    write(Path("a.png"), waves(8, 8, 1)[..., 0])
    grey = change.get("mask", 255)
    if isinstance(grey, int):
        pixels = np.full((8, 8), grey, np.uint8)
        if "mask" not in change:
            pixels[:4] = 0
        write(Path("mask.png"), pixels)
        grey = "mask.png"
    given = [] if grey is None else ["--mask", grey]
    files = change.get("files", ["a.png"])
    where = change.get("run", run[0])
    applied(restore, where, *files, *given, *change.get("options", ()), status=2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("a.restored.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "begin with train or apply"),
        (["restore"], "begin with train or apply"),
        (["train", "PHOTOS", *LEVELS, "--patch", "10"], "use a multiple of 4"),
        (["train", "PHOTOS", "--level", "2"], "--level is 2.0: use"),
        (["train", "PHOTOS", "--task", "colour", "--level", "0.1"], "leave it out to colour"),
        (["train", "absent"], "there is no folder absent"),
        (["train", "PHOTOS", "--patch", "64"], "smaller patches, of 32 say"),
        (["train", "GREY", "--task", "colour", *LEVELS, "--patch", "8"], "is grey"),
    ],
)
def test_what_cannot_be_trained_is_refused(restore, folder, tmp_path, capsys, arguments, message):
    for i in range(3):
        write(tmp_path / f"{i}.png", waves(8, 8, 1)[..., 0])
    where = {"PHOTOS": str(folder), "GREY": str(tmp_path)}
    with pytest.raises(SystemExit) as stopped:
        restore.main([where.get(text, text) for text in arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def made_by(restore, task, channels, scale=0.0):
    """A network with parameters that are all `scale` times what they begin as."""
    config = restore.Config(task=task, channels=(2, 4))
    spec = {"image": jax.ShapeDtypeStruct((8, 8, channels), jnp.float32)}
    method = restore.build(config, spec)
    batch = {"image": jnp.zeros((1, 8, 8, channels))}
    state = jax.jit(method.init)(jax.random.key(0), batch, dict(method.hparams))
    state = state._replace(params=jax.tree.map(lambda x: scale * x, state.params))
    model = Model({}, method, state, dict(method.hparams))
    return restore.MadeBy(task, channels, 2, restore.restorer(task, model))


@pytest.mark.parametrize("channels", [1, 3])
def test_no_correction_gives_every_picture_back(restore, channels, tmp_path):
    """Whatever its mode, bit for bit: nothing is lost on the way."""
    by = made_by(restore, "denoise", channels)
    grey, colours = waves(9, 11, 1)[..., 0], waves(9, 11)
    pictures = {
        "L": Image.fromarray(grey),
        "1": Image.fromarray(grey).convert("1"),
        "LA": Image.fromarray(np.stack([grey, grey.T.reshape(9, 11)], axis=-1)),
        "RGB": Image.fromarray(colours),
        "RGBA": Image.fromarray(waves(9, 11, 4)),
        "P": Image.fromarray(colours).quantize(16),
        "I;16": Image.fromarray(deep(9, 11)),
    }
    wanted = {"1": "L", "P": "RGB"}
    for mode, picture in pictures.items():
        path = tmp_path / f"{mode[0]}{len(mode)}.png"
        picture.save(path)
        target = restore.restore_files.write(
            restore.restored(restore.restore_files.read(path), by), tmp_path / path.stem
        )
        expected = np.asarray(picture.convert(wanted[mode]) if mode in wanted else picture)
        found = read(target)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_array_equal(found, expected)


def test_grey_and_colour_go_through_networks_of_the_other(restore):
    colours = waves(9, 11)
    grey, colour = (made_by(restore, "denoise", channels, 1.0) for channels in (1, 3))

    def of(pixels, by):
        return restore.restored(restore.Photo(pixels, None, {}), by).pixels

    apart = [of(colours[..., i : i + 1], grey) for i in range(3)]
    np.testing.assert_array_equal(of(colours, grey), np.concatenate(apart, axis=-1))
    made = of(np.repeat(colours[..., :1], 3, axis=-1), colour).astype(float)
    mean = of(colours[..., :1], colour).astype(float)
    assert mean.shape == (9, 11, 1)
    inside = (made > 0) & (made < 255)
    assert inside.mean() > 0.5
    inside = inside.all(axis=-1)
    assert np.abs(made.mean(axis=-1) - mean[..., 0])[inside].max() <= 1


def test_without_colours_a_picture_is_as_light_as_it_was(restore):
    by = made_by(restore, "colour", 3)
    grey = waves(9, 11, 1)
    photo = restore.Photo(grey, None, {"icc_profile": b"of grey", "dpi": (72, 72)})
    found = restore.restored(photo, by)
    assert np.abs(found.pixels.astype(int) - grey).max() <= 1
    assert found.pixels.shape == (9, 11, 3)
    assert set(found.notes) == {"dpi"}
    wide = restore.restored(restore.Photo(257 * grey.astype(np.uint16), None, {}), by)
    np.testing.assert_array_equal(wide.pixels, found.pixels)


def test_what_is_done_to_patches(restore):
    x = jnp.asarray(np.random.default_rng(0).uniform(0.2, 0.8, (400, 8, 8, 3)), jnp.float32)
    key = jax.random.key(1)
    noisy, dirty, hole = (
        jax.jit(done)(key, x, 0.4) for done in (restore.noise, restore.dirt, restore.holes)
    )
    # deviations are uniform up to the level: squares have a mean of 0.4^2 / 3
    np.testing.assert_allclose(np.mean((noisy - x) ** 2), 0.16 / 3, rtol=0.1)
    assert np.ptp(np.std(noisy - x, axis=(1, 2, 3))) > 0.3
    spoiled = np.asarray(dirty != x)
    assert (spoiled == spoiled[..., :1]).all()
    assert set(np.unique(np.asarray(dirty)[spoiled])) == {0, 1}
    scratched = spoiled[..., 0].all(axis=1).any(axis=1)
    assert 0.4 < scratched.mean() < 0.6
    np.testing.assert_allclose(spoiled[~scratched].mean(), 0.2, atol=0.02)
    # a block of 3 pixels a side in one half, a share of 0.4 in the other
    share = np.asarray(hole).mean(axis=(1, 2))
    np.testing.assert_allclose(share.mean(), (9 / 64 + 0.4) / 2, atol=0.02)
    for done in (restore.noise, restore.dirt):
        np.testing.assert_array_equal(jax.jit(done)(key, x, 0.0), x)
    assert not np.any(jax.jit(restore.holes)(key, x, 0.0))
