"""What latents are drawn from: a Gaussian, or a mixture, pseudo-inputs or a flow that is learned.

    python experiments/vamp_prior.py

The aggregate posterior of a few latents is no Gaussian, and a prior that is learned goes to where
the posteriors are: of training digits. On as few as these, with two latents, held-out digits are no
likelier for it. The pseudo-inputs of a VampPrior are images, which can be looked at. Every prior is
a compilation of its own.

Reference: Tomczak and Welling (2018), VAE with a VampPrior; Jiang et al. (2017), Variational Deep
Embedding; Chen et al. (2017), Variational Lossy Autoencoder.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import FRACTION, Array, Method, Network
from ae_jax.experiment import Count, Model, Outcome, Swept
from ae_jax.methods import flows, priors

NAMES = {"standard": "standard normal", "mixture": "mixture", "vamp": "VampPrior", "flow": "flow"}
TABLE = ("log_likelihood", "importance_error", "elbo", "reconstruction", "kl", "active_units")
SHOWN = 1000  # points of a cloud


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept; each prior is compiled on its own."""

    prior: Swept[Literal[tuple(NAMES)]] = tuple(NAMES)
    latent_size: Count = 2
    """Of two, the plane is drawn."""
    widths: tuple[Count, ...] = (128, 128)
    """Hidden layers of the encoder; the decoder's are the same, backwards."""
    components: Count = 30
    """Of the mixture, and pseudo-inputs."""
    flow_steps: Count = 4
    """Masked autoregressive ones."""
    flow_widths: tuple[Count, ...] = (64,)
    warmup: Annotated[float, FRACTION] = 0.1
    """Part of the steps in which the divergence's weight rises from 0 to 1."""
    importance_samples: Count = 500
    """Of each test image's log-likelihood."""
    test_images: Count = 500
    """How many are measured, at most."""
    learning_rate: Swept[float] = (2e-3,)
    """At first; it falls to 0 as a half cosine."""
    seeds: Count = 3
    steps: Count = 3000


PRESETS = {
    "default": Config(),
    "smoke": Config(
        prior=("vamp", "flow"),
        widths=(16,),
        components=5,
        flow_steps=1,
        flow_widths=(8,),
        importance_samples=5,
        test_images=40,
        seeds=2,
        steps=40,
    ),
    # Tomczak and Welling (2018), section 5, without gates: 500 pseudo-inputs, 100 epochs' warm-up.
    "paper": Config(
        dataset="mnist",
        latent_size=40,
        widths=(300, 300),
        components=500,
        flow_widths=(300,),
        importance_samples=5000,
        test_images=10_000,
        learning_rate=(5e-4,),
        seeds=1,
        steps=1_000_000,
        batch_size=100,
    ),
}


def build(config: Config, spec: Mapping[str, Any], prior: str) -> Method:
    """Returns the VAE of binary images that are drawn anew at every step."""
    return methods.prepared(vae(config, spec["image"].shape, prior), methods.binarized)


@functools.cache
def vae(config: Config, shape: Sequence[int], prior: str) -> Method:
    """Returns the VAE of images as they are, whose likelihood has one importance sample."""
    encoder = nets.mlp(2 * config.latent_size, config.widths)
    decoder = nets.mlp(shape, config.widths[::-1])
    own = of_latents(config, prior, encoder)
    return methods.vae(encoder, decoder, config.latent_size, prior=own, importance_samples=1)


def of_latents(config: Config, prior: str, encoder: Network) -> priors.Prior:
    """Returns what latents are drawn from."""
    if prior == "standard":
        return priors.normal()
    if prior == "mixture":
        return priors.gaussian_mixture(config.components)
    if prior == "vamp":
        return priors.vamp(encoder, config.components)
    return priors.flow(flows.masked_autoregressive(config.flow_steps, config.flow_widths))


