"""One gradient step, for every method that descends an objective."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import Array, Batch, HParams, Info, Network


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


def learner(
    optimizer: optax.GradientTransformation,
    terms: Callable[..., tuple[Mapping[str, Array], Mapping[str, Mapping[str, Any]]]],
) -> tuple[Callable, Callable]:
    """Returns the `step` and the `evaluate` of a method that lowers the mean of a loss.

    Args:
      optimizer: as for `step`.
      terms: (key, params, batch, hparams, training) -> values of each example, [B], the
        `loss` among them; and what the pass moves, as Aux's changes.
    """

    def method_step(key: Array, state: GradientState, batch: Batch, hparams: HParams):
        def objective(params):
            values, changes = terms(key, params, batch, hparams, training=True)
            means = jax.tree.map(jnp.mean, dict(values))
            return means.pop("loss"), Aux(means, changes)

        return step(optimizer, objective, state, hparams["learning_rate"])

    def evaluate(key: Array, state: GradientState, batch: Batch, hparams: HParams):
        return terms(key, state.params, batch, hparams, training=False)[0]

    return method_step, evaluate


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
