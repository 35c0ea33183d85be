"""Every pixel told its class: SegNet with and without its places, a U-Net, and pixels alone.

    python experiments/segmentation.py

Sprites before pieces of photographs that no training image had. Of networks of one size, what was
largest in a window goes back to its place, or is repeated over it, or features of each level are
handed across. A class that is rare weighs more, by median frequency balancing.

Reference: Badrinarayanan, Kendall and Cipolla (2017), SegNet; Ronneberger, Fischer and Brox (2015).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import Array, Batch, InputError, Method
from ae_jax.data.sources import composites
from ae_jax.experiment import Count, Model, Swept

#: Networks: by what the way up is told of the way down.
NETWORKS = "places", "nearest", "unet"
WORDS = {"places": "SegNet", "nearest": "SegNet without places", "unet": "U-Net"}
GROUND, PIXELS = "all background", "logistic regression"
MEASURES = "mean_iou", "class_accuracy", "global_accuracy", "boundary_f1"


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "composites"
    """Two sprites before a piece of a photograph, and what every pixel is of: images with masks."""
    network: Swept[Literal[NETWORKS]] = NETWORKS
    """A SegNet that puts values back to their places, or repeats them; a U-Net."""
    channels: tuple[Count, ...] = (8, 16, 32)
    """Of the levels, each of which halves the image; not swept."""
    kernel: Count = 3
    """The side of SegNet's convolutions."""
    balanced: bool = True
    """Whether rare classes weigh more."""
    window: Count = 7
    """Of pixels around one, a side, that logistic regression is shown."""
    pixels: Count = 20_000
    """That it is trained on."""
    tolerance: Count = 1
    """In pixels, of edges."""
    learning_rate: Swept[float] = (3e-3,)
    """At first; it falls to 0 as a half cosine."""
    steps: Count = 500
    batch_size: Count = 16
    test_images: Count = 300


PRESETS = {
    "default": Config(),
    "smoke": Config(
        network=("places", "unet"), channels=(2, 2), window=1, pixels=200, seeds=1, steps=5,
        batch_size=4, test_images=4,
    ),
    # Badrinarayanan et al. (2017), section 3: four levels of 64, 7x7
    "paper": Config(channels=(64, 64, 64, 64), kernel=7, seeds=5, steps=80_000, batch_size=12),
}  # fmt: skip


def segmentation(config: Config) -> None:
    """Trains networks, and compares them with what needs none."""
    if config.window % 2 == 0:
        raise InputError(f"--window is {config.window}: use an odd number of pixels")
    splits = experiment.load_splits(config)
    if "mask" not in splits.train.spec:
        raise InputError(
            f"{config.dataset} has no masks, which tell every pixel's class: composites has"
        )
    masks = data.head(splits.train, splits.train.size)["mask"]
    classes = int(np.max(masks)) + 1
    weights = tuple(metrics.median_frequency_weights(masks, classes)) if config.balanced else None
    trained = experiment.sweep(
        config,
        "segmentation",
        functools.partial(build, config, classes, weights),
        splits,
        {"network": config.network},
        schedules=[training.warmup_cosine(config.steps)],
    )
    test = data.head(splits.test, min(config.test_images, splits.test.size))
    ways = simple(config, splits.train, weights)
    given = {way: tell(test["image"]) for way, tell in ways.items()}

    def describe(model: Model) -> dict[str, Any]:
        return measured(config, classes, test, told(model, test))

    rows = [
        {"network": way, "seed": 0, "status": "ok", **measured(config, classes, test, found)}
        for way, found in given.items()
    ]
    rows += [
        {**row, "network": WORDS[row["network"]]} for row in experiment.described(trained, describe)
    ]
    by = "network", *experiment.varied(config, "learning_rate")
    rows = experiment.numbered(rows, by)
    experiment.report(
        config,
        trained.out,
        "Segmentation of composites",
        rows,
        by,
        MEASURES,
        lambda: figures(classes, rows, test, given, trained.result),
        trained.result,
        notes(config, weights),
    )


