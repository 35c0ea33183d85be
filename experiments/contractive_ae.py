"""The contractive penalty: directions in which the latent does not move.

    python experiments/contractive_ae.py

As the penalty's weight grows the norm of the encoder's Jacobian falls, and the cross-entropy of
test digits rises.

Reference: Rifai et al. (2011), Contractive Auto-Encoders, figure 3.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import numpy as np

from ae_jax import cli, data, experiment, losses, methods, metrics, nets, plots
from ae_jax.core import Method
from ae_jax.methods import penalties


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    contractive_weight: experiment.Swept[float] = (0.0, 0.01, 0.1, 1.0)
    penalty: Literal["jacobian", "sigmoid", "hutchinson"] = "jacobian"
    """Exact for any encoder, the closed form for one sigmoid layer, or an estimate."""
    latent_size: experiment.Count = 64
    widths: tuple[experiment.Count, ...] = ()
    """Hidden layers before the latent; none for the published encoder."""
    learning_rate: experiment.Swept[float] = (3e-3,)
    seeds: experiment.Count = 2
    steps: experiment.Count = 1000


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


def build(config: Config, spec: Mapping[str, Any]) -> Method:
    """Returns the contractive autoencoder."""
    return methods.autoencoder(
        nets.mlp(config.latent_size, config.widths, "sigmoid", "sigmoid"),
        nets.mlp(spec["image"].shape, config.widths[::-1], "sigmoid"),
        reconstruction=methods.observations.bernoulli(),
        penalties=[penalties.contractive(method=config.penalty)],
        tie=nets.transposed,
    )


def spectrum(model: experiment.Model, splits: experiment.Splits) -> np.ndarray:
    """Returns the singular values of a lane's encoder's Jacobian, [B, K], largest first."""

    def encode(example: jax.Array) -> jax.Array:
        return model.encode({"image": example[None]})[0]

    images = data.head(splits.test, 200)["image"]
    return np.asarray(losses.jacobian_singular_values(encode, images))


def describe(model: experiment.Model, outcome: experiment.Outcome) -> dict[str, float]:
    """Returns the Jacobian's norm and, where there are classes, what the latents tell of them."""
    values = spectrum(model, outcome.splits)
    found = {"jacobian_norm": float(np.sqrt(np.mean(np.sum(values**2, axis=1))))}
    train, test = (data.head(part, 5000) for part in (outcome.splits.train, outcome.splits.test))
    if "label" in train and len(np.unique(train["label"])) > 1:
        latents = (model.encode(train), train["label"], model.encode(test), test["label"])
        found["probe_accuracy"] = metrics.linear_probe(*latents)
    return found


def figures(outcome: experiment.Outcome) -> dict[str, Any]:
    """Draws the spectra, the errors and the filters."""
    models = outcome.firsts("contractive_weight")
    values = {
        weight: spectrum(model, outcome.splits).mean(axis=0) for weight, model in models.items()
    }
    drawn = {
        "Singular values of the encoder's Jacobian, means over test images: the larger the "
        "penalty, the fewer directions the latent follows.": plots.spectrum(
            values, name="contractive weight", xlabel="direction"
        ),
        "What contraction costs: cross-entropy of test images.": plots.against(
            outcome.rows, "contractive_weight", "reconstruction"
        ),
        "The loss over training.": outcome.learning_curves("contractive_weight"),
    }
    for weight, model in models.items():
        kernel = nets.layers(model.state.params["encoder"])[0].kernel
        drawn[f"Filters at a contractive weight of {weight:g}, the largest norm first."] = (
            plots.filters(
                kernel, outcome.splits.image_shape, count=40, heading=f"weight {weight:g}"
            )
        )
    return drawn


contractive_ae = experiment.Study(
    "contractive_ae",
    "Contractive autoencoders",
    build,
    table=["reconstruction", "jacobian_norm", "probe_accuracy"],
    figures=figures,
    describe=describe,
)

if __name__ == "__main__":
    cli.main(contractive_ae, PRESETS, description=__doc__)
