"""Greedy layer-wise pre-training: what it gives an autoencoder, and a classifier with few labels.

    python experiments/stacked_ae.py

With few labelled digits pre-training adds points of accuracy, with more it adds fewer. Fine-tuned
after greedy training, the autoencoder's squared error is lower than after as many steps from
scratch.

Reference: Vincent et al. (2010), Stacked Denoising Autoencoders, sections 3 and 6; Erhan et al.
(2010), Why Does Unsupervised Pre-training Help Deep Learning?
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, corruptions, data, experiment, methods, nets, plots, training
from ae_jax.core import Array, Dataset, InputError, Method
from ae_jax.methods import penalties
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.recipes import greedy


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    layers: Literal["plain", "denoising", "contractive"] = "denoising"
    """What keeps a layer from copying its input; not swept."""
    corruption_level: tuple[float, ...] = (0.5,)
    """Of denoising layers: the probability of each of a layer's inputs to be masked."""
    contractive_weight: tuple[float, ...] = (0.1,)
    """Of contractive layers."""
    widths: tuple[int, ...] = (256, 128, 64)
    """Units of the layers, upwards; not swept."""
    activation: Literal["sigmoid", "tanh", "relu"] = "sigmoid"
    """Of every layer; not swept."""
    layer_learning_rate: tuple[float, ...] = (3e-3,)
    """Of the greedy training; learning_rate is that of what follows it."""
    layer_steps: int = 1500
    """For each layer."""
    steps: int = 1500
    """Of fine-tuning the whole autoencoder."""
    labels: tuple[int, ...] = (50, 100, 500, 1000)
    """How many training images a classifier sees with their labels; each seed draws its own."""
    classifier_steps: int = 1000
    seeds: int = 5


PRESETS = {
    "default": Config(),
    "smoke": Config(
        widths=(8,), layer_steps=30, steps=30, labels=(100,), classifier_steps=30, seeds=2
    ),
    "paper": Config(
        dataset="mnist",
        corruption_level=(0.25,),
        widths=(1000, 1000, 1000),
        layer_learning_rate=(1e-3,),
        layer_steps=50_000,
        steps=50_000,
        labels=(100, 600, 1000, 3000),
        classifier_steps=20_000,
        batch_size=100,
    ),
}
#: The strength of each kind of layer.
STRENGTHS = {
    "plain": (),
    "denoising": ("corruption_level",),
    "contractive": ("contractive_weight",),
}
#: Whether a classifier's encoder was pre-trained and whether it is trained on, in words.
WAYS = {
    (1, True): "pre-trained",
    (0, True): "from scratch",
    (1, False): "pre-trained, frozen",
}


class Lanes(NamedTuple):
    """The lanes of every phase; all but the first carry the layers' settings by name."""

    layers: list[dict[str, Any]]
    tuned: list[dict[str, Any]]
    scratch: list[dict[str, Any]]
    classifiers: list[dict[str, Any]]


def stacked_ae(config: Config) -> None:
    """Pre-trains layer by layer, then fine-tunes an autoencoder and classifiers."""
    experiment.at_least(config, 1, "widths", "layer_steps", "classifier_steps")
    splits = experiment.load(config)
    orders, classes = experiment.label_orders(config, splits, config.labels)
    layers = stack_layers(config, splits.image_shape)
    settings = ("layer_learning_rate", *STRENGTHS[config.layers])
    experiment.grid(config, {name: getattr(config, name) for name in settings})
    lanes = all_lanes(config, settings)
    options = experiment.run_options(config, splits)
    out = cli.directory(config, "stacked_ae")
    stack = greedy.train(
        layers, splits.train, lanes.layers, config.layer_steps, out / "layers", **options
    )
    begun = {tuple(x.values()): parts for x, parts in zip(lanes.layers, stack.start, strict=True)}

    def start(lane: Mapping[str, Any]) -> dict[str, Any]:
        """What the layers of a lane's settings and seed have learned."""
        return begun[*(lane[name] for name in settings), lane["seed"]]

    experiment.complete(stack.results[-1])

    def run(method: Any, lanes: Sequence[Any], steps: int, part: str, start: Any = None) -> Any:
        result = training.run(
            method, splits.train, lanes, steps, out / part, start=start, select="best", **options
        )
        experiment.complete(result)
        return result

    whole = methods.autoencoder(
        stack.encoder, stack.decoder, reconstruction=methods.observations.bernoulli()
    )
    carrying = with_settings(whole, settings)
    total = len(layers) * config.layer_steps + config.steps
    tuned = run(carrying, lanes.tuned, config.steps, "fine-tuned", [*map(start, lanes.tuned)])
    scratch = run(whole, lanes.scratch, total, "from-scratch")

    drawn = np.unique(orders)  # what any seed has the labels of
    pool, places = data.subset(splits.train, drawn), np.searchsorted(drawn, orders)

    def build(train_encoder: bool) -> Method:
        method = methods.classifier(stack.encoder, classes, train_encoder=train_encoder)
        return with_settings(methods.few_labels(method, pool), settings)

    result = run(
        build,
        lanes.classifiers,
        config.classifier_steps,
        "classifiers",
        [
            {"order": places[lane["seed"]], "encoder": start(lane)["encoder"]}
            for lane in lanes.classifiers
        ],
    )
    rows = [described(row, settings) for row in result.rows]
    before = [
        {**row, "squared_error": squared_error(stack, start(row), splits.test)}
        for row in tuned.rows
    ]
    varied = experiment.swept(config, *settings, "learning_rate")
    curves = [("fine-tuned", tuned, total - config.steps), ("from scratch", scratch, 0)]
    experiment.report(
        config,
        out,
        f"Greedy layer-wise pre-training on {config.dataset}",
        rows,
        ("labels", "way", *varied),
        ("accuracy", "loss", "best_step"),
        lambda: {
            **accuracies(rows, varied),
            **errors(curves, out, varied),
            **pictures(config, splits, stack, start, tuned, scratch),
        },
        result,
        [
            *gains(rows, varied),
            f"Squared error per test image: {means(before, varied)} after greedy training, "
            f"{means(tuned.rows, varied)} after {config.steps} steps of fine-tuning it, "
            f"{means(scratch.rows, varied)} after {total} steps from scratch.",
        ],
    )


