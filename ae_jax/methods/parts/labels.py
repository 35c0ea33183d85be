"""The labels of a batch, where they have to be classes, and how networks are told them."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Batch, HParams, InputError


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


def given_one_hot(batch: Batch, classes: int, advice: str = "") -> Any:
    """Returns the labels of a batch one-hot, [B, C], or () without classes.

    Those that are no class are NaN where they are traced.

    Raises:
      InputError: as `labels_of`.
    """
    return one_hot(labels_of(batch, classes, advice), classes) if classes else ()


def drawn_one_hot(
    key: Array, count: int, classes: int, frequencies: Sequence[float] | None = None
) -> Any:
    """Returns labels [count, C], one-hot, by frequencies, or all alike; () without classes."""
    if not classes:
        return ()
    weights = np.ones(classes) if frequencies is None else np.asarray(frequencies, float)
    p = jnp.asarray(weights / np.sum(weights), jnp.result_type(float))
    return one_hot(jax.random.choice(key, classes, (count,), p=p), classes)


def beside(x: Array, given: Any) -> Array:
    """Returns x [B, ..., K] with labels behind its last axis, [B, ..., K + C]; x where given ()."""
    if isinstance(given, tuple):
        return x
    planes = given.astype(x.dtype).reshape(len(x), *[1] * (x.ndim - 2), -1)
    planes = jnp.broadcast_to(planes, (*x.shape[:-1], planes.shape[-1]))
    return jnp.concatenate([x, planes], axis=-1)


def any_where_unknown(key: Array, label: Array, classes: int) -> Array:
    """Returns labels, int [B], of which those below 0 are drawn, all classes alike."""
    drawn = jax.random.randint(key, label.shape, 0, classes, label.dtype)
    return jnp.where(label < 0, drawn, label)


def error_of_known(
    values: Mapping[str, Array], present: Array, hparams: HParams
) -> dict[str, Array]:
    """What a method concludes whose `error` is NaN where no label is known: the others' mean."""
    return {"error": jnp.nanmean(values["error"], where=present)}
