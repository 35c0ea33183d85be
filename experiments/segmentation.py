"""Every pixel told its class: SegNet with and without its places, a U-Net, and what is not sure.

    python experiments/segmentation.py

Sprites before pieces of photographs that no training image had. Of networks of one size, what was
largest in a window goes back to its place, or is repeated over it, or features of each level are
handed across. A Bayesian SegNet is the mean of many draws of its dropout; how unsure it is, is
compared with where it errs. Your own images with masks: `--dataset npz:FILE` or `masks:FOLDER`.

Reference: Badrinarayanan, Kendall and Cipolla (2017), SegNet; Ronneberger, Fischer and Brox (2015),
U-Net; Kendall, Badrinarayanan and Cipolla (2015), Bayesian SegNet.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import BELOW_ONE, Array, Batch, InputError, Method, Views
from ae_jax.data.sources import composites
from ae_jax.experiment import Count, Model, Swept, pixels

#: Networks: by what the way up is told of the way down.
NETWORKS = "places", "nearest", "unet", "bayesian"
WORDS = {"places": "SegNet", "nearest": "SegNet without places", "unet": "U-Net"}
WORDS |= {"bayesian": "Bayesian SegNet"}
LARGEST, PIXELS = "largest class", "logistic regression"
MEASURES = "mean_iou", "boundary_f1", "class_accuracy", "global_accuracy", "entropy_auroc"
MEASURES += ("information_auroc", "variance_auroc")
#: Test images that a network is shown at a time.
TOGETHER = 10


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "composites"
    """Two sprites before a piece of a photograph; or npz:FILE with image and mask, masks:FOLDER."""
    network: Swept[Literal[NETWORKS]] = NETWORKS
    """A SegNet that puts values back to their places, or repeats them; a U-Net; with dropout."""
    channels: tuple[Count, ...] = (8, 16, 32)
    """Of the levels, each of which halves the image; not swept."""
    kernel: Count = 3
    """The side of convolutions."""
    dropout: Annotated[float, BELOW_ONE] = 0.1
    """Of the Bayesian SegNet, behind every level, in training and in tests."""
    samples: Count = 20
    """Of its dropout, for each test image."""
    balanced: bool = True
    """Whether rare classes weigh more, by median frequency balancing."""
    window: Count = 7
    """Of pixels around one, a side, that logistic regression is shown."""
    pixels: Count = 20_000
    """That it is trained on."""
    tolerance: Count = 1
    """In pixels, of edges."""
    learning_rate: Swept[float] = (1e-2,)
    """At first; it falls to 0 as a half cosine."""
    steps: Count = 200
    seeds: Count = 5
    batch_size: Count = 8
    test_images: Count = 200


PRESETS = {
    "default": Config(),
    "smoke": Config(
        network=("places", "bayesian"), channels=(2, 2), samples=2, window=1, pixels=200, seeds=1,
        steps=5, batch_size=4, test_images=4,
    ),
    "long": Config(channels=(16, 32, 64), steps=10_000, batch_size=16, test_images=500),
    # Badrinarayanan et al. (2017), section 3: four levels of 64, 7x7; Kendall et al. (2015)
    "paper": Config(
        channels=(64, 64, 64, 64), kernel=7, dropout=0.5, samples=50, steps=80_000, batch_size=12,
        test_images=500,
    ),
}  # fmt: skip


def segmentation(config: Config) -> None:
    """Trains networks, and compares them with what needs none."""
    if config.window % 2 == 0:
        raise InputError(f"--window is {config.window}: use an odd number of pixels")
    splits = experiment.load_splits(config, kinds=("mask",))
    classes = pixels.count_classes(config.dataset, splits)
    some, masks = (data.head(splits.train, n) for n in (pixels.SOME, splits.train.size))
    masks = masks["mask"]
    weights = tuple(metrics.median_frequency_weights(masks, classes)) if config.balanced else None
    regression = pixels.logistic_regression(
        some["image"], some["mask"], config.window, config.pixels, weights
    )
    ways = {LARGEST: pixels.largest_class(masks), PIXELS: regression}
    trained = experiment.sweep(
        config,
        "segmentation",
        functools.partial(build, config, classes, weights),
        splits,
        {"network": config.network},
        schedules=[training.warmup_cosine(config.steps)],
    )
    test = data.head(splits.test, config.test_images)
    given = {way: tell(test["image"]) for way, tell in ways.items()}

    def quality(found: np.ndarray) -> dict[str, float]:
        return pixels.quality(found, test["mask"], classes, float(config.tolerance))

    def describe(model: Model) -> dict[str, Any]:
        found, scores = told(config, model, test["image"])
        sure = pixels.error_auroc(found, test["mask"], scores)
        return {**quality(found), **sure, **pixels.at_errors(found, test["mask"], scores)}

    rows = [
        {"network": way, "seed": 0, "status": "ok", **quality(found)}
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
        f"Segmentation of {config.dataset}",
        rows,
        by,
        MEASURES,
        lambda: figures(config, classes, rows, test, given[PIXELS], trained.result),
        trained.result,
        notes(config, rows, weights),
    )


def build(
    config: Config, classes: int, weights: Sequence[float] | None, network: Literal[NETWORKS]
) -> Method:
    """Returns the segmenter with one of the networks."""
    unpooling = {"unet": "features", "bayesian": "places"}.get(network, network)
    dropout = config.dropout if network == "bayesian" else 0.0
    options = {"kernel": config.kernel, "unpooling": unpooling, "dropout": dropout}
    made = nets.segnet(classes, config.channels, **options)
    return methods.segmenter(made, classes, weights=weights)


@functools.cache
def program(views: Views, samples: int) -> Callable[..., metrics.Predictive]:
    """(key, state, hparams, images) -> what pixels are, of one pass or of some draws."""

    def seen(key: Array, state: Any, hparams: Any, images: Array) -> metrics.Predictive:
        batch = {"image": images}
        if not samples:
            return metrics.predictive(views.predict(state, batch, hparams)[None])
        return metrics.monte_carlo(
            lambda key: views.predict_noisy(key, state, batch, hparams), key, samples
        )

    return jax.jit(seen)


def told(config: Config, model: Model, images: Array) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What a network takes every pixel for, int [N, H, W], and how unsure it is of each."""
    samples = config.samples if model.row["network"] == "bayesian" else 0
    see = functools.partial(program(model.method.views, samples), jax.random.key(0))
    parts = [
        jax.tree.map(np.asarray, see(model.state, model.hparams, images[i : i + TOGETHER]))
        for i in range(0, len(images), TOGETHER)
    ]
    whole = metrics.Predictive(*map(np.concatenate, zip(*parts, strict=True)))
    scores = {"entropy": whole.entropy}
    if samples:
        scores["information"] = whole.mutual_information
        scores["variance"] = whole.variance.mean(axis=-1)
    return whole.probabilities.argmax(axis=-1), scores


