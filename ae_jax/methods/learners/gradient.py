"""One gradient step, for every method that lowers a loss."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax

from ae_jax.core import Array, Info, InputError, Network


class GradientState(NamedTuple):
    """What a method that lowers a loss carries.

    Attributes:
      params: of the networks, by name; what their own passes move, such as batch statistics,
        is among them, where the network looks for it.
      optimizer: the optimizer's state.
      running: by name, what passes move and no gradient does, and no network owns: a running
        mean of activations, a pool of images, an average of weights.
    """

    params: Any
    optimizer: optax.OptState
    running: Mapping[str, Any] = {}


class Aux(NamedTuple):
    """What an objective gives beside its value.

    Attributes:
      info: scalars to report.
      changes: the parameters that the objective holds in its own hands, with their values
        after the step: running statistics, what is frozen. Mappings nested as the
        parameters are, with these entries alone; no optimizer sees them.
      running: those entries of the state's `running` that the pass moves.
    """

    info: Info
    changes: Mapping[str, Any] = {}
    running: Mapping[str, Any] = {}


def init(
    optimizer: optax.GradientTransformation,
    params: Any,
    objective: Callable[[Any], tuple[Array, Aux]] | None = None,
    running: Mapping[str, Any] = {},
) -> GradientState:
    """Returns the state before the first step.

    Args:
      optimizer: as for `step`.
      params: to start from.
      objective: as for `step`, which is traced for the names of its changes; None where it
        has none.
      running: to start from.
    """
    changes = {} if objective is None else jax.eval_shape(objective, params)[1].changes
    return GradientState(params, optimizer.init(_trained(params, changes)), running)


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
    gradient, params = (_trained(tree, aux.changes) for tree in (gradient, state.params))
    with jax.numpy_dtype_promotion("standard"):  # optax mixes counts with floats
        direction, optimizer_state = optimizer.update(gradient, state.optimizer, params)
    params = jax.tree.map(
        lambda p, d: p if d is None else p - (learning_rate * d).astype(p.dtype),
        state.params,
        direction,
    )
    info = {"loss": loss, **aux.info, "gradient_norm": optax.tree.norm(gradient)}
    params, running = replaced(params, aux.changes), {**state.running, **aux.running}
    return GradientState(params, optimizer_state, running), info


def replaced(params: Any, changes: Any) -> Any:
    """Returns parameters with some entries replaced, at any depth.

    Args:
      params: the parameters, mappings as deep as `changes` are.
      changes: nested as Aux's.

    Raises:
      InputError: where an entry is none of the parameters.
    """
    if not isinstance(changes, Mapping):
        return changes
    if not changes:
        return params
    if unknown := set(changes) - (set(params) if isinstance(params, Mapping) else set()):
        raise InputError(
            f"a training pass moves {', '.join(sorted(unknown))}, which are not among its "
            "parameters: return entries of these alone"
        )
    return {**params, **{name: replaced(params[name], new) for name, new in changes.items()}}


def _trained(tree: Any, changes: Mapping[str, Any]) -> Any:
    """A tree without the leaves that no optimizer sees."""
    return replaced(tree, jax.tree.map(lambda _: None, changes))


def inference(state: GradientState) -> GradientState:
    """Returns the state without its optimizer."""
    return state._replace(optimizer=())


def forward(
    network: Network, key: Array, params: Any, x: Array, training: bool
) -> tuple[Array, Mapping[str, Any]]:
    """Calls a network as a training step does, or as an evaluation does.

    Returns:
      The output, and those entries of `params` that the pass moves, as Aux's changes.
    """
    if training and network.train is not None:
        return network.train(key, params, x)
    return network.apply(params, x), {}
