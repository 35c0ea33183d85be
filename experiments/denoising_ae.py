"""Denoising autoencoders: trained to undo a corruption, tested at every level of it.

    python experiments/denoising_ae.py

Trained to undo it, an autoencoder gains decibels of PSNR over every kind of noise on test digits,
in the mean over the levels: most over salt and pepper, least over an occluding block.

Reference: Vincent et al. (2010), Stacked Denoising Autoencoders, sections 3 and 4.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, corruptions, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import FRACTION, Array, Domain, Method
from ae_jax.experiment import Count, Model, Swept

Kind = Literal["masking", "gaussian_noise", "salt_and_pepper", "occlusion", "dropout"]
Criterion = Literal["squared_error", "absolute_error", "bernoulli"]
#: At a level of 0 there is no noise to gain over.
NOISE = Domain(0, 1, low_open=True)


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    corruption: Swept[Kind] = (
        "masking", "gaussian_noise", "salt_and_pepper", "occlusion", "dropout",
    )  # fmt: skip
    """Each is compiled on its own, trained and tested with itself."""
    corruption_level: Swept[Annotated[float, FRACTION]] = (0.0, 0.25, 0.5)
    """In training: a pixel's probability, a block's side over the image's, or a deviation."""
    test_level: Swept[Annotated[float, NOISE]] = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75)
    """Where the denoising gain is measured."""
    criterion: Swept[Criterion] = ("squared_error",)
    """Each value is compiled on its own."""
    latent_size: Count = 256
    widths: tuple[Count, ...] = ()
    """Hidden layers before the latent; not swept."""
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    """Of hidden layers and of the latent."""
    tied: bool = False
    """Whether the decoder uses the encoder's transposed kernels."""
    learning_rate: Swept[float] = (5e-3,)
    """At first; it falls to 0 as a half cosine."""
    seeds: Count = 2
    steps: Count = 2000


PRESETS = {
    "default": Config(),
    "smoke": Config(
        corruption=("occlusion",),
        corruption_level=(0.0, 0.5),
        test_level=(0.25, 0.5),
        latent_size=16,
        seeds=2,
        steps=40,
    ),
    # Vincent et al. (2010): one of their layers, at the levels that they chose from.
    "paper": Config(
        dataset="mnist",
        corruption=("masking", "salt_and_pepper"),
        corruption_level=(0.0, 0.1, 0.25, 0.4),
        criterion=("bernoulli",),
        latent_size=1000,
        activation="sigmoid",
        tied=True,
        learning_rate=(1e-3,),
        steps=150_000,
        batch_size=100,
    ),
}


def denoising_ae(config: Config) -> None:
    """Sweeps corruptions and their levels over denoising autoencoders and reports the gain."""
    splits = experiment.load_splits(config)
    clean = data.head(splits.test, 1000)["image"]
    noisy = {kind: spoiled(kind, config.test_level, clean) for kind in config.corruption}
    trained = experiment.sweep(
        config,
        "denoising_ae",
        functools.partial(build, config, splits.train.spec),
        splits,
        {name: getattr(config, name) for name in ("corruption", "criterion", "corruption_level")},
        schedules=[training.warmup_cosine(config.steps)],
    )
    gains: dict[int, dict[str, np.ndarray]] = {}

    def describe(model: Model) -> dict[str, float]:
        corrupted = noisy[model.row["corruption"]]
        same = jnp.broadcast_to(clean, corrupted.shape)
        found = metrics.restoration_gain(denoised(model, corrupted), corrupted, same)
        gains[model.row["lane"]] = {name: np.asarray(gain) for name, gain in found.items()}
        return {name: float(gain.mean()) for name, gain in gains[model.row["lane"]].items()}

    rows = experiment.described(trained, describe)
    experiment.report(
        config,
        trained.out,
        f"Denoising autoencoders on {config.dataset}",
        rows,
        ("corruption", "criterion", "corruption_level", "learning_rate"),
        ("squared_error", "psnr_gain", "ssim_gain"),
        lambda: figures(config, trained.result, gains, noisy, clean),
        trained.result,
        notes=[
            "squared_error is that of clean test images. The gains are in PSNR (dB) and SSIM, "
            "reconstructions of corrupted test images less those images, averaged over the "
            f"corruption's test levels {', '.join(f'{level:g}' for level in config.test_level)}."
        ],
    )


