"""Greedy layer-wise pre-training: what it gives an autoencoder, and a classifier with few labels.

    python experiments/stacked_ae.py

With few labelled digits pre-training adds points of accuracy, with more it adds fewer. Fine-tuned
after greedy training, the autoencoder's squared error is lower than after as many steps from
scratch.

Reference: Vincent et al. (2010), Stacked Denoising Autoencoders, sections 3 and 6; Erhan et al.
(2010), Why Does Unsupervised Pre-training Help Deep Learning?
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, corruptions, data, experiment, losses, methods, nets, plots, training
from ae_jax.core import FRACTION, NOT_NEGATIVE, Array, Method
from ae_jax.experiment import Count, Swept
from ae_jax.methods import penalties
from ae_jax.recipes import greedy


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    layers: Literal["plain", "denoising", "contractive"] = "denoising"
    """What keeps a layer from copying its input; not swept."""
    corruption_level: Swept[Annotated[float, FRACTION]] = (0.5,)
    """Of denoising layers: the probability of each of a layer's inputs to be masked."""
    contractive_weight: Swept[Annotated[float, NOT_NEGATIVE]] = (0.1,)
    """Of contractive layers."""
    widths: tuple[Count, ...] = (256, 128, 64)
    """Units of the layers, upwards; not swept."""
    activation: Literal["sigmoid", "tanh", "relu"] = "sigmoid"
    """Of every layer; not swept."""
    layer_learning_rate: Swept[float] = (3e-3,)
    """Of the greedy training; learning_rate is that of what follows it."""
    layer_steps: Count = 1500
    """For each layer."""
    steps: Count = 1500
    """Of fine-tuning the whole autoencoder."""
    labels: Swept[Count] = (50, 100, 500, 1000)
    """How many training images a classifier sees with their labels; each seed draws its own."""
    classifier_steps: Count = 1000
    seeds: Count = 5


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
STRENGTH = {"plain": (), "denoising": ("corruption_level",), "contractive": ("contractive_weight",)}
#: Whether a classifier's encoder was pre-trained and whether it is trained on, in words.
WAYS = {(1, True): "pre-trained", (0, True): "from scratch", (1, False): "pre-trained, frozen"}


def stacked_ae(config: Config) -> None:
    """Pre-trains layer by layer, then fine-tunes an autoencoder and classifiers."""
    splits = experiment.load_splits(config)
    orders, classes = experiment.label_orders(config, splits, config.labels)
    settings = ("layer_learning_rate", *STRENGTH[config.layers])
    values = {name: getattr(config, name) for name in settings}
    options = experiment.run_options(config, splits)
    out = cli.directory(config, "stacked_ae")
    lanes = training.grid(**values, seed=range(config.seeds))
    layer_lanes = [{name.removeprefix("layer_"): lane[name] for name in lane} for lane in lanes]
    layers, bernoulli = stack_layers(config, splits.image_shape), methods.observations.bernoulli()
    whole = methods.autoencoder(*greedy.networks(layers), reconstruction=bernoulli)
    experiment.check(whole, experiment.lanes(config, {}))
    stack = greedy.train(
        layers,
        splits.train,
        layer_lanes,
        config.layer_steps,
        out / "layers",
        **options,
    )
    experiment.complete(stack.results[-1])
    begun = {tuple(lane.values()): parts for lane, parts in zip(lanes, stack.start, strict=True)}

    def start(lane: Mapping[str, Any]) -> dict[str, Any]:
        """What the layers of a lane's settings and seed have learned."""
        return begun[*(lane[name] for name in settings), lane["seed"]]

    def run(method: Any, lanes: Sequence[Any], steps: int, part: str, start: Any = None) -> Any:
        result = training.run(
            method, splits.train, lanes, steps, out / part, start=start, select="best", **options
        )
        experiment.complete(result)
        return result

    before = len(config.widths) * config.layer_steps
    lanes, steps = experiment.lanes(config, values), config.steps
    tuned = run(carrying(whole, settings), lanes, steps, "fine-tuned", [*map(start, lanes)])
    scratch = run(whole, experiment.lanes(config, {}), before + steps, "from-scratch")

    drawn = np.unique(orders)  # what any seed has the labels of
    pool, places = data.subset(splits.train, drawn), np.searchsorted(drawn, orders)

    def build(train_encoder: bool) -> Method:
        method = methods.classifier(stack.encoder, classes, train_encoder=train_encoder)
        return carrying(methods.few_labels(method, pool), settings)

    lanes = classifier_lanes(config, values)
    starts = [{"order": places[x["seed"]], "encoder": start(x)["encoder"]} for x in lanes]
    result = run(build, lanes, config.classifier_steps, "classifiers", starts)
    rows = [described(row, settings) for row in result.rows]
    varied = experiment.varied(config, *settings, "learning_rate")
    test = data.head(splits.test, 5000)["image"]

    def greedily(lane: Mapping[str, Any], x: Array) -> Array:
        """What the layers alone make of images."""
        latent = stack.encoder.apply(start(lane)["encoder"], x)
        return jax.nn.sigmoid(stack.decoder.apply(start(lane)["decoder"], latent))

    untuned = [
        {**row, "squared_error": float(jnp.mean(losses.squared_error(greedily(row, test), test)))}
        for row in tuned.rows
    ]
    experiment.report(
        config,
        out,
        f"Greedy layer-wise pre-training on {config.dataset}",
        rows,
        ("labels", "way", *varied),
        ("accuracy", "loss", "best_step"),
        lambda: {
            **experiment.accuracy_curves(rows, "way", varied),
            **errors({"fine-tuned": (tuned, before), "from scratch": (scratch, 0)}, out, varied),
            "Test images (top) and their reconstructions.": plots.reconstructions(
                test[:16],
                {
                    "greedy": greedily(tuned.rows[0], test[:16]),
                    "fine-tuned": experiment.model(tuned, 0).reconstruct({"image": test[:16]}),
                    "from scratch": experiment.model(scratch, 0).reconstruct({"image": test[:16]}),
                },
            ),
            f"Filters of the first {config.layers} layer, the largest norm first.": plots.filters(
                nets.layers(start(tuned.rows[0])["encoder"])[0].kernel,
                splits.image_shape,
                count=40,
                heading=f"{config.layers} layer",
            ),
        },
        result,
        [
            *experiment.accuracy_gains(rows, "way", "from scratch", varied),
            f"Squared error per test image: {means(untuned, varied)} after greedy training, "
            f"{means(tuned.rows, varied)} after {steps} steps of fine-tuning it, "
            f"{means(scratch.rows, varied)} after {before + steps} steps from scratch.",
        ],
    )


