"""Progressive growing: a GAN on small images, then on larger ones, beside one at full size.

    python experiments/progressive_gan.py

Sprites are learned at 4, 8 and 16 pixels a side, each stage from the networks of the one before,
with the newest blocks faded in; and by the last stage's networks at 16 pixels alone, for as long.
Images this small do not need it: what was trained at full size alone comes nearer to the data.

Reference: Karras et al. (2018), Progressive Growing of GANs for Improved Quality, Stability, and
Variation.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import numpy as np

from ae_jax import cli, data, experiment, losses, methods, metrics, nets, plots, training
from ae_jax.core import FRACTION, Array, InputError, Method
from ae_jax.experiment import Count
from ae_jax.recipes import growing


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "shapes32"
    side: Count = 16
    """Images are made as small as this, by the means of blocks of pixels."""
    channels: tuple[Count, ...] = (16, 16, 8)
    """Of the features in each stage, the smallest images' first; not swept."""
    convolutions: Count = 1
    """Of each block."""
    latent_size: Count = 16
    stage_steps: tuple[Count, ...] = (500, 600, 800)
    """Of each stage; not swept."""
    steps: Count = 1100
    """Of the training at full size: as many as take the time of all stages."""
    fade: Annotated[float, FRACTION] = 0.5
    """The part of a stage's steps over which its newest blocks are faded in."""
    objective: Literal["wasserstein", "least_squares", "non_saturating"] = "wasserstein"
    """The first with the gradient penalty and the drift of the paper, the others without."""
    group: Count = 4
    """Of how many examples the discriminator sees the standard deviation."""
    batch_size: Count = 32
    seeds: Count = 2


