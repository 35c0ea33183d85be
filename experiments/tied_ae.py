"""Tied weights: a decoder that uses its encoder's kernels, transposed, has half the kernels.

    python experiments/tied_ae.py

With the encoder's kernels, transposed, a latent takes about half the parameters and ends at a
squared error a little higher.

Reference: Vincent et al. (2010), Stacked Denoising Autoencoders, section 2.
"""

import dataclasses
from typing import Any, Literal

import jax
import numpy as np

from ae_jax import cli, experiment, methods, nets, plots
from ae_jax.core import Method


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    tied: tuple[bool, ...] = (False, True)
    """Each value is compiled on its own."""
    latent_size: tuple[int, ...] = (8, 32)
    """Each value is compiled on its own."""
    widths: tuple[int, ...] = ()
    """Hidden layers; not swept."""
    activation: Literal["linear", "relu", "tanh", "sigmoid"] = "sigmoid"
    """Of hidden layers and of the latent."""
    steps: int = 6000


PRESETS = {
    "default": Config(),
    "smoke": Config(tied=(True,), latent_size=(8,), seeds=2, steps=60),
    "paper": Config(dataset="mnist", latent_size=(1000,), steps=100_000),
}


def tied_ae(config: Config) -> None:
    """Sweeps autoencoders with and without tied weights over latent sizes."""
    splits = experiment.load(config)
    shape = splits.image_shape

    def build(latent_size: int, tied: bool) -> Method:
        return methods.autoencoder(
            nets.mlp(latent_size, config.widths, config.activation, config.activation),
            nets.mlp(shape, config.widths[::-1], config.activation),
            reconstruction=methods.observations.bernoulli(),
            tie=nets.transposed if tied else None,
        )

    trained = experiment.sweep(
        config,
        "tied_ae",
        build,
        splits,
        {"latent_size": config.latent_size, "tied": config.tied},
        select="best",
    )
    rows = experiment.described(trained, lambda model: {"parameters": parameters(model)})
    experiment.report(
        config,
        trained.out,
        f"Tied weights on {config.dataset}",
        rows,
        ("latent_size", "tied", "learning_rate"),
        ("parameters", "reconstruction", "squared_error"),
        lambda: figures(trained, rows, splits),
        trained.result,
    )


def parameters(model: experiment.Model) -> int:
    """Returns how many numbers a lane has learned."""
    return sum(leaf.size for leaf in jax.tree.leaves(model.state.params))


def figures(
    trained: experiment.Sweep, rows: list[dict], splits: experiment.Splits
) -> dict[str, Any]:
    """Draws what tying costs, and the filters with and without."""
    drawn = {
        "Squared error per test image with and without tied weights.": plots.against(
            rows, "latent_size", "squared_error"
        ),
        "The loss over training.": plots.learning_curves(
            experiment.records(trained.out), "loss", rows, "tied"
        ),
    }
    for tied, model in experiment.firsts(trained.result, "tied").items():
        kernel = np.asarray(model.state.params["encoder"]["Dense_0"]["kernel"])
        name = "tied" if tied else "untied"
        drawn[f"Filters of the {name} encoder: what each unit of the first layer adds up."] = (
            plots.filters(kernel, splits.image_shape, heading=name)
        )
    return drawn


if __name__ == "__main__":
    cli.main(tied_ae, PRESETS)
