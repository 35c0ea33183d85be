"""How much of an image fits in how small a latent: a nonlinear autoencoder beside PCA.

    python experiments/latent_size.py

At every small latent size the squared error of test digits is well below PCA's; at half as many
latents as pixels the two are close.

Reference: Hinton and Salakhutdinov (2006), Reducing the Dimensionality of Data with Neural
Networks.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import Method


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    latent_size: experiment.Swept[experiment.Count] = (1, 2, 4, 8, 16, 32)
    """Each value is compiled on its own."""
    widths: tuple[experiment.Count, ...] = (256, 128)
    """Hidden layers; not swept."""
    seeds: experiment.Count = 2
    steps: experiment.Count = 4000


PRESETS = {
    "default": Config(),
    "smoke": Config(latent_size=(2,), widths=(16,), seeds=2, steps=60),
    "paper": Config(
        dataset="mnist", latent_size=(2, 6, 15, 30), widths=(1000, 500, 250), steps=120_000
    ),
}


def build(config: Config, spec: Mapping[str, Any], latent_size: int) -> Method:
    """Returns the autoencoder of one latent size."""
    return methods.autoencoder(
        nets.mlp(latent_size, config.widths), nets.mlp(spec["image"].shape, config.widths[::-1])
    )


def options(config: Config) -> dict[str, Any]:
    """Returns how it is trained."""
    schedules = [training.warmup_cosine(config.steps, config.steps / 20)]
    return {"schedules": schedules, "select": "best"}


def pca_errors(config: Config, splits: experiment.Splits) -> dict[int, float]:
    """Returns PCA's squared error per test image, by the latent sizes that it can have."""
    train, test = data.all_images(splits.train), data.all_images(splits.test)
    limit = min(train[0].size, len(train))
    principal = {size: metrics.pca(train, size) for size in config.latent_size if size <= limit}
    return {
        size: float(np.mean(np.sum((metrics.pca_reconstruct(p, test) - test) ** 2, (1, 2, 3))))
        for size, p in principal.items()
    }


def describe(model: experiment.Model, outcome: experiment.Outcome) -> dict[str, float | None]:
    """Returns what PCA has at a lane's latent size."""
    return {"pca_squared_error": outcome.reference.get(model.row["latent_size"])}


def figures(outcome: experiment.Outcome) -> dict[str, Any]:
    """Draws the errors beside PCA's, and what is left of some digits at every size."""
    return {
        "Squared error per test image against the latent size, beside PCA's.": plots.against(
            outcome.rows,
            "latent_size",
            "squared_error",
            reference={"PCA": outcome.reference} if outcome.reference else None,
            name="autoencoder",
        ),
        "Test images (top) and what each latent size keeps of them.": outcome.reconstructions(
            "latent_size", "size {}"
        ),
        "The loss over training.": outcome.learning_curves("latent_size"),
    }


latent_size = experiment.Study(
    "latent_size",
    "Distortion against latent size",
    build,
    table=["squared_error", "pca_squared_error"],
    figures=figures,
    options=options,
    reference=pca_errors,
    describe=describe,
)

if __name__ == "__main__":
    cli.main(latent_size, PRESETS, description=__doc__)
