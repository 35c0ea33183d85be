"""The layers that parameters are of, whatever Flax calls them."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ae_jax.core import Array, InputError


class Affine(NamedTuple):
    """Parameters of one layer, x @ kernel + bias or a convolution; None where it has none."""

    kernel: Array | None  #: [in, out], or [KH, KW, in, out]
    bias: Array | None  #: [out]


def layers(params: Any) -> list[Affine]:
    """Returns the layers of a network in the order in which an example passes them.

    Args:
      params: of `mlp`, of any network whose layers' names end in their number, or of a `chain`
        of such networks.

    Raises:
      InputError: where names do not tell the order: in a network of convolutions and dense layers,
        say, each of which Flax counts on their own.
    """
    if isinstance(params, Mapping):
        if params and params.keys() <= {"kernel", "bias"}:
            return [Affine(params.get("kernel"), params.get("bias"))]
        if (parts := in_order(params)) is not None:
            return [layer for _, part in parts for layer in layers(part)]
    raise InputError(
        "the names of these parameters do not tell the order of their layers: give those of "
        "nets.mlp, or of a chain of such networks"
    )


def mlp_params(*layers: Affine) -> dict[str, Any]:
    """Returns the parameters of an `mlp` that has these layers: the inverse of `layers`."""
    return {f"Dense_{i}": layer._asdict() for i, layer in enumerate(layers)}


def in_order(params: Mapping[str, Any]) -> list[tuple[str, Any]] | None:
    """The entries by the number that ends their names, or None where that gives no order."""
    found = [re.fullmatch(r"(?:.*_)?(\d+)", name) for name in params]
    numbers = [int(match[1]) for match in found if match]
    if len(set(numbers)) < len(params):
        return None
    # a jitted function sorts names, Dense_10 before Dense_2
    return [entry for _, entry in sorted(zip(numbers, params.items(), strict=True))]