def build(config: Config, spec: Mapping[str, Any], corruption: str, criterion: str) -> Method:
    """Returns the autoencoder of one corruption and criterion."""
    return methods.autoencoder(
        nets.mlp(config.latent_size, config.widths, config.activation, config.activation),
        nets.mlp(spec["image"].shape, config.widths[::-1], config.activation),
        reconstruction=methods.observations.OBSERVATIONS[criterion](),
        corruption=corruptions.CORRUPTIONS[corruption],
        tie=nets.transposed if config.tied else None,
    )


def spoiled(kind: str, levels: Sequence[float], images: Array) -> Array:
    """Corrupts images at L levels, the same for all models: [N, ...] -> [L, N, ...]."""
    keys = jax.random.split(jax.random.key(0), len(levels))
    corrupt = jax.vmap(corruptions.CORRUPTIONS[kind], (0, None, 0))
    return corrupt(keys, images, jnp.array(levels))


def denoised(model: Model, corrupted: Array) -> Array:
    """Reconstructs images [L, N, ...]."""
    flat = corrupted.reshape(-1, *corrupted.shape[2:])
    return model.reconstruct({"image": flat}).reshape(corrupted.shape)


def figures(
    config: Config,
    result: training.Result,
    gains: Mapping[int, Mapping[str, np.ndarray]],
    noisy: Mapping[str, Array],
    clean: Array,
) -> dict[str, Any]:
    """Draws for each corruption the gains over its level, images, and filters."""
    drawn = {}
    rows = [row for row in result.rows if row["status"] == "ok" and row["lane"] in gains]
    for kind, criterion in dict.fromkeys((row["corruption"], row["criterion"]) for row in rows):
        own = experiment.where(rows, corruption=kind, criterion=criterion)
        name = kind.replace("_", " ")
        if len(config.criterion) > 1:
            name += f", {criterion.replace('_', ' ')}"
        for measure, unit in (("PSNR", " (dB)"), ("SSIM", "")):
            points = [
                {**row, "level": level, "gain": gain}
                for row in own
                for level, gain in zip(
                    config.test_level, gains[row["lane"]][f"{measure.lower()}_gain"], strict=True
                )
            ]
            drawn[f"{measure} gained over the level of {name}, by the level in training."] = (
                plots.lines(
                    plots.mean_curves(points, "level", "gain", lambda row: row["corruption_level"]),
                    "noise level of test images",
                    f"{measure} gain{unit}",
                    name="trained at",
                    level=0,
                    heading=name,
                )
            )
        first = {row["corruption_level"]: row["lane"] for row in reversed(own)}
        models = {level: experiment.model(result, first[level]) for level in sorted(first)}
        drawn |= pictures(config, name, models, noisy[kind], clean)
    return drawn


def pictures(
    config: Config, name: str, models: Mapping[float, Model], noisy: Array, clean: Array
) -> dict[str, Any]:
    """Figures of noisy, denoised and original images, and of filters."""
    ends = {level: models[level] for level in (min(models), max(models))}
    place = int(np.argmin(np.abs(np.array(config.test_level) - max(models))))
    images, level = noisy[place : place + 1, :16], config.test_level[place]
    shown = {f"trained at {end:g}": denoised(model, images)[0] for end, model in ends.items()}
    drawn = {
        f"Test images with {name} at {level:g}, what models make of them, and the originals.": (
            plots.reconstructions(
                images[0],
                {**shown, "original": clean[:16]},
                first="noisy",
                heading=f"{name} {level:g}",
            )
        )
    }
    for end, model in ends.items():
        kernel = nets.layers(model.state.params["encoder"])[0].kernel
        trained = f"with {name} at {end:g}" if end else "without corruption"
        drawn[f"Filters learned {trained}, the largest norm first."] = plots.filters(
            kernel, clean.shape[1:], count=40, heading=trained
        )
    return drawn


if __name__ == "__main__":
    cli.main(denoising_ae, PRESETS)
