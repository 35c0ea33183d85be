"""Compression: a trained code beside JPEG, WebP, JPEG 2000, the cosine transform and PCA.

    python experiments/image_compression.py

Latents are rounded and written by a range coder. On digits, a kind of image that it was trained
on, the autoencoder takes a fraction of JPEG's bits at the same quality, and less than PCA with the
same quantiser and coder; `--preset photos` asks the same of photographs, tile by tile. A run keeps
codecs: `scripts/compress.py` compresses pictures with them.

Reference: Balle, Laparra and Simoncelli (2017), End-to-end Optimized Image Compression; Theis et
al. (2017), Lossy Image Compression with Compressive Autoencoders.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax import cli, coding, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import InputError, Method
from ae_jax.experiment import Count, Model, Swept, Whole, codecs, rates

#: What the others are told: qualities, decibels, and steps of the quantiser.
SETTINGS: Mapping[str, Sequence[float]] = {
    "JPEG": (2, 5, 10, 20, 40, 60, 80),
    "WebP": (0, 5, 20, 50, 80),
    "JPEG 2000": (13, 16, 19, 22, 25, 28, 32),
    "DCT": (2, 1.4, 1, 0.7, 0.5, 0.35, 0.25, 0.12, 0.06),
    "PCA": (2, 1.4, 1, 0.7, 0.5, 0.35, 0.25, 0.12, 0.06),
}
OURS = "autoencoder"
ABOUT = (
    "bits are those of an image without headers; file_bits have its share of the header of one "
    "file of all test images; bits_with_noise are what training sees. Networks, components and "
    "tables are parts of a codec, and not counted."
)


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    variance: Swept[float] = (0.25, 0.1, 0.04, 0.015)
    """Of a pixel about its reconstruction: a squared error costs 1 / (2 variance) nats, which
    traces the curve of rate and distortion."""
    latent_size: Count = 12
    widths: tuple[Count, ...] = (256, 128)
    """Hidden layers of the encoder; the decoder's are the same, backwards."""
    components: Count = 3
    """Of each latent's learned distribution, a mixture."""
    linear: bool = False
    """Whether encoder and decoder begin as PCA, with a network beside it that begins at nothing."""
    tile: Whole = 0
    """The side of the squares that images are cut into; 0 leaves them whole."""
    decibels: tuple[float, ...] = (16.0, 19.0)
    """Where rates are compared."""
    learning_rate: Swept[float] = (2e-3,)
    """At first; it falls to 0 as a half cosine."""
    steps: Count = 4000
    batch_size: Count = 128


PRESETS = {
    "default": Config(),
    "smoke": Config(variance=(0.1, 0.04), latent_size=4, widths=(16,), seeds=2, steps=40),
    "photos": Config(
        dataset="photos",
        variance=(0.003, 0.001, 0.0003, 0.0001),
        latent_size=96,
        widths=(256,),
        linear=True,
        tile=8,
        decibels=(28.0, 32.0),
        learning_rate=(1e-3,),
    ),
    # Balle et al. (2017): a million steps of batches of 8, six trade-offs; on small images.
    "paper": Config(
        dataset="mnist",
        variance=(0.1, 0.03, 0.01, 0.003, 0.001),
        latent_size=64,
        widths=(1024, 512),
        learning_rate=(1e-4,),
        steps=1_000_000,
        batch_size=8,
    ),
}


def image_compression(config: Config) -> None:
    """Trains codes at several trade-offs, and compares what files of them take."""
    whole = experiment.load_splits(config)
    splits = cut(config, whole)
    seen, images = (coding.to_bytes(data.all_images(part)) for part in (splits.train, whole.test))
    principal = metrics.pca(seen.reshape(len(seen), -1) / 255, min(len(seen), seen[0].size))
    values = {"variance": config.variance}
    trained = experiment.sweep(
        config,
        "image_compression",
        functools.partial(build, config, splits.train.spec),
        splits,
        values,
        schedules=[training.warmup_cosine(config.steps)],
        start=begin(config, principal, splits, values) if config.linear else None,
    )

    def describe(model: Model) -> dict[str, float]:
        made = codecs.codec(model, seen.shape[1:], seen)
        codecs.keep(trained.out, model.row["lane"], made)
        figures = rates.of_model(made, images)
        return {**figures, "bits_with_noise": model.row["kl"] / math.log(2)}

    rows = [
        {"codec": OURS, "setting": row["variance"], **row}
        for row in experiment.described(trained, describe)
    ]
    rows += others(config, principal, seen, images)
    for row in rows:
        if "bits" in row:
            row["bits_per_pixel"] = metrics.bits_per_pixel(row["bits"], images.shape[1:])
    by = ("codec", "setting", *experiment.varied(config, "learning_rate"))
    experiment.report(
        config,
        trained.out,
        f"Compression on {config.dataset}",
        experiment.numbered(rows, by),
        by,
        ("bits", "bits_with_noise", "file_bits", "bits_per_pixel", "psnr"),
        lambda: figures(rows, trained.result, splits),
        trained.result,
        [ABOUT, *rates.compared(rows, OURS, "PCA", config.decibels)],
    )


