"""How much of an image fits in how small a latent: a nonlinear autoencoder beside PCA.

    python experiments/latent_size.py

At every small latent size the squared error of test digits is well below PCA's; at half as many
latents as pixels the two are close.

Reference: Hinton and Salakhutdinov (2006), Reducing the Dimensionality of Data with Neural
Networks.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ae_jax import cli, experiment, methods, metrics, nets, plots, training
from ae_jax.core import Method


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    latent_size: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    """Each value is compiled on its own."""
    widths: tuple[int, ...] = (256, 128)
    """Hidden layers; not swept."""
    seeds: int = 2
    steps: int = 4000


PRESETS = {
    "default": Config(),
    "smoke": Config(latent_size=(2,), widths=(16,), seeds=2, steps=60),
    "paper": Config(
        dataset="mnist", latent_size=(2, 6, 15, 30), widths=(1000, 500, 250), steps=120_000
    ),
}


def latent_size(config: Config) -> None:
    """Sweeps autoencoders over latent sizes and reports distortion beside PCA's."""
    splits = experiment.load(config)
    shape = splits.image_shape

    def build(latent_size: int) -> Method:
        return methods.autoencoder(
            nets.mlp(latent_size, config.widths), nets.mlp(shape, config.widths[::-1])
        )

    result, out = experiment.sweep(
        config,
        "latent_size",
        build,
        splits,
        {"latent_size": config.latent_size},
        schedules=[training.warmup_cosine(config.steps, config.steps / 20)],
        select="best",
    )
    train = experiment.images(splits.train)
    test = experiment.images(splits.test)
    limit = min(train[0].size, len(train))
    principal = {size: metrics.pca(train, size) for size in config.latent_size if size <= limit}
    errors = {
        size: float(np.mean(np.sum((metrics.pca_reconstruct(p, test) - test) ** 2, (1, 2, 3))))
        for size, p in principal.items()
    }
    rows = [{**row, "pca_squared_error": errors.get(row["latent_size"])} for row in result.rows]
    experiment.report(
        config,
        out,
        f"Distortion against latent size on {config.dataset}",
        rows,
        ("latent_size", "learning_rate"),
        ("squared_error", "pca_squared_error"),
        lambda: figures(result, out, rows, splits, errors),
        result,
    )


def figures(
    result: training.Result,
    out: Path,
    rows: list[dict],
    splits: experiment.Splits,
    errors: dict[int, float],
) -> dict[str, Any]:
    """Draws the errors beside PCA's, and what is left of some digits at every size."""
    batch = experiment.first_batch(splits.test, 16)
    outputs = {
        f"size {size}": model.reconstruct(batch)
        for size, model in experiment.firsts(result, "latent_size").items()
    }
    return {
        "Squared error per test image against the latent size, beside PCA's.": plots.against(
            rows,
            "latent_size",
            "squared_error",
            reference={"PCA": errors} if errors else None,
            name="autoencoder",
        ),
        "Test images (top) and what each latent size keeps of them.": plots.reconstructions(
            batch["image"], outputs
        ),
        "The loss over training.": plots.learning_curves(
            experiment.records(out), "loss", result.rows, "latent_size"
        ),
    }


if __name__ == "__main__":
    cli.main(latent_size, PRESETS)
