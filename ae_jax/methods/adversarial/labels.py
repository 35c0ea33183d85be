"""The labels of a batch, where they have to be classes."""

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Batch, InputError


def labels_of(batch: Batch, classes: int, advice: str = "", unknown: bool = False) -> Array:
    """Returns the labels of a batch, int [B], after looking at them where they are not traced.

    Args:
      batch: with a `label`.
      classes: how many there are, from 0.
      advice: what else one may do where there are no labels.
      unknown: whether labels below 0 say that the class is not known.

    Raises:
      InputError: if the batch has no `label`, or one that is no class.
    """
    if "label" not in batch:
        raise InputError(f"classes need data with labels: use a data set that has them{advice}")
    label = batch["label"]
    if isinstance(label, jax.core.Tracer):
        return label
    low, high = np.min(seen := np.asarray(label)), np.max(seen)
    if high >= classes or (low < 0 and not unknown):
        rest = ", or below 0 where they are not known" if unknown else ""
        raise InputError(
            f"labels must be from 0 to {classes - 1}{rest}, got {low} to {high}: give the method "
            "as many classes as there are"
        )
    return jnp.asarray(label)


def one_hot(label: Array, classes: int) -> Array:
    """int [B] -> [B, classes]; what is no class is NaN, so that nobody misses it."""
    dtype = jnp.result_type(float)
    known = (label >= 0) & (label < classes)
    return jnp.where(known[:, None], jax.nn.one_hot(label, classes, dtype=dtype), jnp.nan)
