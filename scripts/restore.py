"""Restores photographs: trains a small network on a folder of them, and applies it to whole files.

    python scripts/restore.py train PHOTOS --task denoise --out runs/mine
    python scripts/restore.py apply runs/mine old.jpg holiday/*.png

The tasks: `denoise` takes noise away, `clean` dots and scratches that nobody points at, `inpaint`
fills what a mask says, `colour` gives colours to grey ones. The network sees patches of pictures
of any sizes and learns to undo what is done to them. What it makes of a file lies beside it, as
NAME.restored.png; no file is ever written over. `train --help` and `apply --help` list options.

    python scripts/restore.py train PHOTOS --task inpaint --out runs/holes
    python scripts/restore.py apply runs/holes torn.png --mask torn-mask.png
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import restore_files
import tyro
from restore_files import Photo

from ae_jax import (
    cli,
    colour,
    corruptions,
    data,
    experiment,
    methods,
    metrics,
    nets,
    plots,
    tiling,
    training,
)
from ae_jax.cli import Count
from ae_jax.core import FRACTION, Array, Batch, InputError, Method, Network
from ae_jax.data.parts import reason
from ae_jax.data.parts import shown as printable
from ae_jax.experiment import Splits
from ae_jax.methods import shown
from ae_jax.training import Model


@dataclasses.dataclass(frozen=True)
class Config(cli.Execution):
    """What is trained, on what."""

    folder: tyro.conf.Positional[str] = tyro.MISSING
    """Of photographs, and folders of them."""
    task: Literal["denoise", "clean", "inpaint", "colour"] = "denoise"
    level: float | None = None
    """The most that is done to a patch: noise's deviation (0.15), the share of dots (0.1), the
    side or share of holes (0.4)."""
    patch: Count = 32
    """Pixels a side."""
    channels: tuple[Count, ...] = (16, 32, 64)
    """Of the U-Net's levels, each of which halves the image."""
    learning_rate: float = 2e-3
    """At first; it falls to 0 as a half cosine."""
    steps: Count = 3000
    batch_size: Count = 32
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Application(cli.Execution):
    """What is restored, by what."""

    run: tyro.conf.Positional[Path] = tyro.MISSING
    """The directory that `train` wrote."""
    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    mask: Path | None = None
    """To inpaint: a picture of the file's size, white where it is to be filled."""
    tile: Count = 256
    """Pixels a side that are restored at a time: less takes less memory."""
    out: Path | None = None
    """Folder to write to; by default each file's own."""
    distributed: tyro.conf.Suppress[str | None] = None
    loggers: tyro.conf.Suppress[tuple[str, ...]] = ()


def noise(key: Array, x: Array, level: Array) -> Array:
    """Adds normal noise, of each image with a deviation of its own up to `level`."""
    amount_key, noise_key = jax.random.split(key)
    amount = level * jax.random.uniform(amount_key, (len(x), 1, 1, 1), x.dtype)
    return x + amount * jax.random.normal(noise_key, x.shape, x.dtype)


def dirt(key: Array, x: Array, level: Array) -> Array:
    """Black and white dots, up to a share `level` of an image, and on half of them a scratch."""
    amount_key, place_key, shade_key, scratch_key = jax.random.split(key, 4)
    count, height, width, _ = x.shape
    amount = level * jax.random.uniform(amount_key, (count, 1, 1, 1), x.dtype)
    dots = jax.random.uniform(place_key, (count, height, width, 1), x.dtype) < amount
    shade = jax.random.bernoulli(shade_key, shape=(count, height, width, 1))
    column = jax.random.randint(scratch_key, (count, 1, 1, 1), 0, 2 * width)
    scratch = jnp.arange(width)[None, None, :, None] == column
    spoiled = jnp.where(scratch, shade[:, :1, :1], shade).astype(x.dtype)
    return jnp.where(dots | scratch & (level > 0), spoiled, x)


