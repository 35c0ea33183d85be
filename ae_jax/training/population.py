"""The programs of one lane: pure functions that the engine maps over lanes and devices.

Every random number derives from the lane's seed and the step, so a lane's run depends
neither on how many others run beside it nor on where it was interrupted.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import Array, HParams, Info, Method, State
from ae_jax.shuffle import index_shuffle
from ae_jax.training.schedules import Schedule

INIT, STEP, SHUFFLE, EVALUATE, SUMMARIZE = range(5)  # the streams of a lane's randomness
TRAINING = -1  # frozen_step of a lane that has not stopped


class Lane(NamedTuple):
    """What a lane is given.

    Attributes:
      seed: int.
      hparams: traced hyperparameters, scalars.
      rows: for streamed data, the rows of the chunk's batches, leaves [steps, batch, ...].
      start: what the lane begins with from an earlier run; only where its state is made.
    """

    seed: Array
    hparams: HParams
    rows: Any = None
    start: Any = None


class LaneState(NamedTuple):
    """What a lane carries.

    Attributes:
      method: the method's own state.
      frozen_step: int, the step that was not finite, or TRAINING.
      frozen_by: bool [names + 1], which of `info_names` were not finite then; the last one
        is the state itself.
      info_sum: sums of Info over the steps since they were last reported.
      info_count: int, how many steps those are.
      taken: int, how many steps the method's state has behind it.
      best: what inference needs of the state with the lowest monitored value so far; None
        where it is not kept.
      best_value: that value; infinite before the first evaluation.
      best_step: int, the number of steps taken by `best`.
    """

    method: State
    frozen_step: Array
    frozen_by: Array
    info_sum: Info
    info_count: Array
    taken: Array
    best: State
    best_value: Array
    best_step: Array


class Window(NamedTuple):
    """Where a chunk of steps stands, the same for all lanes; whole numbers.

    Attributes:
      start: the first step.
      stop: the step to stop before.
      epoch: the epoch of the first step's first example.
      offset: its position in that epoch.
    """

    start: Array
    stop: Array
    epoch: Array
    offset: Array


def stream(seed: Array, purpose: int) -> Array:
    """Returns the key of one of a lane's streams of randomness."""
    return jax.random.fold_in(jax.random.key(seed), purpose)


def info_names(info: Mapping[str, Any]) -> list[str]:
    """The order of Info's values: what a loss is made of, losses, norms of what they cause."""
    return sorted(info, key=lambda name: (name.endswith("norm"), name.endswith("loss"), name))


def scheduled(schedules: Sequence[Schedule], index: Array, hparams: HParams) -> HParams:
    """Returns the hyperparameters of a step."""
    for schedule in schedules:
        hparams = schedule.apply(index, hparams)
    return hparams


