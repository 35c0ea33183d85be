"""Progressive growing: a GAN on small images, then on larger ones, beside one at full size.

    python experiments/progressive_gan.py

Sprites are learned at 4, 8 and 16 pixels a side, each stage from the networks of the one before,
with the newest blocks faded in; and by the same last networks at 16 pixels alone, for the same time.

Reference: Karras et al. (2018), Progressive Growing of GANs for Improved Quality, Stability, and
Variation.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import FRACTION, Array, InputError, Method
from ae_jax.experiment import Count
from ae_jax.recipes import growing


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "shapes32"
    side: Count = 16
    """Images are made as small as this, by the means of blocks of pixels."""
    channels: tuple[Count, ...] = (32, 32, 16)
    """Of the features in each stage, the smallest images' first; not swept."""
    latent_size: Count = 16
    stage_steps: tuple[Count, ...] = (600, 1000, 1600)
    """Of each stage; not swept."""
    steps: Count = 2400
    """Of the training at full size: as many as take the time of all stages."""
    fade: Annotated[float, FRACTION] = 0.5
    """The part of a stage's steps over which its newest blocks are faded in."""
    group: Count = 4
    """Of how many examples the discriminator sees the standard deviation."""
    batch_size: Count = 32
    seeds: Count = 2


PRESETS = {
    "default": Config(),
    "smoke": Config(side=8, channels=(4, 4), stage_steps=(20, 20), steps=20, latent_size=4),
    # Karras et al. (2018), appendix A: 800k images of a fade and 800k after it.
    "paper": Config(
        dataset="celeb_a",
        side=64,
        channels=(512, 512, 512, 512, 256),
        latent_size=512,
        stage_steps=(50_000, *[100_000] * 4),
        steps=250_000,
        batch_size=16,
        seeds=1,
    ),
}
GROWING, FULL = "growing", "full size"
#: Examples, at most, that are compared with as many of the test set.
COMPARED = 1000
KEY = jax.random.key(0)


def progressive_gan(config: Config) -> None:
    """Grows a GAN, trains its last networks alone, and compares what they draw."""
    splits = load(config)
    image = splits.image_shape
    sides = growing.sides(len(config.channels), image)
    if len(config.stage_steps) != len(sides):
        raise InputError(f"{len(sides)} channels need as many stage steps, one for each stage")
    stages = []
    for side, steps in zip(sides, config.stage_steps, strict=True):
        spec = data.resized(splits.train, side).spec
        names = [name for player in players(config, spec, True) for name in player.names]
        fading = [training.warmup(round(config.fade * steps), "fade")] if stages else []
        method = functools.partial(build, config, spec)
        stages.append(growing.Stage(side, method, names, steps, fading))
        experiment.check(method, lanes(config, GROWING), fading)
    whole = functools.partial(build, config, splits.train.spec)
    options = experiment.run_options(config, splits) | {"experiment": "progressive_gan"}
    out = cli.directory(config, "progressive_gan")

    grown = growing.train(stages, splits.train, lanes(config, GROWING), out / "stages", **options)
    experiment.complete(grown[-1])
    alone = training.run(
        whole, splits.train, lanes(config, FULL), config.steps, out / "full-size", **options
    )
    experiment.complete(alone)
    compare = comparison(splits)
    parts, seconds = [], 0.0
    results = {f"{side} pixels": result for side, result in zip(sides, grown, strict=True)}
    results["full size alone"] = alone
    for side, result in zip([*sides, sides[-1]], results.values(), strict=True):
        taken = sum(group.train_seconds for group in result.groups)
        seconds = taken if result is alone else seconds + taken
        folder = out / ("full-size" if result is alone else f"stages/side-{side}")
        parts.append(({"side": side, "seconds": seconds}, experiment.Sweep(result, folder)))
    by = ("way", "side")
    rows = experiment.side_by_side(
        parts, lambda model: compare(drawn(model, COMPARED, image[0])), by
    )
    floor = compare(data.head(splits.train, COMPARED)["image"])
    experiment.report(
        config,
        out,
        f"Progressive growing on {config.dataset} at {image[0]} pixels",
        rows,
        by,
        ("seconds", *floor),
        lambda: figures(splits, results, experiment.where(rows, side=sides[-1]), floor),
        [*grown, alone],
        [
            "Distances are from test images, of samples that are upsampled to their side. As many "
            "training images are at " + ", ".join(f"{k} {v:.4f}" for k, v in floor.items()) + ".",
            "Seconds are those of all lanes together, of a stage and those before it.",
        ],
    )


def load(config: Config) -> experiment.Splits:
    """Returns small images; of those held out some thousands."""
    splits = experiment.load_splits(config, held_out=1000)
    small = [data.resized(split, config.side) for split in splits]
    return experiment.Splits(*small[:2], data.subset(small[2], slice(0, 2 * COMPARED)))