def build(
    config: Config, classes: int, weights: Sequence[float] | None, network: Literal[NETWORKS]
) -> Method:
    """Returns the segmenter with one of the networks."""
    if network == "unet":
        made = nets.unet(classes, config.channels, dropout=0.0)
    else:
        made = nets.segnet(classes, config.channels, kernel=config.kernel, unpooling=network)
    return methods.segmenter(made, classes, weights=weights)


def simple(
    config: Config, train: data.Dataset, weights: Sequence[float] | None
) -> dict[str, Callable[[Array], np.ndarray]]:
    """What needs no network: the largest class, and the pixels around each one."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(0)
    some = data.head(train, min(train.size, 1000))
    seen = windows(some["image"], config.window)
    chosen = random.integers(0, seen.shape[:3], (config.pixels, 3))
    at = tuple(chosen.T)
    balance = None if weights is None else dict(enumerate(weights))
    logistic = LogisticRegression(C=1.0, max_iter=500, class_weight=balance)
    fitted = make_pipeline(StandardScaler(), logistic)
    fitted.fit(seen[at].reshape(config.pixels, -1), np.asarray(some["mask"])[at])

    def regression(images: Array) -> np.ndarray:
        found = []
        for image in np.asarray(images):
            around = windows(image[None], config.window)[0]
            found.append(fitted.predict(around.reshape(-1, around[0, 0].size)))
        return np.reshape(found, images.shape[:3]).astype(np.int32)

    return {GROUND: lambda images: np.zeros(images.shape[:3], np.int32), PIXELS: regression}


def windows(images: Array, side: int) -> np.ndarray:
    """The pixels around each one, [N, H, W, C, side, side]; edges are mirrored."""
    half = side // 2
    padded = np.pad(np.asarray(images), ((0, 0), (half, half), (half, half), (0, 0)), "reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side), (1, 2))


def told(model: Model, batch: Batch) -> np.ndarray:
    """What a network takes every pixel for, int [N, H, W]."""
    return np.asarray(model.predict({"image": batch["image"]})).argmax(axis=-1)


def measured(config: Config, classes: int, test: Batch, found: np.ndarray) -> dict[str, float]:
    """How well pixels, and edges, are told."""
    counts = metrics.confusion(found, test["mask"], classes)
    edges = metrics.boundary_f1(found, test["mask"], classes, float(config.tolerance))
    return {**metrics.segmentation_quality(counts), "boundary_f1": edges}


def notes(config: Config, weights: Sequence[float] | None) -> list[str]:
    """Says what is measured, and what classes weigh."""
    said = [
        "mean_iou: intersection over union, the mean of classes, over all test images together; "
        f"boundary_f1: of edges within {config.tolerance} pixel(s), the mean of classes and images."
    ]
    if weights is not None:
        names = composites.CLASSES if config.dataset == "composites" else range(len(weights))
        named = zip(names, weights, strict=True)
        said.append(f"Weights of classes: {', '.join(f'{k} {w:.2f}' for k, w in named)}.")
    return said


def figures(
    classes: int,
    rows: Sequence[Mapping[str, Any]],
    test: Batch,
    given: Mapping[str, np.ndarray],
    result: training.Result,
) -> dict[str, Any]:
    """Draws what pixels are taken for, and the measures."""
    few = np.linspace(0, len(test["image"]) - 1, 10).astype(int)
    colours = np.array([[0.1, 0.1, 0.1], [0.9, 0.6, 0], [0.35, 0.7, 0.9], [0.8, 0.47, 0.65]])
    colours = np.resize(colours, (classes, 3))
    batch = {"image": test["image"][few]}
    table = {"image": np.asarray(batch["image"]), "classes": colours[np.asarray(test["mask"])[few]]}
    table[PIXELS] = colours[given[PIXELS][few]]
    for name, model in experiment.firsts(result, "network").items():
        table[WORDS[name]] = colours[told(model, batch)]
    drawn = {"Test images, their classes, and what pixels are taken for.": plots.image_rows(table)}
    for measure, words in (("mean_iou", "mean IoU"), ("boundary_f1", "boundary F1")):
        points = plots.mean_table(rows, lambda row: row["network"], {measure: words})
        drawn[f"The {words} of every way."] = plots.dots(points, words)
    return drawn


if __name__ == "__main__":
    cli.main(segmentation, PRESETS)
