"""Faults put into sequences, each at a place that is known."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import COUNT, POSITIVE, Array, InputError, require

#: Which step stands at step t inside a fault of some length: whose value is read there instead.
_READ = {
    "dropped": lambda t, start, length: jnp.full_like(t, start - 1),
    "repeated": lambda t, start, length: t - length,
    "faster": lambda t, start, length: 2 * t - start,
}
#: What may go wrong: a step is displaced, in every channel; the last value is held; the piece
#: before is there once more; the piece runs at twice its frequency, up to what follows it.
FAULTS = ("glitch", *_READ)


def faulty(
    key: Array, sequence: Array, fault: str, length: int = 8, level: float = 2.0
) -> tuple[Array, Array]:
    """Puts one fault into each sequence, at a place drawn evenly.

    What is outside of a fault stays as it is, bit for bit. Inside it nothing else needs to differ
    either: a constant is the same when it is repeated.

    Args:
      key: PRNG key.
      sequence: [N, T, D], of which all T steps are there.
      fault: one of FAULTS.
      length: L, steps that a fault lasts; a glitch is its first one alone. It begins at step L or
        later, and no later than T - 2 L, so that what is read instead is there.
      level: of a glitch, what it adds or takes away, in standard deviations of the sequence's own
        channel.

    Returns:
      The sequences [N, T, D], and bool [N, T], where the fault is.

    Raises:
      InputError: if the fault is not known, sequences are not [N, T, D] or shorter than 3 L, or the
        level is not above 0.
    """
    require(COUNT, length=length)
    require(POSITIVE, level=level)
    if fault not in FAULTS:
        raise InputError(f"unknown fault {fault!r}: use {', '.join(FAULTS)}")
    if np.ndim(sequence) != 3 or sequence.shape[1] < 3 * length:
        raise InputError(
            f"a fault of {length} steps is put into sequences [N, T, D] of {3 * length} steps or "
            f"more, got {list(np.shape(sequence))}"
        )
    return _faulty(key, jnp.asarray(sequence), level, fault, length)


@functools.partial(jax.jit, static_argnames=("fault", "length"))
def _faulty(
    key: Array, sequence: Array, level: Any, fault: str, length: int
) -> tuple[Array, Array]:
    start_key, sign_key = jax.random.split(key)
    count, steps, _ = sequence.shape
    start = jax.random.randint(start_key, (count, 1), length, steps - 2 * length + 1)
    t = jnp.broadcast_to(jnp.arange(steps), (count, steps))
    inside = (t >= start) & (t < start + (1 if fault == "glitch" else length))
    if fault == "glitch":
        sign = jax.random.rademacher(sign_key, (count, 1, 1), sequence.dtype)
        size = jnp.asarray(level, sequence.dtype) * jnp.std(sequence, axis=1, keepdims=True)
        other = sequence + sign * size
    else:
        read = jnp.where(inside, _READ[fault](t, start, length), t)
        other = jnp.take_along_axis(sequence, read[..., None], axis=1)
    return jnp.where(inside[..., None], other, sequence), inside
