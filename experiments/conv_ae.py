"""Convolutional autoencoders: pooling and upsampling, strides, residual blocks.

    python experiments/conv_ae.py

At the same latent size and after the same steps, strides, a dense network and residual blocks with
Fixup or with batch normalisation come to about the same squared error; the Keras tutorial's
network, which narrows 8x8 digits to 2x2, to several times as much.

Reference: Chollet (2016), Building Autoencoders in Keras; He et al. (2016), Deep Residual
Learning; Zhang, Dauphin and Ma (2019), Fixup Initialization.
"""

import dataclasses
from pathlib import Path
from typing import Any

from ae_jax import cli, experiment, methods, nets, plots, training
from ae_jax.core import Method


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    architecture: tuple[str, ...] = ("mlp", "keras", "conv", "residual", "residual_batchnorm")
    """Each is compiled on its own; "conv" has strided and transposed convolutions."""
    latent_size: tuple[int, ...] = (16,)
    """Each value is compiled on its own."""
    seeds: int = 2
    steps: int = 800


PRESETS = {
    "default": Config(),
    "smoke": Config(architecture=("keras",), latent_size=(4,), seeds=1, steps=4),
    "paper": Config(
        dataset="mnist", architecture=("keras",), latent_size=(128,), steps=23_450, batch_size=128
    ),
}


def conv_ae(config: Config) -> None:
    """Sweeps convolutional architectures and reports their cross-entropy and squared error."""
    splits = experiment.load(config)
    shape = splits.image_shape

    def build(architecture: str, latent_size: int) -> Method:
        return methods.autoencoder(
            nets.encoder(architecture, shape, latent_size),
            nets.decoder(architecture, shape, latent_size),
            reconstruction=methods.observations.bernoulli(),
        )

    result, out = experiment.sweep(
        config,
        "conv_ae",
        build,
        splits,
        {"architecture": config.architecture, "latent_size": config.latent_size},
        schedules=[training.warmup_cosine(config.steps, config.steps / 20)],
    )
    pixels = shape[0] * shape[1] * shape[2]
    rows = [{**row, "per_pixel": row["reconstruction"] / pixels} for row in result.rows]
    experiment.report(
        config,
        out,
        f"Convolutional autoencoders on {config.dataset}",
        rows,
        ("architecture", "latent_size", "learning_rate"),
        ("reconstruction", "per_pixel", "squared_error"),
        lambda: figures(result, out, rows, splits),
        result,
    )


def figures(
    result: training.Result, out: Path, rows: list[dict], splits: experiment.Splits
) -> dict[str, Any]:
    """Draws errors by architecture and what each makes of test images."""
    batch = experiment.first_batch(splits.test, 16)
    outputs = {
        name: model.reconstruct(batch)
        for name, model in experiment.firsts(result, "architecture").items()
    }
    return {
        "Squared error per test image by architecture.": plots.against(
            rows, "architecture", "squared_error"
        ),
        "Test images (top) and their reconstructions.": plots.reconstructions(
            batch["image"], outputs
        ),
        "The loss over training.": plots.learning_curves(
            experiment.records(out), "loss", rows, "architecture"
        ),
    }


if __name__ == "__main__":
    cli.main(conv_ae, PRESETS)
