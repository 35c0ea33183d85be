"""Methods that keep what they made at times through training."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import (
    COUNT,
    Array,
    Batch,
    HParams,
    Info,
    InputError,
    Method,
    State,
    Views,
    require,
    require_kind,
)


class Filmed(NamedTuple):
    """A method's state, the steps behind it, and what it made so far, [T, N, ...]."""

    method: State
    taken: Array
    frames: Array


def filmed(method: Method, count: int, times: Sequence[int]) -> Method:
    """Returns a method that keeps samples of the same latents from times through training.

    They are part of the state, so that a run which goes on has the frames of one that was never
    interrupted. Where lanes are trained in turn, as on a CPU, only the steps at those times
    sample; where they are mapped by `vmap` all do, and most throw it away.

    Args:
      method: with the view `sample`.
      count: N, how many samples make a frame; all lanes draw the same latents.
      times: [T], numbers of steps, ascending; 0 is before the first.

    Returns:
      The method, whose state has them as `frames`, [T, N, ...], 0 where the time has not come.

    Raises:
      InputError: if it cannot be sampled from, there is no sample, or times do not ascend.
    """
    require_kind(Method, "methods.vae(encoder, decoder, 2)", method=method)
    require(COUNT, count=count)
    when = np.asarray(times)
    if when.ndim != 1 or not when.size or when[0] < 0 or not np.all(np.diff(when) > 0):
        raise InputError(f"the times of a film must ascend from 0 or later, got {list(times)}")
    if method.views.sample is None:
        raise InputError("a film is of samples, but the method has no view sample: use another")

    def frame(state: State, hparams: HParams) -> Array:
        return method.views.sample(jax.random.key(0), state, count, hparams)

    def init(key: Array, batch: Batch, hparams: HParams, *start: Any) -> Filmed:
        state = method.init(key, batch, hparams, *start)
        first = frame(state, hparams)
        frames = jnp.zeros((len(when), *first.shape), first.dtype)
        return Filmed(state, jnp.asarray(0), frames.at[0].set(first) if when[0] == 0 else frames)

    def step(key: Array, state: Filmed, batch: Batch, hparams: HParams) -> tuple[Filmed, Info]:
        learned, info = method.step(key, state.method, batch, hparams)
        taken = state.taken + 1
        place = jnp.minimum(jnp.sum(jnp.asarray(when) < taken), len(when) - 1)
        # a frame is chosen and not a film, which would be copied in every step
        made = jax.lax.cond(
            jnp.asarray(when)[place] == taken,
            lambda: frame(learned, hparams),
            lambda: state.frames[place],
        )
        return Filmed(learned, taken, state.frames.at[place].set(made)), info

    def seen(function: Callable) -> Callable:
        """Takes the method's own state out of the place where it is given."""
        return lambda *given: function(*(x.method if isinstance(x, Filmed) else x for x in given))

    return method._replace(
        init=init,
        step=step,
        evaluate=seen(method.evaluate),
        views=Views(*(view and seen(view) for view in method.views)),
        inference=lambda state: Filmed(method.inference(state.method), (), ()),
    )
