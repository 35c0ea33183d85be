"""Conditional GANs: digits of a class that is asked for, told the discriminator in three ways.

    python experiments/conditional_gan.py

A classifier of real digits reads the class that was asked for from nearly all samples, whichever
way it was told. Samples cover the test digits about as training digits do, and are no copies.

Reference: Mirza and Osindero (2014), Conditional Generative Adversarial Nets; Miyato and Koyama
(2018), cGANs with Projection Discriminator; Odena, Olah and Shlens (2017), Conditional Image
Synthesis with Auxiliary Classifier GANs.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import NOT_NEGATIVE, Array, Batch, InputError, Method
from ae_jax.experiment import Count, Model, Splits, Swept
from ae_jax.methods import conditions, regularisers

RATES = ("learning_rate", "discriminator_learning_rate")
#: Test images that samples of the same labels are compared with, at most.
COMPARED = 1000
#: Hidden layers of the classifier that reads samples; the last one's units are its features.
READER = (64, 32)
SHOWN = 10  # samples of each class, and classes
LATENTS = 5  # that are shown in all classes
TABLE = ("as_asked", "kernel_distance", "standard_error", "coverage", "density", "spread", "closer")


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    condition: Swept[Literal["concatenation", "projection", "auxiliary"]] = (
        "concatenation",
        "projection",
        "auxiliary",
    )
    """How the discriminator is told of labels; each is compiled on its own."""
    r1_weight: Swept[Annotated[float, NOT_NEGATIVE]] = (1.0,)
    """Of the penalty of the discriminator's slope on data: gamma."""
    learning_rate: Swept[float] = (1e-3,)
    """The generator's, at first; both fall to a twentieth as a half cosine."""
    discriminator_learning_rate: Swept[float] = (1e-3,)
    latent_size: Count = 16
    widths: tuple[Count, ...] = (128, 128)
    """Hidden layers of both networks."""
    classifier_steps: Count = 1500
    """Of the classifier that reads the samples."""
    seeds: Count = 3
    steps: Count = 4000
    batch_size: Count = 128


PRESETS = {
    "default": Config(),
    "smoke": Config(condition=("projection",), classifier_steps=20, seeds=2, steps=20),
    "paper": Config(
        dataset="mnist",
        latent_size=100,
        widths=(1024, 1024),
        learning_rate=(2e-4,),
        discriminator_learning_rate=(2e-4,),
        classifier_steps=10_000,
        steps=100_000,
    ),
}


def conditional_gan(config: Config) -> None:
    """Trains GANs that are told labels, and a classifier that reads their samples."""
    if not config.widths:
        raise InputError("--widths has no layer, whose units are features: give one or more")
    splits = experiment.load_splits(config)
    classes = experiment.classes(config.dataset, splits)
    builder = functools.partial(build, config, splits.train.spec)
    own = ("condition", "r1_weight", *RATES)
    values = {name: getattr(config, name) for name in own} | {"classes": classes}
    schedules = [training.warmup_cosine(config.steps, 0, 0.05, rate) for rate in RATES]
    lanes = experiment.lanes(config, values)
    experiment.check(builder, lanes, schedules, splits, config.batch_size)
    reader = classifier(config, splits, classes)
    trained = experiment.sweep(
        config, "conditional_gan", builder, splits, values, part="gan", schedules=schedules
    )
    test = data.head(splits.test, COMPARED)
    drawn = np.random.default_rng(0).permutation(splits.train.size)[: len(test["label"])]
    asked = splits.train.fetch(splits.train.arrays, drawn)
    measured = measure(reader, splits, test, np.asarray(asked["label"]))

    def describe(model: Model) -> dict[str, float]:
        return measured(model.generate(jax.random.key(model.row["seed"]), asked))

    controls = {
        "training images": asked["image"],
        "Gaussian of each class": gaussian(splits, asked),
    }
    given = [
        {"condition": name, "seed": 0, "status": "ok", **measured(images)}
        for name, images in controls.items()
    ]
    by = ("condition", *experiment.varied(config, *own[1:]))
    rows = experiment.numbered([*given, *experiment.described(trained, describe)], by)
    right = np.mean(np.argmax(reader.predict(test), axis=1) == np.asarray(test["label"]))
    experiment.report(
        config,
        trained.out,
        f"Conditional GANs on {config.dataset}",
        rows,
        by,
        TABLE,
        lambda: figures(config, trained, rows, classes),
        trained.result,
        [
            f"{len(drawn)} samples, of the labels of as many training images, beside as many test "
            "images. as_asked: the share whose label a classifier reads, which is right about "
            f"{right:.1%} of the test images. spread: variance within classes, relative to theirs. "
            "closer: the probability that a sample is nearer to a training image than they are.",
            "Kernel distances are of the classifier's features, in units of their root mean "
            "square. Test images hold each class in "
            "its proportion, which puts them a little below 0, as for training images.",
        ],
    )


