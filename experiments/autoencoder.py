"""The smallest complete experiment: an autoencoder's error against its latent size.

    python experiments/autoencoder.py

Reference: Hinton and Salakhutdinov (2006).
"""

import dataclasses

import jax
import numpy as np

from ae_jax import cli, data, methods, nets, plots, training
from ae_jax.core import Dataset, InputError, Method


@dataclasses.dataclass(frozen=True)
class Config(cli.Execution):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "digits"
    """A data set that ae_jax.data knows, npz:FILE or images:FOLDER."""
    latent_size: tuple[int, ...] = (2, 8, 32)
    """Each value is compiled on its own."""
    learning_rate: tuple[float, ...] = (1e-3,)
    widths: tuple[int, ...] = (128,)
    """Hidden layers; not swept."""
    seeds: int = 3
    """Trains each configuration with seeds 0, 1, ..."""
    steps: int = 3000
    batch_size: int = 64


PRESETS = {"default": Config(), "smoke": Config(latent_size=(2,), seeds=2, steps=60)}


def autoencoder(config: Config) -> None:
    """Sweeps autoencoders over latent sizes and reports their squared error."""
    if config.seeds < 1:
        raise InputError(f"seeds must be at least 1, got {config.seeds}")
    devices = training.use_devices(config.devices, config.distributed)
    splits = ("train", "validation", "test")
    train, validation, test = (data.load(config.dataset, split) for split in splits)
    shape = train.spec["image"].shape

    def build(latent_size: int) -> Method:
        return methods.autoencoder(
            nets.mlp(latent_size, config.widths), nets.mlp(shape, config.widths[::-1])
        )

    out = cli.directory(config, "autoencoder")
    result = training.run(
        build,
        train,
        training.grid(
            latent_size=config.latent_size,
            learning_rate=config.learning_rate,
            seed=range(config.seeds),
        ),
        config.steps,
        out,
        batch_size=config.batch_size,
        validation=validation,
        test=test,
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
    summary = plots.aggregate(rows, ("latent_size", "learning_rate"), ("squared_error",))
    figures = {
        "Squared error per test image falls with the latent size.": plots.against(
            rows, "latent_size", "squared_error"
        ),
        "The loss over training.": plots.learning_curves(
            plots.read_records(out / "metrics.jsonl"), "loss", rows, "latent_size"
        ),
    }
    own = {int(index) for group in result.groups for index in group.index}
    first = {
        row["latent_size"]: row["lane"]
        for row in reversed(rows)
        if row["status"] == "ok" and row["lane"] in own
    }
    if first:
        batch = test.fetch(test.arrays, np.arange(16))
        outputs = {}
        for size in sorted(first):
            method, state, hparams = training.lane(result, first[size])
            outputs[f"latent size {size}"] = method.views.reconstruct(state, batch, hparams)
        figures["Test images (top) and their reconstructions."] = plots.reconstructions(
            batch["image"], outputs
        )
    path = plots.write_report(
        out, f"Autoencoder on {config.dataset}", cli.identity(config), rows, summary, figures
    )
    print(plots.console_table(summary))
    print(f"report: {path}")


if __name__ == "__main__":
    cli.main(autoencoder, PRESETS)
