"""The labels of a batch, where they have to be classes, and how networks are told them."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import COUNT, WHOLE, Array, Batch, HParams, InputError, require

#: Values of the batch's `label`, 0 where nobody looks at it, or of each of its `factors`.
Classes = int | Sequence[int]


def require_classes(classes: Classes) -> None:
    """Raises InputError where that many values cannot be told."""
    if isinstance(classes, Sequence) and not isinstance(classes, str):
        require(COUNT, **{f"classes[{i}]": size for i, size in enumerate(classes)})
    else:
        require(WHOLE, classes=classes)


def same_classes(one: Classes, other: Classes) -> bool:
    """Whether they are the same ones, those of several factors in whatever kind of list."""
    return np.array_equal(one, other)


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


def factors_of(batch: Batch, sizes: Sequence[int]) -> Array:
    """Returns the factors of a batch, int [B, K], after looking at them where not traced.

    Raises:
      InputError: if the batch has no `factors`, or not as many, or one that is beyond its size.
    """
    factors = batch.get("factors")
    if factors is None or factors.shape[1:] != (len(sizes),):
        found = "none" if factors is None else f"{factors.shape[1]}"
        raise InputError(
            f"classes are those of {len(sizes)} factors, and the data have {found}: give the sizes "
            "of the data's factors, in their order, or one number for labels"
        )
    if not isinstance(factors, jax.core.Tracer):
        seen, most = np.asarray(factors), np.asarray(sizes)
        if np.any((seen < 0) | (seen >= most)):
            raise InputError(
                f"factors must be from 0 to below {list(sizes)}, and reach from "
                f"{seen.min(axis=0).tolist()} to {seen.max(axis=0).tolist()}"
            )
    return factors


def given_one_hot(batch: Batch, classes: Classes, advice: str = "") -> Any:
    """Returns the labels of a batch one-hot, [B, C], or () without classes.

    Of several factors they stand behind each other. Those that are no class are NaN where they are
    traced.

    Raises:
      InputError: as `labels_of` and `factors_of`.
    """
    if isinstance(classes, Sequence):
        columns = factors_of(batch, classes).T
        return _side_by_side([one_hot(own, n) for own, n in zip(columns, classes, strict=True)])
    return one_hot(labels_of(batch, classes, advice), classes) if classes else ()


def drawn_one_hot(
    key: Array, count: int, classes: Classes, frequencies: Sequence[float] | None = None
) -> Any:
    """Returns labels [count, C], one-hot, by frequencies, or all alike; () without classes."""
    if isinstance(classes, Sequence):
        keys = jax.random.split(key, len(classes))
        drawn = [drawn_one_hot(own, count, n) for own, n in zip(keys, classes, strict=True)]
        return _side_by_side(drawn)
    if not classes:
        return ()
    weights = np.ones(classes) if frequencies is None else np.asarray(frequencies, float)
    p = jnp.asarray(weights / np.sum(weights), jnp.result_type(float))
    return one_hot(jax.random.choice(key, classes, (count,), p=p), classes)


def _side_by_side(told: Sequence[Array]) -> Any:
    return jnp.concatenate(told, axis=1) if told else ()


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
