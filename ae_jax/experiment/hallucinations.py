"""What experiments on hallucinations share: digits in photographs, and many of them at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import data, inversion, metrics, nets
from ae_jax.core import Array, HParams, InputError, Method, State
from ae_jax.experiment.patches import grey_photographs
from ae_jax.experiment.splits import Splits

DIGITS = "0123456789"


class Dreamt(NamedTuple):
    """Hallucinations of one model, from S starts, of K channels and classes.

    Attributes:
      images: [S, K, H, W, C], channels of the first layer, of the next, and at last classes.
      measures: by name [S, layers + 1], the mean over a layer's channels, or over classes: `gain`,
        the mean square of a channel after over before, summed over channels, and `random_gain`,
        that of noise as long as the change, not a number of classes; `centroid` of the change,
        cycles per pixel, and `change`, its root mean square; `probability_before` and
        `probability_after` of the class, not a number of layers.
    """

    images: Array
    measures: Mapping[str, Array]


def numerals(images: int, held_out: int = 500, ground: bool = True) -> Splits:
    """Returns grey digits in sixteen typefaces, white on black or before pieces of a photograph.

    Args:
      images: to train on.
      held_out: to validate on, and to test on.
      ground: whether there is the photograph; digits are then white or black, as it is not.

    Raises:
      InputError: as `data.glyphs`.
    """
    sizes = {"train": images, "validation": held_out, "test": held_out}
    plain = {name: data.glyphs(size, letters=DIGITS, split=name) for name, size in sizes.items()}
    return Splits(**{k: data.with_nuisance(v, _before) if ground else v for k, v in plain.items()})


def _before(key: Array, image: Array) -> Array:
    """A digit [H, W, 1] before a grey piece of a photograph, and unlike it."""
    piece = data.NUISANCES["photo"](key, jnp.zeros_like(image))
    ground = jnp.mean(piece, axis=-1, keepdims=True)
    ink = (jnp.mean(ground) < 0.5).astype(image.dtype)
    return ground * (1 - image) + ink * image


def photograph(name: str, side: int, joined: int = 1, channels: int = 1) -> Array:
    """Returns the middle of a photograph in grey, made smaller.

    Args:
      name: of `data.photographs`.
      side: of what is returned, in pixels.
      joined: so many pixels a side become one.
      channels: that are all the same.

    Returns:
      [1, side, side, channels] in [0, 1].

    Raises:
      InputError: if the photograph has not that many pixels.
    """
    whole = grey_photographs("all", side * joined)[name]
    if min(whole.shape[:2]) < side * joined:
        raise InputError(f"{name} has no square of {side * joined} pixels a side: use a less one")
    small = nets.avg_pool(jnp.asarray(whole[None]), (joined, joined))
    return jnp.repeat(small, channels, axis=-1)


def noise(key: Array, shape: Sequence[int]) -> Array:
    """Returns grey noise in [0, 1], of mean 0.5 and of deviation 0.2 before it is clipped."""
    return jnp.clip(0.5 + 0.2 * jax.random.normal(key, shape), 0, 1)


def layer(method: Method, name: str) -> Callable[[State, Array], Array]:
    """Returns what a layer gives of images: (state, x [B, ...]) -> [B, ..., C].

    Args:
      method: with the view `encode`, whose numbers are those it was made with.
      name: as `nets.intermediates` has it.
    """
    seen = nets.intermediate(method.views.encode, name)
    return lambda state, x: seen(state, {"image": x}, method.hparams)


def dreamer(
    method: Method,
    layers: Sequence[Callable[[State, Array], Array]],
    channels: int,
    labels: Sequence[int],
    steps: int,
    *,
    octaves: int = 4,
    jitter: int = 0,
) -> Callable[[Array, State, HParams, Array, Array | float], Dreamt]:
    """Returns what hallucinates channels of layers, and classes, by one compiled program.

    Args:
      method: a classifier.
      layers: from `layer`, of which the first channels are emphasised: the mean over places of
        their squares, where what is negative counts as 0, as behind the activation function.
      channels: so many of each.
      labels: the classes that are looked for.
      steps: of each scale.
      octaves: scales.
      jitter: the most pixels by which images are rolled in a step.

    Returns:
      (key, state, hparams, starts [S, H, W, C], rate) -> Dreamt. A step moves a pixel by the rate
      in the mean.

    Raises:
      InputError: when called, if a layer has fewer channels, there is no such class, or as
        `inversion.octaves`.

    Reference:
      Mordvintsev, Olah and Tyka (2015), Inceptionism: Going Deeper into Neural Networks.
    """
    counts = [channels] * len(layers) + [len(labels)]
    way = np.repeat(np.arange(len(counts)), counts)
    place = np.concatenate([*[np.arange(channels)] * len(layers), np.asarray(labels, int)])
    ends = np.cumsum(counts)[:-1]
    of_layer = np.arange(len(counts)) < len(layers)

    @jax.jit
    def dream(
        key: Array, state: State, hparams: HParams, starts: Array, rate: Array | float
    ) -> Dreamt:
        many = len(starts)

        def logits(x: Array) -> Array:
            return method.views.predict(state, {"image": x}, hparams)

        for one in layers:
            if (has := jax.eval_shape(one, state, starts).shape[-1]) < channels:
                raise InputError(f"a layer has {has} channels, and not {channels}: use fewer")
        at = np.tile(np.where(of_layer[way], place, 0), many)

        def shown(one: Callable[[State, Array], Array]) -> inversion.Objective:
            return inversion.of_unit(lambda x: jax.nn.relu(one(state, x)) ** 2, at)

        label = np.tile(np.where(of_layer[way], labels[0], place), many)
        wanted = inversion.of_class(logits, label)
        chosen = inversion.one_of([*map(shown, layers), wanted], np.tile(way, many))
        dream_key, noise_key = jax.random.split(key)
        x = jnp.repeat(starts, len(way), axis=0)
        climb = inversion.octaves(inversion.jittered(chosen, jitter), steps, count=octaves)
        made = climb(dream_key, x, rate).x
        change, noise = made - x, jax.random.normal(noise_key, x.shape, x.dtype)
        size, drawn = (_root_mean_square(y) for y in (change, noise))

        def means(values: Array) -> Array:  # [S, layers + 1]
            parts = jnp.split(values.reshape(many, -1), ends, axis=1)
            return jnp.stack([jnp.nanmean(part, axis=1) for part in parts], axis=1)

        before, after, random = (
            means(chosen(key, image)) for image in (x, made, x + noise * size / drawn)
        )
        sure = {"probability_before": x, "probability_after": made}
        absent = jnp.full(before.shape, jnp.nan, x.dtype)
        return Dreamt(
            made.reshape(many, len(way), *x.shape[1:]),
            {
                "gain": jnp.where(of_layer[None], after / before, absent),
                "random_gain": jnp.where(of_layer[None], random / before, absent),
                "centroid": means(metrics.frequency_centroid(change)),
                "change": means(size),
            }
            | {
                name: jnp.where(of_layer[None], absent, means(jnp.exp(-wanted(key, image))))
                for name, image in sure.items()
            },
        )

    return dream


def _root_mean_square(x: Array) -> Array:
    """Of each image, [B, 1, 1, 1]."""
    return jnp.sqrt(jnp.mean(x**2, axis=(1, 2, 3), keepdims=True))


def excited(
    features: Callable[[Array], Array],
    shape: Sequence[int],
    count: int,
    radius: float,
    steps: int = 60,
) -> tuple[Array, Array]:
    """What excites units of a first layer most: by ascent within a ball, and in closed form.

    Args:
      features: x [B, ...] -> [B, H], of which each unit increases with w_j . x.
      shape: of an image.
      count: units to take, those of the longest weights, as the Jacobian at 0 has them.
      radius: of the ball around 0, in which images are.
      steps: of the ascent, from noise, each as long as the radius or longer.

    Returns:
      Both [at most count, ...], and the second radius w_j / |w_j|.
    """
    slopes = jax.jit(jax.jacrev(lambda x: features(x[None])[0]))(jnp.zeros(shape))
    lengths = np.linalg.norm(np.reshape(slopes, (len(slopes), -1)), axis=1)
    units = np.argsort(-lengths)[:count]
    slopes = slopes[units]
    climb = inversion.descent(
        inversion.of_unit(features, units),
        steps,
        optimizer=inversion.normalised_gradient(),
        project=inversion.ball(radius),
    )
    start = 0.1 * radius * jax.random.normal(jax.random.key(0), slopes.shape)
    found = climb(jax.random.key(1), start, radius / slopes[0].size ** 0.5)
    return found.x, inversion.most_exciting(slopes, radius)


def signed(images: Array) -> np.ndarray:
    """Images of any sign as grey levels: 0 is grey, the largest size of each white or black."""
    x: Any = np.asarray(images)
    return 0.5 + 0.5 * x / np.max(np.abs(x), axis=(1, 2, 3), keepdims=True).clip(1e-12)
