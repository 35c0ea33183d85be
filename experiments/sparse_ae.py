"""Overcomplete autoencoders, with each of the regularisers that keep them from copying.

    python experiments/sparse_ae.py

Twice as many latents as pixels copy them where nothing keeps them from it. A k-sparse code and KL
sparsity leave a fraction of the units active, or little activation, at a larger error.

Reference: Ng (2011), Sparse autoencoder; Makhzani and Frey (2014), k-Sparse Autoencoders;
Rifai et al. (2011), Contractive Auto-Encoders; Vincent et al. (2010), Stacked Denoising
Autoencoders.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ae_jax import cli, corruptions, data, experiment, methods, metrics, nets, plots
from ae_jax.core import InputError, Method
from ae_jax.methods import bottlenecks, penalties

KINDS = ("none", "weight_decay", "l1", "kl", "k_sparse", "dropout", "contractive", "denoising")


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    regulariser: experiment.Swept[Literal[KINDS]] = KINDS
    """Each is a run of its own, over its own strengths, the options below."""
    weight_decay: experiment.Swept[float] = (1e-3, 1e-2)
    l1_weight: experiment.Swept[float] = (1e-2, 1e-1)
    sparsity_weight: experiment.Swept[float] = (0.1, 1.0)
    """Of the KL divergence of mean activations from the target."""
    sparsity_target: float = 0.05
    k: experiment.Swept[experiment.Count] = (8, 24)
    """How many units pass."""
    dropout_rate: experiment.Swept[float] = (0.2, 0.5)
    contractive_weight: experiment.Swept[float] = (0.01, 0.1)
    corruption_level: experiment.Swept[float] = (0.2, 0.5)
    """Probability of a pixel to be masked."""
    latent_size: experiment.Count = 128
    activation: Literal["sigmoid", "tanh", "relu"] = "sigmoid"
    seeds: experiment.Count = 2
    steps: experiment.Count = 2000


PRESETS = {
    "default": Config(),
    "smoke": Config(regulariser=("kl",), k=(4, 12), latent_size=16, seeds=2, steps=40),
    "paper": Config(dataset="mnist", latent_size=1000, steps=100_000, batch_size=100),
}


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


def sparse_ae(config: Config) -> None:
    """Sweeps regularisers and their strengths over autoencoders with more units than pixels."""
    splits = experiment.load_splits(config)
    builder = functools.partial(build, config, splits.train.spec)
    if "k_sparse" in config.regulariser and max(config.k, default=1) > config.latent_size:
        raise InputError(
            f"k is {max(config.k)}, but there are {config.latent_size} units: lower it"
        )
    every = {kind: {"regulariser": kind} for kind in KINDS}
    for kind, values in every.items():  # what is not trained with makes sense as well
        values |= {name: getattr(config, name) for name in [STRENGTHS[kind]] if name}
        experiment.check(builder, experiment.lanes(config, values))
    swept = {kind: every[kind] for kind in config.regulariser}
    test = data.head(splits.test, 5000)

    def describe(model: experiment.Model) -> dict[str, float]:
        latents = model.encode(test)
        return {
            "active_fraction": float(metrics.active_fraction(latents)),
            "mean_activation": float(np.mean(np.abs(latents))),
        }

    rows, trained = [], {}
    for kind, values in swept.items():
        trained[kind] = experiment.sweep(
            config, "sparse_ae", builder, splits, values, part=kind, select="best"
        )
        for row in experiment.described(trained[kind], describe):
            own = {"regulariser": kind, "strength": row.get(STRENGTHS[kind], 0.0)}
            rows.append({**own, **row, "lane": len(rows)})
    experiment.report(
        config,
        trained[kind].out,
        f"Overcomplete autoencoders on {config.dataset}",
        rows,
        ("regulariser", "strength", "learning_rate"),
        ("squared_error", "active_fraction", "mean_activation"),
        lambda: figures(rows, trained, splits),
        [found.result for found in trained.values()],
    )


def build(config: Config, spec: Mapping[str, Any], regulariser: str) -> Method:
    """Returns the overcomplete autoencoder, with a linear decoder, of one regulariser."""
    exact = "sigmoid" if config.activation == "sigmoid" else "jacobian"
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
        "contractive": {"penalties": [penalties.contractive(method=exact)]},
        "denoising": {"corruption": corruptions.masking},
    }
    return methods.autoencoder(
        nets.mlp(config.latent_size, (), output_activation=config.activation),
        nets.mlp(spec["image"].shape, ()),
        **parts[regulariser],
    )


def figures(
    rows: list[dict], trained: Mapping[str, experiment.Sweep], splits: experiment.Splits
) -> dict[str, Any]:
    """Draws how sparse and how exact each regulariser's codes are, and its filters."""
    table: dict[str, dict[str, Any]] = {}
    finished = [row for row in rows if row["status"] == "ok"]
    for point in plots.aggregate(finished, ("regulariser", "strength"), ["active_fraction"]):
        bars = table.setdefault(point["regulariser"].replace("_", " "), {})
        bars[str(len(bars) + 1)] = point["active_fraction"]
    strongest = {}
    for kind, found in trained.items():
        models = experiment.firsts(found.result, STRENGTHS[kind] or "learning_rate")
        strongest |= {kind.replace("_", " "): model for model in models.values()}
    batch = data.head(splits.test, 16)
    drawn = {
        "The part of the units that is active for a test image, by strength.": plots.bars(
            table, "fraction of active units", name="strength, from the lowest"
        ),
        "Test images (top) and their reconstructions, at each regulariser's highest strength.": (
            plots.reconstructions(
                batch["image"],
                {name: model.reconstruct(batch) for name, model in strongest.items()},
            )
        ),
    }
    for name, model in strongest.items():
        kernel = nets.layers(model.state.params["encoder"])[0].kernel
        drawn[f"Filters learned with {name}, the largest norm first."] = plots.filters(
            kernel, splits.image_shape, count=40, heading=name
        )
    return drawn


if __name__ == "__main__":
    cli.main(sparse_ae, PRESETS)
