"""What starts a classifier best when labels are few: machines, autoencoders or nothing.

    python experiments/dbn_pretraining.py

With few labelled digits a belief network adds more to a classifier's accuracy than a stacked
denoising autoencoder does, and both add more than nothing; the more labels, the less.

Reference: Hinton and Salakhutdinov (2006), Reducing the Dimensionality of Data with Neural
Networks; Erhan et al. (2010), Why Does Unsupervised Pre-training Help Deep Learning?
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optax

from ae_jax import cli, corruptions, data, experiment, methods, nets, plots, training
from ae_jax.methods import boltzmann
from ae_jax.recipes import greedy


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    widths: tuple[experiment.Count, ...] = (256, 128, 64)
    """Sigmoid layers of the classifier, upwards; not swept."""
    estimator: str = "cd-1"
    """Of the machines' gradients; they follow it with Adam."""
    machine_learning_rate: float = 0.01
    """Of the machines, at first; it falls to 0 as a half cosine."""
    autoencoder_learning_rate: float = 3e-3
    """Of the denoising autoencoders, likewise."""
    corruption_level: float = 0.5
    """Of the autoencoders: the probability of each of a layer's inputs to be masked."""
    layer_steps: experiment.Count = 2000
    """For each layer."""
    labels: experiment.Swept[experiment.Count] = (50, 100, 500, 1000)
    """How many training images a classifier sees with their labels; each seed draws its own."""
    steps: experiment.Count = 1000
    """Of a classifier."""
    seeds: experiment.Count = 5


PRESETS = {
    "default": Config(),
    "smoke": Config(widths=(8,), layer_steps=20, steps=20, labels=(100,), seeds=2),
    "paper": Config(
        dataset="mnist",
        widths=(1000, 1000, 1000),
        corruption_level=0.25,
        machine_learning_rate=1e-3,
        autoencoder_learning_rate=1e-3,
        layer_steps=50_000,
        labels=(100, 600, 1000, 3000),
        steps=20_000,
        batch_size=100,
    ),
}
#: What starts a classifier, by the number that its lanes carry.
STARTS = ("belief network", "stacked autoencoder", "from scratch")


def dbn_pretraining(config: Config) -> None:
    """Pre-trains two stacks and compares classifiers that start from them, or from nothing."""
    splits = experiment.load_splits(config)
    orders, classes = experiment.label_orders(config, splits, config.labels)
    drawn = np.unique(orders)  # what any seed has the labels of
    pool, places = data.subset(splits.train, drawn), np.searchsorted(drawn, orders)
    layers = greedy.rbm_layers(
        config.widths,
        splits.image_shape,
        estimator=boltzmann.estimator(config.estimator),
        optimizer=optax.scale_by_adam(),
    )
    phases = {
        "machines": (layers, {"learning_rate": config.machine_learning_rate}),
        "autoencoders": (
            autoencoders(config, splits.image_shape),
            {
                "learning_rate": config.autoencoder_learning_rate,
                "corruption_level": config.corruption_level,
            },
        ),
    }
    method = methods.few_labels(methods.classifier(greedy.networks(layers)[0], classes), pool)
    method = method._replace(hparams={**method.hparams, "started_by": 0.0})
    values = {"labels": config.labels, "started_by": range(len(STARTS))}
    lanes = [
        {**lane, "pretrained": float(lane["started_by"] < len(STARTS) - 1)}
        for lane in experiment.lanes(config, values)
    ]
    experiment.check(method, lanes)
    for stack, settings in phases.values():
        for layer in stack:
            experiment.check(layer.method, experiment.lanes(config, settings))
    stacks = [
        experiment.pretrain(
            config, "dbn_pretraining", stack, splits, settings, config.layer_steps, part=phase
        )
        for phase, (stack, settings) in phases.items()
    ]
    out = cli.directory(config, "dbn_pretraining")
    result = training.run(
        method,
        splits.train,
        lanes,
        config.steps,
        out / "classifiers",
        start=[
            {
                "order": places[lane["seed"]],
                "encoder": stacks[min(lane["started_by"], 1)].start[lane["seed"]]["encoder"],
            }
            for lane in lanes
        ],
        select="best",
        **experiment.run_options(config, splits),
    )
    experiment.complete(result)
    rows = [described(row) for row in result.rows]
    varied = experiment.varied(config, "learning_rate")
    experiment.report(
        config,
        out,
        f"Pre-training classifiers with few labels on {config.dataset}",
        rows,
        ("labels", "start", *varied),
        ("accuracy", "loss", "best_step"),
        lambda: figures(rows, varied, stacks, splits),
        result,
        experiment.accuracy_gains(rows, "start", STARTS[-1], varied),
    )


def autoencoders(config: Config, shape: tuple[int, ...]) -> list[greedy.Layer]:
    """Returns denoising autoencoders of the same layers, with tied weights."""
    layers = []
    for width in config.widths:
        encoder = nets.mlp(width, (), output_activation="sigmoid")
        logits = nets.mlp(shape, ())
        method = methods.autoencoder(
            encoder,
            logits,
            reconstruction=methods.observations.bernoulli(),
            corruption=corruptions.masking,
            tie=nets.transposed,
        )

        def parts(state: Any) -> dict[str, Any]:
            own = state.params["encoder"]
            return {"encoder": own, "decoder": nets.transposed.join(own, state.params["decoder"])}

        layers.append(greedy.Layer(encoder, logits, method, parts))
        shape = (width,)
    return layers


def described(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a classifier's row with its start in words and its accuracy in percent."""
    kept = {key: row[key] for key in row if key not in ("started_by", "pretrained", "lane")}
    start = STARTS[int(row["started_by"])]
    return {"lane": row["lane"], "start": start, **kept, "accuracy": 100 * (1 - row["error"])}


def figures(
    rows: Sequence[Mapping[str, Any]],
    varied: Sequence[str],
    stacks: Sequence[greedy.Stack],
    splits: experiment.Splits,
) -> dict[str, Any]:
    """Draws accuracies against the number of labels, and the filters that are the start."""
    drawn = experiment.accuracy_curves(rows, "start", varied)
    for start, stack in zip(STARTS[:-1], stacks, strict=True):
        kernel = nets.layers(stack.start[0]["encoder"])[0].kernel
        drawn[f"Filters of the first layer of a {start}, the largest norm first."] = plots.filters(
            kernel, splits.image_shape, count=40, heading=start
        )
    return drawn


if __name__ == "__main__":
    cli.main(dbn_pretraining, PRESETS)