def lanes(config: Config, way: str) -> list[dict[str, Any]]:
    """Returns the lanes of a way to train; both players have the same learning rate."""
    return [
        {**lane, "discriminator_learning_rate": lane["learning_rate"]}
        for lane in experiment.lanes(config, {"way": way})
    ]


def players(config: Config, spec: Mapping[str, Any], fades: bool) -> tuple[nets.Growing, ...]:
    """Returns the generator and the discriminator of images of one side."""
    side, _, channels = spec["image"].shape
    smallest = config.side // 2 ** (len(config.channels) - 1)
    widths = config.channels[: (side // smallest).bit_length()]
    return (
        nets.growing_generator(widths, channels, side=smallest, fades=fades),
        nets.growing_discriminator(widths, side=smallest, group=config.group, fades=fades),
    )


def build(config: Config, spec: Mapping[str, Any], way: str) -> Method:
    """Returns the GAN of one stage, or that of the last one alone."""
    return methods.progressive_gan(
        *players(config, spec, way == GROWING), config.latent_size, average=True, ema_decay=0.99
    )


def drawn(model: experiment.Model, count: int, side: int, **hparams: float) -> Array:
    """Returns samples, upsampled to a side."""
    sample = jax.jit(model.method.views.sample, static_argnums=2)
    images = sample(KEY, model.state, count, {**model.hparams, **hparams})
    return nets.upsample(images, side // images.shape[1])


def comparison(splits: experiment.Splits) -> Any:
    """Returns images [N, H, W, C] -> distances from as many test images."""
    test = data.head(splits.test, COMPARED)["image"]
    scales = bands(test)
    directions = {
        name: metrics.random_directions(KEY, 256, band.shape[1]) for name, band in scales.items()
    }

    def compare(images: Array) -> dict[str, float]:
        found = {
            f"sliced_wasserstein_{name}": float(
                metrics.sliced_wasserstein(band, scales[name], directions[name])
            )
            for name, band in bands(images).items()
        }
        kernel = metrics.kernel_distance(bands(images)["pixels"], scales["pixels"])
        return found | {"kernel_distance": float(kernel.mean), "kernel_error": float(kernel.error)}

    return compare


def bands(images: Array) -> dict[str, Array]:
    """Returns pixels, and a Laplacian pyramid of them: what each scale adds to the one below it."""
    found, rest = {"pixels": images}, images
    while rest.shape[1] % 2 == 0 and rest.shape[1] > 4:
        small = nets.avg_pool(rest)
        found[f"{rest.shape[1]}px"] = rest - nets.upsample(small)
        rest = small
    found[f"{rest.shape[1]}px"] = rest
    return {name: band.reshape(len(band), -1) for name, band in found.items()}


def figures(
    splits: experiment.Splits,
    results: Mapping[str, training.Result],
    rows: Sequence[Mapping[str, Any]],
    floor: Mapping[str, float],
) -> dict[str, Any]:
    """Draws samples of each stage, the fade, and how far both ways are from the data."""
    side, count = splits.image_shape[0], 14
    found = {name: experiment.firsts(result, "way") for name, result in results.items()}
    models = {name: next(iter(first.values())) for name, first in found.items() if first}
    table = {name: drawn(model, count, side) for name, model in models.items()}
    shown = {
        "Test images; samples of the first seed after each stage, and of the training at full "
        "size.": plots.image_rows({"test images": data.head(splits.test, count)["image"], **table})
    }
    last = list(models.values())[-2] if len(models) > 2 else None
    if last and "fade" in last.hparams:
        fades = {
            f"fade {fade:g}": drawn(last, count, side, fade=fade) for fade in np.linspace(0, 1, 5)
        }
        shown[
            "The fade of the last stage after it was trained: from the images of half the side, "
            "upsampled, to its own."
        ] = plots.image_rows(fades)
    distances = [name for name in floor if name.startswith("sliced")]
    bars: dict[str, dict[str, Any]] = {name: {} for name in distances}
    for point in plots.aggregate(rows, ("way",), distances):
        for name in distances:
            bars[name][point["way"]] = point[name]
    for name in distances:
        bars[name]["training images"] = floor[name]
    shown[
        "Sliced Wasserstein distance from test images, of pixels and of what each scale adds to "
        "the one below it."
    ] = plots.bars(
        {name.removeprefix("sliced_wasserstein_"): bar for name, bar in bars.items()},
        "sliced Wasserstein distance",
        name="what is compared with test images",
    )
    return shown


if __name__ == "__main__":
    cli.main(progressive_gan, PRESETS)
