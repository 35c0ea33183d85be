"""Watermarks taken off by networks, beside filters, averages, and the exact inverse.

    python experiments/watermark.py

CLAIM

Reference: Dekel, Rubinstein, Liu and Freeman (2017), On the Effectiveness of Visible Watermarks;
Cun and Pun (2021), Split then Refine.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from ae_jax import (
    cli,
    data,
    experiment,
    methods,
    metrics,
    nets,
    plots,
    tiling,
    training,
    watermarks,
)
from ae_jax.core import BELOW_ONE, FRACTION, Array, Batch, Method, traced
from ae_jax.experiment import Count, Model, Swept
from ae_jax.methods import shown


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "photos"
    texts: tuple[str, ...] = ("ae jax", "sample", "proof", "draft")
    """Stamps that networks are trained with, in a sans serif; logos beside them."""
    logos: tuple[str, ...] = ("ring", "star")
    other_texts: tuple[str, ...] = ("stock", "trial", "void")
    """Stamps that they have not seen, with serifs; logos likewise."""
    other_logos: tuple[str, ...] = ("triangle", "spark")
    height: Count = 12
    """Of stamps, in pixels; they come as large, or smaller by a quarter."""
    width: Count = 28
    opacity: Annotated[float, BELOW_ONE] = 0.75
    """The largest."""
    least: Annotated[float, FRACTION] = 0.4
    """The least opacity, over the largest."""
    channels: tuple[Count, ...] = (16, 32)
    """Of the U-Net's levels, each of which halves the image."""
    copies: Count = 4
    """Of each training image, with stamps of their own."""
    learning_rate: Swept[float] = (3e-3,)
    """At first; it falls to 0 as a half cosine."""
    seeds: Count = 3
    steps: Count = 1500
    batch_size: Count = 16
    test_images: Count = 1000


PRESETS = {
    "default": Config(),
    "smoke": Config(channels=(4, 8), copies=1, seeds=1, steps=10, batch_size=8, test_images=16),
    # Cun and Pun (2021) train with hundreds of logos on as many photographs as there are
    "paper": Config(
        dataset="photos11",
        channels=(32, 64, 128),
        copies=16,
        learning_rate=(1e-3,),
        steps=200_000,
        batch_size=64,
    ),
}
KNOWN, UNSEEN, FIXED = "known stamps", "unseen stamps", "one stamp in one place"
BLIND, INVERTED, TOLD = "network", "network's matte, inverted", "network told the matte"
MEASURES = {"psnr": "PSNR (dB)", "stamp_psnr": "PSNR inside the stamp (dB)"}
#: The largest alpha that a network's is taken for, lest what is inverted be multiplied by more.
MOST = 0.9


def watermark(config: Config) -> None:
    """Trains networks that are told the matte and that are not, and measures what else there is."""
    loaded = experiment.load_splits(config)
    known, other = stampers(config)
    splits, first = loaded, 0
    for name, part in loaded._asdict().items():
        copies = config.copies if name == "train" else 1
        part = data.stamped(part, known, config.opacity, copies, first)
        splits, first = splits._replace(**{name: part}), first + part.size
    trained = experiment.sweep(
        config,
        "watermark",
        build(config, loaded.train.spec),
        splits,
        {"told": (0.0, 1.0)},
        schedules=[training.warmup_cosine(config.steps)],
    )
    tests = {
        name: drawn(data.stamped(loaded.test, stamper, config.opacity, 1, first, alike), config)
        for name, stamper, alike in (
            (KNOWN, known, False),
            (UNSEEN, other, False),
            (FIXED, known, True),
        )
    }
    size = filter_size(drawn(splits.train, config))
    simple = {on: baselines(batch, size, on == FIXED) for on, batch in tests.items()}
    rows = [
        {"on": on, "way": way, "seed": 0, "status": "ok", **scores(tests[on], found)}
        for on, ways in simple.items()
        for way, found in ways.items()
    ]

    def describe(model: Model) -> dict[str, float]:
        return {
            f"{on}/{way}/{name}": value
            for on, batch in tests.items()
            for way, found in undone(model, batch).items()
            for name, value in scores(batch, found).items()
        }

    rows += spread_out(experiment.described(trained, describe))
    by = "on", "way", *experiment.varied(config, "learning_rate")
    rows = experiment.numbered(rows, by)
    rows.sort(key=lambda row: list(tests).index(row["on"]))
    experiment.report(
        config,
        trained.out,
        f"Watermarks on {config.dataset}",
        rows,
        by,
        tuple(MEASURES),
        lambda: figures(config, rows, tests, simple, trained.result),
        trained.result,
        notes=[
            "Decibels are of the error of all pixels of all images, and of those that the stamp "
            f"covers. The median is over {size}x{size} pixels, the best on training images. The "
            "average of the test images tells the one stamp in one place, which is then inverted; "
            "the exact matte, inverted, leaves what 8 bits do not tell."
        ],
    )


def stampers(config: Config) -> list[watermarks.Stamper]:
    """Makes what stamps with the known stamps, and with the others."""
    faces = "DejaVuSans-Bold", "DejaVuSerif-Bold"
    named = (config.texts, config.logos), (config.other_texts, config.other_logos)
    sides = {"height": config.height, "width": config.width}
    return [
        watermarks.stamper(data.stamps(*names, face=face, **sides), least=config.least)
        for names, face in zip(named, faces, strict=True)
    ]


