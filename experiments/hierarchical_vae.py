"""Latents in levels, inferred from below, from above or by a ladder that shares what is generated.

    python experiments/hierarchical_vae.py

Every model has as many latents, and a decoder that sees the lowest level alone, so that the higher
one is of use as a prior only. With the divergence's weight warmed up it is used by all of them, and
has about as many nats as the lower one; test digits are a little likelier than with one level.
Every model is a compilation of its own.

Reference: Sonderby et al. (2016), Ladder Variational Autoencoders; Tomczak and Welling (2018), VAE
with a VampPrior.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import FRACTION, Method
from ae_jax.experiment import Count, Model, Outcome, Swept
from ae_jax.methods import hierarchies, priors

NAMES = {
    "vae": "one level",
    "bottom_up": "two levels, from below",
    "top_down": "two levels, from above",
    "ladder": "ladder",
    "vamp": "from above, VampPrior",
}
BOUNDS = ("log_likelihood", "importance_error", "elbo", "reconstruction", "kl")


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept; each model is compiled on its own."""

    model: Swept[Literal[tuple(NAMES)]] = tuple(NAMES)
    sizes: tuple[Count, ...] = (12, 6)
    """Latents of each level, the lowest first; one level has as many in all."""
    widths: tuple[Count, ...] = (64, 64)
    """Hidden layers of the encoder; the decoder's are the same, backwards."""
    level_widths: tuple[Count, ...] = (64,)
    """Hidden layers of each network between two levels."""
    features: Count = 32
    """What the encoder tells levels below the top, inferred from above."""
    pseudo_inputs: Count = 50
    warmup: Annotated[float, FRACTION] = 0.2
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
        model=("bottom_up", "ladder"),
        sizes=(3, 2),
        widths=(16,),
        level_widths=(8,),
        importance_samples=5,
        test_images=40,
        seeds=2,
        steps=40,
    ),
    # Sonderby et al. (2016), section 3: five levels, 2000 passes over MNIST in batches of 256.
    "paper": Config(
        dataset="mnist",
        sizes=(64, 32, 16, 8, 4),
        widths=(512, 256),
        level_widths=(128,),
        features=256,
        pseudo_inputs=500,
        warmup=0.1,
        importance_samples=5000,
        test_images=10_000,
        seeds=1,
        steps=468_750,
        batch_size=256,
    ),
}


def build(config: Config, spec: Mapping[str, Any], model: str) -> Method:
    """Returns the VAE of binary images that are drawn anew at every step."""
    return methods.prepared(vae(config, spec["image"].shape, model), methods.binarized)


@functools.cache
def vae(config: Config, shape: Sequence[int], model: str) -> Method:
    """Returns the VAE of images as they are, whose likelihood has one importance sample."""
    sizes, encoder, hierarchy = of_levels(config, model)
    return methods.vae(
        encoder,
        nets.chain(nets.part(0, sizes[0]), nets.mlp(shape, config.widths[::-1])),
        sum(sizes),
        posterior=hierarchy.posterior,
        prior=hierarchy.prior,
        regularisers=[hierarchy.levels],
        importance_samples=1,
    )


def of_levels(config: Config, model: str) -> tuple[Sequence[int], Any, hierarchies.Hierarchy]:
    """Returns the latents of each level, the encoder and what joins the levels."""
    sizes = (sum(config.sizes),) if model == "vae" else config.sizes
    given = {"widths": config.level_widths}
    if model in ("top_down", "vamp"):
        encoder = nets.mlp(config.features + 2 * sizes[-1], config.widths)
        if model == "vamp":
            top = nets.some_outputs(encoder, -2 * sizes[-1])
            given["top"] = priors.vamp(top, config.pseudo_inputs)
        return sizes, encoder, hierarchies.top_down(sizes, features=config.features, **given)
    made = hierarchies.ladder if model == "ladder" else hierarchies.bottom_up
    hierarchy = made(sizes, **given)
    return sizes, nets.mlp(hierarchy.posterior.outputs(sum(sizes)), config.widths), hierarchy


def describe(model: Model, outcome: Outcome) -> dict[str, float]:
    """Returns how likely test images are, and how many latents of each level say something."""
    config, row = outcome.config, model.row
    test = data.head(outcome.splits.test, config.test_images)
    view = vae(config, test["image"].shape[1:], row["model"]).views.log_likelihood
    drawn = methods.binarized(jax.random.key(0), test)
    columns = experiment.importance_likelihood(
        view,
        model,
        jax.random.key(row["seed"]),
        {"image": drawn["image"]},
        config.importance_samples,
    )
    sizes, _, _ = of_levels(config, row["model"])
    latents = np.split(np.asarray(model.encode(test)), list(itertools.accumulate(sizes))[:-1], 1)
    active = {
        f"active_{level}": float(metrics.active_units(own)) for level, own in enumerate(latents, 1)
    }
    return columns | active


def options(config: Config) -> dict[str, Any]:
    """Returns how it is trained."""
    rising = training.warmup(config.warmup * config.steps, "beta")
    return {"schedules": [training.warmup_cosine(config.steps), rising]}


def notes(outcome: Outcome) -> list[str]:
    """Says what is compared."""
    config = outcome.config
    lines = [
        "log_likelihood is of test images of zeros and ones, drawn once, by "
        f"{config.importance_samples} samples of the posterior; importance_error is the standard "
        "error that so few samples leave to its mean, over these images. kl_1 is the part of the "
        "divergence that lies in the lowest level, and so on upwards, nats; active_1 the latents "
        "of that level whose mean varies with the image."
    ]
    found = [row for row in outcome.rows if "log_likelihood" in row]
    by = ("learning_rate", "seed")
    better = plots.gains(found, "log_likelihood", by, lambda row: row["model"] == "vae")
    for point in plots.aggregate(better, ("model", "learning_rate"), ["gain"]):
        lines.append(
            f"{NAMES[point['model']]} less one level: {point['gain']:+.2f} nats "
            f"(seeds: {point['gain'].count})."
        )
    return lines


def figures(outcome: Outcome) -> dict[str, Any]:
    """Draws likelihoods, what each level is used for, and samples."""
    rows = [row for row in outcome.rows if "log_likelihood" in row]
    levels = range(1, len(outcome.config.sizes) + 1)

    def by_level(column: str, words: str) -> Any:
        named = {f"{column}_{level}": f"level {level}" for level in levels}
        return plots.bars(plots.mean_table(rows, lambda row: NAMES[row["model"]], named), words)

    lanes = experiment.firsts(outcome.result, lambda row: row["model"])
    test = data.head(outcome.splits.test, 16)
    return {
        "Log-likelihood of test images, by importance sampling.": plots.dots(
            plots.mean_table(
                rows, lambda row: NAMES[row["model"]], {"log_likelihood": "test images"}
            ),
            "log-likelihood (nats)",
        ),
        "KL divergence of each level, the lowest first.": by_level("kl", "KL (nats)"),
        "Latents of each level whose mean varies with the image.": by_level(
            "active", "active units"
        ),
        "Test images, and samples of each model.": plots.reconstructions(
            test["image"],
            {NAMES[name]: lane.sample(jax.random.key(0), 16) for name, lane in lanes.items()},
            first="test",
        ),
    }


hierarchical_vae = experiment.Study(
    "hierarchical_vae",
    "Latents in levels",
    build,
    table=(*BOUNDS, *(f"{name}_{level}" for name in ("kl", "active") for level in range(1, 6))),
    figures=figures,
    options=options,
    describe=describe,
    notes=notes,
)

if __name__ == "__main__":
    cli.main(hierarchical_vae, PRESETS, description=__doc__)