def build(config: Config, spec: Mapping[str, Any], condition: str, classes: int) -> Method:
    """Returns the GAN of one way to tell the discriminator of labels."""
    *below, last = config.widths
    if condition == "concatenation":
        told = conditions.concatenation(classes, flat=True)
        discriminator = nets.mlp(1, config.widths, "leaky_relu")
    else:  # it gives features, of which the condition makes logits
        told = getattr(conditions, condition)(classes)
        discriminator = nets.mlp(last, below, "leaky_relu", "leaky_relu")
    return methods.gan(
        nets.mlp(spec["image"].shape, config.widths, "leaky_relu"),
        discriminator,
        config.latent_size,
        regularisers=[regularisers.r1()],
        condition=told,
        optimizer=optax.scale_by_adam(b1=0.0, b2=0.99),
        average=True,
    )


def classifier(config: Config, splits: Splits, classes: int) -> Model:
    """Returns what reads samples: a classifier of real images, the best by validation."""
    encoder = nets.mlp(READER[-1], READER[:-1], output_activation="relu")
    result = training.run(
        methods.classifier(encoder, classes),
        splits.train,
        training.grid(seed=0),
        config.classifier_steps,
        cli.directory(config, "conditional_gan") / "classifier",
        select="best",
        **experiment.run_options(config, splits),
    )
    experiment.complete(result)
    return experiment.model(result, 0, best=True)


def measure(reader: Model, splits: Splits, test: Batch, label: np.ndarray) -> Callable:
    """Returns what is measured of images of some labels."""
    train = data.vectors(data.head(splits.train, splits.train.size))
    real, features = data.vectors(test), experiment.features_of(reader, splits)

    def within(x: Array, label: Array) -> float:
        """The variance about the means of classes."""
        x, label = np.asarray(x), np.asarray(label)
        parts = [x[label == y] for y in np.unique(label)]
        return np.mean(np.concatenate([part - part.mean(axis=0) for part in parts]) ** 2)

    def measured(images: Array) -> dict[str, float]:
        batch = {"image": jnp.asarray(images), "label": label}
        fake = data.vectors(batch)
        distance = metrics.kernel_distance(features(test["image"]), features(batch["image"]))
        density, coverage = metrics.density_coverage(real, fake)
        found = {
            "as_asked": np.mean(np.argmax(reader.predict(batch), axis=1) == label),
            "kernel_distance": distance.mean,
            "standard_error": distance.error,
            "coverage": coverage,
            "density": density,
            "spread": within(fake, label) / within(real, test["label"]),
            **metrics.memorisation(fake, train, real),
        }
        return {name: float(value) for name, value in found.items()}

    return measured


def gaussian(splits: Splits, asked: Batch) -> np.ndarray:
    """Returns images of a batch's labels, drawn with their classes' means and covariances."""
    train = data.head(splits.train, splits.train.size)
    label, x = np.asarray(train["label"]), np.asarray(data.vectors(train))
    wanted, rng = np.asarray(asked["label"]), np.random.default_rng(0)
    drawn = np.empty((len(wanted), x.shape[1]), x.dtype)
    for y in np.unique(wanted):
        own, places = x[label == y], wanted == y
        weights = rng.normal(size=(places.sum(), len(own))) / max(len(own) - 1, 1) ** 0.5
        drawn[places] = own.mean(axis=0) + weights @ (own - own.mean(axis=0))
    return drawn.reshape(-1, *splits.image_shape)


def figures(
    config: Config, trained: experiment.Sweep, rows: Sequence[Mapping[str, Any]], classes: int
) -> dict[str, Any]:
    """Draws samples by class, latents in all classes, and what was measured."""
    models = experiment.firsts(trained.result, lambda row: row["condition"])
    few, drawn = np.arange(min(classes, SHOWN)), {}
    for name, model in models.items():
        images = model.generate(jax.random.key(0), {"label": np.repeat(few, SHOWN)})
        caption = f"Samples ({name}): each row is a class that was asked for."
        drawn[caption] = table(images, [str(y) for y in few], name)
        latent = jax.random.normal(jax.random.key(1), (LATENTS, config.latent_size))
        told = jnp.tile(jnp.eye(classes)[: len(few)], (LATENTS, 1))
        latent = jnp.concatenate([jnp.repeat(latent, len(few), axis=0), told], axis=1)
        caption = f"Latents ({name}): each row is one latent in all classes."
        names = [f"latent {i + 1}" for i in range(LATENTS)]
        drawn[caption] = table(model.decode(latent), names, name)
    shares = {"as_asked": "class as asked", "coverage": "coverage of test images"}
    shown, distance = (
        plots.mean_table(rows, lambda row: row["condition"], columns)
        for columns in (shares, ["kernel_distance"])
    )
    return drawn | {
        "The share of samples of which a classifier reads the class that was asked for, and of "
        "test images near which there are samples.": plots.bars(shown, "share"),
        "Distance from test images: what is left of it for training images is chance.": plots.dots(
            distance, "kernel distance"
        ),
    }


def table(images: Array, names: Sequence[str], heading: str) -> Any:
    """Draws images [rows * columns, H, W, C], each row with its name."""
    rows = images.reshape(len(names), -1, *images.shape[1:])
    return plots.image_rows(dict(zip(names, rows, strict=True)), heading)


if __name__ == "__main__":
    cli.main(conditional_gan, PRESETS)