def all_lanes(config: Config, settings: Sequence[str]) -> Lanes:
    """Returns the lanes of every phase; those from scratch have no use for the settings."""
    values = {name: getattr(config, name) for name in settings}
    own = {"learning_rate": config.learning_rate}
    seed = {"seed": range(config.seeds)}
    layers = [
        {name.removeprefix("layer_"): value for name, value in lane.items()}
        for lane in training.grid(**values, **seed)
    ]
    classifiers = training.grid(
        labels=config.labels,
        train_encoder=[True, False],
        pretrained=[1, 0],
        **own,
        **values,
        **seed,
    )
    first = {name: value[0] for name, value in values.items()}
    return Lanes(
        layers,
        training.grid(**own, **values, **seed),
        training.grid(**own, **seed),
        [
            lane
            for lane in classifiers
            if lane["pretrained"] or (lane["train_encoder"] and first.items() <= lane.items())
        ],
    )


def stack_layers(config: Config, image_shape: tuple[int, int, int]) -> list[greedy.Layer]:
    """Returns the layers; each is tied while it is trained, on cross-entropy where it can be."""
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "denoising": {"corruption": corruptions.masking},
        "contractive": {
            "penalties": [
                penalties.contractive(
                    method="sigmoid" if config.activation == "sigmoid" else "jacobian"
                )
            ]
        },
    }
    if not config.widths:
        raise InputError("widths must name at least one layer")

    def parts(state: GradientState) -> dict[str, Any]:
        encoder, own = state.params["encoder"], state.params["decoder"]
        return {"encoder": encoder, "decoder": nets.transposed.join(encoder, own)}

    layers, below = [], tuple(image_shape)
    for width in config.widths:
        image = len(layers) == 0
        logits = image or config.activation == "sigmoid"
        back = "linear" if image else config.activation
        encoder = nets.mlp(width, (), output_activation=config.activation)
        method = methods.autoencoder(
            encoder,
            nets.mlp(below, (), output_activation="linear" if logits else back),
            reconstruction=methods.observations.bernoulli()
            if logits
            else methods.observations.squared_error(),
            tie=nets.transposed,
            **kinds[config.layers],
        )
        decoder = nets.mlp(below, (), output_activation=back)
        layers.append(greedy.Layer(encoder, decoder, method, parts))
        below = (width,)
    return layers


def with_settings(method: Method, settings: Sequence[str]) -> Method:
    """Returns a method whose lanes may carry what their layers were trained with."""
    return method._replace(hparams={**method.hparams, **dict.fromkeys(settings, 0.0)})


