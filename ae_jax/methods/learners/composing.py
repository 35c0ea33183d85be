"""Joins the numbers of a method's parts, and parameters to start from."""

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from ae_jax.core import InputError


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
