"""What classifiers of digits see in a photograph, and in noise: hallucinations of their channels.

    python experiments/hallucination.py

An image is moved up the gradient of what one channel shows, from coarse to fine, with all layers,
channels, classes and images in one program. Deep channels are then many times as active as before,
those near the input a few times, where noise of the same length changes little; a classifier is
soon sure of any digit. What deep channels add is not coarser: strokes are as fine as edges.
Where units are linear in images but for an increasing function, as of Boltzmann machines and
autoencoders of one layer, what excites them most is known: an ascent ends at their weights.

Reference: Mordvintsev, Olah and Tyka (2015), Inceptionism: Going Deeper into Neural Networks; Olah,
Mordvintsev and Schubert (2017), Feature Visualization.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ae_jax import cli, corruptions, data, experiment, methods, nets, plots, training
from ae_jax.core import POSITIVE, Array, InputError, Method
from ae_jax.experiment import Count, Swept, Whole, hallucinations

Positive = Annotated[float, POSITIVE]
STARTS = ("photo", "noise")
CLASSES = "classes"
#: What is drawn for this experiment: digits in many typefaces, before pieces of a photograph.
NUMERALS = "numerals"
WORDS = {
    "activation over before": {"gain": "hallucinated", "random_gain": "noise of the same length"},
    "frequency of the change (cycles per pixel)": {"centroid": "hallucinated"},
    "probability of the class": {"probability_before": "before", "probability_after": "after"},
}
MEASURES = "gain", "random_gain", "centroid", "change", "probability_before", "probability_after"


class Convolutions(nn.Module):
    """Convolutions with pooling between them, and the most of what is left."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] of any size to [B, the last width]."""
        x = x - jnp.mean(x, axis=(1, 2), keepdims=True)  # nothing is won by brightness
        for i, width in enumerate(self.widths):
            side = 3 if i else 5
            kernel_init = nn.initializers.variance_scaling(2.0 if i else 18.0, "fan_in", "normal")
            x = nets.avg_pool(x, padding="SAME") if i else x
            x = nn.relu(nets.Conv(width, (side, side), kernel_init=kernel_init)(x))
        return jnp.max(x, axis=(1, 2))


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Each seed's classifier has its own hallucinations, by one program for all."""

    dataset: str = NUMERALS
    images: Count = 6000
    """Numerals to train on."""
    photo: Literal["china", "flower"] = "china"
    side: Count = 64
    """Of the square in its middle, after pixels are joined."""
    joined: Count = 3
    widths: tuple[Count, ...] = (8, 16, 32, 64)
    """Channels of the classifier's convolutions, with pooling between them."""
    layers: tuple[str, ...] = ("Conv_0", "Conv_3")
    """Shallow ones first."""
    channels: Count = 6
    labels: tuple[Whole, ...] = (0, 2, 3, 4, 5, 8)
    octaves: Count = 3
    climb_steps: Count = 10
    rates: tuple[Positive, ...] = (0.0015, 0.006)
    """How much a pixel moves in a step, in the mean; pictures are of the last."""
    jitter: Whole = 4
    """The most pixels by which images are rolled in a step."""
    batch_size: Count = 32
    steps: Count = 600
    seeds: Count = 5
    learning_rate: Swept[float] = (1e-2,)
    hidden: Count = 64
    """Units of the Boltzmann machine and of the autoencoder."""
    unit_steps: Count = 1500


PRESETS = {
    "default": Config(),
    "smoke": Config(
        images=40, side=16, widths=(4, 4), layers=("Conv_0", "Conv_1"), channels=2, labels=(0, 5),
        octaves=1, climb_steps=2, rates=(0.01,), seeds=1, steps=5, batch_size=4, hidden=3,
        unit_steps=5,
    ),
    "paper": Config(side=224, joined=1, widths=(32, 64, 128, 256), octaves=4, steps=20_000),
}  # fmt: skip


