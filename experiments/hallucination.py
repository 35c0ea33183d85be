"""What classifiers of digits see in a photograph, and in noise: hallucinations of their channels.

    python experiments/hallucination.py

An image is moved up the gradient of what one channel shows, from coarse to fine, with all layers,
channels, classes and images in one program. What a channel near the input adds is fine, what a deep
one does is coarser: its change is of lower frequencies. Both are several times as active as
before, where noise of the same length changes much less; and a classifier is soon sure of any
digit. A whole layer's mean square would not tell them apart: it is one direction's, the strongest,
in every layer.

Reference: Mordvintsev, Olah and Tyka (2015), Inceptionism: Going Deeper into Neural Networks; Olah,
Mordvintsev and Schubert (2017), Feature Visualization.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ae_jax import cli, data, experiment, inversion, methods, metrics, nets, plots, training
from ae_jax.core import POSITIVE, Array, HParams, InputError, Method, State
from ae_jax.experiment import Count, Splits, Swept, Whole

Positive = Annotated[float, POSITIVE]
STARTS = ("photo", "noise")
CLASSES = "classes"
#: What is drawn for this experiment: digits in many typefaces, before pieces of a photograph.
NUMERALS, DIGITS = "numerals", "0123456789"
MEASURES = {
    "gain": "activation after over before",
    "random_gain": "that of noise of the same length",
    "centroid": "mean frequency of the change (cycles per pixel)",
}


class Convolutions(nn.Module):
    """Convolutions with pooling between them, and the mean over what is left."""

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
        return jnp.mean(x, axis=(1, 2))


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
    rate: Positive = 0.0015
    """How much a pixel moves in a step where it is measured, in the mean."""
    shown_rate: Positive = 0.008  # of the pictures
    jitter: Whole = 4
    """The most pixels by which images are rolled in a step."""
    batch_size: Count = 32
    steps: Count = 1000
    seeds: Count = 5
    learning_rate: Swept[float] = (3e-3,)


PRESETS = {
    "default": Config(),
    "smoke": Config(
        images=40, side=16, widths=(4, 4), layers=("Conv_0", "Conv_1"), channels=2, labels=(0, 5),
        octaves=1, climb_steps=2, seeds=1, steps=5, batch_size=4,
    ),
    "paper": Config(side=224, joined=1, widths=(32, 64, 128, 256), octaves=4, steps=20_000),
}  # fmt: skip


def hallucination(config: Config) -> None:
    """Trains classifiers, and measures what their channels make of a photograph and of noise."""
    own = numerals(config.images) if config.dataset == NUMERALS else None
    splits = own or experiment.load_splits(config)
    count = experiment.classes(config.dataset, splits)
    if not config.labels or max(config.labels) >= count:
        raise InputError(f"--labels {config.labels}: {config.dataset} has 0 to {count - 1}")
    method = methods.classifier(nets.flax_network(Convolutions(config.widths)), count)
    photo = photograph(config, splits.train.spec["image"].shape[-1])
    features = {name: layer(method, name) for name in config.layers}
    batch = data.head(splits.train, 1)
    state = jax.eval_shape(method.init, jax.random.key(0), batch, method.hparams)
    for feature in features.values():
        if (has := jax.eval_shape(feature, state, photo).shape[-1]) < config.channels:
            raise InputError(f"a layer has {has} channels: use fewer --channels")
    falling = [training.warmup_cosine(config.steps)]
    trained = experiment.sweep(config, "hallucination", method, splits, {}, schedules=falling)
    dream, found = dreamer(config, method, list(features.values())), {}
    ways = (*config.layers, CLASSES)

    def describe(model: experiment.Model) -> dict[str, float]:
        lane = seed, _ = model.row["seed"], model.row["learning_rate"]
        if lane not in found:
            grey = 0.5 + 0.2 * jax.random.normal(jax.random.key(seed), photo.shape, photo.dtype)
            starts = jnp.concatenate([photo, jnp.clip(grey, 0, 1)])
            given = jax.random.key(seed), model.state, model.hparams, starts
            measures = dream(*given, config.rate)[1]
            found[lane] = starts, dream(*given, config.shown_rate)[0], measures
        at = STARTS.index(model.row["start"]), ways.index(model.row["emphasised"])
        return {name: float(x[at]) for name, x in found[lane][2].items() if np.isfinite(x[at])}

    parts = [({"start": start, "emphasised": way}, trained) for start in STARTS for way in ways]
    by = ("start", "emphasised", *experiment.varied(config, "learning_rate"))
    rows = experiment.side_by_side(parts, describe, by)
    experiment.report(
        config,
        trained.out,
        f"Hallucinations of classifiers of {config.dataset}",
        rows,
        by,
        (*MEASURES, "change", "probability_before", "probability_after"),
        lambda: figures(config, rows, found),
        trained.result,
        [
            "gain: a channel's mean square after over before; random_gain: with noise as long as "
            "the change in its place; centroid: mean frequency of the change's power, in cycles "
            "per pixel; change: of a pixel, root mean square."
        ],
    )


def numerals(images: int) -> Splits:
    """Returns digits in sixteen typefaces before pieces of a photograph, lighter or darker."""
    sizes = {"train": images, "validation": 500, "test": 500}
    plain = {name: data.glyphs(size, letters=DIGITS, split=name) for name, size in sizes.items()}
    photo = data.NUISANCES["photo"]
    return Splits(**{name: data.with_nuisance(one, photo) for name, one in plain.items()})


def photograph(config: Config, channels: int) -> Array:
    """Returns the middle of a photograph, [1, side, side, channels] in [0, 1]; grey of one."""
    side, joined, picture = config.side, config.joined, data.photographs("all")[config.photo]
    if min(picture.shape[:2]) < side * joined:
        raise InputError(f"{config.photo} has no {side * joined} pixels a side: use less --side")
    top, left = ((length - side * joined) // 2 for length in picture.shape[:2])
    middle = picture[top:, left:][: side * joined, : side * joined] / 255
    small = middle.reshape(1, side, joined, side, joined, 3).mean(axis=(2, 4))
    small = small if channels == 3 else small.mean(axis=-1, keepdims=True).repeat(channels, -1)
    return jnp.asarray(small, jnp.result_type(float))


def layer(method: Method, name: str) -> Callable[[State, Array], Array]:
    """Returns what computes a layer's squared activations, [B, H, W, C], of a state and images."""
    seen = nets.intermediate(method.views.encode, name)
    return lambda state, x: nn.relu(seen(state, {"image": x}, method.hparams)) ** 2


