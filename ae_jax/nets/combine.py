"""Networks made of networks: chains, sums, and decoders that share their encoder's kernels."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import BELOW_ONE, NOT_NEGATIVE, Array, InputError, Network, require
from ae_jax.nets.parameters import in_order


def chain(*networks: Network) -> Network:
    """Networks one after the other; the parameters are a mapping, `0`, `1`, ..., of those with any.

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
            given = network.init(own, x)
            x = network.apply(given, x)
            if jax.tree.leaves(given):
                params[str(i)] = given
        return params

    def apply(params: Mapping[str, Any], x: Array) -> Array:
        for i, network in enumerate(networks):
            x = network.apply(params.get(str(i), {}), x)
        return x

    def train(key: Array, params: Mapping[str, Any], x: Array) -> tuple[Array, dict[str, Any]]:
        changes = {}
        for i, (network, own) in enumerate(
            zip(networks, jax.random.split(key, len(networks)), strict=True)
        ):
            if network.train is None:
                x = network.apply(params.get(str(i), {}), x)
                continue
            x, moved = network.train(own, params.get(str(i), {}), x)
            if moved:
                changes[str(i)] = moved
        return x, changes

    def noisy(key: Array, params: Mapping[str, Any], x: Array) -> Array:
        for i, (network, own) in enumerate(
            zip(networks, jax.random.split(key, len(networks)), strict=True)
        ):
            given = params.get(str(i), {})
            x = network.noisy(own, given, x) if network.noisy else network.apply(given, x)
        return x

    moves = any(network.train is not None for network in networks)
    drops = any(network.noisy is not None for network in networks)
    return Network(init, apply, train if moves else None, noisy if drops else None)


def added(*networks: Network) -> Network:
    """The sum of what networks make of the same input; the parameters are a mapping, `0`, `1`, ...

    Such as a linear one, which may start at principal components, and what it misses.

    Args:
      networks: at least one, of outputs of one shape.

    Raises:
      InputError: where there is none.
    """
    if not networks:
        raise InputError("a sum needs at least one network")
    numbered = {str(i): network for i, network in enumerate(networks)}

    def init(key: Array, x: Array) -> dict[str, Any]:
        keys = jax.random.split(key, len(numbered))
        return {i: own.init(k, x) for k, (i, own) in zip(keys, numbered.items(), strict=True)}

    def apply(params: Mapping[str, Any], x: Array) -> Array:
        return sum(own.apply(params[i], x) for i, own in numbered.items())

    def train(key: Array, params: Mapping[str, Any], x: Array) -> tuple[Array, dict[str, Any]]:
        keys = jax.random.split(key, len(numbered))
        made = {
            i: own.train(k, params[i], x) if own.train else (own.apply(params[i], x), {})
            for k, (i, own) in zip(keys, numbered.items(), strict=True)
        }
        return sum(y for y, _ in made.values()), {
            i: moved for i, (_, moved) in made.items() if moved
        }

    moves = any(network.train is not None for network in networks)
    return Network(init, apply, train if moves else None)


def identity() -> Network:
    """Gives x itself, and has no parameters: the encoder of a decoder from images to images."""
    return Network(lambda key, x: {}, lambda params, x: x)


def part(start: int, stop: int | None = None) -> Network:
    """Gives x[..., start:stop], and has no parameters: for a `chain`, before what sees no more.

    Args:
      start: the first.
      stop: behind the last; None where all others are given.
    """
    return Network(lambda key, x: {}, lambda params, x: x[..., start:stop])


def some_outputs(network: Network, start: int, stop: int | None = None) -> Network:
    """What a network makes, [..., start:stop] of it alone, as a prior reads an encoder.

    Args:
      network: of more outputs.
      start: the first.
      stop: behind the last; None where all others are given.

    Returns:
      A Network of the same parameters.
    """
    some = part(start, stop).apply

    def train(key: Array, params: Any, x: Array) -> tuple[Array, Mapping[str, Any]]:
        made, moved = network.train(key, params, x)
        return some({}, made), moved

    noisy = network.noisy
    return Network(
        network.init,
        lambda params, x: some({}, network.apply(params, x)),
        None if network.train is None else train,
        None if noisy is None else lambda key, params, x: some({}, noisy(key, params, x)),
    )


