"""Networks made of networks: chains, and decoders that share their encoder's kernels."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from ae_jax.core import Array, InputError, Network


def chain(*networks: Network) -> Network:
    """Networks one after the other; the parameters are a mapping, `0`, `1`, ...

    Args:
      networks: at least one.

    Raises:
      InputError: where there is none.
    """
    if not networks:
        raise InputError("a chain needs at least one network")

    def init(key: Array, x: Array) -> dict[str, Any]:
        params = {}
        for i, (network, own) in enumerate(
            zip(networks, jax.random.split(key, len(networks)), strict=True)
        ):
            params[str(i)] = network.init(own, x)
            x = network.apply(params[str(i)], x)
        return params

    def apply(params: Mapping[str, Any], x: Array) -> Array:
        for i, network in enumerate(networks):
            x = network.apply(params[str(i)], x)
        return x

    def train(key: Array, params: Mapping[str, Any], x: Array) -> tuple[Array, dict[str, Any]]:
        changes = {}
        for i, (network, own) in enumerate(
            zip(networks, jax.random.split(key, len(networks)), strict=True)
        ):
            params_here = params[str(i)]
            if network.train is None:
                x = network.apply(params_here, x)
                continue
            x, moved = network.train(own, params_here, x)
            if moved:
                changes[str(i)] = {**params_here, **moved}
        return x, changes

    moves = any(network.train is not None for network in networks)
    return Network(init, apply, train if moves else None)


class Tie(NamedTuple):
    """How a decoder takes part of its parameters from the encoder.

    Attributes:
      own: the decoder's parameters -> those that it keeps for itself.
      join: (the encoder's parameters, the decoder's own) -> the decoder's parameters.
    """

    own: Callable[[Any], Any]
    join: Callable[[Any, Any], Any]


def _own_biases(params: Mapping[str, Any]) -> dict[str, Any]:
    if any(
        set(layer) != {"kernel", "bias"} or layer["kernel"].ndim != 2 for layer in _rows(params)
    ):
        raise InputError("transposed kernels need a decoder of dense layers: use nets.mlp")
    return {name: {"bias": layer["bias"]} for name, layer in params.items()}


def _join_transposed(encoder: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    kernels = [layer["kernel"] for layer in _rows(encoder)][::-1]
    shapes = [kernel.shape[0] for kernel in kernels]
    if shapes != [layer["bias"].shape[0] for layer in _rows(own)]:
        raise InputError(
            "transposed kernels need a decoder whose layers mirror the encoder's: give nets.mlp "
            "the same widths in reverse"
        )
    return {
        name: {"kernel": kernel.T, **layer}
        for (name, layer), kernel in zip(_named_rows(own), kernels, strict=True)
    }


def _named_rows(params: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """A dense network's layers in order: a jitted function sorts names, Dense_10 before 2."""
    return sorted(params.items(), key=lambda item: int(item[0].rpartition("_")[2]))


def _rows(params: Mapping[str, Any]) -> list[Any]:
    return [layer for _, layer in _named_rows(params)]


#: The decoder of an MLP has the encoder's kernels, transposed, and biases of its own.
transposed = Tie(_own_biases, _join_transposed)
