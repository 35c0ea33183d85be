"""How beta trades reconstruction for a simple, disentangled latent space.

    python experiments/beta_vae.py

As beta grows the reconstruction error of rendered sprites rises and the KL divergence falls: fewer
latent units are active, and those that are left stand for single factors more often than without
it. The grid of sprites is small, and learned and measured whole.

Reference: Higgins et al. (2017), beta-VAE; Locatello et al. (2019) for `--preset paper`.
"""

import dataclasses
import functools
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
    beta: experiment.Swept[float] = (1.0, 2.0, 4.0, 8.0)
    """Weight of the KL divergence."""
    architecture: Literal["mlp", "conv", "disentanglement", "disentanglement_lib", "keras"] = "mlp"
    widths: tuple[experiment.Count, ...] = (128, 128)
    """Hidden layers of the mlp architecture; not swept."""
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate: constant, or a warm-up of 5% of the steps and a cosine to 0."""
    select: Literal["last", "best"] = "last"
    """Evaluate the last parameters, or those with the best validation loss."""


PRESETS = {
    "default": Config(),
    "smoke": Config(
        dataset="digits", beta=(1.0, 4.0), widths=(64,), latent_size=(2,), seeds=2, steps=60
    ),
    # Locatello et al. (2019), tables 1 and 2: 50 seeds, 300,000 steps, Adam 1e-4.
    "paper": Config(
        dataset="dsprites",
        latent_size=(10,),
        beta=(1.0, 2.0, 4.0, 6.0, 8.0, 16.0),
        learning_rate=(1e-4,),
        seeds=50,
        architecture="disentanglement_lib",
        steps=300_000,
    ),
}


def build(config: Config, spec: Mapping[str, Any], latent_size: int) -> Method:
    """Returns the VAE of one latent size."""
    return methods.vae(
        nets.encoder(config.architecture, spec["image"].shape, 2 * latent_size, config.widths),
        nets.decoder(config.architecture, spec["image"].shape, latent_size, config.widths[::-1]),
        latent_size,
        likelihood=methods.observations.OBSERVATIONS[config.likelihood](),
    )


def options(config: Config) -> dict[str, Any]:
    """Returns how it is trained."""
    warmup = training.warmup_cosine(config.steps, warmup_steps=config.steps / 20)
    return {
        "evaluate_every": -(-config.steps // 10),
        "schedules": [warmup] if config.schedule == "cosine" else [],
        "summarize": metrics.latent_summary,
        "select": config.select,
    }


def figures(outcome: experiment.Outcome) -> dict[str, Any]:
    """Draws the sweep, and what the lanes of the first seed make of test images."""
    rows, test = outcome.rows, outcome.splits.test
    drawn = {
        "Reconstruction (nats) rises and KL (nats) falls as beta grows: each point is a seed, "
        "the line joins the means.": plots.rate_distortion(rows),
        "The objective over training.": outcome.learning_curves("beta"),
    }
    if any("mig" in row for row in rows):
        drawn["Disentanglement against beta."] = plots.against(rows, "beta", "mig")
    models = outcome.firsts("beta")
    if not models:
        return drawn
    drawn["Test images (top) and what each beta keeps of them."] = outcome.reconstructions(
        "beta", "β = {:g}"
    )
    best = max(models.values(), key=lambda model: model.row.get("mig") or 0.0)
    codes = best.encode(data.head(test, 1000))
    span = np.linspace(-2.0, 2.0, 9)
    drawn[
        f"Each latent dimension moved from -2 to 2, at beta = {best.row['beta']:g}, seed "
        f"{best.row['seed']}; those with the most variance over the data first."
    ] = plots.traversals(
        plots.traverse(best.decode, codes[0], span),
        span,
        scores=codes.var(axis=0),
        score_name="variance of the mean",
    )
    if codes.shape[1] == 2:
        span = np.linspace(-2.5, 2.5, 15)
        drawn["The plane of latents, decoded."] = plots.manifold(
            plots.plane(best.decode, span), span
        )
    return drawn


beta_vae = experiment.Study(
    "beta_vae",
    "beta-VAE",
    build,
    table=["reconstruction", "kl", "elbo", "active_units", "mig"],
    figures=figures,
    options=options,
    load=functools.partial(experiment.load_splits, held_out=2000),
)

if __name__ == "__main__":
    cli.main(beta_vae, PRESETS, description=__doc__)
