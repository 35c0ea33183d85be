"""One gradient step, for every method that descends an objective."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import Array, Batch, HParams, Info, InputError, Network


class GradientState(NamedTuple):
    """Parameters and their optimizer's state."""

    params: Any
    optimizer: optax.OptState


class Aux(NamedTuple):
    """What an objective gives beside its value.

    Attributes:
      info: scalars to report.
      changes: the parameters that the objective holds in its own hands, with their values
        after the step: running statistics, what is frozen. Mappings nested as the
        parameters are, with these entries alone; no optimizer sees them.
    """

    info: Info
    changes: Mapping[str, Any] = {}


def init(
    optimizer: optax.GradientTransformation,
    params: Any,
    objective: Callable[[Any], tuple[Array, Aux]] | None = None,
) -> GradientState:
    """Returns the state before the first step.

    Args:
      optimizer: as for `step`.
      params: to start from.
      objective: as for `step`, which is traced for the names of its changes; None where it
        has none.
    """
    changes = {} if objective is None else jax.eval_shape(objective, params)[1].changes
    return GradientState(params, optimizer.init(_trained(params, changes)))


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
    return GradientState(replaced(params, aux.changes), optimizer_state), info


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


def learner(
    optimizer: optax.GradientTransformation,
    terms: Callable[..., tuple[Mapping[str, Array], Mapping[str, Any]]],
) -> tuple[Callable, Callable, Callable]:
    """Returns what a method that lowers the mean of a loss is made of.

    Args:
      optimizer: as for `step`.
      terms: (key, params, batch, hparams, training) -> values of each example, [B], the
        `loss` among them; and Aux's changes.

    Returns:
      (key, params, batch, hparams) -> the state before the first step, where the key goes
      into shapes alone; the method's `step`; and its `evaluate`.
    """

    def objective_of(key: Array, batch: Batch, hparams: HParams):
        def objective(params):
            values, changes = terms(key, params, batch, hparams, training=True)
            means = {name: jnp.mean(value) for name, value in values.items()}
            return means.pop("loss"), Aux(means, changes)

        return objective

    def begin(key: Array, params: Any, batch: Batch, hparams: HParams) -> GradientState:
        return init(optimizer, params, objective_of(key, batch, hparams))

    def method_step(key: Array, state: GradientState, batch: Batch, hparams: HParams):
        objective = objective_of(key, batch, hparams)
        return step(optimizer, objective, state, hparams["learning_rate"])

    def evaluate(key: Array, state: GradientState, batch: Batch, hparams: HParams):
        return terms(key, state.params, batch, hparams, training=False)[0]

    return begin, method_step, evaluate


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