def holes(key: Array, x: Array, level: Array) -> Array:
    """In one half of the images a block, in the other single pixels: bool [B, H, W]."""
    which_key, block_key, pixels_key = jax.random.split(key, 3)
    return jnp.where(
        jax.random.bernoulli(which_key, shape=(len(x), 1, 1)),
        corruptions.block(block_key, x, level),
        corruptions.scattered(pixels_key, x, level),
    )


def lightness(batch: Batch, hparams: Any = None) -> Array:
    """What a network that gives colours sees."""
    return colour.lightness(batch["image"])


def chroma(batch: Batch) -> Array:
    """What it makes."""
    return colour.chroma(batch["image"])


#: What a network is shown of a patch, by task, at a level; and the level where none is said.
SHOWN: Mapping[str, Callable[[float], shown.Shown]] = {
    "denoise": lambda level: shown.corrupted(noise, level),
    "clean": lambda level: shown.corrupted(dirt, level),
    "inpaint": lambda level: shown.holed(holes, level, fill=0.5),
    "colour": lambda level: shown.Shown(lightness),
}
LEVELS = {"denoise": 0.15, "clean": 0.1, "inpaint": 0.4, "colour": 0.0}


def network(task: str, channels: Sequence[int], outputs: int) -> Network:
    """A U-Net that corrects what it is shown, or that makes colours of lightness."""
    if task == "colour":
        return nets.unet(2, channels, dropout=0.0)
    return nets.correction(nets.unet(outputs, channels, dropout=0.0))


def seen_by(config: Config) -> shown.Shown:
    """What the network of a configuration is shown."""
    return SHOWN[config.task](LEVELS[config.task] if config.level is None else config.level)


def build(config: Config, spec: Mapping[str, Any]) -> Method:
    """Returns the method that a run trains."""
    return methods.restorer(
        network(config.task, config.channels, spec["image"].shape[-1]),
        seen_by(config),
        target=chroma if config.task == "colour" else None,
    )


def restorer(task: str, model: Model) -> Callable[[Array], Array]:
    """What a model makes of images.

    Args:
      task: what it was trained for.
      model: of a run.

    Returns:
      images [B, H, W, C], to inpaint with a further channel that is 1 where a pixel is known, ->
      [B, H, W, D], in colour where the task is `colour`.
    """

    def restore(x: Array) -> Array:
        if task == "inpaint":
            return model.reconstruct({"image": x[..., :-1], "known": x[..., -1]})
        made = model.reconstruct({"image": x})
        return colour.coloured(x, made) if task == "colour" else made

    return restore


def train(config: Config) -> None:
    """Trains a network on patches of a folder's photographs, and shows what it makes of others.

    --task denoise: takes normal noise away. --task clean: dots and scratches that nobody points
    at. --task inpaint: fills holes. --task colour: colours from lightness. Of the photographs a
    tenth is held out, or what lies in folders `validation` and `test`.
    """
    if config.level is not None and (config.task == "colour" or config.level not in FRACTION):
        said = "leave it out to colour" if config.task == "colour" else f"use {FRACTION}"
        raise InputError(f"--level is {config.level}: {said}")
    levels = len(config.channels)
    if config.patch % 2**levels:
        raise InputError(
            f"--patch is {config.patch}: {levels} levels of channels halve it, so use a multiple "
            f"of {2**levels}"
        )
    name = f"patches{config.patch}:{config.folder}"
    splits = Splits(*(data.load(name, split) for split in ("train", "validation", "test")))
    channels = splits.image_shape[-1]
    if config.task == "colour" and channels == 1:
        raise InputError(f"colours are learned from colour, and {config.folder} is grey")
    out = cli.directory(config, "restore")
    result = training.run(
        build(config, splits.train.spec),
        splits.train,
        training.grid(learning_rate=config.learning_rate, seed=config.seed),
        config.steps,
        out,
        batch_size=min(config.batch_size, splits.train.size),
        validation=splits.validation,
        test=splits.test,
        schedules=[training.warmup_cosine(config.steps)],
        experiment="restore",
        config=cli.identity(config),
        devices=training.use_devices(config.devices, config.distributed),
        loggers=config.loggers,
        progress=True,
    )
    experiment.complete(result)
    if training.own_lanes(result):  # one of several processes has it
        report(config, splits, result, out)