def hallucination(config: Config) -> None:
    """Trains classifiers, and measures what their channels make of a photograph and of noise."""
    drawn = config.dataset == NUMERALS
    splits = hallucinations.numerals(config.images) if drawn else experiment.load_splits(config)
    count = experiment.classes(config.dataset, splits)
    if not config.labels or max(config.labels) >= count:
        raise InputError(f"--labels {config.labels}: {config.dataset} has 0 to {count - 1}")
    if not config.rates:
        raise InputError("--rates has no value")
    method = methods.classifier(nets.flax_network(Convolutions(config.widths)), count)
    channels = splits.image_shape[-1]
    photo = hallucinations.photograph(config.photo, config.side, config.joined, channels)
    dream = hallucinations.dreamer(
        method,
        [hallucinations.layer(method, name) for name in config.layers],
        config.channels,
        config.labels,
        config.climb_steps,
        octaves=config.octaves,
        jitter=config.jitter,
    )
    key, batch = jax.random.key(0), data.head(splits.train, 1)
    state = jax.eval_shape(method.init, key, batch, method.hparams)
    jax.eval_shape(dream, key, state, method.hparams, photo, config.rates[0])  # refuses early
    plain = hallucinations.numerals(config.images, ground=False) if drawn else splits
    machines = encoders(config, plain)
    falling = [training.warmup_cosine(config.steps)]
    trained = experiment.sweep(config, "hallucination", method, splits, {}, schedules=falling)
    strip, results, notes = units(config, plain, machines)
    found: dict[Any, Any] = {}
    ways = *config.layers, CLASSES

    def describe(model: experiment.Model) -> dict[str, float]:
        lane = tuple(model.row[name] for name in ("seed", "learning_rate", "rate"))
        if lane not in found:
            key = jax.random.key(lane[0])
            starts = jnp.concatenate([photo, hallucinations.noise(key, photo.shape)])
            found[lane] = starts, dream(key, model.state, model.hparams, starts, lane[2])
        at = STARTS.index(model.row["start"]), ways.index(model.row["emphasised"])
        measures = {name: float(x[at]) for name, x in found[lane][1].measures.items()}
        return {name: value for name, value in measures.items() if np.isfinite(value)}

    parts = [
        ({"start": start, "emphasised": way, "rate": rate}, trained)
        for start in STARTS
        for way in ways
        for rate in config.rates
    ]
    by = ("start", "emphasised", "rate", *experiment.varied(config, "learning_rate"))
    rows = experiment.side_by_side(parts, describe, by)
    right = [1 - row["error"] for row in trained.result.rows if row["status"] == "ok"]
    shares = ", ".join(f"{share:.2f}" for share in right)
    notes.append(f"Share of test images that classifiers are right about, by seed: {shares}.")
    experiment.report(
        config,
        trained.out,
        f"Hallucinations of classifiers of {config.dataset}",
        rows,
        by,
        MEASURES,
        lambda: figures(config, rows, found, strip),
        [trained.result, *results],
        [
            "gain: a channel's mean square after over before; random_gain: with noise as long as "
            "the change in its place; centroid: mean frequency of the change's power, in cycles "
            "per pixel; change: of a pixel, root mean square.",
            *notes,
        ],
    )


def encoders(config: Config, splits: experiment.Splits) -> dict[str, tuple[Method, str, dict]]:
    """Returns what has units of one layer, the layer's name, and what it is trained with."""
    encoder = nets.mlp(config.hidden, (), output_activation="sigmoid")
    denoising = methods.autoencoder(
        encoder,
        nets.mlp(splits.image_shape, ()),
        corruption=corruptions.masking,
        tie=nets.transposed,
    )
    rbm = methods.rbm(config.hidden)
    return {
        "RBM": (rbm, "hidden", {"learning_rate": 0.05}),
        "autoencoder": (denoising, "Dense_0", {"learning_rate": 3e-3, "corruption_level": 0.3}),
    }


def units(
    config: Config, splits: experiment.Splits, machines: Mapping[str, tuple[Method, str, dict]]
) -> tuple[dict[str, Array], list[training.Result], list[str]]:
    """Trains encoders of one layer, and returns what excites their units, both ways found."""
    strip, results, said = {}, [], []
    once = dataclasses.replace(config, seeds=1)
    images = data.all_images(splits.validation)
    radius = float(np.mean(np.linalg.norm(images.reshape(len(images), -1), axis=1)))
    for name, (method, layer, values) in machines.items():
        trained = experiment.sweep(
            once, "hallucination", method, splits, values, part=name, steps=config.unit_steps
        )
        results.append(trained.result)
        for model in experiment.firsts(trained.result, "seed").values():
            seen = functools.partial(hallucinations.layer(method, layer), model.state)
            some = splits.image_shape, config.channels + 1, radius
            climbed, known = hallucinations.excited(seen, *some)
            strip |= {f"{name}, ascent": climbed, f"{name}, r w / |w|": known}
            cosine = np.min(np.sum(climbed * known, axis=(1, 2, 3))) / radius**2
            said.append(f"{name}: least cosine of what an ascent finds with weights {cosine:.6f}.")
    return {name: hallucinations.signed(x) for name, x in strip.items()}, results, said


def figures(
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    found: Mapping[Any, Any],
    units: Mapping[str, Array],
) -> dict[str, Any]:
    """Draws the pictures of the first lane, what excites units, and what was measured."""
    if not found:
        raise InputError("no lane has any")
    lane = next(lane for lane in found if lane[2] == config.rates[-1])
    starts, dreamt = found[lane]
    shown = min(config.channels, len(config.labels))
    strip = {}
    for name, start, images in zip(STARTS, starts, np.asarray(dreamt.images), strict=True):
        for place, way in enumerate((*config.layers, CLASSES)):
            own = images[place * config.channels :][:shown]
            strip[f"{name}, {way}"] = np.concatenate([start[None], own])
    caption = f"A start, and what channels and classes {config.labels[:shown]} make of it."
    drawn = {caption: plots.image_rows(strip, size=2)}
    if units:
        drawn["What excites units most, of images of one length: grey is 0."] = plots.image_rows(
            units
        )
    few = experiment.where(rows, rate=config.rates[0])
    for what, columns in WORDS.items():
        own = [row for row in few if all(row.get(name) is not None for name in columns)]
        table = plots.mean_table(own, lambda row: f"{row['start']}, {row['emphasised']}", columns)
        drawn[f"By what is emphasised: {what}."] = plots.dots(table, what)
    return drawn


if __name__ == "__main__":
    cli.main(hallucination, PRESETS, description=__doc__)
