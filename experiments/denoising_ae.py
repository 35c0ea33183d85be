"""Denoising autoencoders: trained to undo a corruption, tested at every level of it.

    python experiments/denoising_ae.py

Trained to undo it, an autoencoder gains decibels of PSNR over every kind of noise on test digits,
in the mean over the levels: most over salt and pepper, least over an occluding block.

Reference: Vincent et al. (2010), Stacked Denoising Autoencoders, sections 3 and 4.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, corruptions, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import Array, Dataset, InputError, Method

Kind = Literal["masking", "gaussian_noise", "salt_and_pepper", "occlusion", "dropout"]
Criterion = Literal["squared_error", "absolute_error", "bernoulli"]


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    corruption: tuple[Kind, ...] = (
        "masking", "gaussian_noise", "salt_and_pepper", "occlusion", "dropout",
    )  # fmt: skip
    """Each is compiled on its own, trained and tested with itself."""
    corruption_level: tuple[float, ...] = (0.0, 0.25, 0.5)
    """In training: a pixel's probability, a block's side over the image's, or a deviation."""
    test_level: tuple[float, ...] = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75)
    """Where the denoising gain is measured."""
    criterion: tuple[Criterion, ...] = ("squared_error",)
    """Each value is compiled on its own."""
    latent_size: int = 256
    widths: tuple[int, ...] = ()
    """Hidden layers before the latent; not swept."""
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    """Of hidden layers and of the latent."""
    tied: bool = False
    """Whether the decoder uses the encoder's transposed kernels."""
    learning_rate: tuple[float, ...] = (5e-3,)
    """At first; it falls to 0 as a half cosine."""
    seeds: int = 2
    steps: int = 2000


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


class Noisy(NamedTuple):
    """Test images [L, N, H, W, C] at L levels, clean and corrupted, and their quality."""

    clean: Array
    corrupted: Array
    psnr: np.ndarray
    ssim: np.ndarray


def denoising_ae(config: Config) -> None:
    """Sweeps corruptions and their levels over denoising autoencoders and reports the gain."""
    check(config)
    splits = experiment.load_splits(config)
    noisy = {kind: spoiled(kind, config.test_level, splits.test) for kind in config.corruption}
    trained = experiment.sweep(
        config,
        "denoising_ae",
        builder(config, splits.image_shape),
        splits,
        {name: getattr(config, name) for name in ("corruption", "criterion", "corruption_level")},
        schedules=[training.warmup_cosine(config.steps)],
    )
    gains = {}

    def describe(model: experiment.Model) -> dict[str, float]:
        found = gains[model.row["lane"]] = gain(model, noisy[model.row["corruption"]])
        return {name: float(values.mean()) for name, values in found.items()}

    rows = experiment.described(trained, describe)
    experiment.report(
        config,
        trained.out,
        f"Denoising autoencoders on {config.dataset}",
        rows,
        ("corruption", "criterion", "corruption_level", "learning_rate"),
        ("squared_error", "psnr_gain", "ssim_gain"),
        lambda: figures(config, trained.result, gains, noisy, splits.image_shape),
        trained.result,
        notes=[
            "squared_error is that of clean test images. The gains are in PSNR (dB) and SSIM, "
            "reconstructions of corrupted test images less those images, averaged over the "
            f"corruption's test levels {', '.join(f'{level:g}' for level in config.test_level)}."
        ],
    )


def check(config: Config) -> None:
    """Raises InputError for a level that the corruptions do not have."""
    for name in ("corruption_level", "test_level"):
        for level in getattr(config, name):
            if not 0 <= level <= 1:
                raise InputError(f"{name} is {level:g}: use 0 to 1")
    levels = config.test_level
    if not levels or 0 in levels or len(set(levels)) < len(levels):
        raise InputError("test_level needs different values above 0: at 0 there is no noise")


def builder(config: Config, shape: tuple[int, int, int]) -> Callable[..., Method]:
    """Returns what builds the autoencoder of one corruption and criterion."""

    def build(corruption: str, criterion: str) -> Method:
        return methods.autoencoder(
            nets.mlp(config.latent_size, config.widths, config.activation, config.activation),
            nets.mlp(shape, config.widths[::-1], config.activation),
            reconstruction=methods.observations.OBSERVATIONS[criterion](),
            corruption=corruptions.CORRUPTIONS[corruption],
            tie=nets.transposed if config.tied else None,
        )

    return build


def spoiled(kind: str, levels: Sequence[float], test: Dataset) -> Noisy:
    """Corrupts test images, the same for all models; as shown, that is clipped to [0, 1]."""
    images = data.head(test, 1000)["image"]
    keys = jax.random.split(jax.random.key(0), len(levels))
    corrupted = jax.vmap(corruptions.CORRUPTIONS[kind], (0, None, 0))(
        keys, images, jnp.array(levels)
    )
    clean = jnp.broadcast_to(images, corrupted.shape)
    return Noisy(clean, corrupted, *quality(corrupted, clean))