def report(config: Config, splits: Splits, result: training.Result, out: Path) -> None:
    """Says how near to test patches what is shown of them and what is made of it are."""
    some = np.linspace(0, splits.test.size - 1, min(64, splits.test.size), dtype=int)
    batch = splits.test.fetch(splits.test.arrays, some)
    model, true = training.model(result, 0), batch["image"]
    if config.task == "colour":
        seen, given = true, colour.coloured(true, jnp.zeros_like(true[..., :2]))
    else:
        spoil = jax.jit(seen_by(config).train)
        seen = given = spoil(jax.random.key(config.seed), batch, model.hparams)
    made = jnp.clip(jax.jit(restorer(config.task, model))(seen), 0, 1)
    given = jnp.clip(given[..., : true.shape[-1]], 0, 1)
    rows = [
        {"seed": config.seed, "status": "ok", **row}
        for row in ({"patches": "shown"}, {**result.rows[0], "patches": "restored"})
    ]
    for row, found in zip(rows, (given, made), strict=True):
        # of all at once: a patch to which nothing was done has no finite one
        row["psnr"] = float(metrics.psnr(found.reshape(1, -1), true.reshape(1, -1))[0])
    experiment.report(
        config,
        out,
        f"{config.task.capitalize()}: patches of {config.folder}",
        experiment.numbered(rows, ["patches"]),
        ["patches"],
        ["psnr"],
        lambda: {
            "Test patches as they are shown, what is made of them, and as they are.": (
                plots.reconstructions(
                    given[::6], {"restored": made[::6], "true": true[::6]}, first="shown"
                )
            )
        },
        result,
        [f"Apply it: python scripts/restore.py apply {out} FILES"],
    )


def apply(config: Application) -> None:
    """Restores whole files by a network that `train` trained, each beside it as NAME.restored.png.

    Files may be of any size, grey or in colour; transparency, 16 bits of grey ones and a camera's
    notes are kept, and pictures are turned as their camera says. Where there is a file of that
    name it becomes NAME.restored-2.png. A file that cannot be restored is named, the others are
    done, and the status is 1.
    """
    if not config.files:
        raise InputError("name the files to restore")
    made_by = _opened(config.run)
    if (config.mask is None) == (made_by.task == "inpaint"):
        which = "needs a --mask, white where to fill" if config.mask is None else "takes no --mask"
        raise InputError(f"the run's task is {made_by.task}, which {which}")
    mask = None if config.mask is None else restore_files.holes(config.mask)
    if config.out is not None and not config.out.is_dir():
        raise InputError(f"there is no folder {config.out}: make it first")
    failed, written = 0, 0
    try:
        for path in _progress(config.files):
            try:
                made = restored(restore_files.read(path), made_by, mask, config.tile)
                target = restore_files.write(made, (config.out or path.parent) / path.stem)
            except (InputError, OSError, MemoryError) as error:
                failed += 1
                text = str(error) if isinstance(error, InputError) else reason(error)
                name = printable(path)
                _say(f"error: {text}" if name in text else f"error: {name}: {text}", sys.stderr)
            else:
                written += 1
                _say(printable(target), sys.stdout)
    except KeyboardInterrupt:
        _say(f"interrupted: {written} of {len(config.files)} files are written", sys.stderr)
        raise SystemExit(130) from None
    if failed:
        _say(f"{failed} of {len(config.files)} files could not be restored", sys.stderr)
        raise SystemExit(1)


class MadeBy(NamedTuple):
    """What a run left for pictures: its task, its channels, and how it sees them in tiles."""

    task: str
    channels: int
    levels: int
    restore: Callable[[Array], Array]


