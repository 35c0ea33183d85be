"""How beta trades reconstruction for a simple, disentangled latent space.

    python experiments/beta_vae.py

As beta grows the reconstruction error of rendered sprites rises and the KL divergence falls: fewer
latent units are active.

Reference: Higgins et al. (2017), beta-VAE; Locatello et al. (2019) for `--preset paper`.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ae_jax import cli, experiment, methods, metrics, nets, plots, training
from ae_jax.core import Dataset, Method


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "shapes32"
    beta: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    """Weight of the KL divergence."""
    latent_size: tuple[int, ...] = (10,)
    """Each value is compiled on its own."""
    seeds: int = 2
    architecture: Literal["mlp", "conv", "disentanglement", "keras"] = "mlp"
    widths: tuple[int, ...] = (256, 256)
    """Hidden layers of the mlp architecture; not swept."""
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate: constant, or a warm-up of 5% of the steps and a cosine to 0."""
    steps: int = 2000
    select: Literal["last", "best"] = "last"
    """Evaluate the last parameters, or those with the best validation loss."""


PRESETS = {
    "default": Config(),
    "smoke": Config(dataset="digits", beta=(1.0, 4.0), widths=(64,), latent_size=(2,), steps=60),
    # Locatello et al. (2019), tables 1 and 2: 50 seeds, 300,000 steps, Adam 1e-4.
    "paper": Config(
        dataset="dsprites",
        beta=(1.0, 2.0, 4.0, 6.0, 8.0, 16.0),
        learning_rate=(1e-4,),
        seeds=50,
        architecture="conv",
        steps=300_000,
    ),
}


def beta_vae(config: Config) -> None:
    """Sweeps beta-VAEs and reports what beta does to rate, distortion and disentanglement."""
    splits = experiment.load(config, held_out=2000)
    shape = splits.image_shape

    def build(latent_size: int) -> Method:
        return methods.vae(
            nets.encoder(config.architecture, shape, 2 * latent_size, config.widths),
            nets.decoder(config.architecture, shape, latent_size, config.widths[::-1]),
            latent_size,
            likelihood=methods.observations.OBSERVATIONS[config.likelihood](),
        )

    warmup = training.warmup_cosine(config.steps, warmup_steps=config.steps / 20)
    result, out = experiment.sweep(
        config,
        "beta_vae",
        build,
        splits,
        {"latent_size": config.latent_size, "beta": config.beta},
        evaluate_every=-(-config.steps // 10),
        schedules=[warmup] if config.schedule == "cosine" else [],
        summarize=metrics.latent_summary,
        select=config.select,
    )
    experiment.report(
        config,
        out,
        f"beta-VAE on {config.dataset}",
        result.rows,
        ("latent_size", "learning_rate", "beta"),
        ("reconstruction", "kl", "elbo", "active_units", "mig"),
        lambda: figures(result, out, splits.test),
        result,
    )


def figures(result: training.Result, out: Path, test: Dataset) -> dict[str, Any]:
    """Draws the sweep, and what the lanes of the first seed make of test images."""
    rows = result.rows
    drawn = {
        "Reconstruction (nats) rises and KL (nats) falls as beta grows: each point is a seed, "
        "the line joins the means.": plots.rate_distortion(rows),
        "The objective over training.": plots.learning_curves(
            experiment.records(out), "loss", rows, "beta"
        ),
    }
    if any("mig" in row for row in rows):
        drawn["Disentanglement against beta."] = plots.against(rows, "beta", "mig")
    models = experiment.firsts(result, "beta")
    if not models:
        return drawn
    batch = experiment.first_batch(test, 16)
    outputs = {f"β = {beta:g}": model.reconstruct(batch) for beta, model in models.items()}
    drawn["Test images (top) and what each beta keeps of them."] = plots.reconstructions(
        batch["image"], outputs
    )
    best = max(models.values(), key=lambda model: model.row.get("mig") or 0.0)
    codes = best.encode(experiment.first_batch(test, 1000))
    span = np.linspace(-2.0, 2.0, 9)
    drawn[
        f"Each latent dimension moved from -2 to 2, at beta = {best.row['beta']:g}, seed "
        f"{best.row['seed']}; those with the most variance over the data first."
    ] = plots.traversals(
        plots.traverse(best.method, best.state, best.hparams, codes[0], span),
        span,
        scores=codes.var(axis=0),
        score_name="variance of the mean",
    )
    if codes.shape[1] == 2:
        span = np.linspace(-2.5, 2.5, 15)
        drawn["The plane of latents, decoded."] = plots.manifold(
            plots.plane(best.method, best.state, best.hparams, span), span
        )
    return drawn


if __name__ == "__main__":
    cli.main(beta_vae, PRESETS)