def described(row: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Returns a classifier's row with its way in words and its accuracy in percent."""
    way = WAYS[row["pretrained"], row["train_encoder"]]
    row = {
        name: value for name, value in row.items() if name not in ("pretrained", "train_encoder")
    }
    if way == "from scratch":
        row |= dict.fromkeys(settings)
    return {"lane": row["lane"], "way": way, **row, "accuracy": 100 * (1 - row["error"])}


def squared_error(stack: greedy.Stack, parts: Mapping[str, Any], test: Dataset) -> float:
    """Returns the stack's mean squared error of test images, summed over pixels."""
    x = experiment.first_batch(test, 5000)["image"]
    found = reconstruct(stack, parts, x)
    return float(jnp.mean(jnp.sum((found - x) ** 2, axis=(1, 2, 3))))


def reconstruct(stack: greedy.Stack, parts: Mapping[str, Any], x: Array) -> Array:
    """Returns images after all layers upwards and downwards, [B, H, W, C]."""
    latent = stack.encoder.apply(parts["encoder"], x)
    return jax.nn.sigmoid(stack.decoder.apply(parts["decoder"], latent))


def means(rows: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> str:
    """Returns the squared error over seeds in words, for each value of what is swept."""
    by = [name for name in varied if name in rows[0]]
    return ", ".join(
        f"{point['squared_error']:.2f}" + "".join(f" ({name} {point[name]:g})" for name in by)
        for point in plots.aggregate(rows, by, ["squared_error"])
    )


def gains(rows: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> list[str]:
    """Says for each number of labels what pre-training adds, seed by seed."""
    ok = [row for row in rows if row["status"] == "ok"]
    scratch = {
        (row["labels"], row["learning_rate"], row["seed"]): row["accuracy"]
        for row in ok
        if row["way"] == "from scratch"
    }
    tuned = [row for row in ok if row["way"] == "pre-trained"]
    gained = [
        {**row, "gain": row["accuracy"] - scratch[key]}
        for row in tuned
        if (key := (row["labels"], row["learning_rate"], row["seed"])) in scratch
    ]
    return [
        f"With {point['labels']} labels pre-training adds {point['gain']:.1f} percentage points "
        "of accuracy"
        + "".join(f", {name} {point[name]:g}" for name in varied)
        + f" ({point['gain'].count} seeds, each against the same labels from scratch)."
        for point in plots.aggregate(gained, ("labels", *varied), ["gain"])
    ]


def accuracies(rows: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> dict[str, Any]:
    """Draws accuracy against the number of labels, a curve for each way."""
    found = plots.mean_curves(
        rows, "labels", "accuracy", lambda row: experiment.named(row["way"], row, varied)
    )
    series = dict(sorted(found.items(), key=lambda item: -item[1][1][-1]))
    return {
        "Accuracy on test images of classifiers that saw so many labels; pre-training saw all "
        "training images and no label.": plots.lines(
            series, "labelled training images", "accuracy (%)", log_x=True
        )
    }


def errors(
    curves: Sequence[tuple[str, training.Result, int]], out: Path, varied: Sequence[str]
) -> dict[str, Any]:
    """Draws the error during fine-tuning and from scratch, against all steps taken."""
    series = {}
    for way, result, offset in curves:
        lanes = {row["lane"]: row for row in result.rows}
        seen = [
            {**lanes[record["lane"]], **record}
            for record in experiment.records(out / way.replace(" ", "-"))
            if record["split"] == "validation"
        ]
        by = [name for name in varied if name in seen[0]]
        series |= plots.mean_curves(
            [{**row, "step": offset + row["step"]} for row in seen],
            "step",
            "squared_error",
            lambda row, way=way, by=by: experiment.named(way, row, by),
        )
    return {
        "Squared error of validation images against all steps, those of the layers included: the "
        "whole autoencoder fine-tuned after greedy training, and from scratch.": plots.lines(
            series, "steps, those of the layers included", "squared error"
        )
    }


def pictures(
    config: Config,
    splits: experiment.Splits,
    stack: greedy.Stack,
    start: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    tuned: training.Result,
    scratch: training.Result,
) -> dict[str, Any]:
    """Draws what the first lanes make of test images, and what the first layer looks for."""
    batch = experiment.first_batch(splits.test, 16)
    parts = start(tuned.rows[0])
    kernel = np.asarray(parts["encoder"]["0"]["Dense_0"]["kernel"])
    return {
        "Test images (top) and their reconstructions.": plots.reconstructions(
            batch["image"],
            {
                "greedy": reconstruct(stack, parts, batch["image"]),
                "fine-tuned": experiment.model(tuned, 0).reconstruct(batch),
                "from scratch": experiment.model(scratch, 0).reconstruct(batch),
            },
        ),
        f"Filters of the first {config.layers} layer, the largest norm first.": plots.filters(
            kernel, splits.image_shape, count=40, heading=f"{config.layers} layer"
        ),
    }


if __name__ == "__main__":
    cli.main(stacked_ae, PRESETS)
