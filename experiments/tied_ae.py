"""Tied weights: a decoder that uses its encoder's kernels, transposed, has half the kernels.

    python experiments/tied_ae.py

With the encoder's kernels, transposed, a latent takes about half the parameters and ends at a
squared error a little higher.

Reference: Vincent et al. (2010), Stacked Denoising Autoencoders, section 2.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax

from ae_jax import cli, experiment, methods, nets, plots
from ae_jax.core import Method


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    latent_size: experiment.Swept[experiment.Count] = (8, 32)
    """Each value is compiled on its own."""
    tied: experiment.Swept[bool] = (False, True)
    """Each value is compiled on its own."""
    widths: tuple[experiment.Count, ...] = ()
    """Hidden layers; not swept."""
    activation: Literal["linear", "relu", "tanh", "sigmoid"] = "sigmoid"
    """Of hidden layers and of the latent."""
    steps: experiment.Count = 6000


PRESETS = {
    "default": Config(),
    "smoke": Config(tied=(True,), latent_size=(8,), seeds=2, steps=60),
    "paper": Config(dataset="mnist", latent_size=(1000,), steps=100_000),
}


def build(config: Config, spec: Mapping[str, Any], latent_size: int, tied: bool) -> Method:
    """Returns the autoencoder of one latent size, with or without tied weights."""
    return methods.autoencoder(
        nets.mlp(latent_size, config.widths, config.activation, config.activation),
        nets.mlp(spec["image"].shape, config.widths[::-1], config.activation),
        reconstruction=methods.observations.bernoulli(),
        tie=nets.transposed if tied else None,
    )


def parameters(model: experiment.Model, outcome: experiment.Outcome) -> dict[str, int]:
    """Returns how many numbers a lane has learned."""
    return {"parameters": sum(leaf.size for leaf in jax.tree.leaves(model.state.params))}


def figures(outcome: experiment.Outcome) -> dict[str, Any]:
    """Draws what tying costs, and the filters with and without."""
    drawn = {
        "Squared error per test image with and without tied weights.": plots.against(
            outcome.rows, "latent_size", "squared_error"
        ),
        "The loss over training.": outcome.learning_curves("tied"),
    }
    for tied, model in outcome.firsts("tied").items():
        kernel = nets.layers(model.state.params["encoder"])[0].kernel
        name = "tied" if tied else "untied"
        drawn[f"Filters of the {name} encoder: what each unit of the first layer adds up."] = (
            plots.filters(kernel, outcome.splits.image_shape, heading=name)
        )
    return drawn


tied_ae = experiment.Study(
    "tied_ae",
    "Tied weights",
    build,
    table=["parameters", "reconstruction", "squared_error"],
    figures=figures,
    options=lambda config: {"select": "best"},
    describe=parameters,
)

if __name__ == "__main__":
    cli.main(tied_ae, PRESETS, description=__doc__)