def batch_indices(seed: Array, window: Window, i: Array, batch_size: int, size: int) -> Array:
    """Indices of the i-th batch after the window's start: [batch_size].

    Epochs follow each other without gaps, each a keyed permutation of all examples that
    is evaluated where it is needed, so that nothing is sorted or stored.
    """
    key = stream(seed, SHUFFLE)
    position = window.offset + i * batch_size + jnp.arange(batch_size)
    first = position[0] // size

    def order(epoch: Array) -> Array:
        return index_shuffle(jax.random.fold_in(key, epoch), position % size, size)

    this, following = jax.vmap(order)(window.epoch + first + jnp.arange(2))
    return jnp.where(position // size == first, this, following)


def train_chunk(
    method: Method,
    fetch: Callable[[Any, Window, Array, Lane], Mapping[str, Array]],
    schedules: Sequence[Schedule],
    careful: bool = False,
) -> Callable[[LaneState, Lane, tuple[Window, Any]], tuple[LaneState, Array]]:
    """Returns the program of a window's steps of a lane.

    It returns the new state and whether the lane broke: whether its Info or its state is
    no longer finite. A lane that broke is returned as it was before the window, to be
    taken through it again by the careful program, which stops it before the step that
    breaks it. To choose between the old and the new state at every step costs a copy of
    the state, a sixth of a dense network's step; so only lanes that broke pay for it.

    Args:
      method: what is trained.
      fetch: (data, window, i, lane) -> the batch of the i-th step of the window.
      schedules: applied to the hyperparameters in order.
      careful: whether to check, and to choose, at every step.
    """

    def step(i: Array, carry: LaneState, lane: Lane, window: Window, data: Any) -> LaneState:
        index = window.start + i
        hparams = scheduled(schedules, index, lane.hparams)
        batch = fetch(data, window, i, lane)
        key = jax.random.fold_in(stream(lane.seed, STEP), index)
        state, info = _traced_once(method.step)(key, carry.method, batch, hparams)

        finite = [jnp.isfinite(info[name]) for name in info_names(info)]
        finite = jnp.stack([*finite, _finite(state) if careful else jnp.ones((), bool)])
        if careful:
            going = (carry.frozen_step == TRAINING) & jnp.all(finite)
            state = _where(going, state, carry.method)
            carry = carry._replace(taken=carry.taken + going.astype(carry.taken.dtype))
        return _freeze(carry, index, finite)._replace(
            method=state, **_add(carry, info, jnp.all(finite))
        )

    def program(
        before: LaneState, lane: Lane, shared: tuple[Window, Any]
    ) -> tuple[LaneState, Array]:
        window, data = shared
        after = jax.lax.fori_loop(
            0,
            window.stop - window.start,
            lambda i, carry: step(i, carry, lane, window, data),
            before._replace(best=None),
        )
        if careful:
            return after._replace(best=before.best), jnp.zeros((), bool)
        names = len(after.info_sum)
        sound = jnp.append(jnp.ones(names, bool), _finite(after.method))
        after = _freeze(after, window.stop - 1, sound)
        after = after._replace(taken=jnp.asarray(window.stop, after.taken.dtype))
        stopped = after.frozen_step != TRAINING
        kept = _where(stopped, before._replace(best=None), after)
        return kept._replace(best=before.best), stopped & (before.frozen_step == TRAINING)

    return program


def merge(state: LaneState, chosen: tuple[LaneState, Array], _: None) -> LaneState:
    """Takes a lane from `chosen`, (another state, whether to take it)."""
    other, take = chosen
    return _where(take, other, state)


def _freeze(carry: LaneState, index: Array, finite: Array) -> LaneState:
    fails = (carry.frozen_step == TRAINING) & ~jnp.all(finite)
    return carry._replace(
        frozen_step=jnp.where(fails, index, carry.frozen_step),
        frozen_by=jnp.where(fails, ~finite, carry.frozen_by),
    )


def _add(carry: LaneState, info: Info, finite: Array) -> dict[str, Any]:
    counts = (carry.frozen_step == TRAINING) & finite
    return {
        "info_sum": {
            name: total + jnp.where(counts, info[name].astype(total.dtype), jnp.zeros_like(total))
            for name, total in carry.info_sum.items()
        },
        "info_count": carry.info_count + counts.astype(carry.info_count.dtype),
    }


def _traced_once(step: Callable) -> Callable:
    """The same function, of which all programs share a trace; inlined, it is not seen in them."""
    return jax.jit(step, inline=True)


def _finite(tree: Any) -> Array:
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]
    return jnp.all(jnp.stack(leaves))


def _where(condition: Array, new: Any, old: Any) -> Any:
    """Chooses one tree; number by number, each array would have a kernel to be compiled."""
    return jax.lax.cond(condition, lambda: new, lambda: old)


def init_lane(
    method: Method, fetch: Callable, schedules: Sequence[Schedule], keep_best: bool
) -> Callable[[None, Lane, tuple[Window, Any]], LaneState]:
    """Returns the program that makes a lane's first state, from its first batch."""

    def program(_: None, lane: Lane, shared: tuple[Window, Any]) -> LaneState:
        window, data = shared
        hparams = scheduled(schedules, window.start, lane.hparams)
        batch = fetch(data, window, jnp.zeros((), int), lane)
        key = stream(lane.seed, INIT)
        start = () if lane.start is None else (lane.start,)
        state = method.init(key, batch, hparams, *start)
        info = jax.eval_shape(_traced_once(method.step), key, state, batch, hparams)[1]
        return LaneState(
            method=state,
            frozen_step=jnp.asarray(TRAINING),
            frozen_by=jnp.zeros(len(info) + 1, bool),
            info_sum={name: jnp.zeros(x.shape, _sum_type(x.dtype)) for name, x in info.items()},
            info_count=jnp.asarray(0),
            taken=jnp.asarray(0),
            best=method.inference(state) if keep_best else None,
            best_value=jnp.asarray(jnp.inf),
            best_step=jnp.asarray(0),
        )

    return program


