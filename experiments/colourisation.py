"""Colours from lightness: a regression and a classification, beside what lightness alone tells.

    python experiments/colourisation.py

A network sees the L of CIE Lab and makes a and b. The best function of a pixel's own lightness, a
table of means, is what it has to beat, and does on other parts of the photographs that it learned
from. On another photograph it has nothing to go by: two photographs do not tell the colours of a
third, and a grey picture is nearest to the truth. The squared error is nearer than classes of
colours, whose means are taken.

Reference: Zhang, Isola and Efros (2016), Colorful Image Colorization.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from ae_jax import cli, colour, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import Array, Batch, InputError, Method
from ae_jax.experiment import Count, Model, Splits, Swept
from ae_jax.methods import observations, shown

#: Levels of lightness that colours are averaged over.
LEVELS = 64
KNOWN, OTHER = "same photographs", "another photograph"


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "photos"
    """Of colour images; validation is measured too, where photos has other parts of the same."""
    criterion: Swept[Literal["regression", "classification"]] = ("regression", "classification")
    """Each is compiled on its own."""
    channels: tuple[Count, ...] = (16, 32, 32)
    """Of the U-Net's levels, each of which halves the image."""
    spacing: Count = 30
    """Of the grid of a and b whose points on a screen are the classes."""
    temperature: float = 0.38
    """Of the mean over classes: 1 for their mean, near 0 for the likeliest."""
    learning_rate: Swept[float] = (2e-3,)
    """At first; it falls to 0 as a half cosine."""
    seeds: Count = 3
    steps: Count = 1000
    batch_size: Count = 16
    test_images: Count = 300


PRESETS = {
    "default": Config(),
    "smoke": Config(channels=(4, 8), spacing=60, seeds=2, steps=10, batch_size=8, test_images=12),
    # Zhang, Isola and Efros (2016): a grid as fine as theirs, on what there is of photographs
    "paper": Config(
        dataset="photos11",
        channels=(64, 128, 256, 512),
        spacing=10,
        learning_rate=(3e-4,),
        steps=100_000,
        batch_size=40,
    ),
}


def load(config: Config) -> Splits:
    """Loads images in colour."""
    splits = experiment.load_splits(config)
    if splits.train.spec["image"].shape[-1:] != (3,):
        raise InputError(f"colours are learned from colour images, and {config.dataset} has none")
    return splits


def build(config: Config, spec: Mapping[str, Any], criterion: str) -> Method:
    """Returns the network of one criterion."""
    if criterion == "regression":
        outputs, compared = 2, observations.squared_error()
    else:
        centres = classes(config.spacing)
        outputs, compared = len(centres), observations.quantised(centres, config.temperature)
    network = nets.unet(outputs, config.channels, dropout=0.0)
    return methods.restorer(network, shown.Shown(lightness), target=chroma, reconstruction=compared)


def lightness(batch: Batch, hparams: Any = None) -> Array:
    """What a network sees."""
    return colour.lightness(batch["image"])


def chroma(batch: Batch) -> Array:
    """What it makes."""
    return colour.chroma(batch["image"])


def classes(spacing: int) -> np.ndarray:
    """Points of a grid of a and b that some colour on a screen is nearest to, over colour.SCALE."""
    levels = np.linspace(0, 1, 33)
    screen = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    lab = np.asarray(colour.rgb_to_lab(screen.astype(np.float32)))
    return np.unique(np.rint(lab[:, 1:] / spacing), axis=0) * spacing / colour.SCALE


def coloured(batch: Batch, found: Array) -> Array:
    """Images of their own lightness and other colours, those of no screen cut off."""
    return jnp.clip(colour.coloured(batch["image"], found), 0, 1)


def scores(batch: Batch, found: Array) -> dict[str, float]:
    """How far colours of all images at once are from the true ones, and how colourful they are."""
    images = batch["image"], coloured(batch, found)
    lab, made = map(colour.rgb_to_lab, images)
    own, true = (jnp.linalg.norm(x, axis=-1) for x in (colour.SCALE * found, lab[..., 1:]))
    return {
        "delta_e": float(jnp.mean(colour.delta_e(made, lab))),
        "psnr": float(metrics.psnr(*(x.reshape(1, -1) for x in images))[0]),
        "chroma_ratio": float(jnp.mean(own) / jnp.mean(true)),
    }


