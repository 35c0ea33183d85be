"""Games: losses of several networks, each lowered by some of them, in an order that is data."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import (
    BELOW_ONE,
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    Array,
    Batch,
    Domain,
    HParams,
    Info,
    InputError,
    Method,
    Views,
    require,
)
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import Part, joined, require_optimizer, started
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Terms, begun, mean_loss


class Move(NamedTuple):
    """One loss, and the networks that lower it; all others are held as they are.

    Attributes:
      name: what it reports begins with it.
      moves: the names of the networks that it moves. Of what its passes move, such as batch
        statistics, that of these networks alone is kept.
      terms: as an objective's; `params` are those of all networks, and what is running.
      optimizer: gives the direction, and has a state of its own; Adam (0.9, 0.999, 1e-8) where
        None.
      learning_rate: traced, as `<name>_learning_rate`, or as `learning_rate` in the main move.
      repeats: how often it is made in a step, each time on a part of the batch of its own.
    """

    name: str
    moves: tuple[str, ...]
    terms: Terms
    optimizer: optax.GradientTransformation | None = None
    learning_rate: float = 2e-4
    repeats: int = 1


def game(
    init: Callable[[Array, Batch, HParams], Mapping[str, Any]],
    turns: Sequence[Sequence[Move]],
    evaluate: Callable[[Array, GradientState, Batch, HParams], Mapping[str, Array]],
    views: Views,
    *,
    parts: Sequence[Part] = (),
    main: str | None = None,
    running: Callable[[Mapping[str, Any], Batch, HParams], Mapping[str, Any]] | None = None,
    average: Sequence[str] = (),
    ema_decay: float = 0.999,
    conclude: Callable[[Mapping[str, Array], Array, HParams], Mapping[str, Array]] | None = None,
    ranges: Mapping[str, Domain] = {},
) -> Method:
    """Returns the method whose step makes some moves, each of which lowers a loss of its own.

    Turns are taken one after the other. The moves of one turn see the same networks, those
    before it: `[[d], [g]]` alternates, d first, and `[[d, g]]` is simultaneous. What is running
    goes from move to move.

    Args:
      init: (key, batch, hparams) -> parameters by network.
      turns: of a step.
      evaluate: as a method's, of a GradientState, whose optimizer states are by move.
      views: likewise.
      parts: what brings the traced hyperparameters of the losses: parts of methods, and
        `Numbers(**traced(...))` for others.
      main: the move whose learning rate is `learning_rate`; the first one where None.
      running: (params, batch, hparams) -> what losses remember from move to move at first, such
        as pools of images, by name; None where they remember nothing.
      average: networks of whose parameters, running statistics included, an exponential moving
        average over steps is kept; evaluation and views see it in the place of the network.
      ema_decay: the fraction of the average that a step keeps, traced; only where there is one.
      conclude: as a method's.
      ranges: likewise.

    Returns:
      The method. Its `init` takes parameters to start from as a fourth argument, by network, and
      as the entry `average` averages by network; where there is none, the network itself. A
      step reports `<move>_loss`, `<move>_gradient_norm` and the move's other values; means,
      where it is made several times.

    Raises:
      InputError: if moves share a name, a turn moves a network twice, there is no such main
        move, or two hyperparameters share a name; when traced, for a network that is not there,
        or a batch that cannot be cut into parts.

    Reference:
      Goodfellow et al. (2014), algorithm 1, for turns and repeats; Mescheder, Geiger and
      Nowozin (2018), Which Training Methods for GANs do actually Converge?, for simultaneous
      and alternating ones; Yazici et al. (2019), The Unusual Effectiveness of Averaging in GAN
      Training, for averages.
    """
    moves = [move for turn in turns for move in turn]
    names = [move.name for move in moves]
    main = names[0] if main is None else main
    if len(set(names)) < len(names) or main not in names:
        raise InputError(f"moves need a name each, one of them the main one's, {main}: got {names}")
    for move in moves:
        if isinstance(move.moves, str):
            raise InputError(f"{move.name} moves several networks: give ({move.moves!r},)")
    for turn in turns:
        moved = [network for move in turn for network in move.moves]
        if twice := sorted({network for network in moved if moved.count(network) > 1}):
            raise InputError(f"{twice[0]} moves twice in one turn: give it two")
    for move in moves:
        require(COUNT, **{f"repeats of {move.name}": move.repeats})
        require_optimizer(**{f"the optimizer of {move.name}": move.optimizer})
    optimizers = {move.name: move.optimizer or optax.scale_by_adam() for move in moves}
    rates = {name: "learning_rate" if name == main else f"{name}_learning_rate" for name in names}
    own = {
        rates[move.name]: (move.learning_rate, POSITIVE if move.name == main else NOT_NEGATIVE)
        for move in moves
    }
    if average:
        own["ema_decay"] = (ema_decay, BELOW_ONE)

    def remembered(params: Mapping[str, Any], batch: Batch, hparams: HParams) -> dict[str, Any]:
        first = {} if running is None else dict(running(params, batch, hparams))
        if average and "average" in first:
            raise InputError("what is running may not be named average, where one is kept")
        return first | ({"average": _named(params, average)} if average else {})

    def method_init(
        key: Array, batch: Batch, hparams: HParams, start: Mapping[str, Any] | None = None
    ) -> GradientState:
        given = dict(start or {})
        averages = given.pop("average", {}) if average else {}
        params = started(init(key, batch, hparams), given)
        along = begun(remembered, params, batch, hparams)
        if average:
            along["average"] = started(along["average"], averages)
        states = {}
        for move in moves:
            moving, held = _named(params, move.moves), _without(params, move.moves)
            part = jax.tree.map(lambda x: x[0], _parts(batch, move))
            lowered = mean_loss(move.terms, key, part, hparams, along, held)
            states[move.name] = gradient.init(optimizers[move.name], moving, lowered).optimizer
        return GradientState(params, states, along)

    def made(
        move: Move,
        key: Array,
        before: Mapping[str, Any],
        state: GradientState,
        batch: Batch,
        hparams: HParams,
    ) -> tuple[GradientState, Info]:
        """The state after a move, by networks that see those `before` its turn."""
        held = _without(before, move.moves)
        rate = hparams[rates[move.name]]

        def once(moving: GradientState, given: tuple[Array, Batch]) -> tuple[GradientState, Info]:
            lowered = mean_loss(move.terms, *given, hparams, moving.running, held)
            return gradient.step(optimizers[move.name], lowered, moving, rate)

        moving = GradientState(
            _named(before, move.moves), state.optimizer[move.name], state.running
        )
        if move.repeats == 1:
            moving, info = once(moving, (key, batch))
        else:
            given = jax.random.split(key, move.repeats), _parts(batch, move)
            moving, infos = jax.lax.scan(once, moving, given)
            info = jax.tree.map(jnp.mean, infos)
        after = GradientState(
            {**state.params, **moving.params},
            {**state.optimizer, move.name: moving.optimizer},
            moving.running,
        )
        return after, {f"{move.name}_{name}": value for name, value in info.items()}

    def step(
        key: Array, state: GradientState, batch: Batch, hparams: HParams
    ) -> tuple[GradientState, Info]:
        keys, reported = iter(jax.random.split(key, len(moves))), {}
        for turn in turns:
            before = state.params
            for move in turn:
                state, info = made(move, next(keys), before, state, batch, hparams)
                reported |= info
        if average:
            now = _averaged(state.running["average"], state.params, hparams["ema_decay"])
            state = state._replace(running={**state.running, "average": now})
        return state, reported

    def of_averages(function: Callable) -> Callable:
        def shown(value: Any) -> Any:
            if not isinstance(value, GradientState):
                return value
            return value._replace(params={**value.params, **value.running["average"]})

        return lambda *args: function(*map(shown, args))

    if average:
        evaluate = of_averages(evaluate)
        views = Views(*(view and of_averages(view) for view in views))
    return Method(
        **joined(*parts, **own),
        init=method_init,
        step=step,
        evaluate=evaluate,
        views=views,
        conclude=conclude,
        inference=gradient.inference,
        ranges=ranges,
    )


def _named(params: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    if unknown := sorted(set(names) - set(params)):
        raise InputError(f"there is no network {unknown[0]}: they are {', '.join(params)}")
    return {name: params[name] for name in names}


def _without(params: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name not in names}


def _parts(batch: Batch, move: Move) -> Batch:
    """The batch, cut for each time that a move is made: [repeats, B / repeats, ...]."""

    def cut(x: Array) -> Array:
        if len(x) % move.repeats:
            raise InputError(
                f"a batch of {len(x)} cannot be cut into {move.repeats} equal parts for the "
                f"{move.name}: use a batch size that is a multiple of {move.repeats}"
            )
        return jnp.reshape(x, (move.repeats, -1, *x.shape[1:]))

    return {name: cut(x) for name, x in batch.items()}


def _averaged(average: Mapping[str, Any], params: Mapping[str, Any], decay: Array | float) -> Any:
    def moved(old: Array, new: Array) -> Array:
        if not jnp.issubdtype(new.dtype, jnp.inexact):
            return new
        kept = jnp.asarray(decay, new.dtype)
        return kept * old + (1 - kept) * new

    return {name: jax.tree.map(moved, old, params[name]) for name, old in average.items()}
