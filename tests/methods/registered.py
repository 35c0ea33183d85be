"""What an example of a method learns from, and the figure that learning lowers."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import data, losses, testing
from ae_jax.core import Array, Batch, Dataset, HParams, Method, State
from ae_jax.data.sources import words

#: The images that the examples are built for.
IMAGE_SHAPE = (8, 8, 1)


def digits() -> Dataset:
    """The training digits, of IMAGE_SHAPE."""
    return data.load("digits", "train")


def digits_with_masks() -> Dataset:
    """They, and which pixels have ink."""
    given = digits()
    mask = (data.all_images(given)[..., 0] > 0.5).astype(np.int32)
    spec = {**given.spec, "mask": jax.ShapeDtypeStruct(mask.shape[1:], mask.dtype)}
    return given._replace(spec=spec, arrays={**given.arrays, "mask": mask}, digest="")


def some_contexts() -> Dataset:
    """A few of the training words with the words around them."""
    return data.subset(words.contexts("train"), slice(0, 2000))


def halves_of_digits() -> Dataset:
    """Their left halves and, as targets, the right ones."""
    return data.load("halves:digits")


def two_domains() -> Dataset:
    """Digits, and others turned by a right angle."""
    upright = data.subset(digits(), slice(0, None, 2))
    turned = data.pairs_of(data.subset(digits(), slice(1, None, 2)), data.PAIRINGS["turned"])
    return data.unpaired(upright, data.swapped(turned))


def sample_discrepancy(
    method: Method, key: Array, state: State, batch: Batch, hparams: HParams
) -> Array:
    """Squared maximum mean discrepancy between samples and data."""
    x = batch["image"]
    samples = method.views.sample(key, state, x.shape[0], hparams)

    def flat(images):
        return images.reshape(images.shape[0], -1)

    return losses.mmd2(flat(samples), flat(x), losses.gaussian_kernel(2.0))


def evaluated(name: str) -> Callable[[Method, Array, State, Batch, HParams], Array]:
    """A score: the mean of a value that is evaluated."""
    return lambda method, key, state, batch, hparams: jnp.mean(
        method.evaluate(key, state, batch, hparams)[name]
    )


class Registered(NamedTuple):
    """An example of a method and the figure that learning lowers.

    Attributes:
      example: returns the method.
      data: returns what it learns from.
      entry: of a batch, what its reconstructions and samples have the shape of.
      score: (method, key, state, batch, hparams) -> scalar.
      steps: how many steps of the example, at batch 32, are enough to lower it.
      improvement: the fraction of the first score that is then left, at most.
      no_step: hyperparameters that change no step, but evaluation or views alone.
      tier: "full" for one example of every kind of step, which is tried in sweeps; the others
        are so only with --full; "composed" for a further composition of parts that other examples
        have, which is tried with --full alone.
    """

    example: Callable[[], Method]
    data: Callable[[], Dataset] = digits
    entry: str = "image"
    score: Callable[[Method, Array, State, Batch, HParams], Array] = testing.evaluated_loss
    steps: int = 200
    improvement: float = 0.8
    no_step: tuple[str, ...] = ()
    tier: Literal["composed", "cheap", "full"] = "cheap"
