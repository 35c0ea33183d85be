"""Text written over photographs, taken off by a stacked denoising autoencoder and without one.

    python experiments/text_removal.py

Blind, it takes off more of the text than any filter does. Told the mask it is behind fills that
assume nothing but smoothness: strokes are thin, and what lies beside them says most. The typeface
over test photographs is none that anything was trained or tuned on.

Reference: Xie, Xu and Chen (2012), Image Denoising and Inpainting with Deep Neural Networks.
"""

import dataclasses
import importlib.util
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ae_jax import cli, corruptions, data, experiment, losses, metrics, plots, tiling, watermarks
from ae_jax.core import FRACTION, Array, Batch, HParams, traced
from ae_jax.experiment import Count, Model, Several, Splits
from ae_jax.inversion import fills
from ae_jax.methods import shown


@dataclasses.dataclass(frozen=True)
class Config(experiment.StackConfig):
    """Options that take several values are swept: their product is trained at once."""

    faces: Several[str] = ("DejaVuSans", "DejaVuSansMono-Bold", "STIXGeneral", "STIXGeneralBol")
    """Typefaces of the text that is trained on, in black and in white."""
    other_face: str = "DejaVuSerif-Bold"
    """That of the text over test photographs, of which each seed has its own."""
    heights: Several[Count] = (12, 16, 24)
    """Of lines in pixels; half as much is between two. Photographs have the middle one."""
    copies: Count = 4
    """Of each patch that is trained on, under different text."""
    layer_steps: Count = 500
    """For each layer."""


PRESETS = {
    "default": Config(),
    "smoke": Config(
        **{"patch_size": 16, "stride": 8, "side": 64, "widths": (8, 8), "heights": (12,)},
        **{"seeds": 1, "layer_steps": 10, "steps": 10, "copies": 1},
    ),
    # Xie, Xu and Chen (2012): units five times the inputs
    "paper": Config(
        **{"dataset": "photos11", "stride": 1, "side": 640, "widths": (720, 720), "copies": 16},
        **{"activation": "sigmoid", "layer_learning_rate": 1e-3, "learning_rate": (1e-3,)},
        **{"layer_steps": 100_000, "steps": 400_000, "batch_size": 128},
    ),
}
WORDS = ("one", "two", "three", "red", "green", "blue", "left", "right", "early", "late", "spring")
BLIND, TOLD = "blind", "with the mask"
DEVIATION = 0.25  # that filters are told: about what text does to a photograph
TASKS = {0.0: BLIND, 1.0: TOLD}
NOTHING, STACK = "nothing", "stacked autoencoder"
NOTE = (
    "Decibels are means over each test photograph in white and in black text. With the mask all "
    "other pixels are kept as they are. Filters are tuned on training photographs."
)
MEASURES = {"text_psnr": "under the text", "psnr": "everywhere"}


class Written(NamedTuple):
    """A photograph [H, W, 1] without and with text, and whether pixels are known, clear of it."""

    image: np.ndarray
    spoiled: np.ndarray
    known: np.ndarray


#: What is made of one, [H, W, 1].
Restore = Callable[[Written], np.ndarray]