def build(config: Config, spec: Mapping[str, Any]) -> Method:
    """Returns the network from a stamped image, and the matte or zeros, to the image and the matte.

    What it is told or not is a number, so that both are lanes of one program.
    """

    def stamped(batch: Batch, hparams: Mapping[str, Array]) -> Array:
        return jnp.concatenate([batch["stamped"], hparams["told"] * batch["alpha"]], axis=-1)

    def wanted(batch: Batch) -> Array:
        return jnp.concatenate([batch["image"], batch["alpha"]], axis=-1)

    network = nets.unet(spec["image"].shape[-1] + 1, config.channels, dropout=0.0)
    return methods.restorer(
        nets.correction(network),
        shown.Shown(stamped, **traced(told=(0.0, FRACTION))),
        target=wanted,
    )


def drawn(dataset: data.Dataset, config: Config) -> Batch:
    """Some examples at even distances: neighbours of a photograph look alike."""
    count = min(dataset.size, config.test_images)
    chosen = np.linspace(0, dataset.size - 1, count, dtype=int)
    return data.head(data.subset(dataset, chosen), count)


def filter_size(batch: Batch) -> int:
    """The side of the median filter that restores images best."""
    return max((3, 5, 7), key=lambda size: scores(batch, median(batch, size))["psnr"])


def median(batch: Batch, size: int) -> np.ndarray:
    """Stamped images [N, H, W, C], of which each pixel is the median of its neighbours."""
    return ndimage.median_filter(np.asarray(batch["stamped"]), (1, size, size, 1))


def baselines(batch: Batch, size: int, fixed: bool) -> dict[str, Array]:
    """What needs no network."""
    y = batch["stamped"]
    average = (
        {"average, inverted": watermarks.unblend(y, *watermarks.fixed_stamp(y))} if fixed else {}
    )
    return {
        "nothing": y,
        "median filter": median(batch, size),
        **average,
        "exact matte, inverted": watermarks.unblend(y, batch["alpha"]),
    }


def undone(model: Model, batch: Batch) -> dict[str, Array]:
    """What a network makes of stamped images: by itself, and by the matte that it found."""
    found = model.reconstruct(batch)
    if model.row["told"]:
        return {TOLD: found[..., :-1]}
    alpha = jnp.clip(found[..., -1:], 0, MOST)
    return {BLIND: found[..., :-1], INVERTED: watermarks.unblend(batch["stamped"], alpha)}


def scores(batch: Batch, found: Array) -> dict[str, float]:
    """How near images, as they are shown, are to the true ones."""
    made, true = np.clip(found, 0, 1), np.asarray(batch["image"])
    inside = np.asarray(batch["alpha"])[..., 0] > 0
    pairs = zip(MEASURES, ((made, true), (made[inside], true[inside])), strict=True)
    return {name: float(metrics.psnr(a[None], b[None])[0]) for name, (a, b) in pairs}


def spread_out(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Makes a row of each way of a lane on each test, of columns on/way/measure."""
    for row in rows:
        own = {name: value for name, value in row.items() if "/" not in name}
        for on in (KNOWN, UNSEEN, FIXED):
            for way in (TOLD,) if row["told"] else (BLIND, INVERTED):
                found = {k: row[f"{on}/{way}/{k}"] for k in MEASURES if f"{on}/{way}/{k}" in row}
                yield {**own, "on": on, "way": way, **found}


def figures(
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    tests: Mapping[str, Batch],
    simple: Mapping[str, Mapping[str, Array]],
    result: training.Result,
) -> dict[str, Any]:
    """Draws the decibels, some images, and a whole photograph."""
    models = experiment.firsts(result, "told")
    drawn = {}
    for column, words in MEASURES.items():
        pivoted = [{**row, row["on"]: row.get(column)} for row in rows]
        table = plots.mean_table(pivoted, lambda row: row["way"], {on: on for on in tests})
        drawn[f"{words} of each way."] = plots.dots(table, words)
    for on, batch in tests.items():
        some = slice(None, None, max(1, len(batch["image"]) // 12))
        ways = {
            **simple[on],
            **{k: x for m in models.values() for k, x in undone(m, batch).items()},
        }
        table = {**ways, "photograph": batch["image"]}
        drawn[f"Test images, {on}: what each way makes of them."] = plots.image_rows(
            {way: np.asarray(found)[some][:12] for way, found in table.items()}, on
        )
    if config.dataset.startswith("photos") and 0.0 in models:
        drawn["A photograph with stamps that were not seen, restored in tiles, and as it was."] = (
            plots.image_rows({"photograph": photograph(config, models[0.0])}, size=3.0)
        )
    return drawn


def photograph(config: Config, model: Model) -> np.ndarray:
    """Stamps each square of a part of a photograph, and restores it in tiles: [3, H, W, C]."""
    side, down, across = 32, 4, 6
    picture = next(iter(data.photographs("test").values()))[: side * down, : side * across] / 255
    squares = picture.reshape(down, side, across, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    keys = jax.random.split(jax.random.key(0), len(squares))
    stamp = jax.vmap(stampers(config)[1], (0, 0, None))
    over = stamp(keys, jnp.asarray(squares, jnp.result_type(float)), config.opacity)[0]
    over = over.reshape(down, across, side, side, 3).swapaxes(1, 2).reshape(picture.shape)

    def restore(x: Array) -> Array:
        batch = {"image": x, "stamped": x, "alpha": jnp.zeros_like(x[..., :1])}
        return model.reconstruct(batch)[..., :-1]

    made = tiling.in_tiles(restore, np.asarray(over), 64, 16, 2 ** len(config.channels))
    return np.stack([over, made, picture])


if __name__ == "__main__":
    cli.main(watermark, PRESETS)
