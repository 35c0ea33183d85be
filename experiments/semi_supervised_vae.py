"""VAEs with few labels: a class that is a latent, known of some examples.

    python experiments/semi_supervised_vae.py

All training digits are seen, and few of them have a label. M1 is a classifier on the latents of a
VAE; M2 a VAE of a class and a style; M1 + M2 the second on the latents of the first. Beside them
stand a classifier that sees the labelled digits alone, and two that start from greedy stacks of all
of them. With few labels M2 alone is ahead of that one, by no more than seeds differ. M1 comes to
what the stacks come to: where the likelihood fits the images its latents keep most of what pixels
say of the class, and no more. M2 on those latents reads them no worse than M1.

Reference: Kingma, Rezende, Mohamed and Welling (2014), Semi-supervised Learning with Deep
Generative Models, section 4.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax import cli, corruptions, data, experiment, methods, nets, plots, training
from ae_jax.core import NOT_NEGATIVE, POSITIVE, Dataset, InputError, Method, Network
from ae_jax.experiment import Count, Sweep, Swept
from ae_jax.methods import observations, posteriors
from ae_jax.recipes import greedy


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    labels: Swept[Count] = (50, 100, 500)
    """How many training images have a label; each seed draws its own."""
    latent_size: Count = 32
    """Of the VAE that M1 classifies the latents of; not swept."""
    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    """Of that VAE's images. A Bernoulli's noise on grey pixels is large, and latents keep little; a
    Gaussian's one variance is learned."""
    style_size: Count = 8
    """Numbers beside the class in M2; not swept."""
    widths: tuple[Count, ...] = (96,)
    """Hidden layers of encoders and classifiers, reversed in decoders; not swept."""
    stack_widths: tuple[Count, ...] = (128, 64)
    """Sigmoid layers of the greedy stacks, upwards; not swept."""
    noise: Annotated[float, NOT_NEGATIVE] = 0.25
    """On the images that a classifier is trained on, that of M2 and the plain one alike."""
    classification_weight: Swept[Annotated[float, NOT_NEGATIVE]] = (10.0,)
    """Of -log q(y | x) beside the mean bound; per example, the paper's alpha / N."""
    layer_learning_rate: Annotated[float, POSITIVE] = 3e-3
    """Of the VAE of M1 and the stacked autoencoder; the belief network's machines take 0.01."""
    learning_rate: Swept[float] = (2e-3,)
    """At first; it falls to 0 as a half cosine."""
    steps: Count = 1200
    """Of the VAEs, and of each layer of the stacks."""
    classifier_steps: Count = 1000
    """Of classifiers, of which those of least validation loss count."""
    seeds: Count = 3
    batch_size: Count = 32


PRESETS = {
    "default": Config(),
    "smoke": Config(
        **{"labels": (100,), "latent_size": 4, "style_size": 2, "widths": (8,)},
        **{"stack_widths": (8,), "steps": 10, "classifier_steps": 10, "seeds": 1},
    ),
    "paper": Config(
        dataset="mnist",
        labels=(100, 600, 1000, 3000),
        latent_size=50,
        likelihood="bernoulli",
        style_size=50,
        widths=(600, 600),
        stack_widths=(1000, 1000, 1000),
        learning_rate=(3e-4,),
        steps=200_000,
        classifier_steps=20_000,
        batch_size=100,
        seeds=10,
    ),
}
M1, M2, BOTH = "M1", "M2", "M1 + M2"
SCRATCH, STACK, BELIEF = "from scratch", "stacked autoencoder", "belief network"
NAME = "semi_supervised_vae"


def networks(config: Config, outputs: int, shape: Sequence[int]) -> tuple[Network, Network]:
    """Returns an encoder and a decoder."""
    return nets.mlp(outputs, config.widths), nets.mlp(shape, config.widths[::-1])


def on_latents(config: Config, method: Method) -> Method:
    """Returns what learns from draws of that VAE's posteriors, and is judged by their means."""
    encoder = nets.mlp(2 * config.latent_size, config.widths)
    drawing = posteriors.encoding(encoder, config.latent_size)
    return methods.stage(drawing, method, noisy="training")


def noisy(config: Config, outputs: int, activation: str = "linear") -> Network:
    """Returns a classifier, or what is below its output, behind noise on its images."""
    hidden = nets.mlp(outputs, config.widths, output_activation=activation)
    return nets.chain(nets.noise(config.noise), hidden)


def of_classes(config: Config, shape: Sequence[int], classes: int, way: str) -> Method:
    """Returns the VAE of a class and a style, of images or of latents of the other."""
    encoder, decoder = networks(config, 2 * config.style_size, shape)
    classifier, likelihood = noisy(config, classes), None
    if way == BOTH:
        # latents have no noise that is known beforehand
        decoder, likelihood = nets.mlp(2 * shape[0], config.widths), observations.learned_gaussian()
        classifier = nets.mlp(classes, config.widths)
    return methods.semi_supervised_vae(
        encoder, decoder, classifier, config.style_size, classes, likelihood=likelihood
    )


def build(
    config: Config, shape: Sequence[int], pool: Dataset, classes: int, way: str, stack: Network
) -> Method:
    """Returns what learns from `labels` examples of a pool, of one way."""
    if way == M2:
        return methods.partly_labelled(of_classes(config, shape, classes, way), pool)
    if way == BOTH:
        above = of_classes(config, (config.latent_size,), classes, way)
        return methods.partly_labelled(on_latents(config, above), pool)
    if way == M1:
        hidden = nets.mlp(config.widths[-1], (), output_activation="relu")
        method = on_latents(config, methods.classifier(hidden, classes))
    else:
        own = noisy(config, config.widths[-1], "relu") if way == SCRATCH else stack
        method = methods.classifier(own, classes)
    return methods.few_labels(method, pool)


