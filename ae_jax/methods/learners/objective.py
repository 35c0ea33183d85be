"""What a learner lowers, and the method that lowers one objective."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from ae_jax.core import POSITIVE, Array, Batch, Domain, HParams, Info, InputError, Method, Views
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import joined, require_optimizer, started
from ae_jax.methods.learners.gradient import Aux, GradientState

#: (key, params, batch, hparams, training) -> values of each example, [B], the `loss` among them,
#: in training also an `objective` where that is differentiated in its place; and what the pass
#: moves, nested as `params` are, with these entries alone. `params` are those of the networks, and
#: what is running, by name.
Terms = Callable[
    [Array, Mapping[str, Any], Batch, HParams, bool], tuple[Mapping[str, Array], Mapping[str, Any]]
]


class Objective(NamedTuple):
    """A loss of some networks, which a learner lowers.

    Attributes:
      init: (key, batch, hparams) -> parameters by network.
      terms: what a training step lowers the mean `loss` of, or the mean `objective`, where there
        is one; without `training`, the values that evaluation reports, which may have further
        axes where there is a `conclude`.
      hparams: the traced hyperparameters and their defaults.
      domains: the values that each of them may take.
      running: (params, batch, hparams) -> what is running at first, by name; None where
        nothing is.
      conclude: as a method's.
      ranges: likewise.
    """

    init: Callable[[Array, Batch, HParams], Mapping[str, Any]]
    terms: Terms
    hparams: Mapping[str, float] = {}
    domains: Mapping[str, Domain] = {}
    running: Callable[[Mapping[str, Any], Batch, HParams], Mapping[str, Any]] | None = None
    conclude: Callable[[Mapping[str, Array], Array, HParams], Mapping[str, Array]] | None = None
    ranges: Mapping[str, Domain] = {}


def descend(
    objective: Objective,
    views: Views,
    *,
    optimizer: optax.GradientTransformation | None = None,
    learning_rate: float = 1e-3,
) -> Method:
    """Returns the method that lowers an objective by its gradient.

    Args:
      objective: what is lowered.
      views: of a GradientState.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.
      learning_rate: traced.

    Returns:
      The method. Its `init` takes parameters to start from as a fourth argument, of any of the
      networks, by name.
    """
    require_optimizer(optimizer=optimizer)
    optimizer = optax.scale_by_adam() if optimizer is None else optimizer

    def init(
        key: Array, batch: Batch, hparams: HParams, start: Mapping[str, Any] | None = None
    ) -> GradientState:
        params = started(objective.init(key, batch, hparams), start)
        running = begun(objective.running, params, batch, hparams)
        lowered = mean_loss(objective.terms, key, batch, hparams, running)
        return gradient.init(optimizer, params, lowered, running)

    def step(
        key: Array, state: GradientState, batch: Batch, hparams: HParams
    ) -> tuple[GradientState, Info]:
        lowered = mean_loss(objective.terms, key, batch, hparams, state.running)
        return gradient.step(optimizer, lowered, state, hparams["learning_rate"])

    def evaluate(key: Array, state: GradientState, batch: Batch, hparams: HParams):
        seen = {**state.running, **state.params}
        return objective.terms(key, seen, batch, hparams, training=False)[0]

    return Method(
        **joined(objective, learning_rate=(learning_rate, POSITIVE)),
        init=init,
        step=step,
        evaluate=evaluate,
        views=views,
        conclude=objective.conclude,
        inference=gradient.inference,
        ranges=objective.ranges,
    )


def begun(
    running: Callable[..., Mapping[str, Any]] | None,
    params: Mapping[str, Any],
    batch: Batch,
    hparams: HParams,
) -> Mapping[str, Any]:
    """Returns what is running at first.

    Raises:
      InputError: if it has the name of a network.
    """
    first = {} if running is None else running(params, batch, hparams)
    if shared := first.keys() & params.keys():
        raise InputError(f"a network and what is running share the name {min(shared)}")
    return first


def mean_loss(
    terms: Terms,
    key: Array,
    batch: Batch,
    hparams: HParams,
    running: Mapping[str, Any],
    held: Mapping[str, Any] = {},
) -> Callable[[Mapping[str, Any]], tuple[Array, Aux]]:
    """Returns the mean of a loss over a batch, as `gradient.step` takes it.

    Of values with an `objective` that one's mean: it has the loss's gradient, in expectation, and
    perhaps another value. The `loss` is reported all the same.

    Args:
      terms: an objective's.
      key: of the pass.
      batch: what it sees.
      hparams: traced.
      running: what is running.
      held: parameters of networks that the loss sees and does not move, nor keeps what the
        pass moves of them.

    Returns:
      parameters of the other networks -> (scalar loss, Aux).
    """

    def lowered(params: Mapping[str, Any]) -> tuple[Array, Aux]:
        seen = {**running, **held, **params}
        values, changes = terms(key, seen, batch, hparams, training=True)
        means = {name: jnp.mean(value) for name, value in values.items()}
        mine = {name: new for name, new in changes.items() if name not in {*running, *held}}
        along = {name: new for name, new in changes.items() if name in running}
        # where there is an objective, the loss stands among what is reported
        lowered = means.pop("objective" if "objective" in means else "loss")
        return lowered, Aux(means, mine, along)

    return lowered
