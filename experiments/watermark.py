"""Watermarks taken off by networks, beside filters, averages, and the exact inverse.

    python experiments/watermark.py

A network takes stamps off at new places, seen in training or not, better than a median filter, and
better by far if it is told the matte; under the stamp a median of wide windows, which blurs all
else, comes near one that is not. One stamp in one place is told by the average of the images, which
undoes it better than any network. Nothing comes near the exact inverse, which knows all.

Reference: Dekel et al. (2017), On the Effectiveness of Visible Watermarks; Cun and Pun (2021).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, tiling, training
from ae_jax.core import BELOW_ONE, FRACTION, Array, Batch, Method, traced
from ae_jax.experiment import Count, Model, Swept
from ae_jax.methods import shown
from ae_jax.watermarks import Stamper, fixed_stamp, stamper, unblend


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "photos"
    texts: tuple[str, ...] = ("ae jax", "sample", "proof", "draft")
    """Stamps that networks are trained with, in a sans serif; logos beside them."""
    logos: tuple[str, ...] = ("ring", "star")
    other_texts: tuple[str, ...] = ("stock", "trial", "void")
    """Stamps that they have not seen, with serifs; logos beside them."""
    other_logos: tuple[str, ...] = ("triangle", "spark")
    size: tuple[Count, Count] = (12, 28)
    """Height and width of stamps in pixels; they come as large, or smaller by up to a quarter."""
    opacity: Annotated[float, BELOW_ONE] = 0.75
    """The largest; the least is two fifths of it."""
    channels: tuple[Count, ...] = (16, 32)
    """Of the U-Net's levels, each of which halves the image."""
    learning_rate: Swept[float] = (3e-3,)
    """At first; it falls to 0 as a half cosine."""
    steps: Count = 1500
    batch_size: Count = 16
    test_images: Count = 1000


PRESETS = {
    "default": Config(),
    "smoke": Config(channels=(4, 8), seeds=1, steps=10, batch_size=8, test_images=16),
    # Cun and Pun (2021), section 4, have hundreds of logos, and as many photographs as there are
    "paper": Config(dataset="photos11", channels=(32, 64, 128), steps=200_000, batch_size=64),
}
KNOWN, UNSEEN, FIXED = "known stamps", "unseen stamps", "one stamp in one place"
#: The ways of lanes that are told the matte, and of those that are not.
WAYS = {1.0: ("network told the matte",), 0.0: ("network", "network's matte inverted")}
MEASURES = {"psnr": "PSNR (dB)", "stamp_psnr": "PSNR inside the stamp (dB)"}
#: Median filters: of the size that is best for all pixels, and for those under the stamp.
MEDIANS = dict(zip(("median filter", "median for the stamp"), MEASURES, strict=True))
SIZES = 3, 5, 7, 9, 11, 13
#: Stamps of each training image; and the alpha that a network's is cut off at.
COPIES, MOST = 4, 0.9


def watermark(config: Config) -> None:
    """Trains networks that are told the matte and that are not, and measures what else there is."""
    splits = experiment.load_splits(config)
    known, other = stampers(config)
    stamped, first = {}, 0
    for name, part in splits._asdict().items():
        copies = COPIES if name == "train" else 1
        stamped[name] = data.stamped(part, known, config.opacity, copies, first)
        first += stamped[name].size
    trained = experiment.sweep(
        config,
        "watermark",
        build(config, splits.train.spec),
        experiment.Splits(**stamped),
        {"told": tuple(WAYS)},
        schedules=[training.warmup_cosine(config.steps)],
    )
    kinds = {KNOWN: (known, False), UNSEEN: (other, False), FIXED: (known, True)}
    tests = {
        on: some(config, data.stamped(splits.test, how, config.opacity, 1, first, alike))
        for on, (how, alike) in kinds.items()
    }
    sizes = filter_sizes(some(config, stamped["train"]))
    simple = {on: baselines(batch, sizes, on == FIXED) for on, batch in tests.items()}

    def describe(model: Model) -> dict[str, Any]:
        return {on: measured(batch, undone(model, batch)) for on, batch in tests.items()}

    lanes = experiment.described(trained, describe)
    rows: list[dict[str, Any]] = []
    for on, batch in tests.items():
        for way, found in measured(batch, simple[on]).items():
            rows.append({"on": on, "way": way, "seed": 0, "status": "ok", **found})
        for lane in lanes:
            own = {name: value for name, value in lane.items() if name not in tests}
            for way in WAYS[lane["told"]]:
                rows.append({**own, "on": on, "way": way, **lane.get(on, {}).get(way, {})})
    by = "on", "way", *experiment.varied(config, "learning_rate")
    experiment.report(
        config,
        trained.out,
        f"Watermarks on {config.dataset}",
        experiment.numbered(rows, by),
        by,
        tuple(MEASURES),
        lambda: figures(config, rows, tests, simple, trained.result),
        trained.result,
        notes=[
            "Decibels are of the error of all pixels of all images, and of those that the stamp "
            "covers. Medians are over so many pixels a side, the best on training images for all "
            f"pixels, and for those under the stamp: {', '.join(map(str, sizes.values()))}; the "
            "average is that of the test images; 8 bits are what the exact matte's inverse lacks."
        ],
    )


def stampers(config: Config) -> list[Stamper]:
    """Makes what stamps with the known stamps, and with the others."""
    faces = "DejaVuSans-Bold", "DejaVuSerif-Bold"
    names = (config.texts, config.logos), (config.other_texts, config.other_logos)
    mattes = [data.stamps(*own, config.size, f) for own, f in zip(names, faces, strict=True)]
    return [stamper(own, least=0.4) for own in mattes]


