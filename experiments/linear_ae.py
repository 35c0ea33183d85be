"""A linear autoencoder finds what principal component analysis finds.

    python experiments/linear_ae.py

The squared error of the training digits is the sum of the discarded eigenvalues, and no direction
of the subspace is off by more than rounding and the last steps of training leave.

Reference: Baldi and Hornik (1989), Neural Networks and Principal Component Analysis.
"""

import dataclasses
from typing import Any

import numpy as np

from ae_jax import cli, experiment, methods, metrics, nets, plots, training
from ae_jax.core import Dataset, Method


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    learning_rate: tuple[float, ...] = (2e-2,)
    """At first; it falls to 0 as a half cosine."""
    latent_size: tuple[int, ...] = (2, 8, 16)
    """Each value is compiled on its own."""
    steps: int = 8000
    batch_size: int = 1024
    """Large: the noise of small batches turns the subspace where two eigenvalues are close."""


PRESETS = {
    "default": Config(),
    "smoke": Config(latent_size=(2,), seeds=2, steps=60),
    "paper": Config(dataset="mnist", latent_size=(2, 8, 32), steps=30_000, batch_size=10_000),
}


def linear_ae(config: Config) -> None:
    """Sweeps linear autoencoders over latent sizes and compares them with PCA."""
    splits = experiment.load(config)
    splits = splits._replace(test=splits.train)  # the identity holds for the data trained on
    shape = splits.image_shape
    principal = {
        size: metrics.pca(experiment.images(splits.train), size) for size in config.latent_size
    }

    def build(latent_size: int) -> Method:
        return methods.autoencoder(nets.mlp(latent_size, ()), nets.mlp(shape, ()))

    trained = experiment.sweep(
        config,
        "linear_ae",
        build,
        splits,
        {"latent_size": config.latent_size},
        schedules=[training.warmup_cosine(config.steps)],
    )
    rows = experiment.described(trained, lambda model: against_pca(model, principal))
    experiment.report(
        config,
        trained.out,
        f"Linear autoencoder and PCA on {config.dataset}",
        rows,
        ("latent_size", "learning_rate"),
        ("squared_error", "excess_percent", "largest_angle_degrees"),
        lambda: figures(trained, rows, splits.train, principal),
        trained.result,
        notes=[
            f"PCA, latent size {size}: {found.discarded:.4f}" for size, found in principal.items()
        ],
    )


def against_pca(model: experiment.Model, principal: dict) -> dict[str, float]:
    """Returns how much larger a lane's error is than PCA's, and how far their subspaces are."""
    found = principal[model.row["latent_size"]]
    excess = model.row["squared_error"] / found.discarded - 1 if found.discarded else float("nan")
    decoder = model.state.params["decoder"]["Dense_0"]["kernel"]
    angles = metrics.principal_angles(np.asarray(decoder, float).T, found.components.T)
    return {
        "excess_percent": 100 * excess,
        "largest_angle_degrees": float(np.degrees(angles.max())),
    }


def figures(
    trained: experiment.Sweep, rows: list[dict], train: Dataset, principal: dict
) -> dict[str, Any]:
    """Draws the errors beside PCA's, and what either makes of some digits."""
    batch = experiment.first_batch(train, 16)
    errors = {size: found.discarded for size, found in principal.items()}
    drawn = {
        "The linear autoencoder's squared error is PCA's.": plots.against(
            rows, "latent_size", "squared_error", reference={"PCA": errors}, name="autoencoder"
        ),
        "The loss over training.": plots.learning_curves(
            experiment.records(trained.out), "loss", rows, "latent_size"
        ),
    }
    for size, model in list(experiment.firsts(trained.result, "latent_size").items())[-1:]:
        by_pca = np.clip(metrics.pca_reconstruct(principal[size], batch["image"]), 0, 1)
        drawn[f"Training images and their projections on {size} dimensions."] = (
            plots.reconstructions(
                batch["image"], {"autoencoder": model.reconstruct(batch), "PCA": by_pca}
            )
        )
    return drawn


if __name__ == "__main__":
    cli.main(linear_ae, PRESETS)
