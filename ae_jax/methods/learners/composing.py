"""Joins a method's parts, and parameters to start from; refuses what does not fit."""

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from ae_jax.core import Array, Domain, InputError, traced


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


def of_classes(classes: int | None, unknown: bool = False) -> dict[str, Domain]:
    """Returns the `ranges` of a method that is told classes by the batch's `label`.

    Args:
      classes: how many; 0 or None where labels are not looked at.
      unknown: whether labels below 0 say that the class is not known.
    """
    least = -math.inf if unknown else 0
    return {"label": Domain(least, classes - 1, whole=True)} if classes else {}


def require(domain: Domain, **values: float) -> None:
    """Raises InputError where a static number, given by its argument's name, is not allowed."""
    for name, value in values.items():
        kind = Integral if domain.whole else Real
        if not isinstance(value, kind) or value not in domain:
            raise InputError(f"{name} is {value!r}: use {domain}")


def require_kind(kind: type, example: str, **values: Any) -> None:
    """Raises InputError where a part, given by its argument's name, is of another kind.

    Args:
      kind: the part's class.
      example: a call that makes one.
      **values: parts by name.
    """
    for name, value in values.items():
        if not isinstance(value, kind):
            raise mistaken(name, value, example)


def mistaken(name: str, value: Any, example: str) -> InputError:
    """Returns what is wrong with an argument that is no part, but perhaps what makes one."""
    if callable(value) and hasattr(value, "__name__"):
        return InputError(f"{name} is the function {value.__name__}: call it, as in {example}")
    shown = repr(value) if isinstance(value, (str, Real)) else f"a {type(value).__name__}"
    return InputError(f"{name} is {shown}: use what a function makes, such as {example}")


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
