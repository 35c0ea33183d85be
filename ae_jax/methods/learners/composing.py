"""Joins a method's parts, and parameters to start from; refuses what does not fit."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import Array, Domain, InputError, require_kind, traced


class Part(Protocol):
    """An observation, a penalty, a bottleneck: whatever brings hyperparameters of its own."""

    @property
    def hparams(self) -> Mapping[str, float]:
        """Default values by name."""

    @property
    def domains(self) -> Mapping[str, Domain]:
        """The values that each may take, by name."""


class Numbers(NamedTuple):
    """Traced hyperparameters that no other part brings, as a part: `Numbers(**traced(...))`."""

    hparams: Mapping[str, float]
    domains: Mapping[str, Domain] = {}


def joined(*parts: Part, **own: tuple[float, Domain]) -> dict[str, Mapping[str, Any]]:
    """Returns the fields `hparams` and `domains` of what is made of parts.

    Args:
      *parts: whatever has those fields.
      **own: further numbers by name, each one's default and domain.

    Raises:
      InputError: if two share a name.
    """
    numbers = traced(**own)
    for part in parts:
        if shared := numbers["hparams"].keys() & part.hparams.keys():
            raise InputError(f"two parts share the hyperparameter {', '.join(sorted(shared))}")
        numbers["hparams"] |= part.hparams
        numbers["domains"] |= part.domains
    return numbers


def of_classes(classes: int | Sequence[int] | None, unknown: bool = False) -> dict[str, Domain]:
    """Returns the `ranges` of a method that is told classes by the batch's `label`.

    Args:
      classes: how many; 0 or None where labels are not looked at; of several numbers, those of the
        batch's `factors`.
      unknown: whether labels below 0 say that the class is not known.
    """
    if isinstance(classes, Sequence):
        return {"factors": Domain(0, max(classes) - 1, whole=True)} if classes else {}
    least = -math.inf if unknown else 0
    return {"label": Domain(least, classes - 1, whole=True)} if classes else {}


def require_optimizer(**optimizers: optax.GradientTransformation | None) -> None:
    """Raises InputError where what is given by an argument's name gives no direction to descend.

    An optimizer with a learning rate of its own gives minus that times the direction: it would
    ascend. Those that cannot be tried on one number are taken as they are.
    """
    for name, optimizer in optimizers.items():
        if optimizer is None:
            continue
        example = "optax.scale_by_adam(), without a learning rate: that is the method's own"
        require_kind(optax.GradientTransformation, example, **{name: optimizer})
        ascends = False
        with (
            jax.ensure_compile_time_eval(),  # a factory may be called while something is traced
            jax.numpy_dtype_promotion("standard"),
            contextlib.suppress(Exception),
        ):
            one = jnp.ones(())
            ascends = bool(optimizer.update(one, optimizer.init(one), one)[0] < 0)
        if ascends:
            raise InputError(f"{name} has a learning rate of its own: use {example}")


def require_shape(
    made: Array | jax.ShapeDtypeStruct,
    x: Array,
    maker: str = "generator",
    advice: str = "give it the data's shape",
) -> None:
    """Raises InputError where what a network makes is not shaped as the batch x."""
    if made.shape != x.shape:
        raise InputError(
            f"the {maker} makes {list(made.shape)} of a batch of {list(x.shape)}: {advice}"
        )


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
