"""What the decoder's density does to reconstructions and samples of a variational autoencoder.

    python experiments/likelihoods.py

The variance that a Gaussian decoder is given weighs the KL divergence: large, it makes of every
digit the mean of all; small, samples are no digits. Learned, one for all pixels, it ends near the
squared error of a pixel, and samples with its noise are nearer to test digits than with any of the
given ones. Variances of each pixel, tiny where pixels hardly change, reconstruct worse.

Reference: Rybkin, Daniilidis and Levine (2021), Simple and Effective VAE Training with Calibrated
Decoders; Loaiza-Ganem and Cunningham (2019), The continuous Bernoulli.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import cli, data, experiment, losses, methods, metrics, nets, plots, training
from ae_jax.core import POSITIVE, Array, Domain, Method, Network
from ae_jax.experiment import Count, Model, Swept
from ae_jax.methods import observations


class Density(NamedTuple):
    """A likelihood; the scale its decoder gives beside a pixel's location; what is swept."""

    observation: Callable[..., observations.Observation]
    scale: Literal["none", "shared", "pixel"] = "none"
    own: Sequence[str] = ()
    levels: bool = False


DENSITIES = {
    "bernoulli": Density(observations.bernoulli),
    "continuous_bernoulli": Density(observations.continuous_bernoulli),
    "gaussian": Density(observations.gaussian, own=("variance",)),
    "learned_gaussian": Density(observations.learned_gaussian, "shared"),
    "student": Density(observations.student),
    "pixel_gaussian": Density(observations.learned_gaussian, "pixel"),
    "logistic": Density(observations.discretised_logistic, "shared", levels=True),
    "pixel_logistic": Density(observations.discretised_logistic, "pixel", levels=True),
}
DISTANCES = ("frechet_distance", "drawn_distance")
CAPTIONS = {
    "again": "Test images, and their reconstructions by each likelihood.",
    "mean": "Test images, and the means of samples.",
    "draw": "The same samples with the noise that the density has.",
}
TABLE = ("squared_error", "kl", "variance_ratio", "sharpness", *DISTANCES, "learned_variance")
BY = ("likelihood", "variance", "learning_rate")


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    likelihood: Swept[Literal[tuple(DENSITIES)]] = tuple(DENSITIES)
    """Each is a run of its own. A learned scale is one number, or one of each pixel; a student's
    is each image's, and integrated out; logistic variables are rounded to levels."""
    variance: Swept[Annotated[float, POSITIVE]] = (1.0, 0.1, 0.03, 0.01, 0.001)
    """Of the gaussian, which stays what it is."""
    levels: Annotated[int, Domain(2, whole=True)] = 17
    """Of grey in the data: 17 in digits, 256 in 8-bit images."""
    latent_size: Count = 10
    widths: tuple[Count, ...] = (128, 128)
    """Hidden layers of the encoder; the decoder's are the same, backwards."""
    learning_rate: Swept[float] = (2e-3,)
    """At first; it falls to 0 as a half cosine."""
    seeds: Count = 2
    steps: Count = 3000
    """The best state by the validation loss is kept."""
    samples: Annotated[int, Domain(2, whole=True)] = 1000
    """Of each model, to be measured."""
    importance_samples: Count = 100
    """Of each test image, for its bits."""


PRESETS = {
    "default": Config(),
    "smoke": Config(
        likelihood=("gaussian", "logistic"),
        variance=(0.1, 0.01),
        latent_size=2,
        widths=(16,),
        steps=40,
        samples=20,
        importance_samples=5,
    ),
    "paper": Config(
        dataset="mnist",
        levels=256,
        latent_size=20,
        widths=(400, 400),
        learning_rate=(1e-3,),
        seeds=5,
        steps=100_000,
        samples=10_000,
    ),
}


def likelihoods(config: Config) -> None:
    """Trains a VAE of each likelihood, and measures what its decoder makes."""
    splits = experiment.load_splits(config)
    builder = functools.partial(build, config, splits.train.spec)
    options = {"schedules": [training.warmup_cosine(config.steps)], "select": "best"}
    parts = {name: {"likelihood": name} for name in config.likelihood}
    for name, values in parts.items():
        values |= {own: getattr(config, own) for own in DENSITIES[name].own}
        lanes = experiment.lanes(config, values)
        experiment.check(builder, lanes, options["schedules"], splits, config.batch_size)
    test = data.head(splits.test, 5000)
    drawn: dict[str, dict[str, Array]] = {kind: {} for kind in CAPTIONS}

    def describe(model: Model) -> dict[str, float]:
        made = generated(config, model) | {"again": model.reconstruct(test)}
        for kind, images in made.items():
            drawn[kind].setdefault(label(model.row), images[:16])
        error = jnp.mean(losses.squared_error(made["again"], test["image"]))
        measured = compared(made, test["image"]) | scales(config, model, test)
        return {"squared_error": float(error), **measured}

    sweeps = [
        ({}, experiment.sweep(config, "likelihoods", builder, splits, values, part=name, **options))
        for name, values in parts.items()
    ]
    rows = experiment.side_by_side(sweeps, describe, BY)
    experiment.report(
        config,
        cli.directory(config, "likelihoods"),
        f"Likelihoods of a decoder on {config.dataset}",
        rows,
        BY,
        (*TABLE, "bits_per_dimension"),
        lambda: figures(rows, drawn, test["image"][:16]),
        [found.result for _, found in sweeps],
        [
            "Nats of one likelihood are not those of another: grey taken for a coin's probability, "
            "a density, and a probability of levels. Bits are of levels alone; of random ones "
            f"{math.log2(config.levels):.2f}.",
            "Samples are cut off at black and white. Of their means, variance_ratio is the "
            "variance of pixels and sharpness the mean difference of neighbours, both over those "
            "of test images, and frechet_distance that of pixels; drawn_distance is that of "
            "samples with the noise of the density.",
            f"squared_error is of {math.prod(splits.image_shape)} numbers of a test image that is "
            "reconstructed, learned_variance of one of them.",
        ],
    )