def evaluate_lane(
    method: Method,
    fetch: Callable[[Any, Array], Mapping[str, Array]],
    schedules: Sequence[Schedule],
    batches: int,
    batch_size: int,
) -> Callable[[tuple[State, Array], Lane, tuple[Array, Array, Any]], tuple[Any, Any]]:
    """Returns the program that evaluates a lane on a piece of data.

    The program takes ((state, steps taken), lane, (first, count, arrays)): the piece's first
    batch number, how many of its examples exist (what is beyond them is masked), and its
    arrays. It gives the sums of the values over each batch, [batches], and what the method
    concludes from, all values of each example, [batches * batch_size, ...]; nothing where it
    does not. The batches of all pieces draw the same noise at every evaluation.
    """

    def program(seen: tuple[State, Array], lane: Lane, shared: tuple[Array, Array, Any]):
        state, taken = seen
        first, count, arrays = shared
        hparams = scheduled(schedules, jnp.maximum(taken - 1, 0), lane.hparams)
        key = stream(lane.seed, EVALUATE)

        def values_of(i):
            position = i * batch_size + jnp.arange(batch_size)
            batch = fetch(arrays, jnp.minimum(position, count - 1))
            values = method.evaluate(jax.random.fold_in(key, first + i), state, batch, hparams)
            sums = {
                name: _sum(jnp.where(position < count, value, jnp.zeros_like(value)))
                for name, value in values.items()
                if value.ndim == 1
            }
            return sums, values if method.conclude else {}

        def body(i, found):
            sums, rows = values_of(i)
            put = jax.lax.dynamic_update_index_in_dim
            return (
                {name: put(found[0][name], value, i, 0) for name, value in sums.items()},
                {name: put(found[1][name], value, i, 0) for name, value in rows.items()},
            )

        empty = jax.tree.map(
            lambda x: jnp.zeros((batches, *x.shape), x.dtype),
            jax.eval_shape(values_of, jnp.zeros((), int)),
        )
        used = (count + batch_size - 1) // batch_size
        sums, rows = jax.lax.fori_loop(0, used, body, empty)
        return sums, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)

    return program


def conclude_lane(
    method: Method, schedules: Sequence[Schedule]
) -> Callable[[tuple[Mapping[str, Array], Array], Lane, Array], Mapping[str, Array]]:
    """Returns the program of a lane's figures of a whole data set.

    It takes ((values of all examples, steps taken), lane, count); what is beyond count is
    padding.
    """

    def program(seen: tuple[Mapping[str, Array], Array], lane: Lane, count: Array):
        values, taken = seen
        hparams = scheduled(schedules, jnp.maximum(taken - 1, 0), lane.hparams)
        present = jnp.arange(len(next(iter(values.values())))) < count
        return method.conclude(values, present, hparams)

    return program


def _sum(values: Array) -> Array:
    return jnp.sum(values.astype(_sum_type(values.dtype)))


def _sum_type(dtype: Any) -> Any:
    """Where values are added up: halves stall, small integers wrap, truth values stay at one."""
    wide = jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits >= 32
    return dtype if wide else jnp.result_type(float)


def settle(
    method: Method, monitor: str
) -> Callable[[LaneState, Mapping[str, Array], None], LaneState]:
    """Returns the program that ends an interval between reports.

    It takes (state, validation figures, None), forgets the reported sums, and remembers when
    the monitored figure was the lowest so far, and what is kept of the state then.
    """

    def program(state: LaneState, means: Mapping[str, Array], _: None) -> LaneState:
        state = state._replace(
            info_sum=jax.tree.map(jnp.zeros_like, state.info_sum),
            info_count=jnp.zeros_like(state.info_count),
        )
        if monitor not in means:
            return state
        value = means[monitor].astype(state.best_value.dtype)
        found = (
            None if state.best is None else method.inference(state.method),
            value,
            state.taken,
        )
        known = (state.best, state.best_value, state.best_step)
        best, best_value, best_step = _where(value < state.best_value, found, known)
        return state._replace(best=best, best_value=best_value, best_step=best_step)

    return program
