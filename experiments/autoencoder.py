"""The smallest complete experiment: an autoencoder's error against its latent size.

    python experiments/autoencoder.py

The squared error of test digits falls with the latent size.

Reference: Hinton and Salakhutdinov (2006).
"""

import dataclasses
from pathlib import Path
from typing import Any

from ae_jax import cli, experiment, methods, nets, plots, training
from ae_jax.core import Dataset, Method


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    latent_size: tuple[int, ...] = (2, 8, 32)
    """Each value is compiled on its own."""
    widths: tuple[int, ...] = (128,)
    """Hidden layers; not swept."""


PRESETS = {
    "default": Config(),
    "smoke": Config(latent_size=(2,), widths=(16,), seeds=2, steps=60),
    "paper": Config(
        dataset="mnist", latent_size=(30,), widths=(1000, 500, 250), steps=120_000, batch_size=100
    ),
}


def autoencoder(config: Config) -> None:
    """Sweeps autoencoders over latent sizes and reports their squared error."""
    splits = experiment.load(config)
    shape = splits.image_shape

    def build(latent_size: int) -> Method:
        return methods.autoencoder(
            nets.mlp(latent_size, config.widths), nets.mlp(shape, config.widths[::-1])
        )

    values = {"latent_size": config.latent_size}
    result, out = experiment.sweep(config, "autoencoder", build, splits, values)
    experiment.report(
        config,
        out,
        f"Autoencoder on {config.dataset}",
        result.rows,
        ("latent_size", "learning_rate"),
        ("squared_error",),
        lambda: figures(result, out, splits.test),
        result,
    )


def figures(result: training.Result, out: Path, test: Dataset) -> dict[str, Any]:
    """Draws the errors, the learning curves and some reconstructions."""
    batch = experiment.first_batch(test, 16)
    outputs = {
        f"latent size {size}": model.reconstruct(batch)
        for size, model in experiment.firsts(result, "latent_size").items()
    }
    return {
        "Squared error per test image falls with the latent size.": plots.against(
            result.rows, "latent_size", "squared_error"
        ),
        "The loss over training.": plots.learning_curves(
            experiment.records(out), "loss", result.rows, "latent_size"
        ),
        "Test images (top) and their reconstructions.": plots.reconstructions(
            batch["image"], outputs
        ),
    }


if __name__ == "__main__":
    cli.main(autoencoder, PRESETS)