def build(config: Config, spec: Mapping[str, Any]) -> Method:
    """Returns the network from a stamped image, and the matte or zeros, to the image and the matte.

    Whether it is told is a number, so that both are lanes of one program.
    """

    def seen(batch: Batch, hparams: Mapping[str, Array]) -> Array:
        return jnp.concatenate([batch["stamped"], hparams["told"] * batch["alpha"]], axis=-1)

    def wanted(batch: Batch) -> Array:
        return jnp.concatenate([batch["image"], batch["alpha"]], axis=-1)

    network = nets.unet(spec["image"].shape[-1] + 1, config.channels, dropout=0.0)
    told = shown.Shown(seen, **traced(told=(0.0, FRACTION)))
    return methods.restorer(nets.correction(network), told, target=wanted)


def some(config: Config, dataset: data.Dataset) -> Batch:
    """Some examples at even distances: neighbours of a photograph look alike."""
    count = min(dataset.size, config.test_images)
    chosen = np.linspace(0, dataset.size - 1, count, dtype=int)
    return data.head(data.subset(dataset, chosen), count)


def median(batch: Batch, size: int) -> np.ndarray:
    """Stamped images [N, H, W, C], of which each pixel is the median of its neighbours."""
    return ndimage.median_filter(np.asarray(batch["stamped"]), (1, size, size, 1))


def filter_sizes(batch: Batch) -> dict[str, int]:
    """The sides of the median filters that restore a quarter of images best, by each measure."""
    batch = {name: x[::4] for name, x in batch.items()}
    found = measured(batch, {size: median(batch, size) for size in SIZES})
    return {way: max(SIZES, key=lambda size: found[size][of]) for way, of in MEDIANS.items()}


def baselines(batch: Batch, sizes: Mapping[str, int], fixed: bool) -> dict[str, Array]:
    """What needs no network."""
    y = batch["stamped"]
    found = {"nothing": y, **{way: median(batch, size) for way, size in sizes.items()}}
    if fixed:
        found["average inverted"] = unblend(y, *fixed_stamp(y))
    return {**found, "exact matte inverted": unblend(y, batch["alpha"])}


def undone(model: Model, batch: Batch) -> dict[str, Array]:
    """What a network makes of stamped images: by itself, and by the matte that it found."""
    found = model.reconstruct(batch)
    alpha = jnp.clip(found[..., -1:], 0, MOST)
    made = found[..., :-1], unblend(batch["stamped"], alpha)
    return dict(zip(WAYS[float(model.row["told"])], made, strict=False))


def measured(batch: Batch, found: Mapping[Any, Array]) -> dict[Any, dict[str, float]]:
    """How near images, as they are shown, are to the true ones."""
    true, inside = np.asarray(batch["image"]), np.asarray(batch["alpha"])[..., 0] > 0

    def decibels(x: Array) -> dict[str, float]:
        pairs = (x, true), (x[inside], true[inside])
        every = [float(metrics.psnr(a[None], b[None])[0]) for a, b in pairs]
        return dict(zip(MEASURES, every, strict=True))

    return {way: decibels(np.clip(x, 0, 1)) for way, x in found.items()}


def figures(
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    tests: Mapping[str, Batch],
    simple: Mapping[str, Mapping[str, Array]],
    result: training.Result,
) -> dict[str, Any]:
    """Draws the decibels, some images, and a whole photograph."""
    models = experiment.firsts(result, "told")
    words = MEASURES["stamp_psnr"]
    pivoted = [{**row, row["on"]: row.get("stamp_psnr")} for row in rows]
    table = plots.mean_table(pivoted, lambda row: row["way"], {on: on for on in tests})
    drawn = {f"{words} of each way.": plots.dots(table, words)}
    for on, batch in tests.items():
        made = [undone(model, batch) for model in models.values()]
        table = {k: x for ways in (simple[on], *made) for k, x in ways.items()}
        table["photograph"] = batch["image"]
        step = max(1, len(batch["image"]) // 10)
        drawn[f"Test images, {on}, and what each way makes of them."] = plots.image_rows(
            {way: np.asarray(x)[::step][:10] for way, x in table.items()}, on
        )
    if config.dataset.startswith("photos") and 0.0 in models:
        drawn["Stamps that were not seen, taken off in tiles, and the photograph."] = (
            plots.image_rows({"photograph": photograph(config, models[0.0])}, size=3.0)
        )
    return drawn


def photograph(config: Config, model: Model, side: int = 32) -> np.ndarray:
    """A part of a photograph with a stamp in each square, restored in tiles, and as it was."""
    picture = next(iter(data.photographs("test").values()))[: 4 * side, : 6 * side] / 255
    stamp, over = jax.jit(stampers(config)[1]), np.array(picture, jnp.result_type(float))
    for i, (row, column) in enumerate(np.ndindex(4, 6)):
        square = np.s_[side * row : side * (row + 1), side * column : side * (column + 1)]
        over[square] = stamp(jax.random.key(i), over[square], config.opacity)[0]

    def restore(x: Array) -> Array:
        batch = {"stamped": x, "alpha": jnp.zeros_like(x[..., :1])}
        return model.reconstruct(batch)[..., :-1]

    made = tiling.in_tiles(restore, over, 64, 16, 2 ** len(config.channels))
    return np.stack([over, made, picture])


if __name__ == "__main__":
    cli.main(watermark, PRESETS)