@jax.jit
def quality(shown: Array, clean: Array) -> tuple[Array, Array]:
    """PSNR (dB, of the mean error: one image may be exact) and mean SSIM at each level, [L]."""
    shown = jnp.clip(shown, 0, 1)
    return metrics.psnr(shown, clean), jnp.mean(jax.vmap(metrics.ssim)(shown, clean), axis=1)


def gain(model: experiment.Model, noisy: Noisy) -> dict[str, np.ndarray]:
    """Returns how much better a lane's reconstructions are than what it was given, [L]."""
    psnr, ssim = quality(denoised(model, noisy.corrupted), noisy.clean)
    return {"psnr_gain": np.asarray(psnr - noisy.psnr), "ssim_gain": np.asarray(ssim - noisy.ssim)}


def denoised(model: experiment.Model, corrupted: Array) -> Array:
    """Reconstructs images [L, N, ...]."""
    flat = corrupted.reshape(-1, *corrupted.shape[2:])
    return model.reconstruct({"image": flat}).reshape(corrupted.shape)


def figures(
    config: Config,
    result: training.Result,
    gains: Mapping[int, Mapping[str, np.ndarray]],
    noisy: Mapping[str, Noisy],
    shape: tuple[int, int, int],
) -> dict[str, Any]:
    """Draws for each corruption the gains over its level, images, and filters."""
    drawn = {}
    rows = [row for row in result.rows if row["status"] == "ok" and row["lane"] in gains]
    for kind, criterion in dict.fromkeys((row["corruption"], row["criterion"]) for row in rows):
        own = [row for row in rows if (row["corruption"], row["criterion"]) == (kind, criterion)]
        name = kind.replace("_", " ")
        if len(config.criterion) > 1:
            name += f", {criterion.replace('_', ' ')}"
        for measure, unit in (("PSNR", " (dB)"), ("SSIM", "")):
            found = curves(config, own, gains, f"{measure.lower()}_gain")
            drawn[f"{measure} gained over the level of {name}, by the level in training."] = (
                plots.lines(
                    found,
                    "noise level of test images",
                    f"{measure} gain{unit}",
                    name="trained at",
                    level=0,
                    heading=name,
                )
            )
        drawn |= pictures(config, name, first_models(result, own), noisy[kind], shape)
    return drawn


def curves(
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    gains: Mapping[int, Mapping[str, np.ndarray]],
    name: str,
) -> dict[float, tuple[Any, np.ndarray, np.ndarray]]:
    """Returns, for each training level, the mean gain and its spread over lanes."""
    found = {}
    for level in sorted({row["corruption_level"] for row in rows}):
        values = [gains[row["lane"]][name] for row in rows if row["corruption_level"] == level]
        spread = np.std(values, axis=0, ddof=1) if len(values) > 1 else None
        found[level] = (config.test_level, np.mean(values, axis=0), spread)
    return found


def first_models(
    result: training.Result, rows: Sequence[Mapping[str, Any]]
) -> dict[float, experiment.Model]:
    """Returns the first lane of each training level, in ascending order."""
    first = {row["corruption_level"]: row["lane"] for row in reversed(rows)}
    return {level: experiment.model(result, first[level]) for level in sorted(first)}


def pictures(
    config: Config,
    name: str,
    models: Mapping[float, experiment.Model],
    noisy: Noisy,
    shape: tuple[int, int, int],
) -> dict[str, Any]:
    """Figures of noisy, denoised and original images, and of filters."""
    ends = {level: models[level] for level in (min(models), max(models))}
    place = int(np.argmin(np.abs(np.array(config.test_level) - max(models))))
    images = noisy.corrupted[place : place + 1, :16]
    shown = {f"trained at {level:g}": denoised(ends[level], images)[0] for level in ends}
    level = config.test_level[place]
    drawn = {
        f"Test images with {name} at {level:g}, what models make of them, and the originals.": (
            plots.reconstructions(
                images[0],
                {**shown, "original": noisy.clean[place, :16]},
                first="noisy",
                heading=f"{name} {level:g}",
            )
        )
    }
    for level, model in ends.items():
        kernel = np.asarray(model.state.params["encoder"]["Dense_0"]["kernel"])
        trained = f"with {name} at {level:g}" if level else "without corruption"
        drawn[f"Filters learned {trained}, the largest norm first."] = plots.filters(
            kernel, shape, count=40, heading=trained
        )
    return drawn


if __name__ == "__main__":
    cli.main(denoising_ae, PRESETS)