def dreamer(config: Config, method: Method, features: Sequence[Callable[..., Array]]) -> Callable:
    """Returns what hallucinates by any lane, from several starts, as one compiled program.

    It gives images [starts, channels of layers and labels, H, W, C], and measures [starts, ways].
    """
    counts = [config.channels] * len(features) + [len(config.labels)]
    way = np.repeat(np.arange(len(counts)), counts)
    layered = way < len(features)
    place = np.concatenate([*[np.arange(config.channels)] * len(features), config.labels])
    ends = np.cumsum(counts)[:-1]

    @jax.jit
    def dream(key: Array, state: State, hparams: HParams, starts: Array, rate: Array) -> tuple:
        def logits(x: Array) -> Array:
            return method.views.predict(state, {"image": x}, hparams)

        many = len(starts)
        wanted = inversion.of_class(logits, np.tile(np.where(layered, 0, place), many))
        at = np.tile(np.where(layered, place, 0), many)
        shown = [inversion.of_unit(functools.partial(one, state), at) for one in features]
        chosen = inversion.one_of([*shown, wanted], np.tile(way, many))
        x = jnp.repeat(starts, len(way), axis=0)
        dream_key, noise_key = jax.random.split(key)
        moved = inversion.jittered(chosen, config.jitter)
        climb = inversion.octaves(moved, config.climb_steps, count=config.octaves)
        made = climb(dream_key, x, rate).x
        change = made - x
        other = jax.random.normal(noise_key, x.shape, x.dtype)
        squares = jnp.stack([change, other]) ** 2
        size, drawn = jnp.sqrt(jnp.mean(squares, axis=(2, 3, 4), keepdims=True))
        other = x + other * size / drawn

        def means(values: Array) -> Array:  # [starts, ways], of what moved
            parts = jnp.split(values.reshape(many, -1), ends, axis=1)
            return jnp.stack([jnp.nanmean(part, axis=1) for part in parts], axis=1)

        before, after, random = (means(chosen(key, image)) for image in (x, made, other))
        layers = (np.arange(len(counts)) < len(features))[None]
        measures = {
            "gain": jnp.where(layers, after / before, jnp.nan),
            "random_gain": jnp.where(layers, random / before, jnp.nan),
            "centroid": means(metrics.frequency_centroid(change)),
            "change": means(size),
        }
        for name, image in (("probability_before", x), ("probability_after", made)):
            measures[name] = jnp.where(layers, jnp.nan, means(jnp.exp(-wanted(key, image))))
        return made.reshape(many, len(way), *x.shape[1:]), measures

    return dream


def figures(
    config: Config, rows: Sequence[Mapping[str, Any]], found: Mapping[Any, Any]
) -> dict[str, Any]:
    """Draws the pictures of the first lane, and what was measured."""
    if not found:
        raise InputError("no lane has any")
    starts, made, _ = next(iter(found.values()))
    shown = min(config.channels, len(config.labels))
    strip = {}
    for name, start, images in zip(STARTS, starts, np.asarray(made), strict=True):
        for place, way in enumerate((*config.layers, CLASSES)):
            own = images[place * config.channels :][:shown]
            strip[f"{name}, {way}"] = np.concatenate([start[None], own])
    caption = f"A start, and what channels and classes {config.labels[:shown]} make of it."
    drawn = {caption: plots.image_rows(strip, size=2)}
    for column, what in MEASURES.items():
        own = [row for row in rows if row.get(column) is not None]
        table = plots.mean_table(own, lambda row: f"{row['start']}, {row['emphasised']}", [column])
        drawn[f"By what is emphasised: {what}."] = plots.dots(table, what)
    return drawn


if __name__ == "__main__":
    cli.main(hallucination, PRESETS, description=__doc__)
