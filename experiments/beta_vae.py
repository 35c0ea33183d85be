"""How beta trades reconstruction for a simple, disentangled latent space.

    python experiments/beta_vae.py

Reference: Higgins et al. (2017), beta-VAE; Locatello et al. (2019) for `--preset paper`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax
import numpy as np

from ae_jax import cli, data, methods, metrics, nets, plots, training
from ae_jax.core import Dataset, Method


@dataclasses.dataclass(frozen=True)
class Config(cli.Execution):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "shapes32"
    """A data set that ae_jax.data knows, npz:FILE or images:FOLDER."""
    beta: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    """Weight of the KL divergence."""
    learning_rate: tuple[float, ...] = (1e-3,)
    latent_size: tuple[int, ...] = (10,)
    """Each value is compiled on its own."""
    seeds: int = 2
    """Trains each configuration with seeds 0, 1, ..."""
    architecture: Literal["mlp", "conv", "disentanglement", "keras"] = "mlp"
    widths: tuple[int, ...] = (256, 256)
    """Hidden layers of the mlp architecture; not swept."""
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    steps: int = 3000
    batch_size: int = 64
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate: constant, or a warm-up of 5% of the steps and a cosine to 0."""
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
    if config.seeds < 1:
        raise cli.InputError(f"seeds must be at least 1, got {config.seeds}")
    devices = training.use_devices(config.devices, config.distributed)
    splits = ("train", "validation", "test")
    train, validation, test = (data.load(config.dataset, split) for split in splits)
    validation = data.subset(validation, slice(0, 2000))
    shape = train.spec["image"].shape

    def build(latent_size: int) -> Method:
        return methods.vae(
            nets.encoder(config.architecture, shape, 2 * latent_size, config.widths),
            nets.decoder(config.architecture, shape, latent_size, config.widths[::-1]),
            latent_size,
            likelihood=methods.OBSERVATIONS[config.likelihood](),
        )

    warmup = training.warmup_cosine(config.steps, warmup_steps=config.steps / 20)
    out = cli.directory(config, "beta_vae")
    result = training.run(
        build,
        train,
        training.grid(
            latent_size=config.latent_size,
            learning_rate=config.learning_rate,
            beta=config.beta,
            seed=range(config.seeds),
        ),
        config.steps,
        out,
        batch_size=config.batch_size,
        validation=validation,
        test=test,
        evaluate_every=-(-config.steps // 10),
        schedules=[warmup] if config.schedule == "cosine" else [],
        summarize=metrics.latent_summary,
        select=config.select,
        config=cli.identity(config),
        devices=devices,
        loggers=config.loggers,
        progress=True,
    )
    if jax.process_index() == 0:
        report(config, out, result, test)


def report(config: Config, out, result: training.Result, test: Dataset) -> None:
    """Prints the table over seeds and writes the figures and the page."""
    rows = result.rows
    names = ("reconstruction", "kl", "elbo", "active_units", "mig")
    values = [name for name in names if any(name in row for row in rows)]
    summary = plots.aggregate(rows, ("latent_size", "learning_rate", "beta"), values)
    records = [
        record for path in sorted(out.glob("metrics*.jsonl")) for record in plots.read_records(path)
    ]
    figures = {
        "Reconstruction (nats) rises and KL (nats) falls as beta grows: each point is a seed, "
        "the line joins the means.": plots.rate_distortion(rows),
        "The objective over training.": plots.learning_curves(records, "loss", rows, "beta"),
        **pictures(result, rows, test),
    }
    if "mig" in values:
        figures["Disentanglement against beta."] = plots.against(rows, "beta", "mig")
    speed = (
        f"{len(rows)} lanes trained by {result.compilations} compiled program(s): "
        f"{result.compile_seconds:.1f} s to compile, "
        f"{result.lane_steps_per_second:,.0f} lane-steps per second."
    )
    path = plots.write_report(
        out,
        f"beta-VAE on {config.dataset}",
        cli.identity(config),
        rows,
        summary,
        figures,
        notes=[speed] if result.compilations else [],
        versions={"jax": jax.__version__},
        device=f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}",
    )
    print(plots.console_table(summary))
    for row in rows:
        if row["status"] == "frozen":
            settings = ", ".join(f"{k}={row[k]}" for k in ("learning_rate", "beta", "seed"))
            print(
                f"lane {row['lane']} ({settings}) was frozen at step {row['frozen_step']}: "
                f"{row['frozen_by']} was not finite"
            )
    print(speed)
    print(f"report: {path}")


def pictures(result: training.Result, rows: Sequence[dict], test: Dataset) -> dict:
    """Draws what the lanes of the first seed make of test images."""
    own = {int(index) for group in result.groups for index in group.index}
    shown = [row for row in rows if row["status"] == "ok" and row["lane"] in own]
    if not shown:
        return {}
    first = {row["beta"]: row for row in reversed(shown)}
    first = {beta: first[beta] for beta in sorted(first)}
    batch = test.fetch(test.arrays, np.arange(16))
    outputs = {}
    for beta, row in first.items():
        method, state, hparams = training.lane(result, row["lane"])
        outputs[f"β = {beta:g}"] = method.views.reconstruct(state, batch, hparams)
    figures = {
        "Test images (top) and what each beta keeps of them.": plots.reconstructions(
            batch["image"], outputs
        )
    }
    best = max(shown, key=lambda row: row.get("mig") or 0.0)
    method, state, hparams = training.lane(result, best["lane"])
    many = test.fetch(test.arrays, np.arange(min(1000, test.size)))
    codes = method.views.encode(state, many, hparams)
    span = np.linspace(-2.0, 2.0, 9)
    figures[
        f"Each latent dimension moved from -2 to 2, at beta = {best['beta']:g}, seed "
        f"{best['seed']}; those with the most variance over the data first."
    ] = plots.traversals(
        plots.traverse(method, state, hparams, codes[0], span),
        span,
        scores=codes.var(axis=0),
        score_name="variance of the mean",
    )
    if codes.shape[1] == 2:
        span = np.linspace(-2.5, 2.5, 15)
        figures["The plane of latents, decoded."] = plots.manifold(
            plots.plane(method, state, hparams, span), span
        )
    return figures


if __name__ == "__main__":
    cli.main(beta_vae, PRESETS)
