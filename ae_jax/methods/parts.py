"""What a method is put together from: the numbers of its parts and parameters to start from."""

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import Array, Batch, InputError


class Part(Protocol):
    """An observation, a penalty, a bottleneck: whatever brings hyperparameters of its own."""

    @property
    def hparams(self) -> Mapping[str, float]:
        """Default values by name."""


def joined(own: Mapping[str, float], *parts: Part) -> dict[str, float]:
    """Returns a method's own hyperparameters and those of its parts.

    Raises:
      InputError: if two share a name.
    """
    hparams = dict(own)
    for part in parts:
        if shared := hparams.keys() & part.hparams.keys():
            raise InputError(f"two parts share the hyperparameter {', '.join(sorted(shared))}")
        hparams |= part.hparams
    return hparams


def visible_units(key: Array, batch: Batch, stochastic_binarization: bool) -> tuple[Array, Array]:
    """Returns a machine's visible units, [B, V], and a key that is still unused.

    Args:
      key: PRNG key.
      batch: with `image`, [B, ...].
      stochastic_binarization: whether images are probabilities, of which zeros and ones are drawn.
    """
    v = batch["image"].reshape(batch["image"].shape[0], -1)
    if not stochastic_binarization:
        return v, key
    data_key, key = jax.random.split(key)
    return jax.random.bernoulli(data_key, v).astype(v.dtype), key


def classified(logits: Array, label: Array) -> tuple[Array, Array]:
    """Returns minus the log-probability of labels, nats, and 1 where a wrong one is likelier.

    What is no class, below 0 or too large, has no probability: NaN, so that nobody misses it.

    Args:
      logits: [B, classes].
      label: int [B].

    Returns:
      [B] and [B], of the logits' dtype.
    """
    wrong = jnp.argmax(logits, axis=1).astype(label.dtype) != label
    nll = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    return jnp.where(label < 0, jnp.nan, nll), wrong.astype(logits.dtype)


def started(params: Mapping[str, Any], start: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns parameters with those entries replaced that `start` has.

    Raises:
      InputError: where an entry is unknown or of other shapes.
    """
    for name, value in (start or {}).items():
        same = name in params and jax.tree.map(jnp.shape, value) == jax.tree.map(
            jnp.shape, params[name]
        )
        if not same:
            raise InputError(
                f"the parameters to start from do not fit the {name}: build it with the sizes "
                "that they were trained with"
            )
    return {**params, **(start or {})}
