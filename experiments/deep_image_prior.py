"""The deep image prior: what the structure of a network that was never trained knows of images.

    python experiments/deep_image_prior.py

Fitted to the half of a photograph's pixels that is known, an hour-glass of convolutions fills the
other half about as well as Laplace's equation does. Fitted to a noisy photograph it shows a cleaner
one on its way to the noise: its error falls and rises again, and pixels that were held out say when
to stop. Total variation, which knows less, takes more of the noise away here.

Reference: Ulyanov, Vedaldi and Lempitsky (2018), Deep Image Prior.
"""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import cli, experiment, inversion, losses, metrics, nets, plots
from ae_jax.core import BELOW_ONE, BETWEEN, NOT_NEGATIVE, POSITIVE, Array, InputError
from ae_jax.experiment import Count, Whole
from ae_jax.inversion import fills

Share = Annotated[float, BELOW_ONE]
NotNegative = Annotated[float, NOT_NEGATIVE]
#: What is to be put right.
TASKS = ("missing pixels", "noise")
SHOWN = 40  # points of a curve


@dataclasses.dataclass(frozen=True)
class Config(cli.Execution):
    """Each task is done once for each seed, which draws the pixels or the noise as well."""

    photo: Literal["china", "flower"] = "china"
    """Of those that come with scikit-learn."""
    side: Count = 64
    """Of the square that is cut out, after pixels are joined."""
    joined: Count = 2
    """So many pixels a side are averaged to one."""
    top: Whole = 24
    """Where the square begins, in averaged pixels."""
    left: Whole = 64
    missing: Annotated[float, BETWEEN] = 0.5
    """The share of pixels that are not known."""
    noise: Annotated[float, POSITIVE] = 0.1
    """Its standard deviation; noisy pixels are not clipped."""
    channels: tuple[Count, ...] = (32, 32, 32)
    """Of the network's levels, from the outside; each halves the image."""
    skips: Whole = 4
    """Channels that each level hands across."""
    learning_rate: Annotated[float, POSITIVE] = 0.01
    input_noise: NotNegative = 0.03
    """The deviation of what is added to the network's input at each step."""
    decay: Share = 0.97
    """The part of the average of outputs that a step keeps."""
    held_out: Share = 0.05
    """Of the known pixels: what says when to stop."""
    tv_weight: NotNegative = 0.1
    """Of the total variation that noise is also taken away by."""
    seeds: Count = 2
    steps: Count = 1000


PRESETS = {
    "default": Config(),
    "smoke": Config(side=16, channels=(4,), seeds=1, steps=20),
    "paper": Config(side=256, joined=1, left=100, channels=(128,) * 5, decay=0.99, steps=3000),
}


def deep_image_prior(config: Config) -> None:
    """Puts a photograph right in two ways each, and reports how near it comes to the original."""
    truth = photograph(config)
    network = nets.hourglass(1, config.channels, config.skips)
    jax.eval_shape(network.init, jax.random.key(0), truth)  # refuses sides that are not halved
    fit = inversion.deep_image_prior(network, config.steps)
    with experiment.claimed(config, "deep_image_prior") as out:
        rows, images, curves = [], {}, {}
        for seed in range(config.seeds):
            key, fit_key = jax.random.split(jax.random.key(seed))
            shown, known = spoiled(config, key, truth)
            found = fit(
                fit_key,
                shown,
                known,
                rate=config.learning_rate,
                input_noise=config.input_noise,
                decay=config.decay,
                held_out=config.held_out,
                truth=jnp.concatenate([truth] * 2),
            )
            for place, task in enumerate(TASKS):
                own = slice(place, place + 1)
                ways = {**classical(config, task, shown[own], known[own]), **named(found, own)}
                steps = dict.fromkeys(ways) | {"network stopped": int(found.best_step[place])}
                for way, x in ways.items():
                    filled = x if task == "noise" else inversion.composed(truth, known[own], x)
                    score = psnr(filled, truth, known[own])
                    row = {"task": task, "way": way, "seed": seed, "status": "ok", "psnr": score}
                    rows.append(row | ({} if steps[way] is None else {"step": steps[way]}))
                    images.setdefault(task, {}).setdefault(way, []).append(filled[0])
                trace = {name: np.asarray(x)[:, place] for name, x in found.trace.items()}
                curves.setdefault(task, []).append(trace)
        rows.sort(key=lambda row: (row["task"], row["seed"]))
        rows = [{"lane": lane, **row} for lane, row in enumerate(rows)]
        experiment.report(
            config,
            out,
            f"Deep image prior on {config.photo}",
            rows,
            ("task", "way"),
            ("psnr", "step"),
            lambda: figures(config, rows, images, curves, truth),
            notes=[*said(config, curves)],
        )


