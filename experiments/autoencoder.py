"""The smallest complete experiment: an autoencoder's error against its latent size.

    python experiments/autoencoder.py

The squared error of test digits falls with the latent size.

Reference: Hinton and Salakhutdinov (2006).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ae_jax import cli, experiment, methods, nets, plots
from ae_jax.core import Method


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    latent_size: experiment.Swept[experiment.Count] = (2, 8, 32)
    """Each value is compiled on its own."""
    widths: tuple[experiment.Count, ...] = (128,)
    """Hidden layers; not swept."""


PRESETS = {
    "default": Config(),
    "smoke": Config(latent_size=(2,), widths=(16,), seeds=2, steps=60),
    "paper": Config(
        dataset="mnist", latent_size=(30,), widths=(1000, 500, 250), steps=120_000, batch_size=100
    ),
}


def build(config: Config, spec: Mapping[str, Any], latent_size: int) -> Method:
    """Returns the autoencoder of one latent size."""
    return methods.autoencoder(
        nets.mlp(latent_size, config.widths), nets.mlp(spec["image"].shape, config.widths[::-1])
    )


def figures(outcome: experiment.Outcome) -> dict[str, Any]:
    """Draws the errors, the learning curves and some reconstructions."""
    return {
        "Squared error per test image falls with the latent size.": plots.against(
            outcome.rows, "latent_size", "squared_error"
        ),
        "The loss over training.": outcome.learning_curves("latent_size"),
        "Test images (top) and their reconstructions.": outcome.reconstructions(
            "latent_size", "latent size {}"
        ),
    }


autoencoder = experiment.Study(
    "autoencoder", "Autoencoder", build, table=["squared_error"], figures=figures
)

if __name__ == "__main__":
    cli.main(autoencoder, PRESETS, description=__doc__)