def latents(config: Config, model: Model, count: int) -> Array:
    """Returns draws of a lane's prior, [count, Z]."""
    encoder = nets.mlp(2 * config.latent_size, config.widths)
    prior = of_latents(config, model.row["prior"], encoder)
    shape = (count, config.latent_size)
    return prior.sample(jax.random.key(0), model.state.params, shape, model.hparams)


def describe(model: Model, outcome: Outcome) -> dict[str, float]:
    """Returns how likely test images are."""
    config, row = outcome.config, model.row
    test = data.head(outcome.splits.test, config.test_images)
    view = vae(config, test["image"].shape[1:], row["prior"]).views.log_likelihood
    drawn = {"image": methods.binarized(jax.random.key(0), test)["image"]}
    key, samples = jax.random.key(row["seed"]), config.importance_samples
    return experiment.importance_likelihood(view, model, key, drawn, samples)


def options(config: Config) -> dict[str, Any]:
    """Returns how it is trained."""
    rising = training.warmup(config.warmup * config.steps, "beta")
    return {
        "schedules": [training.warmup_cosine(config.steps), rising],
        "summarize": metrics.latent_summary,
    }


def notes(outcome: Outcome) -> list[str]:
    """Says what is compared, and how much more likely what is learned makes test images."""
    config = outcome.config
    lines = [
        "log_likelihood is of test images of zeros and ones, drawn once, by "
        f"{config.importance_samples} samples of the posterior; importance_error is the standard "
        "error that so few samples leave to its mean, over these images."
    ]
    found = [row for row in outcome.rows if "log_likelihood" in row]
    by = ("learning_rate", "seed")
    better = plots.gains(found, "log_likelihood", by, lambda row: row["prior"] == "standard")
    for point in plots.aggregate(better, ("prior", "learning_rate"), ["gain"]):
        lines.append(
            f"{NAMES[point['prior']]} less standard normal: {point['gain']:+.2f} nats "
            f"(seeds: {point['gain'].count})."
        )
    return lines


def figures(outcome: Outcome) -> dict[str, Any]:
    """Draws likelihoods, the plane of latents, pseudo-inputs and samples."""
    config, rows = outcome.config, [row for row in outcome.rows if "log_likelihood" in row]
    likelihoods = plots.mean_table(
        rows, lambda row: NAMES[row["prior"]], {"log_likelihood": "test images"}
    )
    lanes = experiment.firsts(outcome.result, lambda row: row["prior"])
    test = data.head(outcome.splits.test, SHOWN)
    drawn = {
        "Log-likelihood of test images, by importance sampling.": plots.dots(
            likelihoods, "log-likelihood (nats)"
        )
    }
    if config.latent_size == 2:
        codes = {name: np.asarray(lane.encode(test)) for name, lane in lanes.items()}
        drawn["Means of the posteriors of test images, and as many draws of each prior."] = (
            plots.clouds(
                {
                    NAMES[name]: {"test images": codes[name], "prior": latents(config, lane, SHOWN)}
                    for name, lane in lanes.items()
                }
            )
        )
        if "label" in test and len(np.unique(test["label"])) <= plots.MOST_CLASSES:
            drawn["The same means, by class."] = plots.scatters(
                {NAMES[name]: (points, test["label"]) for name, points in codes.items()}
            )
    if "vamp" in lanes:
        pseudo = jax.nn.sigmoid(lanes["vamp"].state.params["prior"])
        drawn["Pseudo-inputs of the VampPrior."] = plots.image_grid(pseudo[:50])
    drawn["Test images, and samples of each prior."] = plots.reconstructions(
        test["image"][:16],
        {NAMES[name]: lane.sample(jax.random.key(0), 16) for name, lane in lanes.items()},
        first="test",
    )
    return drawn


vamp_prior = experiment.Study(
    "vamp_prior",
    "Priors that are learned",
    build,
    table=TABLE,
    figures=figures,
    options=options,
    describe=describe,
    notes=notes,
)

if __name__ == "__main__":
    cli.main(vamp_prior, PRESETS, description=__doc__)
