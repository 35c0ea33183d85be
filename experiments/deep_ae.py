"""Deep autoencoders, down to two numbers: the classes, the plane and the way between examples.

    python experiments/deep_ae.py

More hidden layers lower the squared error of test digits a little, of two latents and of eight.

Reference: Hinton and Salakhutdinov (2006), figure 3.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ae_jax import cli, data, experiment, methods, nets, plots, training
from ae_jax.core import InputError, Method


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    latent_size: experiment.Swept[experiment.Count] = (2, 8)
    """Each value is compiled on its own."""
    depth: experiment.Swept[experiment.Whole] = (1, 2, 3)
    """How many of the hidden layers to use, from the first, or 0; each is compiled on its own."""
    widths: tuple[experiment.Count, ...] = (256, 128, 64)
    """Hidden layers, from the image to the latent; not swept."""
    activation: Literal["relu", "tanh", "sigmoid", "selu"] = "relu"
    seeds: experiment.Count = 2
    steps: experiment.Count = 4000


PRESETS = {
    "default": Config(),
    "smoke": Config(latent_size=(2,), depth=(1,), widths=(16,), seeds=2, steps=60),
    "paper": Config(
        dataset="mnist", latent_size=(2, 30), depth=(3,), widths=(1000, 500, 250), steps=120_000
    ),
}


def build(config: Config, spec: Mapping[str, Any], latent_size: int, depth: int) -> Method:
    """Returns the autoencoder of one latent size and depth."""
    if depth > len(config.widths):
        raise InputError(f"depth {depth} needs as many widths, got {config.widths}")
    widths = config.widths[:depth]
    return methods.autoencoder(
        nets.mlp(latent_size, widths, config.activation),
        nets.mlp(spec["image"].shape, widths[::-1], config.activation),
    )


def options(config: Config) -> dict[str, Any]:
    """Returns how it is trained."""
    schedules = [training.warmup_cosine(config.steps, config.steps / 20)]
    return {"schedules": schedules, "select": "best"}


def figures(outcome: experiment.Outcome) -> dict[str, Any]:
    """Draws errors by depth and, where a latent has two numbers, what lies in their plane."""
    rows = outcome.rows
    drawn = {
        "Squared error per test image against the number of hidden layers.": plots.against(
            rows, "depth", "squared_error"
        ),
        "The loss over training.": outcome.learning_curves("depth"),
    }
    flat = [row for row in rows if row["latent_size"] == 2 and row["status"] == "ok"]
    if not flat:
        return drawn
    best = min(flat, key=lambda row: row["squared_error"])
    model = experiment.model(outcome.result, best["lane"])
    batch = data.head(outcome.splits.test, 5000)
    latent = np.asarray(model.encode(batch))
    if not np.isfinite(latent).all():
        return drawn
    if "label" in batch and len(np.unique(batch["label"])) <= plots.MOST_CLASSES:
        drawn["Test images by their two latents, coloured by class."] = plots.scatter(
            latent, batch["label"]
        )
    low, high = np.quantile(latent, (0.02, 0.98), axis=0)
    span = np.linspace(low, high, 15).T
    drawn["The plane of latents, decoded."] = plots.manifold(plots.plane(model.decode, span), span)
    first = np.arange(0, min(8, len(latent)), 2)
    last = (first + 1) % len(latent)
    walks = [
        plots.walk(model.decode, latent[a], latent[b]) for a, b in zip(first, last, strict=True)
    ]
    ends = np.asarray(batch["image"])
    drawn["From one test image (left) to another along a straight line of latents."] = plots.walks(
        np.stack(list(walks)), ends[first], ends[last]
    )
    return drawn


deep_ae = experiment.Study(
    "deep_ae",
    "Deep autoencoders",
    build,
    table=["squared_error"],
    figures=figures,
    options=options,
)

if __name__ == "__main__":
    cli.main(deep_ae, PRESETS, description=__doc__)