PRESETS = {
    "default": Config(),
    "smoke": Config(
        dataset="digits",
        side=8,
        channels=(4, 4),
        stage_steps=(20, 20),
        steps=20,
        objective="least_squares",
    ),
    # Karras et al. (2018), appendix A: 800k images of a fade and 800k after it.
    "paper": Config(
        dataset="celeb_a",
        side=64,
        channels=(512, 512, 512, 512, 256),
        convolutions=2,
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
    """Grows a GAN, trains its last stage from anew as well, and compares what they draw."""
    splits = load(config)
    sides = growing.sides(len(config.channels), splits.image_shape)
    if len(config.stage_steps) != len(sides):
        raise InputError(f"{len(sides)} channels need as many stage steps, one for each stage")
    lanes = [
        {**lane, "discriminator_learning_rate": lane["learning_rate"]}
        for lane in experiment.lanes(config, {})
    ]
    stages = []
    for side, steps in zip(sides, config.stage_steps, strict=True):
        spec = data.resized(splits.train, side).spec
        names = [name for player in players(config, spec) for name in player.names]
        fading = [training.warmup(round(config.fade * steps), "fade")] if stages else []
        stages.append(growing.Stage(side, build(config, spec), names, steps, fading))
        experiment.check(stages[-1].method, lanes, fading)
    options = experiment.run_options(config, splits) | {"experiment": "progressive_gan"}
    options["evaluate_every"] = max(config.steps, *config.stage_steps)  # once, at the end
    out = cli.directory(config, "progressive_gan")

    grown = growing.train(stages, splits.train, lanes, out / "stages", **options)
    for result in grown:
        experiment.complete(result)
    alone = training.run(  # the last stage's program, with a fade of no steps
        stages[-1].method,
        splits.train,
        [{**lane, "fade_warmup_steps": 0.0} if len(stages) > 1 else lane for lane in lanes],
        config.steps,
        out / "full-size",
        schedules=stages[-1].schedules,
        **options,
    )
    experiment.complete(alone)

    results = {f"{side} pixels": result for side, result in zip(sides, grown, strict=True)}
    results[f"{sides[-1]} pixels alone"] = alone
    parts, seconds = [], 0.0
    for side, result in zip([*sides, sides[-1]], results.values(), strict=True):
        taken = sum(group.train_seconds for group in result.groups)
        seconds = taken if result is alone else seconds + taken
        way, folder = (FULL, "full-size") if result is alone else (GROWING, f"stages/side-{side}")
        columns = {"way": way, "side": side, "seconds": seconds}
        parts.append((columns, experiment.Sweep(result, out / folder)))
    compare = comparison(splits)
    rows = experiment.side_by_side(
        parts, lambda model: compare(drawn(model, COMPARED, sides[-1])), ("way", "side")
    )
    floor = compare(data.head(splits.train, COMPARED)["image"])
    experiment.report(
        config,
        out,
        f"Progressive growing on {config.dataset} at {sides[-1]} pixels",
        rows,
        ("way", "side"),
        ("seconds", *floor),
        lambda: figures(splits, results, experiment.where(rows, side=sides[-1]), floor),
        list(results.values()),
        [
            "Distances are those of samples, upsampled where they are smaller, from test images. "
            "Training images have "
            + ", ".join(f"{name} {floor[name]:.4f}" for name in floor if name != "kernel_error")
            + ".",
            "Seconds are those of all lanes side by side, for a stage and those before it.",
        ],
    )


def load(config: Config) -> experiment.Splits:
    """Returns small images; of those held out some thousands."""
    splits = experiment.load_splits(config, held_out=500)
    small = [data.resized(split, config.side) for split in splits]
    return experiment.Splits(*small[:2], data.subset(small[2], slice(0, 2 * COMPARED)))


def players(config: Config, spec: Mapping[str, Any]) -> tuple[nets.Growing, nets.Growing]:
    """Returns the generator and the discriminator of images of one side."""
    side, _, channels = spec["image"].shape
    smallest = config.side // 2 ** (len(config.channels) - 1)
    widths = config.channels[: (side // smallest).bit_length()]
    shape = {"side": smallest, "convolutions": config.convolutions}
    return (
        nets.growing_generator(widths, channels, **shape),
        nets.growing_discriminator(widths, group=config.group, **shape),
    )


def build(config: Config, spec: Mapping[str, Any]) -> Method:
    """Returns the GAN of the stage whose images these are."""
    own: dict[str, Any] = {}
    if config.objective != "wasserstein":
        objective = losses.adversarial.OBJECTIVES[config.objective]()
        own = {"objective": objective, "regularisers": ()}
    return methods.progressive_gan(
        *players(config, spec), config.latent_size, average=True, ema_decay=0.99, **own
    )


def drawn(model: experiment.Model, count: int, side: int, **hparams: float) -> Array:
    """Returns samples, upsampled to a side."""
    sample = jax.jit(model.method.views.sample, static_argnums=2)
    images = sample(KEY, model.state, count, {**model.hparams, **hparams})
    return nets.upsample(images, side // images.shape[1])


def comparison(splits: experiment.Splits) -> Any:
    """Returns images [N, H, W, C] -> distances from as many test images."""
    test = bands(data.head(splits.test, COMPARED)["image"])
    directions = {n: metrics.random_directions(KEY, 256, x.shape[1]) for n, x in test.items()}

    def compare(images: Array) -> dict[str, float]:
        given, found = bands(images), {}
        for name, band in given.items():
            distance = metrics.sliced_wasserstein(band, test[name], directions[name])
            found[f"sliced_wasserstein_{name}"] = float(distance)
        kernel = metrics.kernel_distance(given["pixels"], test["pixels"])
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
    models = {}
    for name, result in results.items():
        models |= experiment.firsts(result, lambda row, name=name: name)
    table = {name: drawn(model, count, side) for name, model in models.items()}
    shown = {
        "Test images; samples of the first seed after each stage, and of the training at full "
        "size.": plots.image_rows({"test images": data.head(splits.test, count)["image"], **table})
    }
    last = models.get(f"{side} pixels")
    if last and "fade" in last.hparams:
        fades = {f"fade {x:g}": drawn(last, count, side, fade=x) for x in np.linspace(0, 1, 5)}
        caption = (
            "The fade of the last stage after training, from images of half the side to its own."
        )
        shown[caption] = plots.image_rows(fades)
    bars: dict[str, dict[str, Any]] = {}
    for name in [name for name in floor if name.startswith("sliced")]:
        bars[name.removeprefix("sliced_wasserstein_")] = {
            point["way"]: point[name] for point in plots.aggregate(rows, ("way",), [name])
        } | {"training images": floor[name]}
    shown[
        "Sliced Wasserstein distance from test images, of pixels and of what each scale adds to "
        "the one below it."
    ] = plots.bars(bars, "sliced Wasserstein distance", name="compared with test images")
    return shown


if __name__ == "__main__":
    cli.main(progressive_gan, PRESETS)
