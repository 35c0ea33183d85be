"""The contractive penalty: directions in which the latent does not move.

    python experiments/contractive_ae.py

As the penalty's weight grows the norm of the encoder's Jacobian falls, and the cross-entropy of
test digits rises.

Reference: Rifai et al. (2011), Contractive Auto-Encoders, figure 3.
"""

import dataclasses
from typing import Any, Literal

import jax
import numpy as np

from ae_jax import cli, experiment, losses, methods, metrics, nets, plots
from ae_jax.core import Batch
from ae_jax.methods import penalties


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    contractive_weight: tuple[float, ...] = (0.0, 0.01, 0.1, 1.0)
    penalty: Literal["jacobian", "sigmoid", "hutchinson"] = "jacobian"
    """Exact for any encoder, the closed form for one sigmoid layer, or an estimate."""
    latent_size: int = 64
    widths: tuple[int, ...] = ()
    """Hidden layers before the latent; none for the published encoder."""
    learning_rate: tuple[float, ...] = (3e-3,)
    seeds: int = 2
    steps: int = 1000


PRESETS = {
    "default": Config(),
    "smoke": Config(contractive_weight=(0.0, 0.1), latent_size=8, seeds=2, steps=40),
    "paper": Config(
        dataset="mnist",
        penalty="sigmoid",
        latent_size=1000,
        learning_rate=(1e-3,),
        steps=250_000,
        batch_size=20,
    ),
}


def contractive_ae(config: Config) -> None:
    """Sweeps the contractive penalty's weight and reports the Jacobian's singular values."""
    splits = experiment.load(config)
    widths = config.widths
    method = methods.autoencoder(
        nets.mlp(config.latent_size, widths, "sigmoid", "sigmoid"),
        nets.mlp(splits.image_shape, widths[::-1], "sigmoid"),
        reconstruction=methods.observations.bernoulli(),
        penalties=[penalties.contractive(method=config.penalty)],
        tie=nets.transposed,
    )
    trained = experiment.sweep(
        config,
        "contractive_ae",
        method,
        splits,
        {"contractive_weight": config.contractive_weight},
    )
    sample = experiment.first_batch(splits.test, 200)
    train, test = (experiment.first_batch(part, 5000) for part in (splits.train, splits.test))
    spectra = {}

    def describe(model: experiment.Model) -> dict[str, float]:
        values = spectra[model.row["lane"]] = spectrum(model, sample)
        norm = float(np.sqrt(np.mean(np.sum(values**2, axis=1))))
        return {"jacobian_norm": norm, **probe(model, train, test)}

    rows = experiment.described(trained, describe)
    experiment.report(
        config,
        trained.out,
        f"Contractive autoencoders on {config.dataset}",
        rows,
        ("contractive_weight", "learning_rate"),
        ("reconstruction", "jacobian_norm", "probe_accuracy"),
        lambda: figures(trained, rows, spectra, splits),
        trained.result,
    )


def spectrum(model: experiment.Model, batch: Batch) -> np.ndarray:
    """Returns the singular values of a lane's encoder's Jacobian, [B, K], largest first."""

    def encode(example: jax.Array) -> jax.Array:
        return model.encode({"image": example[None]})[0]

    return np.asarray(losses.jacobian_singular_values(encode, batch["image"]))


def probe(model: experiment.Model, train: Batch, test: Batch) -> dict[str, float]:
    """Returns the accuracy of a linear classifier on the latents, where there are classes."""
    if "label" not in train or len(np.unique(train["label"])) < 2:
        return {}
    latents = (model.encode(train), train["label"], model.encode(test), test["label"])
    return {"probe_accuracy": metrics.linear_probe(*latents)}


def figures(
    trained: experiment.Sweep,
    rows: list[dict],
    spectra: dict[int, np.ndarray],
    splits: experiment.Splits,
) -> dict[str, Any]:
    """Draws the spectra, the errors and the filters."""
    models = experiment.firsts(trained.result, "contractive_weight")
    values = {weight: spectra[model.row["lane"]].mean(axis=0) for weight, model in models.items()}
    drawn = {
        "Singular values of the encoder's Jacobian, means over test images: the larger the "
        "penalty, the fewer directions the latent follows.": plots.spectrum(
            values, name="contractive weight", xlabel="direction"
        ),
        "What contraction costs: cross-entropy of test images.": plots.against(
            rows, "contractive_weight", "reconstruction"
        ),
        "The loss over training.": plots.learning_curves(
            experiment.records(trained.out), "loss", rows, "contractive_weight"
        ),
    }
    for weight, model in models.items():
        kernel = np.asarray(model.state.params["encoder"]["Dense_0"]["kernel"])
        drawn[f"Filters at a contractive weight of {weight:g}, the largest norm first."] = (
            plots.filters(kernel, splits.image_shape, count=40, heading=f"weight {weight:g}")
        )
    return drawn


if __name__ == "__main__":
    cli.main(contractive_ae, PRESETS)