def stack_layers(config: Config, shape: Sequence[int]) -> list[greedy.Layer]:
    """Returns the layers; each is tied while it is trained, on cross-entropy where it can be."""
    closed = "sigmoid" if config.activation == "sigmoid" else "jacobian"
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "denoising": {"corruption": corruptions.masking},
        "contractive": {"penalties": [penalties.contractive(method=closed)]},
    }
    return greedy.autoencoder_layers(
        config.widths, shape, activation=config.activation, tied=True, **kinds[config.layers]
    )


def classifier_lanes(config: Config, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the lanes of classifiers; those from scratch have no use for the layers' settings."""
    ways = {"labels": config.labels, "train_encoder": [True, False], "pretrained": [1, 0]}
    first = {name: value[0] for name, value in values.items()}
    return [
        lane
        for lane in training.grid(
            **ways, learning_rate=config.learning_rate, **values, seed=range(config.seeds)
        )
        if lane["pretrained"] or (lane["train_encoder"] and first.items() <= lane.items())
    ]


def carrying(method: Method, settings: Sequence[str]) -> Method:
    """Returns a method whose lanes may carry what their layers were trained with."""
    return method._replace(hparams={**method.hparams, **dict.fromkeys(settings, 0.0)})


def described(row: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Returns a classifier's row with its way in words and its accuracy in percent."""
    row = dict(row)
    way = WAYS[row.pop("pretrained"), row.pop("train_encoder")]
    if way == "from scratch":
        row |= dict.fromkeys(settings)
    return {"lane": row["lane"], "way": way, **row, "accuracy": 100 * (1 - row["error"])}


def means(rows: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> str:
    """Returns the squared error over seeds in words, for each value of what is swept."""
    by = [name for name in varied if name in rows[0]]
    return ", ".join(
        f"{point['squared_error']:.2f}" + "".join(f" ({name} {point[name]:g})" for name in by)
        for point in plots.aggregate(rows, by, ["squared_error"])
    )


def errors(
    curves: Mapping[str, tuple[training.Result, int]], out: Path, varied: Sequence[str]
) -> dict[str, Any]:
    """Draws the error during fine-tuning and from scratch, against all steps taken."""
    series = {}
    for way, (result, before) in curves.items():
        by = [name for name in varied if name in result.rows[0]]
        seen = plots.history(experiment.records(out / way.replace(" ", "-")), result.rows)
        series |= plots.mean_curves(
            [{**row, "step": before + row["step"]} for row in seen],
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


if __name__ == "__main__":
    cli.main(stacked_ae, PRESETS)