def _opened(run: Path) -> MadeBy:
    """The network of a run."""
    stored = training.directory.read(run)
    if stored.get("experiment") != "restore":
        raise InputError(f"{run} is no run of scripts/restore.py train")
    [model] = experiment.open(run, script=__file__)
    if (status := model.row["status"]) != "ok":
        at = model.row.get("step") if status == "unfinished" else model.row["frozen_step"]
        advice = "repeat its command" if status == "unfinished" else "train again, more slowly"
        _say(
            f"{run} is {status}, after {at} of {stored['config']['steps']} steps: {advice}",
            sys.stderr,
        )
    config = stored["config"]
    spec = training.manifest.read(run).batch["image"].shape
    return MadeBy(
        config["task"], spec[-1], len(config["channels"]), restorer(config["task"], model)
    )


def restored(photo: Photo, by: MadeBy, mask: np.ndarray | None = None, tile: int = 256) -> Photo:
    """A whole picture, restored tile by tile as if at once.

    Args:
      photo: of any size.
      by: the network. One for grey pictures sees each channel of a colour alone; of what one for
        colour makes of a grey picture the mean is taken, but where it is to colour it.
      mask: bool [H, W], what is to be filled; the other pixels come back as they are.
      tile: pixels a side that are restored at a time.

    Raises:
      InputError: the picture is smaller than what the network halves, or not of the mask's size.
    """
    pixels, multiple = photo.pixels, 2**by.levels
    height, width, channels = pixels.shape
    if min(height, width) < multiple:
        raise InputError(
            f"it is {width}x{height}, and the network needs {multiple} pixels a side or more"
        )
    if mask is not None and mask.shape != (height, width):
        raise InputError(
            f"it is {width}x{height}, and the mask {mask.shape[1]}x{mask.shape[0]}: make them equal"
        )
    top = np.iinfo(pixels.dtype).max
    image = (pixels / top).astype(jnp.result_type(float))
    if channels < by.channels:
        image = np.repeat(image, by.channels, axis=-1)
    seen = [image] if image.shape[-1] == by.channels else np.split(image, channels, axis=-1)
    if mask is not None:
        known = (~mask).astype(image.dtype)[..., None]
        seen = [np.concatenate([one, known], axis=-1) for one in seen]
    margin = nets.unet_margin(by.levels)
    found = np.concatenate(
        [tiling.in_tiles(by.restore, one, tile, margin, multiple) for one in seen], axis=-1
    )
    if by.task != "colour" and channels < by.channels:
        found = found.mean(axis=-1, keepdims=True)
    if by.task == "colour" and pixels.dtype != np.uint8:
        top = 255  # no file of Pillow's has colours of 16 bits
    made = np.rint(np.clip(found, 0, 1) * top).astype(np.uint8 if top == 255 else np.uint16)
    if mask is not None:
        made = np.where(mask[..., None], made, pixels)
    notes = dict(photo.notes)
    if made.shape != pixels.shape:
        notes.pop("icc_profile", None)  # of grey
    return photo._replace(pixels=made, notes=notes)


def _progress(files: Sequence[Path]) -> Any:
    from tqdm import tqdm

    return tqdm(files, unit=" files", disable=len(files) < 2 or None)


def _say(text: str, where: Any) -> None:
    from tqdm import tqdm

    tqdm.write(text, file=where)


COMMANDS = {
    "train": (train, {"default": Config()}),
    "apply": (apply, {"default": Application()}),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one of the commands; see `cli.main`."""
    argv = sys.argv[1:] if argv is None else argv
    command, *rest = argv or [""]
    if command in ("-h", "--help"):
        print(__doc__)
        return
    if command not in COMMANDS:
        print(f"error: begin with {' or '.join(COMMANDS)} (see --help)", file=sys.stderr)
        raise SystemExit(2)
    cli.main(*COMMANDS[command], rest)


if __name__ == "__main__":
    main()
