"""What a machine's visible units are shown of a batch."""

import jax
import jax.numpy as jnp

from ae_jax.core import Array, Batch, InputError


def pixels(batch: Batch) -> Array:
    """Returns a batch's images as rows: [B, ...] -> [B, V]."""
    return batch["image"].reshape(batch["image"].shape[0], -1)


def visible_units(key: Array, batch: Batch, stochastic_binarization: bool) -> tuple[Array, Array]:
    """Returns a machine's visible units, [B, V], and a key that is still unused.

    Args:
      key: PRNG key.
      batch: with `image`, [B, ...].
      stochastic_binarization: whether images are probabilities, of which zeros and ones are drawn.
    """
    v = pixels(batch)
    if not stochastic_binarization:
        return v, key
    data_key, key = jax.random.split(key)
    return jax.random.bernoulli(data_key, v).astype(v.dtype), key


def with_label(x: Array, batch: Batch, classes: int) -> Array:
    """Returns units [B, V] with those of the batch's `label` behind them, one-hot: [B, V + C].

    Raises:
      InputError: if the batch has no label.
    """
    if "label" not in batch:
        raise InputError("a machine with classes needs data with labels: leave out classes")
    return jnp.concatenate([x, jax.nn.one_hot(batch["label"], classes, dtype=x.dtype)], axis=1)