def over(config: Config, split: str, face: str, seed: int) -> list[Written]:
    """The photographs of a split, each in turn under white and under black text."""
    found = []
    height = config.heights[len(config.heights) // 2]
    matte = data.page(WORDS, face, height, config.side, seed)
    for image in experiment.grey_photographs(split, config.side, config.more).values():
        alpha = matte[: image.shape[0], : image.shape[1], None]
        for colour in (1.0, 0.0):
            y = watermarks.in_bytes(watermarks.blend(image, alpha, colour))
            found.append(Written(image, np.where(alpha > 0, y, image), alpha == 0))
    return found


def patches(config: Config) -> Splits:
    """Patches, beside themselves under parts of pages."""
    cut = experiment.grey_patches(config.patch_size, config.more)
    whole = 4 * max(config.patch_size, *config.heights)
    kinds = itertools.product(config.faces, config.heights)
    pages = [data.page(WORDS, *kind, whole, seed) for seed, kind in enumerate(kinds)]
    lay, first, found = watermarks.overlay(np.stack(pages)), 0, {}
    for name, part in cut._asdict().items():
        copies = config.copies if name == "train" else 1
        drawn = data.stamped(data.swapped(part), lay, 1.0, copies, first)
        found[name] = experiment.stamped_pairs(drawn, config.scale)
        first += drawn.size
    return Splits(**found)


def seen() -> shown.Shown:
    """Patches, and as a further channel 1 where a pixel is known: everywhere, text aside.

    Where `told` is 1 training blanks the text, and the mask says where; where it is 0 it shows the
    text as if that were known.
    """
    holed = shown.holed(corruptions.scattered)

    def train(key: Array, batch: Batch, hparams: HParams) -> Array:
        x, known = jnp.split(batch["target"], 2, axis=-1)
        known = 1 - hparams["told"] * (1 - known[..., 0])
        return holed.apply({"image": x, "known": known}, hparams)

    return shown.Shown(holed.apply, train, **traced(told=(0.0, FRACTION)))


def text_removal(config: Config) -> None:
    """Trains stacks that are told the mask and that are not, and restores photographs."""
    tiling.starts(config.side, config.patch_size, config.stride)
    tests = [over(config, "test", config.other_face, seed) for seed in range(config.seeds)]
    splits = patches(config)
    told = {"told": tuple(TASKS)}
    _, trained = experiment.fine_tuned(config, "text_removal", seen(), splits, told)
    simple = baselines(config)
    kept: dict[tuple[str, str], np.ndarray] = {}

    def row(task: str, way: str, restore: Restore, seed: int) -> dict[str, Any]:
        made = [np.clip(restore(one), 0, 1) for one in tests[seed]]
        if task == TOLD:
            made = [np.where(y.known, y.spoiled, x) for x, y in zip(made, tests[seed], strict=True)]
        kept.setdefault((task, way), np.stack(made[:2]))
        return {"task": task, "way": way, **measured(made, tests[seed])}

    rows: list[Mapping[str, Any]] = [
        {**row(task, way, restore, seed), "seed": seed, "status": "ok"}
        for seed in range(config.seeds)
        for task, ways in simple.items()
        for way, restore in ways.items()
    ]

    def describe(model: Model) -> dict[str, Any]:
        def apply(x: Array) -> Array:
            y, known = jnp.split(x, 2, axis=-1)
            centre = jnp.median(y, axis=(1, 2, 3), keepdims=True)
            batch = {"image": (y - centre) / config.scale, "known": known[..., 0]}
            return centre + config.scale * model.reconstruct(batch)

        restore = pieced(config, apply, bool(model.row["told"]))
        return row(TASKS[model.row["told"]], STACK, restore, model.row["seed"])

    for own in experiment.described(trained, describe):
        rows.append({**own, "task": TASKS[own["told"]], "way": STACK})
    by = ("task", "way", *experiment.varied(config, "learning_rate"))
    rows = experiment.numbered(rows, by)
    experiment.report(
        config,
        trained.out,
        f"Text over photographs of {config.dataset}",
        rows,
        by,
        tuple(MEASURES),
        lambda: figures(rows, kept, tests[0][:2]),
        trained.result,
        [f"{NOTE} {100 * np.mean(~tests[0][0].known):.0f}% of the first photograph is text."],
    )


def pieced(config: Config, apply: tiling.Restore, told: bool) -> Restore:
    """What restores a photograph in overlapping patches, beside the mask or one of ones."""

    def restore(one: Written) -> np.ndarray:
        known = one.known if told else np.ones_like(one.known)
        both = np.concatenate([one.spoiled, known.astype(one.spoiled.dtype)], axis=-1)
        return tiling.in_patches(apply, both, config.patch_size, config.stride)

    return restore


def baselines(config: Config) -> dict[str, dict[str, Restore]]:
    """What is not trained, by task; filters with their best settings on training photographs."""
    own = over(config, "train", config.faces[0], config.seeds)
    spoiled, clean = [one.spoiled for one in own], [one.image for one in own]
    filters = experiment.tuned(experiment.filters(), spoiled, clean, DEVIATION)
    cut = experiment.grey_patches(config.patch_size, config.more)
    every = data.all_images(data.swapped(cut.train))
    moments = every.mean(axis=0), losses.covariance(every.reshape(len(every), -1))

    def gaussian(x: Array) -> Array:
        return fills.conditional_mean(x[..., :1], x[..., 1:] > 0, *moments, ridge=1e-4)

    told: dict[str, Restore] = {
        "mean of known pixels": lambda one: fills.mean(one.spoiled[None], one.known)[0],
        "harmonic": lambda one: fills.harmonic(one.spoiled[None], one.known)[0],
        "conditional mean": pieced(config, gaussian, True),
    }
    if importlib.util.find_spec("skimage"):
        told["biharmonic"] = lambda one: experiment.biharmonic(one.spoiled[None], one.known)[0]
    blind = {way: lambda one, f=f: f(one.spoiled) for way, f in filters.items()}
    return {BLIND: blind, TOLD: told}


def measured(made: Sequence[np.ndarray], tests: Sequence[Written]) -> dict[str, float]:
    """Decibels of the pixels under text, and of all, on average over photographs."""
    pairs = list(zip(made, tests, strict=True))
    under = [metrics.psnr(x[~y.known][None], y.image[~y.known][None])[0] for x, y in pairs]
    every = [experiment.clipped_psnr(x, y.image) for x, y in pairs]
    return {"text_psnr": float(np.mean(under)), "psnr": float(np.mean(every))}


def best(rows: Sequence[Mapping[str, Any]], task: str) -> str:
    """The way without training that has the highest PSNR under the text."""
    simple = [row for row in rows if row["task"] == task and row["way"] != STACK]
    points = plots.aggregate(simple, ["way"], ["text_psnr"])
    return max(points, key=lambda point: point["text_psnr"].mean)["way"]


def figures(rows: Sequence[Mapping[str, Any]], kept: Mapping, pair: Sequence) -> dict[str, Any]:
    """Draws the decibels of each way, and the first photograph as it was restored."""
    in_turn = sorted(rows, key=lambda row: row["task"])
    table = plots.mean_table(in_turn, lambda row: f"{row['way']}, {row['task']}", MEASURES)
    drawn = {"PSNR of test photographs by each way.": plots.dots(table, "PSNR (dB)")}
    images = {"with text": kept[BLIND, NOTHING]}
    for task in (BLIND, TOLD):
        for own in ((task, best(rows, task)), (task, STACK)):
            images |= {f"{own[1]}, {task}": kept[own]} if own in kept else {}
    images["photograph"] = np.stack([one.image for one in pair])
    caption = "A test photograph in white and in black text, and restored."
    return {**drawn, caption: plots.image_rows(images, size=2.0)}


if __name__ == "__main__":
    cli.main(text_removal, PRESETS)
