"""One gradient step, for every method that descends an objective."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax

from ae_jax.core import Array, Info, Network


class GradientState(NamedTuple):
    """Parameters and their optimizer's state."""

    params: Any
    optimizer: optax.OptState


class Aux(NamedTuple):
    """What an objective gives beside its value.

    Attributes:
      info: scalars to report.
      changes: what the pass itself moves, such as running statistics: by name of an entry
        of the parameters, the entries of that one to replace.
    """

    info: Info
    changes: Mapping[str, Mapping[str, Any]] = {}


def init(optimizer: optax.GradientTransformation, params: Any) -> GradientState:
    """Returns the state before the first step."""
    return GradientState(params, optimizer.init(params))


def step(
    optimizer: optax.GradientTransformation,
    objective: Callable[[Any], tuple[Array, Aux]],
    state: GradientState,
    learning_rate: Array | float,
) -> tuple[GradientState, dict[str, Array]]:
    """Descends an objective once.

    Args:
      optimizer: gives the direction, such as `optax.scale_by_adam()`: the learning rate
        is applied here, so that it can be traced.
      objective: params -> (scalar loss, Aux).
      state: where to start.
      learning_rate: scalar.

    Returns:
      The new state, and Info: the loss, what the objective reports, and the gradient's
      norm, which turns non-finite when the new state does.
    """
    (loss, aux), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes counts with floats
        direction, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
    params = jax.tree.map(
        lambda p, d: p - (learning_rate * d).astype(p.dtype), state.params, direction
    )
    for name, change in aux.changes.items():
        if change:
            params = {**params, name: {**params[name], **change}}
    info = {"loss": loss, **aux.info, "gradient_norm": optax.tree.norm(gradient)}
    return GradientState(params, optimizer_state), info


def forward(
    network: Network, key: Array, params: Any, x: Array, training: bool
) -> tuple[Array, Mapping[str, Any]]:
    """Calls a network as a training step does, or as an evaluation does.

    Returns:
      The output, and the entries of `params` that the pass moves.
    """
    if training and network.train is not None:
        return network.train(key, params, x)
    return network.apply(params, x), {}
