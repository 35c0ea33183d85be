"""Convolutional autoencoders: pooling and upsampling, strides, residual blocks.

    python experiments/conv_ae.py

At the same latent size and after the same steps, strides, a dense network and residual blocks with
Fixup or with batch normalisation come to about the same squared error; the Keras tutorial's
network, which narrows 8x8 digits to 2x2, to several times as much.

Reference: Chollet (2016), Building Autoencoders in Keras; He et al. (2016), Deep Residual
Learning; Zhang, Dauphin and Ma (2019), Fixup Initialization.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ae_jax import cli, experiment, methods, nets, plots, training
from ae_jax.core import Method


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    architecture: experiment.Swept[str] = ("mlp", "keras", "conv", "residual", "residual_batchnorm")
    """Each is compiled on its own; "conv" has strided and transposed convolutions."""
    latent_size: experiment.Swept[experiment.Count] = (16,)
    """Each value is compiled on its own."""
    seeds: experiment.Count = 2
    steps: experiment.Count = 800


PRESETS = {
    "default": Config(),
    "smoke": Config(architecture=("keras",), latent_size=(4,), seeds=1, steps=4),
    "paper": Config(
        dataset="mnist", architecture=("keras",), latent_size=(128,), steps=23_450, batch_size=128
    ),
}


def build(config: Config, spec: Mapping[str, Any], architecture: str, latent_size: int) -> Method:
    """Returns the autoencoder of one architecture and latent size."""
    shape = spec["image"].shape
    return methods.autoencoder(
        nets.encoder(architecture, shape, latent_size),
        nets.decoder(architecture, shape, latent_size),
        reconstruction=methods.observations.bernoulli(),
    )


def describe(model: experiment.Model, outcome: experiment.Outcome) -> dict[str, float]:
    """Returns a lane's cross-entropy by pixel."""
    return {"per_pixel": model.row["reconstruction"] / math.prod(outcome.splits.image_shape)}


def figures(outcome: experiment.Outcome) -> dict[str, Any]:
    """Draws errors by architecture and what each makes of test images."""
    return {
        "Squared error per test image by architecture.": plots.against(
            outcome.rows, "architecture", "squared_error"
        ),
        "Test images (top) and their reconstructions.": outcome.reconstructions("architecture"),
        "The loss over training.": outcome.learning_curves("architecture"),
    }


conv_ae = experiment.Study(
    "conv_ae",
    "Convolutional autoencoders",
    build,
    table=["reconstruction", "per_pixel", "squared_error"],
    figures=figures,
    options=lambda config: {"schedules": [training.warmup_cosine(config.steps, config.steps / 20)]},
    describe=describe,
)

if __name__ == "__main__":
    cli.main(conv_ae, PRESETS, description=__doc__)
