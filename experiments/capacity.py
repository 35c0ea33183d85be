"""A VAE that tells as many nats of an image as it is allowed to: the capacity, raised from 0.

    python experiments/capacity.py

The KL divergence of all sprites follows each lane's ramp to its capacity and stays there, and the
reconstruction error falls as the capacity grows. All capacities are one program.

Reference: Burgess et al. (2018), Understanding disentangling in beta-VAE, section 5.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import Method


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "sprites16"
    latent_size: experiment.Swept[experiment.Count] = (6,)
    """Each value is compiled on its own."""
    capacity: experiment.Swept[float] = (1.0, 2.0, 4.0, 6.0, 8.0, 12.0)
    """Nats of KL divergence at the end of the ramp."""
    capacity_weight: experiment.Swept[float] = (100.0,)
    """Gamma, of the distance from the capacity."""
    ramp_steps: experiment.Whole = 2000
    """Over which the capacity rises from 0."""
    seeds: experiment.Count = 2
    architecture: Literal["mlp", "conv", "disentanglement", "keras"] = "mlp"
    widths: tuple[experiment.Count, ...] = (128, 128)
    """Hidden layers of the mlp architecture; not swept."""
    steps: experiment.Count = 4000


PRESETS = {
    "default": Config(),
    "smoke": Config(capacity=(1.0, 2.0), widths=(16,), ramp_steps=30, steps=60),
    # Burgess et al. (2018): gamma 1000, 25 nats after 100,000 steps, Adam 5e-4.
    "paper": Config(
        dataset="shapes",
        latent_size=(10,),
        capacity=(25.0,),
        capacity_weight=(1000.0,),
        ramp_steps=100_000,
        learning_rate=(5e-4,),
        architecture="disentanglement",
        steps=100_000,
    ),
}


def build(config: Config, spec: Mapping[str, Any], latent_size: int) -> Method:
    """Returns the VAE of one latent size; the capacity takes the place of its KL term."""
    return methods.vae(
        nets.encoder(config.architecture, spec["image"].shape, 2 * latent_size, config.widths),
        nets.decoder(config.architecture, spec["image"].shape, latent_size, config.widths[::-1]),
        latent_size,
        regularisers=[methods.latent_regularisers.capacity()],
        beta=0.0,
    )


def options(config: Config) -> dict[str, Any]:
    """Returns how it is trained."""
    return {
        "evaluate_every": -(-config.steps // 20),
        "schedules": [
            training.ramp(config.ramp_steps, "capacity"),
            training.warmup_cosine(config.steps, config.steps / 20),
        ],
        "summarize": metrics.latent_summary,
    }


def figures(outcome: experiment.Outcome) -> dict[str, Any]:
    """Draws the divergence beside its ramp, the error, and what a little and much capacity tell."""
    rows, test = outcome.rows, outcome.splits.test
    history = plots.history(experiment.records(outcome.out), rows)
    divergence = plots.mean_curves(history, "step", "kl", lambda row: row["capacity"])
    error = plots.mean_curves(rows, "capacity", "reconstruction", lambda row: None)
    drawn = {
        "KL divergence over training (points) and the capacity that it is held at (dashed).": (
            plots.lines(
                divergence,
                "training step",
                "KL (nats)",
                name="capacity",
                formulas={"ramp": ramps(outcome.config)},
            )
        ),
        "The reconstruction error falls as the capacity grows.": plots.lines(
            error, "capacity (nats)", "reconstruction (nats per image)"
        ),
    }
    models = outcome.firsts("capacity")
    some = data.subset(test, np.linspace(0, test.size - 1, 16).astype(int))
    batch = data.head(some, some.size)
    drawn["Images (top) and what is left of them with each capacity."] = plots.reconstructions(
        batch["image"], {f"{nats:g} nats": m.reconstruct(batch) for nats, m in models.items()}
    )
    span = np.linspace(-2.0, 2.0, 9)
    for nats in dict.fromkeys([*models][:: max(len(models) - 1, 1)]):
        codes = models[nats].encode(data.head(test, 1000))
        drawn[
            f"Each latent dimension of an image moved from -2 to 2, with {nats:g} nats; those "
            "with the most variance over the data first."
        ] = plots.traversals(
            plots.traverse(models[nats].decode, codes[len(codes) // 2], span),
            span,
            scores=codes.var(axis=0),
            score_name="variance of the mean",
        )
    return drawn


def ramps(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Returns every ramp, one after the other, with a gap between any two: steps and nats."""
    schedule = training.ramp(config.ramp_steps, "capacity")
    steps = np.linspace(0, config.steps, 200)
    nats = [
        np.append(schedule.apply(steps, {**schedule.hparams, "capacity": end})["capacity"], np.nan)
        for end in sorted(config.capacity)
    ]
    return np.tile(np.append(steps, np.nan), len(nats))[:-1], np.concatenate(nats)[:-1]


capacity = experiment.Study(
    "capacity",
    "Capacity of a VAE",
    build,
    table=["reconstruction", "kl", "active_units", "mig"],
    figures=figures,
    options=options,
)

if __name__ == "__main__":
    cli.main(capacity, PRESETS, description=__doc__)
