"""Joins the numbers of a method's parts, and parameters to start from; refuses sizes."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from ae_jax.core import Domain, InputError


class Part(Protocol):
    """An observation, a penalty, a bottleneck: whatever brings hyperparameters of its own."""

    @property
    def hparams(self) -> Mapping[str, float]:
        """Default values by name."""

    @property
    def domains(self) -> Mapping[str, Domain]:
        """The values that each may take, by name."""


class Numbers(NamedTuple):
    """Traced hyperparameters: their defaults, and the values that each may take."""

    hparams: Mapping[str, float]
    domains: Mapping[str, Domain] = {}


def joined(own: Mapping[str, tuple[float, Domain]], *parts: Part) -> Numbers:
    """Returns a method's own hyperparameters and those of its parts.

    Args:
      own: the default and the domain of each, by name.
      *parts: whatever has `hparams` and `domains`.

    Raises:
      InputError: if two share a name.
    """
    hparams = {name: default for name, (default, _) in own.items()}
    domains = {name: domain for name, (_, domain) in own.items()}
    for part in parts:
        if shared := hparams.keys() & part.hparams.keys():
            raise InputError(f"two parts share the hyperparameter {', '.join(sorted(shared))}")
        hparams |= part.hparams
        domains |= part.domains
    return Numbers(hparams, domains)


def require(domain: Domain, **values: float) -> None:
    """Raises InputError where a static number, given by its argument's name, is not allowed."""
    for name, value in values.items():
        kind = Integral if domain.whole else Real
        if not isinstance(value, kind) or value not in domain:
            raise InputError(f"{name} is {value!r}: use {domain}")


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