def stacks(config: Config, shape: Sequence[int]) -> dict[str, tuple[list, dict[str, float]]]:
    """Returns the layers of both stacks, and what they are trained with."""
    denoising = {"activation": "sigmoid", "tied": True, "corruption": corruptions.masking}
    masked = {"learning_rate": config.layer_learning_rate, "corruption_level": 0.5}
    machines = greedy.rbm_layers(config.stack_widths, shape, optimizer=optax.scale_by_adam())
    return {
        STACK: (greedy.autoencoder_layers(config.stack_widths, shape, **denoising), masked),
        BELIEF: (machines, {"learning_rate": 0.01}),
    }


def starts(config: Config, splits: experiment.Splits, layers: Mapping[str, Any]) -> dict[str, list]:
    """Returns the encoder that each seed of a way starts with, of those that start with any."""
    encoder, decoder = networks(config, 2 * config.latent_size, splits.image_shape)
    likelihood = None
    if config.likelihood == "gaussian":
        decoder, likelihood = nets.shared_scale(decoder, -2.0), observations.learned_gaussian()
    own = methods.vae(encoder, decoder, config.latent_size, likelihood=likelihood)
    rate = config.layer_learning_rate
    options = {"schedules": [training.warmup_cosine(config.steps)], "select": "best"}
    numbers = {"learning_rate": rate}
    whole = experiment.sweep(config, NAME, own, splits, numbers, part="vae", **options)
    found = {}
    for way, (stack, settings) in layers.items():
        part = way.replace(" ", "_") + "_layers"
        own = experiment.pretrain(config, NAME, stack, splits, settings, config.steps, part=part)
        found[way] = [parts["encoder"] for parts in own.start]
    models = [experiment.model(whole.result, lane, best=True) for lane in range(config.seeds)]
    found[M1] = found[BOTH] = [model.state.params["encoder"] for model in models]
    x, plain = data.head(splits.train, 1)["image"], noisy(config, config.widths[-1], "relu")
    found[SCRATCH] = [plain.init(jax.random.key(0), x)] * config.seeds  # which no lane starts from
    return found


def semi_supervised_vae(config: Config) -> None:
    """Trains every way with the same labels, and compares them."""
    if not config.widths:
        raise InputError("--widths has no layer: classifiers have one or more")
    splits = experiment.load_splits(config)
    orders, classes = experiment.label_orders(config, splits, config.labels)
    drawn = np.unique(orders)  # what any seed has the labels of
    pool, places = data.subset(splits.train, drawn), np.searchsorted(drawn, orders)
    shape, layers = splits.image_shape, stacks(config, splits.image_shape)
    below = greedy.networks(layers[STACK][0])[0]
    ways = (SCRATCH, STACK, BELIEF, M1, M2, BOTH)
    built = {way: build(config, shape, pool, classes, way, below) for way in ways}
    weights = {"classification_weight": config.classification_weight}
    values = {
        way: {"labels": config.labels}
        | (weights if way in (M2, BOTH) else {"pretrained": float(way != SCRATCH)})
        for way in ways
    }
    for way, method in built.items():
        experiment.check(method, experiment.lanes(config, values[way]))
    encoders = starts(config, splits, layers)
    trained: dict[str, Sweep] = {}
    for way, method in built.items():
        start = [
            {"order": places[lane["seed"]]}
            | ({"encoder": encoders[way][lane["seed"]]} if way in encoders else {})
            for lane in experiment.lanes(config, values[way])
        ]
        options = {"steps": config.classifier_steps, "select": "best"}
        if way in (M2, BOTH):
            options = {"schedules": [training.warmup_cosine(config.steps)]}
        options |= {"part": way.replace(" ", "_"), "start": start}
        trained[way] = experiment.sweep(config, NAME, method, splits, values[way], **options)
    rows = experiment.side_by_side(
        [({"way": way}, sweep) for way, sweep in trained.items()],
        lambda model: {"accuracy": 100 * (1 - model.row["error"])},
        ("way", "labels"),
    )
    varied = experiment.varied(config, "classification_weight", "learning_rate")
    experiment.report(
        config,
        trained[M2].out,
        f"VAEs with few labels on {config.dataset}",
        [{**dict.fromkeys(varied), **row} for row in rows],
        ("labels", "way", *varied),
        ("accuracy",),
        lambda: figures(config, rows, trained[M2].result, classes),
        [sweep.result for sweep in trained.values()],
        experiment.accuracy_gains(rows, "way", SCRATCH),
    )


def figures(
    config: Config, rows: Sequence[Mapping[str, Any]], result: training.Result, classes: int
) -> dict[str, Any]:
    """Draws accuracies against the number of labels, and styles of every class."""
    curves = plots.mean_curves(rows, "labels", "accuracy", lambda row: row["way"])
    axes = "labelled training images", "accuracy (%)"
    drawn = {
        "Accuracy on test images; all but the classifier from scratch saw all training images, and "
        "as many labels.": plots.lines(curves, *axes, log_x=True)
    }
    models = experiment.firsts(result, "labels")
    if models:
        count = min(models, key=lambda labels: abs(labels - 100))
        style = jax.random.normal(jax.random.key(0), (12, config.style_size))
        told = (jax.nn.one_hot(jnp.full(12, k), classes) for k in range(classes))
        codes = (jnp.concatenate([style, y], axis=1) for y in told)
        drawn[f"Styles, one in each column, drawn for every class by M2, with {count} labels."] = (
            plots.image_rows({str(k): models[count].decode(code) for k, code in enumerate(codes)})
        )
    return drawn


if __name__ == "__main__":
    cli.main(semi_supervised_vae, PRESETS, description=__doc__)
