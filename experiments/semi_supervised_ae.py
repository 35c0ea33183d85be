"""Adversarial autoencoders with few labels: a code of a class and a style.

    python experiments/semi_supervised_ae.py

All training digits are reconstructed from a class and a style, and few of them have a label. As
long as they are few, it errs less on test digits than a classifier with the same encoder and the
same labels alone.

Reference: Makhzani et al. (2016), Adversarial Autoencoders, section 5.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, data, experiment, methods, nets, plots, training
from ae_jax.core import NOT_NEGATIVE, Dataset, InputError, Method, Network
from ae_jax.methods import regularisers


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    labels: experiment.Swept[experiment.Count] = (50, 100, 500)
    """How many training images have a label; each seed draws its own."""
    style_size: experiment.Count = 4
    """Numbers of the code beside the class; not swept."""
    widths: tuple[experiment.Count, ...] = (128,)
    """Hidden layers of the encoder, reversed in the decoder; not swept."""
    discriminator_widths: tuple[experiment.Count, ...] = (64,)
    """Hidden layers of both discriminators; not swept."""
    noise: Annotated[float, NOT_NEGATIVE] = 0.25
    """On the encoder's inputs in training, with few labels and from scratch alike; not swept."""
    instance_noise: Annotated[float, NOT_NEGATIVE] = 0.3
    """On what discriminators are shown, so that one-hot classes are not told at once; not swept."""
    learning_rate: experiment.Swept[float] = (3e-3,)
    """Of encoder and decoder, and of the classifier from scratch."""
    rate_of_moves: Annotated[float, NOT_NEGATIVE] = 3e-3
    """Learning rate of the discriminators, and of the encoder against them and on labels."""
    steps: experiment.Count = 2000
    classifier_steps: experiment.Count = 1000
    """Of the classifiers from scratch, of which those of least validation loss count."""
    seeds: experiment.Count = 5


PRESETS = {
    "default": Config(),
    "smoke": Config(
        labels=(100,),
        widths=(8,),
        discriminator_widths=(8,),
        steps=20,
        classifier_steps=20,
        seeds=1,
    ),
    "paper": Config(
        dataset="mnist",
        labels=(100, 1000),
        style_size=10,
        widths=(1000, 1000),
        discriminator_widths=(1000, 1000),
        steps=100_000,
        classifier_steps=20_000,
        batch_size=100,
    ),
}
RATES = ("discriminator_learning_rate", "encoder_learning_rate", "classifier_learning_rate")
ADVERSARIAL, SCRATCH = "adversarial autoencoder", "from scratch"


def build(config: Config, spec: Mapping[str, Any], pool: Dataset, classes: int, way: str) -> Method:
    """Returns what learns from `labels` examples of a pool, of one way."""
    if way == SCRATCH:
        return methods.few_labels(methods.classifier(encoder(config), classes), pool)
    return methods.partly_labelled(
        methods.semi_supervised_adversarial_autoencoder(
            noisy(config, nets.mlp(classes + config.style_size, config.widths)),
            nets.mlp(spec["image"].shape, config.widths[::-1], output_activation="sigmoid"),
            nets.mlp(1, config.discriminator_widths, activation="leaky_relu"),
            nets.mlp(1, config.discriminator_widths, activation="leaky_relu"),
            classes,
            config.style_size,
            **dict.fromkeys(RATES, config.rate_of_moves),
            regularisers=[regularisers.instance_noise(config.instance_noise)],
        ),
        pool,
    )


def encoder(config: Config) -> Network:
    """Returns the hidden layers, on which a classifier puts its output."""
    if not config.widths:
        raise InputError("a classifier's encoder is a hidden layer: give --widths a number or more")
    hidden = nets.mlp(config.widths[-1], config.widths[:-1], output_activation="relu")
    return noisy(config, hidden)


def noisy(config: Config, network: Network) -> Network:
    """Returns the network behind noise on its images."""
    return nets.chain(nets.noise(config.noise), network)


def semi_supervised_ae(config: Config) -> None:
    """Trains adversarial autoencoders, and classifiers that see the same labels alone."""
    splits = experiment.load_splits(config)
    orders, classes = experiment.label_orders(config, splits, config.labels)
    drawn = np.unique(orders)  # what any seed has the labels of
    pool, places = data.subset(splits.train, drawn), np.searchsorted(drawn, orders)
    x = data.head(splits.train, 1)["image"]
    nothing = encoder(config).init(jax.random.key(0), x)  # what no lane starts from
    falling = training.all_rates(training.warmup_cosine(config.steps, config.steps / 20))
    ways = {
        ADVERSARIAL: ({}, {}, {"steps": config.steps, "schedules": [falling]}),
        SCRATCH: (
            {"pretrained": 0.0},
            {"encoder": nothing},
            {"steps": config.classifier_steps, "select": "best"},
        ),
    }
    built = {way: build(config, splits.train.spec, pool, classes, way) for way in ways}
    for way, (own, _, _) in ways.items():
        experiment.check(built[way], experiment.lanes(config, {"labels": config.labels, **own}))
    trained = {}
    for way, (own, start, options) in ways.items():
        values = {"labels": config.labels, **own}
        trained[way] = experiment.sweep(
            config,
            "semi_supervised_ae",
            built[way],
            splits,
            values,
            part=way.replace(" ", "_"),
            start=[
                {"order": places[lane["seed"]], **start}
                for lane in experiment.lanes(config, values)
            ],
            **options,
        )
    rows = experiment.side_by_side(
        [({"way": way}, sweep) for way, sweep in trained.items()],
        lambda model: {"accuracy": 100 * (1 - model.row["error"])},
        ("way", "labels"),
    )
    varied = experiment.varied(config, "learning_rate")
    experiment.report(
        config,
        trained[ADVERSARIAL].out,
        f"Adversarial autoencoders with few labels on {config.dataset}",
        rows,
        ("labels", "way", *varied),
        ("accuracy", "squared_error"),
        lambda: figures(config, rows, trained[ADVERSARIAL].result, splits, classes),
        [sweep.result for sweep in trained.values()],
        experiment.accuracy_gains(rows, "way", SCRATCH, varied),
    )


def figures(
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    result: training.Result,
    splits: experiment.Splits,
    classes: int,
) -> dict[str, Any]:
    """Draws accuracies against the number of labels, and styles of every class."""
    curves = plots.mean_curves(rows, "labels", "accuracy", lambda row: row["way"])
    drawn = {
        "Accuracy on test images; the adversarial autoencoder saw all training images, and as many "
        "labels as the classifier from scratch.": plots.lines(
            curves, "labelled training images", "accuracy (%)", log_x=True
        )
    }
    models = experiment.firsts(result, "labels")
    if not models:
        return drawn
    count = min(models, key=lambda labels: abs(labels - 100))
    style = jax.random.normal(jax.random.key(0), (12, config.style_size))
    drawn[f"Styles, one in each column, drawn for every class, with {count} labels."] = (
        plots.image_rows(
            {
                str(k): models[count].decode(
                    jnp.concatenate([jax.nn.one_hot(jnp.full(12, k), classes), style], axis=1)
                )
                for k in range(classes)
            }
        )
    )
    batch = data.head(splits.test, 16)
    drawn["Test images (top) and their reconstructions."] = plots.reconstructions(
        batch["image"], {f"{labels} labels": m.reconstruct(batch) for labels, m in models.items()}
    )
    return drawn


if __name__ == "__main__":
    cli.main(semi_supervised_ae, PRESETS, description=__doc__)
