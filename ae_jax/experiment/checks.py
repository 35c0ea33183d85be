"""What experiments refuse before they train: options, labels and methods that cannot be used."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Batch, Dataset, InputError, Method, Network


def same_kind(name: str, splits: Sequence[Dataset], kinds: Sequence[str]) -> None:
    """Raises InputError where data are not what an experiment is for, or differ between splits.

    Args:
      name: the data set's.
      splits: its parts.
      kinds: what the examples must have one of: an entry, where an image is of pixels, or
        `point`, an image that is a vector.
    """
    first, *others = (part.spec for part in splits)
    points = "image" in first and len(first["image"].shape) < 3
    given = ["point" if points and entry == "image" else entry for entry in first]
    if not set(kinds) & set(given):
        raise InputError(
            f"{name} has {', '.join(given)}, but no {' or '.join(kinds)}: choose another data set"
        )
    for spec in others:
        if differing := set(first.items()) ^ set(spec.items()):
            odd = min(differing, key=str)[0]
            raise InputError(
                f"{name}: {odd} is not the same in all splits: give it to all of them, or to none"
            )


def classes(name: str, splits: Sequence[Dataset]) -> int:
    """Returns the number of classes of a data set, whose labels are 0, 1, ... without a gap.

    Args:
      name: the data set's.
      splits: its parts, what is trained on first.

    Raises:
      InputError: if there are no such labels, or a test image is of a class that no training image
        is of.
    """
    if any("label" not in part.spec for part in splits):
        raise InputError(f"{name} has no labels, which this experiment needs")
    train, *others = (
        np.asarray(part.fetch(part.arrays, np.arange(part.size))["label"]) for part in splits
    )
    found = np.unique(train)
    if len(found) < 2:
        raise InputError(f"{name} has one class, {found[0]}: give at least two")
    if found[-1] >= len(found):
        raise InputError(
            f"labels must be 0, 1, ... without a gap; {name} has {len(found)} of them, "
            f"{found[0]} to {found[-1]}: number them with numpy.unique(labels, return_inverse=True)"
        )
    last = max(int(np.max(label)) for label in others)
    if last >= len(found):
        raise InputError(
            f"labels of training images are 0 to {found[-1]}, but there is a {last} among the "
            "others: give each class to both"
        )
    return len(found)


def trace(method: Method, shape: Sequence[int], label: bool = False) -> None:
    """Takes a method's first step without computing it, for what it would only then refuse.

    Args:
      method: of a later stage of an experiment.
      shape: of one `image` that it will see.
      label: whether the batch has labels too.

    Raises:
      InputError: as the method.
    """
    batch = {"image": jax.ShapeDtypeStruct((2, *shape), jnp.result_type(float))}
    if label:
        batch["label"] = jax.ShapeDtypeStruct((2,), np.int32)

    def first(key: Array, batch: Batch) -> Any:
        hparams = dict(method.hparams)
        return method.step(key, method.init(key, batch, hparams), batch, hparams)

    jax.eval_shape(first, jax.random.key(0), batch)


def trace_stack(layers: Sequence[Any], shape: Sequence[int]) -> None:
    """Takes the first step of each of a stack's layers, as `trace` does.

    Args:
      layers: as for `greedy.train`.
      shape: of what the first one sees.

    Raises:
      InputError: as their methods.
    """

    def up(encoder: Network, x: Array) -> Array:
        return encoder.apply(encoder.init(jax.random.key(0), x), x)

    for layer in layers:
        trace(layer.method, shape)
        x = jax.ShapeDtypeStruct((2, *shape), jnp.result_type(float))
        shape = jax.eval_shape(functools.partial(up, layer.encoder), x).shape[1:]