def correction(network: Network) -> Network:
    """What is shown plus what a network makes of it, as restorers learn best.

    Args:
      network: x [B, ..., C] -> [B, ..., D] of no more channels.

    Returns:
      A Network of the same parameters, x -> its first D channels plus the network's output.

    Raises:
      InputError: when traced, if the output is not shaped as the first channels of x.

    Reference:
      Zhang et al. (2017), Beyond a Gaussian Denoiser, section III.B.
    """

    def added(x: Array, output: Array) -> Array:
        first = x[..., : output.shape[-1]]
        if first.shape != output.shape:
            raise InputError(
                f"a correction of {list(x.shape)} is shaped as its first channels, and the "
                f"network makes {list(output.shape)}"
            )
        return first + output

    def train(key: Array, params: Any, x: Array) -> tuple[Array, Mapping[str, Any]]:
        output, moved = network.train(key, params, x)
        return added(x, output), moved

    return Network(
        network.init,
        lambda params, x: added(x, network.apply(params, x)),
        None if network.train is None else train,
    )


def dropout(rate: float) -> Network:
    """Sets numbers to 0 at a rate in the training pass, and scales the others up.

    Args:
      rate: the probability of a number, below 1.

    Returns:
      A Network without parameters, which gives x itself in evaluation; for a `chain`.

    Raises:
      InputError: where the rate is none.

    Reference:
      Srivastava et al. (2014), Dropout.
    """
    require(BELOW_ONE, rate=rate)

    def dropped(key: Array, x: Array) -> Array:
        kept = jax.random.bernoulli(key, 1.0 - rate, x.shape)
        return jnp.where(kept, x / (1 - rate), 0)

    return _in_training(dropped)


def noise(deviation: float) -> Network:
    """Adds normal noise in the training pass.

    Args:
      deviation: its standard deviation.

    Returns:
      A Network as that of `dropout`.

    Raises:
      InputError: where the deviation is negative or no number.
    """
    require(NOT_NEGATIVE, deviation=deviation)
    return _in_training(lambda key, x: x + deviation * jax.random.normal(key, x.shape, x.dtype))


def _in_training(spoil: Callable[[Array, Array], Array]) -> Network:
    """(key, x) -> what the layer behind it sees in a training pass, as a network."""
    return Network(
        lambda key, x: {},
        lambda params, x: x,
        lambda key, params, x: (spoil(key, x), {}),
        lambda key, params, x: spoil(key, x),
    )


def shared_scale(network: Network, initial: float = 0.0) -> Network:
    """A decoder that gives one learned number beside each of its outputs, the same for all.

    So a likelihood that reads means and log-scales has one scale, of all dimensions and examples.

    Args:
      network: [B, ...] -> [B, ..., C].
      initial: the number's first value: a log-variance, or a log-scale.

    Returns:
      A Network [B, ...] -> [B, ..., 2 C], with the parameters `network` and `scale`.
    """

    def beside(params: Mapping[str, Any], y: Array) -> Array:
        return jnp.concatenate([y, jnp.broadcast_to(params["scale"].astype(y.dtype), y.shape)], -1)

    def train(key: Array, params: Mapping[str, Any], x: Array) -> tuple[Array, Mapping[str, Any]]:
        y, moved = network.train(key, params["network"], x)
        return beside(params, y), {"network": moved}

    return Network(
        lambda key, x: {
            "network": network.init(key, x),
            "scale": jnp.asarray(initial, jnp.result_type(float)),
        },
        lambda params, x: beside(params, network.apply(params["network"], x)),
        train if network.train is not None else None,
    )


class Tie(NamedTuple):
    """How a decoder takes part of its parameters from the encoder.

    Attributes:
      own: the decoder's parameters -> those that it keeps for itself.
      join: (the encoder's parameters, the decoder's own) -> the decoder's parameters.
    """

    own: Callable[[Any], Any]
    join: Callable[[Any, Any], Any]


def _own_biases(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"bias": layer["bias"]} for name, layer in _dense(params, {"kernel", "bias"})}


def _join_transposed(encoder: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    kernels = [layer["kernel"] for _, layer in _dense(encoder, {"kernel"})][::-1]
    layers = in_order(own)
    shapes = [kernel.shape[0] for kernel in kernels]
    if shapes != [layer["bias"].shape[0] for _, layer in layers]:
        raise InputError(
            "transposed kernels need a decoder whose layers mirror the encoder's: give nets.mlp "
            "the same widths in reverse"
        )
    return {
        name: {"kernel": kernel.T, **layer}
        for (name, layer), kernel in zip(layers, kernels, strict=True)
    }


def _dense(params: Any, needed: set[str]) -> list[tuple[str, Any]]:
    """A dense network's layers in order, after looking whether it is one."""
    layers = in_order(params) if isinstance(params, Mapping) else None
    if layers is None or any(
        not isinstance(layer, Mapping)
        or not needed <= set(layer) <= {"kernel", "bias"}
        or layer["kernel"].ndim != 2
        for _, layer in layers
    ):
        raise InputError(
            "transposed kernels need an encoder and a decoder of dense layers: use nets.mlp"
        )
    return layers


#: The decoder of an MLP has the encoder's kernels, transposed, and biases of its own.
transposed = Tie(_own_biases, _join_transposed)