def notes(
    config: Config, rows: Sequence[Mapping[str, Any]], weights: Sequence[float] | None
) -> list[str]:
    """Says what is measured, how sure the Bayesian SegNet is, and what classes weigh."""
    said = [
        "mean_iou: intersection over union, the mean of classes, over all test images together; "
        f"boundary_f1: of edges within {config.tolerance} pixel(s), the mean of classes and "
        "images; entropy_auroc: the probability that a wrong pixel has more entropy than a right "
        "one; information_auroc and variance_auroc likewise, of what draws disagree in.",
    ]
    drawn = [row for row in rows if {"information_wrong", "information_right"} <= row.keys()]
    for name in ("entropy", "information") if drawn else ():
        kinds = (f"{name}_wrong", f"{name}_right")
        wrong, right = (np.mean([row[kind] for row in drawn]) for kind in kinds)
        said.append(
            f"Bayesian SegNet, {config.samples} draws: {name} {wrong:.4f} nats at wrong pixels, "
            f"{right:.4f} at right ones."
        )
    if weights is not None:
        names = composites.CLASSES if config.dataset == "composites" else range(len(weights))
        named = zip(names, weights, strict=True)
        said.append(f"Weights of classes: {', '.join(f'{k} {w:.2f}' for k, w in named)}.")
    return said


def figures(
    config: Config,
    classes: int,
    rows: Sequence[Mapping[str, Any]],
    test: Batch,
    given: np.ndarray,
    result: training.Result,
) -> dict[str, Any]:
    """Draws what pixels are taken for, the measures, and the errors among the surest pixels."""
    some = np.unique(np.linspace(0, len(test["image"]) - 1, 10).astype(int))
    mask, colours = np.asarray(test["mask"]), pixels.colours(classes)
    images = np.asarray(test["image"])[some]
    images = images[..., : 3 if images.shape[-1] >= 3 else 1]
    table = {"image": images, "classes": colours[mask[some]], PIXELS: colours[given[some]]}
    curves, models = {}, experiment.firsts(result, "network")
    for network in (name for name in NETWORKS if name in models):
        found, scores = told(config, models[network], test["image"])
        table[WORDS[network]] = colours[found[some]]
        for name in ("entropy", "information"):
            if name in scores and network in ("places", "bayesian"):
                words = f"{WORDS[network]}, {name.replace('info', 'mutual info')}"
                curves[words] = pixels.risk(found, mask, scores[name])
        if network == "bayesian":
            unsure = scores["entropy"][some] / np.log(classes)
            wrong = (found != mask)[some] & (mask[some] >= 0)
            table |= {"how unsure": unsure[..., None], "where wrong": wrong[..., None]}
    table = {name: np.broadcast_to(cells, (*cells.shape[:3], 3)) for name, cells in table.items()}
    named = "orange a square, blue an ellipse, pink a heart"
    words = f": {named}" if config.dataset == "composites" else ""
    columns = {"mean_iou": "mean IoU", "boundary_f1": "boundary F1"}
    points = plots.mean_table(rows, lambda row: row["network"], columns)
    drawn = {
        f"Test images, their classes, and what pixels are taken for{words}. Below, the entropy of "
        "what the Bayesian SegNet predicts, and its errors.": plots.image_rows(table),
        "The mean IoU of every way, and the F1 of its edges.": plots.dots(points, "IoU, F1"),
    }
    if curves:
        drawn["Errors among the surest pixels, by different uncertainties; one seed."] = (
            plots.lines(curves, "share of pixels, surest first", "share of wrong ones")
        )
    return drawn


if __name__ == "__main__":
    cli.main(segmentation, PRESETS, description=__doc__)
