"""Overcomplete autoencoders, with each of the regularisers that keep them from copying.

    python experiments/sparse_ae.py

Twice as many latents as pixels copy them where nothing keeps them from it. A k-sparse code and KL
sparsity leave a fraction of the units active, or little activation, at a larger error.

Reference: Ng (2011), Sparse autoencoder; Makhzani and Frey (2014), k-Sparse Autoencoders;
Rifai et al. (2011), Contractive Auto-Encoders; Vincent et al. (2010), Stacked Denoising
Autoencoders.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ae_jax import cli, corruptions, experiment, methods, metrics, nets, plots
from ae_jax.core import InputError, Method
from ae_jax.methods import bottlenecks, penalties

KINDS = ("none", "weight_decay", "l1", "kl", "k_sparse", "dropout", "contractive", "denoising")


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    regulariser: tuple[str, ...] = KINDS
    """Each is a run of its own, over its own strengths, the options below."""
    weight_decay: tuple[float, ...] = (1e-3, 1e-2)
    l1_weight: tuple[float, ...] = (1e-2, 1e-1)
    sparsity_weight: tuple[float, ...] = (0.1, 1.0)
    """Of the KL divergence of mean activations from the target."""
    sparsity_target: float = 0.05
    k: tuple[float, ...] = (8, 24)
    """How many units pass."""
    dropout_rate: tuple[float, ...] = (0.2, 0.5)
    contractive_weight: tuple[float, ...] = (0.01, 0.1)
    corruption_level: tuple[float, ...] = (0.2, 0.5)
    """Probability of a pixel to be masked."""
    latent_size: int = 128
    activation: Literal["sigmoid", "tanh", "relu"] = "sigmoid"
    seeds: int = 2
    steps: int = 2000


PRESETS = {
    "default": Config(),
    "smoke": Config(regulariser=("kl",), latent_size=16, seeds=2, steps=40),
    "paper": Config(dataset="mnist", latent_size=1000, steps=100_000, batch_size=100),
}


def sparse_ae(config: Config) -> None:
    """Sweeps regularisers and their strengths over autoencoders with more units than pixels."""
    if not config.regulariser or not set(KINDS).issuperset(config.regulariser):
        raise InputError(f"regulariser is {config.regulariser}: use {', '.join(KINDS)}")
    splits = experiment.load(config)
    runs = {kind: swept(kind, config) for kind in config.regulariser}
    if len(runs) < len(config.regulariser):
        raise InputError(f"regulariser has a value twice in {config.regulariser}: give each once")
    built = {kind: build(kind, config, splits.image_shape) for kind in runs}
    for values in runs.values():
        experiment.grid(config, values)  # refuses those of the last run before the first
    test = experiment.first_batch(splits.test, 5000)
    rows, models = [], {}
    for kind, values in runs.items():
        trained = experiment.sweep(
            config, "sparse_ae", built[kind], splits, values, part=kind, select="best"
        )

        def describe(model: experiment.Model, kind: str = kind) -> dict[str, float]:
            models.setdefault((kind, strength(kind, model.row)), model)
            latents = model.encode(test)
            return {
                "active_fraction": float(metrics.active_fraction(latents)),
                "mean_activation": float(np.mean(np.abs(latents))),
            }

        found = experiment.described(trained, describe)
        rows += [
            {"regulariser": kind, "strength": strength(kind, row), **row, "lane": len(rows) + i}
            for i, row in enumerate(found)
        ]
    experiment.report(
        config,
        trained.out,
        f"Overcomplete autoencoders on {config.dataset}",
        rows,
        ("regulariser", "strength", "learning_rate"),
        ("squared_error", "active_fraction", "mean_activation"),
        lambda: figures(rows, models, splits),
        notes=[f"{len(rows)} lanes trained by {len(config.regulariser)} compiled program(s)."],
    )


#: The hyperparameter that each regulariser's strength is.
STRENGTHS = {
    "none": "",
    "weight_decay": "weight_decay",
    "l1": "l1_weight",
    "kl": "sparsity_weight",
    "k_sparse": "k",
    "dropout": "dropout_rate",
    "contractive": "contractive_weight",
    "denoising": "corruption_level",
}


def swept(kind: str, config: Config) -> dict[str, Any]:
    """Returns what is swept of a regulariser."""
    name = STRENGTHS[kind]
    return {name: getattr(config, name)} if name else {}


def strength(kind: str, row: Mapping[str, Any]) -> float:
    """Returns a lane's strength of its regulariser."""
    return row.get(STRENGTHS[kind], 0.0)


def build(kind: str, config: Config, image_shape: tuple[int, int, int]) -> Method:
    """Returns the overcomplete autoencoder, with a linear decoder, of one regulariser."""
    parts: dict[str, Any] = {
        "none": {},
        "weight_decay": {"penalties": [penalties.weight_decay()]},
        "l1": {"penalties": [penalties.l1()]},
        "kl": {
            "penalties": [
                penalties.sparsity(target=config.sparsity_target, activation=config.activation)
            ]
        },
        "k_sparse": {"bottlenecks": [bottlenecks.k_sparse(1)]},
        "dropout": {"bottlenecks": [bottlenecks.dropout()]},
        "contractive": {
            "penalties": [
                penalties.contractive(
                    method="sigmoid" if config.activation == "sigmoid" else "jacobian"
                )
            ]
        },
        "denoising": {"corruption": corruptions.masking},
    }
    return methods.autoencoder(
        nets.mlp(config.latent_size, (), output_activation=config.activation),
        nets.mlp(image_shape, ()),
        **parts[kind],
    )


def figures(rows: list[dict], models: dict, splits: experiment.Splits) -> dict[str, Any]:
    """Draws how sparse and how exact each regulariser's codes are, and its filters."""
    finished = [row for row in rows if row["status"] == "ok"]
    table: dict[str, dict[str, Any]] = {kind.replace("_", " "): {} for kind, _ in models}
    for point in plots.aggregate(finished, ("regulariser", "strength"), ["active_fraction"]):
        bars = table[point["regulariser"].replace("_", " ")]
        bars[str(len(bars) + 1)] = point["active_fraction"]
    drawn = {
        "The part of the units that is active for a test image, by strength.": plots.bars(
            table, "fraction of active units", name="strength, from the lowest"
        )
    }
    batch = experiment.first_batch(splits.test, 16)
    last = {kind: model for (kind, _), model in models.items()}
    drawn["Test images (top) and their reconstructions, at each regulariser's last strength."] = (
        plots.reconstructions(
            batch["image"],
            {kind.replace("_", " "): model.reconstruct(batch) for kind, model in last.items()},
        )
    )
    for kind, model in last.items():
        kernel = np.asarray(model.state.params["encoder"]["Dense_0"]["kernel"])
        drawn[f"Filters learned with {kind.replace('_', ' ')}, the largest norm first."] = (
            plots.filters(kernel, splits.image_shape, count=40, heading=kind.replace("_", " "))
        )
    return drawn


if __name__ == "__main__":
    cli.main(sparse_ae, PRESETS)