def baselines(train: Batch) -> dict[str, Callable[[Batch], Array]]:
    """What needs no network, fitted to training images: batch -> a and b over colour.SCALE."""
    light, ab = lightness(train), chroma(train)
    level = level_of(light)
    count = np.bincount(level, minlength=LEVELS)
    sums = [np.bincount(level, np.ravel(ab[..., i]), LEVELS) for i in (0, 1)]
    mean = np.mean(ab, axis=(0, 1, 2))
    table = np.where(count > 0, np.array(sums) / np.maximum(count, 1), mean[:, None]).T
    flat = np.reshape(light, (len(light), -1))

    def nearest(batch: Batch) -> Array:
        own = np.reshape(lightness(batch), (len(batch["image"]), -1))
        # |x - y|^2 less |x|^2
        return ab[np.argmin(np.sum(flat**2, axis=1) - 2 * own @ flat.T, axis=1)]

    def everywhere(value: np.ndarray) -> Callable[[Batch], Array]:
        return lambda batch: jnp.broadcast_to(jnp.asarray(value, ab.dtype), chroma(batch).shape)

    def looked_up(batch: Batch) -> Array:
        light = lightness(batch)
        return jnp.asarray(table[level_of(light)], ab.dtype).reshape(*light.shape[:3], 2)

    return {
        "grey": everywhere(np.zeros(2)),
        "mean colour": everywhere(mean),
        "nearest patch": nearest,
        "best of lightness": looked_up,
    }


def level_of(light: Array) -> np.ndarray:
    """The level of each pixel's lightness, flat."""
    return np.ravel(np.clip((np.asarray(light) + 1) / 2 * LEVELS, 0, LEVELS - 1).astype(int))


def colourisation(config: Config) -> None:
    """Trains both criteria and measures them beside the baselines."""
    splits = load(config)
    tests = {OTHER: data.head(spread(splits.test, config.test_images), config.test_images)}
    if config.dataset.startswith("photos"):
        part = spread(splits.validation, config.test_images)
        tests = {KNOWN: data.head(part, config.test_images), **tests}
    trained = experiment.sweep(
        config,
        "colourisation",
        lambda criterion: build(config, splits.train.spec, criterion),
        splits,
        {"criterion": config.criterion},
        schedules=[training.warmup_cosine(config.steps)],
    )
    simple = baselines(data.head(spread(splits.train, 1500), 1500))
    rows = [
        {"on": name, "colours": kind, "seed": 0, "status": "ok", **scores(batch, make(batch))}
        for name, batch in tests.items()
        for kind, make in simple.items()
    ]
    models: dict[str, Model] = {}

    def describe(name: str, model: Model) -> dict[str, float]:
        models.setdefault(model.row["criterion"], model)
        return scores(tests[name], model.reconstruct(tests[name]))

    for name in tests:
        own = experiment.described(trained, functools.partial(describe, name))
        rows += [{**row, "on": name, "colours": row["criterion"]} for row in own]
    by = ("on", "colours", *experiment.varied(config, "learning_rate"))
    rows = experiment.numbered(rows, by)
    experiment.report(
        config,
        trained.out,
        f"Colours from lightness on {config.dataset}",
        rows,
        by,
        ("delta_e", "psnr", "chroma_ratio"),
        lambda: figures(rows, tests, models, simple),
        trained.result,
        notes=[
            "delta_e is the mean distance in CIE Lab from the true colour; psnr that of all "
            "patches together, whose lightness is given; chroma_ratio, how colourful they are "
            "beside the true ones. best of lightness is a table of the mean colour of training "
            f"pixels at {LEVELS} levels of L."
        ],
    )


def spread(dataset: data.Dataset, count: int) -> data.Dataset:
    """Examples at even distances: neighbours of a photograph look alike."""
    return data.subset(
        dataset, np.linspace(0, dataset.size - 1, min(count, dataset.size), dtype=int)
    )


def varied_most(ab: Array, count: int) -> np.ndarray:
    """Of each of so many parts of the images, the place of that whose colours vary most."""
    parts = np.array_split(np.asarray(jnp.sum(jnp.var(ab, axis=(1, 2)), axis=-1)), count)
    starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
    return np.array([s + part.argmax() for s, part in zip(starts, parts, strict=True) if len(part)])


def figures(
    rows: list[dict[str, Any]],
    tests: Mapping[str, Batch],
    models: Mapping[str, Model],
    simple: Mapping[str, Callable[[Batch], Array]],
) -> dict[str, Any]:
    """Draws the distances, and some images in the colours of each."""
    pivoted = [{**row, row["on"]: row.get("delta_e")} for row in rows]
    table = plots.mean_table(pivoted, lambda row: row["colours"], {name: name for name in tests})
    drawn = {
        "Distance in CIE Lab from the true colours: less is better.": plots.bars(
            table, "mean distance in CIE Lab", name="test patches"
        )
    }
    for name, batch in tests.items():
        some = {"image": batch["image"][varied_most(chroma(batch), 10)]}
        made = {
            "best of lightness": coloured(some, simple["best of lightness"](some)),
            **{kind: coloured(some, model.reconstruct(some)) for kind, model in models.items()},
            "true": some["image"],
        }
        grey = coloured(some, simple["grey"](some))
        drawn[f"Test patches of {name}: of each tenth that whose colours vary most."] = (
            plots.reconstructions(grey, made, first="shown", heading=name)
        )
    return drawn


if __name__ == "__main__":
    cli.main(colourisation, PRESETS)
