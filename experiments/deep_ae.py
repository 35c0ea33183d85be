"""Deep autoencoders, down to two numbers: the classes, the plane and the way between examples.

    python experiments/deep_ae.py

More hidden layers lower the squared error of test digits a little, of two latents and of eight.

Reference: Hinton and Salakhutdinov (2006), figure 3.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ae_jax import cli, experiment, methods, nets, plots, training
from ae_jax.core import InputError, Method


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    latent_size: tuple[int, ...] = (2, 8)
    """Each value is compiled on its own."""
    depth: tuple[int, ...] = (1, 2, 3)
    """How many of the hidden layers to use, from the first, or 0; each is compiled on its own."""
    widths: tuple[int, ...] = (256, 128, 64)
    """Hidden layers, from the image to the latent; not swept."""
    activation: Literal["relu", "tanh", "sigmoid", "selu"] = "relu"
    seeds: int = 2
    steps: int = 4000


PRESETS = {
    "default": Config(),
    "smoke": Config(latent_size=(2,), depth=(1,), widths=(16,), seeds=2, steps=60),
    "paper": Config(
        dataset="mnist", latent_size=(2, 30), depth=(3,), widths=(1000, 500, 250), steps=120_000
    ),
}


def deep_ae(config: Config) -> None:
    """Sweeps autoencoders over depth and latent size and draws the plane of two latents."""
    experiment.at_least(config, 0, "depth")
    if max(config.depth, default=0) > len(config.widths):
        raise InputError(f"depth {max(config.depth)} needs as many widths, got {config.widths}")
    splits = experiment.load(config)
    shape = splits.image_shape

    def build(latent_size: int, depth: int) -> Method:
        widths = config.widths[:depth]
        return methods.autoencoder(
            nets.mlp(latent_size, widths, config.activation),
            nets.mlp(shape, widths[::-1], config.activation),
        )

    result, out = experiment.sweep(
        config,
        "deep_ae",
        build,
        splits,
        {"latent_size": config.latent_size, "depth": config.depth},
        schedules=[training.warmup_cosine(config.steps, config.steps / 20)],
        select="best",
    )
    experiment.report(
        config,
        out,
        f"Deep autoencoders on {config.dataset}",
        result.rows,
        ("latent_size", "depth", "learning_rate"),
        ("squared_error",),
        lambda: figures(result, out, splits),
        result,
    )


def figures(result: training.Result, out: Path, splits: experiment.Splits) -> dict[str, Any]:
    """Draws errors by depth and, where a latent has two numbers, what lies in their plane."""
    rows, test = result.rows, splits.test
    drawn = {
        "Squared error per test image against the number of hidden layers.": plots.against(
            rows, "depth", "squared_error"
        ),
        "The loss over training.": plots.learning_curves(
            experiment.records(out), "loss", rows, "depth"
        ),
    }
    flat = [row for row in rows if row["latent_size"] == 2 and row["status"] == "ok"]
    if not flat:
        return drawn
    best = min(flat, key=lambda row: row["squared_error"])
    model = experiment.model(result, best["lane"])
    batch = experiment.first_batch(test, 5000)
    latent = np.asarray(model.encode(batch))
    if not np.isfinite(latent).all():
        return drawn
    if "label" in batch and len(np.unique(batch["label"])) <= plots.MOST_CLASSES:
        drawn["Test images by their two latents, coloured by class."] = plots.scatter(
            latent, batch["label"]
        )
    low, high = np.quantile(latent, (0.02, 0.98), axis=0)
    span = np.linspace(low, high, 15).T
    drawn["The plane of latents, decoded."] = plots.manifold(
        plots.plane(model.method, model.state, model.hparams, span), span
    )
    pairs = [(at, (at + 1) % len(latent)) for at in range(0, min(8, len(latent)), 2)]
    walks = [
        plots.walk(model.method, model.state, model.hparams, latent[a], latent[b]) for a, b in pairs
    ]
    ends = np.asarray(batch["image"])
    drawn["From one test image (left) to another along a straight line of latents."] = plots.walks(
        np.stack(walks), ends[[a for a, _ in pairs]], ends[[b for _, b in pairs]]
    )
    return drawn


if __name__ == "__main__":
    cli.main(deep_ae, PRESETS)
