"""What an autoencoder is shown of a batch: its images, spoiled, with holes, or another entry."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp

from ae_jax import corruptions
from ae_jax.core import (
    REAL,
    Array,
    Batch,
    Domain,
    HParams,
    InputError,
    require,
    require_function,
    traced,
)


class Shown(NamedTuple):
    """What the encoder sees of a batch.

    Attributes:
      apply: (batch, hparams) -> x [B, ...], of a batch as it is: what evaluation calls clean, and
        what views see.
      train: (key, batch, hparams) -> x, spoiled, in a training step; None where it is that of
        `apply`.
      hparams: its traced hyperparameters and their defaults.
      domains: the values that each of them may take.
    """

    apply: Callable[[Batch, HParams], Array]
    train: Callable[[Array, Batch, HParams], Array] | None = None
    hparams: Mapping[str, float] = {}
    domains: Mapping[str, Domain] = {}


def entry(name: str = "image") -> Shown:
    """An entry of the batch, such as `image`.

    Raises:
      InputError: when traced, if a batch has none of that name.
    """
    return Shown(lambda batch, hparams: entry_of(batch, name))


def corrupted(corruption: corruptions.Corruption, level: float = 0.3) -> Shown:
    """Images, corrupted in training; swept as `corruption_level`.

    Args:
      corruption: (key, x, level) -> x, such as those of `ae_jax.corruptions`.
      level: how much.

    Raises:
      InputError: if the corruption is no function; when traced, if a batch has no images, or their
        shape is not kept.

    Reference:
      Vincent et al. (2008), Extracting and Composing Robust Features with Denoising Autoencoders.
    """
    require_function("corruptions.masking", corruption=corruption)
    levels = corruptions.levels_of(corruption)

    def train(key: Array, batch: Batch, hparams: HParams) -> Array:
        x = entry_of(batch, "image")
        spoiled = corruption(key, x, hparams["corruption_level"])
        if spoiled.shape != x.shape:
            raise InputError(
                f"a corruption makes {list(spoiled.shape)} of images {list(x.shape)}: keep their "
                "shape"
            )
        return spoiled

    return Shown(
        lambda batch, hparams: entry_of(batch, "image"),
        train,
        **traced(corruption_level=(level, levels)),
    )


def holed(hole: corruptions.Hole, level: float = 0.5, fill: float = 0.0) -> Shown:
    """Images [B, H, W, C] with holes, and as a further channel 1 where a pixel is known.

    Training makes holes; swept as `hole_level`. A batch as it is may say what is known itself, by
    an entry `known` [B, H, W] of zeros and ones; without one, all is.

    Args:
      hole: (key, x, level) -> bool [B, H, W], True in the hole, such as `corruptions.block`.
      level: how much of an image.
      fill: what stands in a hole.

    Raises:
      InputError: if the hole is no function, or the fill not finite; when traced, if a batch has no
        images [H, W, C], or `known` or a hole is not of their height and width.

    Reference:
      Pathak et al. (2016), Context Encoders, section 3.
    """
    require_function("corruptions.block", hole=hole)
    require(REAL, fill=fill)

    def images(batch: Batch) -> Array:
        x = entry_of(batch, "image")
        if x.ndim != 4:
            raise InputError(f"holes are made in images [H, W, C], got {list(x.shape[1:])}")
        return x

    def beside(x: Array, known: Array) -> Array:
        known = known[..., None]
        return jnp.concatenate([jnp.where(known, x, fill), known.astype(x.dtype)], axis=-1)

    def apply(batch: Batch, hparams: HParams) -> Array:
        x = images(batch)
        known = batch.get("known", jnp.ones(x.shape[:3], x.dtype))
        if known.shape != x.shape[:3]:
            raise InputError(
                f"known is {list(known.shape)} for images {list(x.shape)}: give one number a pixel"
            )
        return beside(x, known > 0)

    def train(key: Array, batch: Batch, hparams: HParams) -> Array:
        x = images(batch)
        made = hole(key, x, hparams["hole_level"])
        if made.dtype != bool or made.shape != x.shape[:3]:
            raise InputError(
                f"a hole is bool {list(x.shape[:3])} here, got {made.dtype} {list(made.shape)}: "
                "use a function such as corruptions.block"
            )
        return beside(x, ~made)

    levels = corruptions.levels_of(hole)
    return Shown(apply, train, **traced(hole_level=(level, levels)))


def entry_of(batch: Batch, name: str) -> Array:
    """An entry of a batch.

    Raises:
      InputError: if there is none.
    """
    if name not in batch:
        raise InputError(f"a batch has no {name}, but {', '.join(sorted(batch))}: use such data")
    return batch[name]
