"""A deep autoencoder that restricted Boltzmann machines start, beside PCA and one from scratch.

    python experiments/deep_autoencoder_rbm.py

From 8 numbers the squared error of test digits is well below PCA's after fine-tuning, where as many
steps from scratch at the same rate, the best of three for it, come to about PCA's.

Reference: Hinton and Salakhutdinov (2006), Reducing the Dimensionality of Data with Neural
Networks.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optax

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import Method
from ae_jax.methods import boltzmann
from ae_jax.recipes import greedy


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    widths: tuple[experiment.Count, ...] = (256, 128, 64)
    """Sigmoid layers before the code; not swept."""
    latent_size: experiment.Count = 8
    """Of the code, which is linear."""
    learning_rate: experiment.Swept[float] = (3e-3,)
    """Of fine-tuning, and from scratch; at first: all rates fall to 0 as a half cosine."""
    estimator: str = "cd-1"
    """Of the machines' gradients; they follow it with Adam."""
    layer_learning_rate: float = 0.01
    """Of the machines."""
    layer_steps: experiment.Count = 1000
    """For each machine."""
    steps: experiment.Count = 2000
    """Of fine-tuning; from scratch all steps are taken together."""


PRESETS = {
    "default": Config(),
    "smoke": Config(widths=(8,), latent_size=3, layer_steps=20, steps=20, seeds=2),
    "paper": Config(
        dataset="mnist",
        widths=(1000, 500, 250),
        latent_size=30,
        learning_rate=(1e-3,),
        layer_steps=30_000,
        steps=120_000,
        batch_size=100,
    ),
}
#: The directories of the two trainings of the whole, and what they are called.
WAYS = {"fine-tuned": "machines, fine-tuned", "from-scratch": "from scratch"}


def deep_autoencoder_rbm(config: Config) -> None:
    """Trains machines greedily, unrolls them and fine-tunes; and trains the same from scratch."""
    splits = experiment.load_splits(config)
    layers = machines(config, splits.image_shape)
    whole = build(config, splits.train.spec)
    lanes = experiment.lanes(config, {})
    experiment.check(whole, lanes)
    principal = metrics.pca(data.all_images(splits.train), config.latent_size)
    stack = experiment.pretrain(
        config,
        "deep_autoencoder_rbm",
        layers,
        splits,
        {"learning_rate": config.layer_learning_rate},
        config.layer_steps,
    )
    total = config.layer_steps * (len(config.widths) + 1) + config.steps
    runs = {
        "fine-tuned": (config.steps, [stack.start[lane["seed"]] for lane in lanes]),
        "from-scratch": (total, None),
    }
    trained = {
        part: experiment.sweep(
            config,
            "deep_autoencoder_rbm",
            whole,
            splits,
            {},
            part=part,
            steps=steps,
            start=start,
            schedules=[training.warmup_cosine(steps)],
        )
        for part, (steps, start) in runs.items()
    }
    rows = []
    for part, found in trained.items():
        for row in found.result.rows:
            rows.append({"way": WAYS[part], **row, "lane": len(rows)})
    test = data.all_images(splits.test)
    by_pca = np.clip(metrics.pca_reconstruct(principal, test), 0, 1).reshape(test.shape)
    error = float(np.mean(np.sum((by_pca - test) ** 2, axis=(1, 2, 3))))
    experiment.report(
        config,
        trained["fine-tuned"].out,
        f"A deep autoencoder started by Boltzmann machines, on {config.dataset}",
        rows,
        ("way", "learning_rate"),
        ("squared_error", "reconstruction"),
        lambda: figures(config, trained, rows, splits, error, by_pca),
        trained["from-scratch"].result,
        [
            f"squared_error is of test images; PCA's, with {config.latent_size} components, is "
            f"{error:.2f}. Fine-tuning takes {config.steps} steps after {total - config.steps} of "
            f"the machines, from scratch it is {total}.",
        ],
    )


def machines(config: Config, shape: Sequence[int]) -> list[greedy.Layer]:
    """Returns the layers, the code's last."""
    return greedy.rbm_layers(
        config.widths,
        shape,
        code=config.latent_size,
        estimator=boltzmann.estimator(config.estimator),
        optimizer=optax.scale_by_adam(),
    )


def build(config: Config, spec: Mapping[str, Any]) -> Method:
    """Returns the whole: the machines' layers upwards, and downwards again."""
    encoder, decoder = greedy.networks(machines(config, spec["image"].shape))
    return methods.autoencoder(encoder, decoder, reconstruction=methods.observations.bernoulli())


def figures(
    config: Config,
    trained: Mapping[str, experiment.Sweep],
    rows: Sequence[Mapping[str, Any]],
    splits: experiment.Splits,
    error: float,
    by_pca: np.ndarray,
) -> dict[str, Any]:
    """Draws the errors, their course over all steps, reconstructions and filters."""

    def name(row: Mapping[str, Any]) -> str:
        return experiment.named(row["way"], row, experiment.varied(config, "learning_rate"))

    summary = plots.aggregate(rows, ["way", "learning_rate"], ["squared_error"])
    table = {"PCA": {"": error}, **{name(row): {"": row["squared_error"]} for row in summary}}
    before = config.layer_steps * (len(config.widths) + 1)
    seen = []
    for part, sweep in trained.items():
        for row in plots.history(experiment.records(sweep.out / part), sweep.result.rows):
            step = row["step"] + before * (part == "fine-tuned")
            seen.append({**row, "way": WAYS[part], "step": step})
    batch = data.head(splits.test, 16)
    models = {
        WAYS[part]: experiment.model(sweep.result, experiment.own_rows(sweep.result)[0]["lane"])
        for part, sweep in trained.items()
    }
    outputs = {way: model.reconstruct(batch) for way, model in models.items()}
    drawn = {
        f"Squared error of test images from {config.latent_size} numbers.": plots.bars(
            table, "squared error"
        ),
        "Squared error of validation images against all steps, those of the machines included.": (
            plots.lines(
                plots.mean_curves(seen, "step", "squared_error", name),
                "steps, those of the machines included",
                "squared error",
            )
        ),
        "Test images (top) and their reconstructions.": plots.reconstructions(
            batch["image"], {**outputs, "PCA": by_pca[: len(batch["image"])]}
        ),
    }
    for way, model in models.items():
        kernel = nets.layers(model.state.params["encoder"])[0].kernel
        drawn[f"Filters of the first layer, {way}, the largest norm first."] = plots.filters(
            kernel, splits.image_shape, count=40, heading=way
        )
    return drawn


if __name__ == "__main__":
    cli.main(deep_autoencoder_rbm, PRESETS)
