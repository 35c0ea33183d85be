"""A linear autoencoder finds what principal component analysis finds.

    python experiments/linear_ae.py

The squared error of the training digits is the sum of the discarded eigenvalues, and no direction
of the subspace is off by more than rounding and the last steps of training leave.

Reference: Baldi and Hornik (1989), Neural Networks and Principal Component Analysis.
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

    learning_rate: experiment.Swept[float] = (2e-2,)
    """At first; it falls to 0 as a half cosine."""
    latent_size: experiment.Swept[experiment.Count] = (2, 8, 16)
    """Each value is compiled on its own."""
    steps: experiment.Count = 8000
    batch_size: experiment.Count = 1024
    """Large: the noise of small batches turns the subspace where two eigenvalues are close."""


PRESETS = {
    "default": Config(),
    "smoke": Config(latent_size=(2,), seeds=2, steps=60),
    "paper": Config(dataset="mnist", latent_size=(2, 8, 32), steps=30_000, batch_size=10_000),
}


def load(config: Config) -> experiment.Splits:
    """Returns the data; the identity holds for those trained on, which the test is of."""
    splits = experiment.load_splits(config)
    return splits._replace(test=splits.train)


def build(config: Config, spec: Mapping[str, Any], latent_size: int) -> Method:
    """Returns the linear autoencoder of one latent size."""
    return methods.autoencoder(nets.mlp(latent_size, ()), nets.mlp(spec["image"].shape, ()))


def principal(config: Config, splits: experiment.Splits) -> dict[int, metrics.PrincipalComponents]:
    """Returns the principal components of the training data, by latent size."""
    images = data.all_images(splits.train)
    return {size: metrics.pca(images, size) for size in config.latent_size}


def against_pca(model: experiment.Model, outcome: experiment.Outcome) -> dict[str, float]:
    """Returns how much larger a lane's error is than PCA's, and how far their subspaces are."""
    found = outcome.reference[model.row["latent_size"]]
    excess = model.row["squared_error"] / found.discarded - 1 if found.discarded else float("nan")
    (decoder,) = nets.layers(model.state.params["decoder"])
    angles = metrics.principal_angles(np.asarray(decoder.kernel, float).T, found.components.T)
    return {
        "excess_percent": 100 * excess,
        "largest_angle_degrees": float(np.degrees(angles.max())),
    }


def figures(outcome: experiment.Outcome) -> dict[str, Any]:
    """Draws the errors beside PCA's, and what either makes of some digits."""
    errors = {size: found.discarded for size, found in outcome.reference.items()}
    listed = ", ".join(f"{error:.4f} at {size}" for size, error in errors.items())
    drawn = {
        f"The linear autoencoder's squared error is PCA's: {listed}.": plots.against(
            outcome.rows,
            "latent_size",
            "squared_error",
            reference={"PCA": errors},
            name="autoencoder",
        ),
        "The loss over training.": outcome.learning_curves("latent_size"),
    }
    batch = data.head(outcome.splits.train, 16)
    for size, model in list(outcome.firsts("latent_size").items())[-1:]:
        by_pca = np.clip(metrics.pca_reconstruct(outcome.reference[size], batch["image"]), 0, 1)
        drawn[f"Training images and their projections on {size} dimensions."] = (
            plots.reconstructions(
                batch["image"], {"autoencoder": model.reconstruct(batch), "PCA": by_pca}
            )
        )
    return drawn


linear_ae = experiment.Study(
    "linear_ae",
    "Linear autoencoder and PCA",
    build,
    table=["squared_error", "excess_percent", "largest_angle_degrees"],
    figures=figures,
    options=lambda config: {"schedules": [training.warmup_cosine(config.steps)]},
    load=load,
    reference=principal,
    describe=against_pca,
)

if __name__ == "__main__":
    cli.main(linear_ae, PRESETS, description=__doc__)