def photograph(config: Config) -> Array:
    """Returns a grey square of a photograph, [1, side, side, 1] in [0, 1]."""
    from sklearn.datasets import load_sample_image

    # luma of ITU-R BT.601
    grey = load_sample_image(f"{config.photo}.jpg").astype(np.float32) @ (0.299, 0.587, 0.114) / 255
    height, width = (size // config.joined for size in grey.shape)
    if config.top + config.side > height or config.left + config.side > width:
        raise InputError(
            f"{config.photo} has {height}x{width} pixels where {config.joined}x{config.joined} are "
            f"averaged: no square of {config.side} begins at {config.top}, {config.left}"
        )
    grey = grey[: height * config.joined, : width * config.joined]
    small = grey.reshape(height, config.joined, width, config.joined).mean(axis=(1, 3))
    rows, columns = (slice(at, at + config.side) for at in (config.top, config.left))
    return jnp.asarray(small[rows, columns][None, :, :, None], jnp.result_type(float))


def spoiled(config: Config, key: Array, truth: Array) -> tuple[Array, Array]:
    """Returns the image as each task shows it, [2, H, W, 1], and which pixels are known."""
    mask_key, noise_key = jax.random.split(key)
    mask = inversion.missing(mask_key, truth, config.missing)
    noisy = truth + config.noise * jax.random.normal(noise_key, truth.shape, truth.dtype)
    images = jnp.concatenate([jnp.where(mask, truth, 0), noisy])
    return images, jnp.concatenate([mask, jnp.ones_like(mask)])


def classical(config: Config, task: str, image: Array, mask: Array) -> dict[str, Array]:
    """Returns what is made of an image without a network, by way."""
    if task == "noise":
        near = inversion.keyless(lambda x: losses.squared_error(x, image))
        smooth = inversion.keyless(losses.total_variation)
        lowered = inversion.weighted((near, 1.0), (smooth, config.tv_weight))
        found = inversion.descent(lowered, 300)(jax.random.key(0), image, 0.003)
        return {"as it is": image, "total variation": found.x}
    ways = {"mean": fills.mean(image, mask), "harmonic": fills.harmonic(image, mask)}
    with contextlib.suppress(ModuleNotFoundError):
        from skimage.restoration import inpaint_biharmonic

        filled = inpaint_biharmonic(np.array(image[0, ..., 0]), np.array(~mask[0, ..., 0]))
        ways["biharmonic"] = jnp.asarray(filled, image.dtype)[None, ..., None]
    return ways


def named(found: inversion.Fitted, own: slice) -> dict[str, Array]:
    """Returns what a network was fitted to come to, by way."""
    return {
        "network": found.output[own],
        "network average": found.average[own],
        "network stopped": found.best[own],
    }


def psnr(image: Array, truth: Array, known: Array) -> float:
    """Returns decibels, over unknown pixels, or all where all are known; clipped to [0, 1]."""
    seen = ~known if not bool(known.all()) else known
    return float(metrics.psnr(jnp.clip(image, 0, 1)[seen][None], truth[seen][None])[0])


def decibels(error: np.ndarray) -> np.ndarray:
    """Returns the PSNR of mean squared errors, of images that are not clipped."""
    return -10 * np.log10(error)


def said(config: Config, curves: Mapping[str, Sequence[Mapping[str, np.ndarray]]]) -> list[str]:
    """Says what the columns are, and where each curve has its peak."""
    notes = [
        "psnr is in dB, of missing pixels alone, or of all pixels with noise. The network's is "
        f"after {config.steps} steps, of its last output or of the average over steps; stopped is "
        f"that average when it came nearest to the {config.held_out:.0%} of known pixels that were "
        "held out, at step. With noise of one deviation the PSNR of the image as it is would be "
        f"{decibels(np.asarray(config.noise**2)):.2f} without clipping."
    ]
    for task, traces in curves.items():
        scores = [decibels(trace["output_error"]) for trace in traces]
        best, last = (np.mean([f(x) for x in scores]) for f in (np.max, lambda x: x[-1]))
        places = ", ".join(str(int(np.argmax(x))) for x in scores)
        notes.append(
            f"{task}: single outputs have at most {best:.2f} dB, at step {places}, and "
            f"{last:.2f} at the end, in the mean over seeds."
        )
    return notes


def figures(
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    images: Mapping[str, Mapping[str, Array]],
    curves: Mapping[str, Sequence[Mapping[str, np.ndarray]]],
    truth: Array,
) -> dict[str, Any]:
    """Draws decibels over steps, and the images."""
    drawn, places = {}, np.unique(np.geomspace(1, config.steps, SHOWN).astype(int)) - 1
    for task, traces in curves.items():
        scores = {}
        for name in ("output", "average"):
            own = np.stack([decibels(trace[f"{name}_error"])[places] for trace in traces])
            scores[name] = places + 1, own.mean(0), own.std(0, ddof=1) if len(own) > 1 else None
        way = "harmonic" if task == TASKS[0] else "total variation"
        level = np.mean([row["psnr"] for row in experiment.where(rows, task=task, way=way)])
        drawn[
            f"PSNR of the network's output, and of the average, over steps: {task}; dashed: {way}."
        ] = plots.lines(scores, "step", "PSNR (dB)", log_x=True, level=level, heading=task)
    for task, ways in images.items():
        shown = {"original": [truth[0]] * config.seeds, **ways}
        drawn[f"The original, and what each way makes of it, by seed: {task}."] = plots.image_rows(
            {way: np.stack(own)[:3] for way, own in shown.items()}, task
        )
    return drawn


if __name__ == "__main__":
    cli.main(deep_image_prior, PRESETS)