def cut(config: Config, splits: experiment.Splits) -> experiment.Splits:
    """Cuts the images of data into tiles, where those are wanted."""
    *_, channels = splits.image_shape
    if channels not in (1, 3):
        raise InputError(f"pictures are grey or RGB; {config.dataset} has {channels} channels")
    if not config.tile:
        return splits
    tile = (config.tile, config.tile, channels)
    cut = (coding.cut(coding.to_bytes(data.all_images(part)), tile) for part in splits)
    return experiment.Splits(*(data.stored(tiles, value_range=(0, 255)) for tiles in cut))


def build(config: Config, spec: Mapping[str, Any]) -> Method:
    """Returns the autoencoder: the VAE whose posterior is rounding, and whose prior is learned."""
    encoder = nets.mlp(config.latent_size, config.widths)
    decoder = nets.mlp(spec["image"].shape, config.widths[::-1])
    if config.linear:
        encoder = nets.added(nets.mlp(config.latent_size, ()), encoder)
        decoder = nets.added(nets.mlp(spec["image"].shape, ()), decoder)
    return methods.vae(
        encoder,
        decoder,
        config.latent_size,
        posterior=methods.posteriors.uniform(),
        prior=methods.priors.factorised(config.components),
        likelihood=methods.observations.gaussian(),
    )


def begin(
    config: Config,
    principal: metrics.PrincipalComponents,
    splits: experiment.Splits,
    values: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Returns for each lane what PCA would be, with steps as wide as its variance is worth."""
    batch = data.head(splits.train, 2)
    method = build(config, splits.train.spec)
    basis = principal.components[: config.latent_size]
    if len(basis) < config.latent_size:
        raise InputError(f"--latent-size is {config.latent_size}: PCA has {len(basis)} components")

    def lane(seed: int, variance: float, **_: Any) -> dict[str, Any]:
        step = math.sqrt(12 * variance)  # whose rounding has that variance
        params = method.init(jax.random.key(seed), batch, dict(method.hparams)).params
        linear = {
            "encoder": {"kernel": basis.T / step, "bias": -basis @ principal.mean / step},
            "decoder": {"kernel": basis * step, "bias": principal.mean},
        }
        last = f"Dense_{len(config.widths)}"
        begun = {}
        for name, layer in linear.items():
            whole, beside = params[name]["0"]["Dense_0"], params[name]["1"]
            layer = {part: layer[part].astype(whole[part].dtype) for part in whole}
            nothing = jax.tree.map(np.zeros_like, beside[last])
            begun[name] = {"0": {"Dense_0": layer}, "1": {**beside, last: nothing}}
        return begun

    return [lane(**given) for given in experiment.lanes(config, values)]


def others(
    config: Config, principal: metrics.PrincipalComponents, seen: np.ndarray, images: np.ndarray
) -> list[dict[str, Any]]:
    """Returns the rows of the codecs that are not trained, or in closed form."""
    bases = {"PCA": principal.components, "DCT": rates.cosines(seen.shape[1:])}
    rows = []
    for name, settings in SETTINGS.items():
        for setting in settings:
            if name in bases:
                found = rates.of_transform(bases[name], principal.mean, setting, seen, images)
            else:
                found = rates.of_format(name, setting, images)
            rows.append({"codec": name, "setting": setting, "status": "ok", **found})
    return rows


def figures(
    rows: Sequence[Mapping[str, Any]], result: training.Result, splits: experiment.Splits
) -> dict[str, Any]:
    """Draws the curves of rate and distortion, and what is left of images along ours."""
    measured = [row for row in rows if row.get("bits", 0) > 0]
    series = {}
    for name in dict.fromkeys(row["codec"] for row in measured):
        own = experiment.where(measured, codec=name)
        points = plots.aggregate(own, ["setting"], ["bits", "psnr"])
        points.sort(key=lambda point: point["bits"].mean)
        psnr = [point["psnr"] for point in points]
        series[name] = (
            [point["bits"].mean for point in points],
            [estimate.mean for estimate in psnr],
            [estimate.spread for estimate in psnr],
        )
    batch, models = data.head(splits.test, 16), experiment.firsts(result, "variance")
    bits = {row["lane"]: row["bits"] for row in measured if row["codec"] == OURS}
    made = {
        f"{bits[model.row['lane']]:.0f} bits": np.clip(model.reconstruct(batch), 0, 1)
        for model in reversed(models.values())
        if model.row["lane"] in bits
    }
    return {
        "Quality of test images against what they take, headers left out.": plots.lines(
            series, "bits for an image", "PSNR (dB)", log_x=True
        ),
        "Test images (top) and what the autoencoder's files have of them.": plots.reconstructions(
            batch["image"], made
        ),
    }


if __name__ == "__main__":
    cli.main(image_compression, PRESETS, description=__doc__)