def build(config: Config, spec: Mapping[str, Any], likelihood: str) -> Method:
    """Returns the VAE of a likelihood."""
    shape, size = spec["image"].shape, config.latent_size
    decoder, observation = decoding(config, shape, likelihood)
    options = {"likelihood": observation, "importance_samples": config.importance_samples}
    return methods.vae(nets.mlp(2 * size, config.widths), decoder, size, **options)


def decoding(config: Config, shape: Sequence[int], likelihood: str) -> tuple[Network, Any]:
    """Returns a decoder, and what its outputs say of images."""
    density = DENSITIES[likelihood]
    channels = shape[-1] * (2 if density.scale == "pixel" else 1)
    decoder = nets.mlp((*shape[:-1], channels), config.widths[::-1])
    if density.scale == "shared":
        decoder = nets.shared_scale(decoder, initial=-2.0)
    return decoder, density.observation(*([config.levels] if density.levels else []))


def generated(config: Config, model: Model) -> dict[str, Array]:
    """Returns what latents from the prior make, within [0, 1]: means, and draws with the noise."""
    latent_key, noise_key = jax.random.split(jax.random.key(model.row["seed"]))
    latent = jax.random.normal(latent_key, (config.samples, config.latent_size))
    mean = model.decode(latent)
    decoder, observation = decoding(config, mean.shape[1:], model.row["likelihood"])
    outputs = decoder.apply(model.state.params["decoder"], latent)
    draw = observation.sample(noise_key, outputs, model.hparams)
    return {"mean": jnp.clip(mean, 0, 1), "draw": jnp.clip(draw, 0, 1)}


def compared(made: Mapping[str, Array], test: Array) -> dict[str, float]:
    """Returns how samples differ from test images."""
    mean, draw, real = (x.reshape(len(x), -1) for x in (made["mean"], made["draw"], test))
    found = {
        "variance_ratio": jnp.mean(jnp.var(mean, 0)) / jnp.mean(jnp.var(real, 0)),
        "sharpness": neighbours_differ(made["mean"]) / neighbours_differ(test),
        "frechet_distance": metrics.frechet_distance_of_samples(mean, real),
        "drawn_distance": metrics.frechet_distance_of_samples(draw, real),
    }
    return {name: float(x) for name, x in found.items()}


def neighbours_differ(images: Array) -> Array:
    """Returns the mean difference of pixels of [N, H, W, C] from those below and beside them."""
    return sum(jnp.mean(jnp.abs(jnp.diff(images, axis=axis))) for axis in (1, 2)) / 2


def scales(config: Config, model: Model, test: Mapping[str, Array]) -> dict[str, float]:
    """Returns the variance that was learned for all pixels, and the bits of levels."""
    density = DENSITIES[model.row["likelihood"]]
    if density.levels:
        nats = jnp.mean(model.log_likelihood(jax.random.key(model.row["seed"]), test))
        return {"bits_per_dimension": metrics.bits_per_dimension(-nats, test["image"].shape[1:])}
    if density.scale == "shared":
        return {"learned_variance": float(jnp.exp(model.state.params["decoder"]["scale"]))}
    return {}


def label(row: Mapping[str, Any]) -> str:
    """Returns what a row's likelihood is called."""
    return experiment.named(row["likelihood"].replace("_", " "), {"variance": None, **row}, BY[1:2])


def figures(
    rows: Sequence[Mapping[str, Any]], drawn: Mapping[str, Mapping[str, Array]], test: Array
) -> dict[str, Any]:
    """Draws reconstructions, samples, and what the Gaussian's variance does to them."""
    found = {
        caption: plots.reconstructions(test, drawn[kind], first="test")
        for kind, caption in CAPTIONS.items()
    }
    fixed = experiment.where(rows, likelihood="gaussian", status="ok")
    learned = experiment.where(rows, likelihood="learned_gaussian", status="ok")
    if fixed:
        images = dict(zip(DISTANCES, ("means", "with noise"), strict=True))
        both = plots.unpivoted(fixed, images, "images", "distance")
        levels = [row["drawn_distance"] for row in learned if "drawn_distance" in row]
        caption = (
            "Frechet distance of samples of the Gaussian from test images, by its variance; "
            "dashed: with noise, of the variance that is learned."
        )
        found[caption] = plots.lines(
            plots.mean_curves(both, "variance", "distance", lambda row: row["images"]),
            "variance of a pixel",
            "Frechet distance of pixels",
            log_x=True,
            log_y=True,
            level=sum(levels) / len(levels) if levels else None,
        )
        found["KL of the Gaussian, by its variance."] = plots.against(fixed, "variance", "kl")
    return found


if __name__ == "__main__":
    cli.main(likelihoods, PRESETS)
