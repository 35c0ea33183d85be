"""Rejection: proposals of another density, kept where they lie below the one that is wanted."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import COUNT, Array, InputError, require
from ae_jax.probability.sampling.inverse import uniform

#: x [N, ...] -> [N], nats.
LogDensity = Callable[[Array], Array]
#: (key, count) -> x [count, ...]
Sampler = Callable[[Array, int], Array]


class Envelope(NamedTuple):
    """What is drawn by rejection: a density below a multiple of another one.

    Attributes:
      target: log p, up to a constant.
      proposal: log q.
      sampler: draws of q; floats.
      log_bound: scalar, log M: M q is nowhere below p.
    """

    target: LogDensity
    proposal: LogDensity
    sampler: Sampler
    log_bound: Array | float


class Proposed(NamedTuple):
    """A fixed number of proposals, some of which are accepted.

    Attributes:
      x: [N, ...], all of them.
      accepted: bool [N]: the rows that are a sample of the target.
      acceptance: the rate of accepted ones: 1 / M on average, of densities that integrate to 1,
        and the target's integral over M where only the proposal's does.
      largest: p / (M q) at the proposal where it is largest. Above 1 the envelope is below the
        density, and what is accepted is a sample of min(p, M q).
    """

    x: Array
    accepted: Array
    acceptance: Array
    largest: Array


class Drawn(NamedTuple):
    """A sample of a given size by rejection.

    Attributes:
      x: [count, ...]. NaN in rows that were not filled, and in all where the envelope was found
        to be below the density.
      trials: int, how many proposals it took: M for each on average.
      filled: int, how many rows are drawn; less than count where the proposals ran out.
      largest: as Proposed's.
    """

    x: Array
    trials: Array
    filled: Array
    largest: Array

    @property
    def acceptance(self) -> Array:
        """The rate of accepted proposals."""
        return self.filled / self.trials


def propose(key: Array, envelope: Envelope, count: int) -> Proposed:
    """Proposes a fixed number of times, and says which proposals rejection accepts.

    Args:
      key: PRNG key.
      envelope: x is accepted with probability p / (M q).
      count: N, static.

    Raises:
      InputError: if the shapes do not fit. `checked` raises it where the envelope is below the
        density at one of the proposals.

    Reference:
      Von Neumann (1951), Various techniques used in connection with random digits; Devroye
      (1986), Non-Uniform Random Variate Generation, section II.3.1.
    """
    require(COUNT, count=count)
    x, accepted, excess = _tried(key, envelope, count)
    rate = jnp.mean(accepted.astype(excess.dtype))
    return Proposed(x, accepted, rate, jnp.exp(jnp.max(excess)))


def reject(key: Array, envelope: Envelope, count: int, *, rounds: int = 10_000) -> Drawn:
    """Draws a sample of a given size by rejection: the first so many that `propose` accepts.

    Proposals are made `count` at a time until enough are accepted; under `vmap` until that is so
    for all.

    Args:
      key: PRNG key.
      envelope: as for `propose`.
      count: static.
      rounds: after so many it gives up; static.

    Returns:
      The sample, of which `checked` says whether it is one.

    Raises:
      InputError: if the shapes do not fit; unless it is traced, as `checked`.
    """
    require(COUNT, count=count, rounds=rounds)
    x, _, excess = jax.eval_shape(lambda key: _tried(key, envelope, count), key)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise InputError(f"the sampler must give floats, not {x.dtype}")

    def unfinished(state: tuple) -> Array:
        done, _, drawn, _ = state
        return (done < rounds) & (drawn.filled < count)

    def round_(state: tuple) -> tuple:
        done, key, drawn, largest = state
        key, own = jax.random.split(key)
        x, accepted, excess = _tried(own, envelope, count)
        # how many were accepted earlier
        before = drawn.filled + jnp.cumsum(accepted) - accepted.astype(int)
        place = jnp.where(accepted, before, count)
        return (
            done + 1,
            key,
            Drawn(
                drawn.x.at[place].set(x, mode="drop"),
                drawn.trials + jnp.sum(before < count),
                jnp.minimum(drawn.filled + jnp.sum(accepted), count),
                drawn.largest,
            ),
            jnp.maximum(largest, jnp.max(excess)),
        )

    none = jnp.zeros((), int)
    nothing = jnp.full(x.shape, jnp.nan, x.dtype)
    lowest = jnp.full((), -jnp.inf, excess.dtype)
    start = none, key, Drawn(nothing, none, none, lowest), lowest
    _, _, drawn, largest = jax.lax.while_loop(unfinished, round_, start)
    sound = largest <= _tolerance(excess.dtype)
    drawn = drawn._replace(x=jnp.where(sound, drawn.x, jnp.nan), largest=jnp.exp(largest))
    return drawn if isinstance(drawn.filled, jax.core.Tracer) else checked(drawn)


def checked(result: Proposed | Drawn) -> Proposed | Drawn:
    """Returns the result of `propose` or `reject`, or of several of them, if it is a sample.

    Args:
      result: not traced; its scalars may have axes, of lanes.

    Raises:
      InputError: if the envelope was below the density at a proposal, or the densities were not
        numbers there; if the proposals ran out.
    """
    largest = float(np.max(result.largest))
    if math.isnan(largest):
        raise InputError("the densities at a proposal are not numbers: look at target and proposal")
    if largest > math.exp(_tolerance(result.largest.dtype)):
        raise InputError(
            f"the envelope is below the density, which is {largest:.6g} times as large at a "
            f"proposal: use a bound at least {largest:.6g} times as large"
        )
    if isinstance(result, Drawn):
        count, filled = result.x.shape[np.ndim(result.filled)], int(np.min(result.filled))
        if filled < count:
            raise InputError(
                f"{int(np.max(result.trials))} proposals gave {filled} of {count} samples: use a "
                "proposal that is nearer to the target, or a smaller bound"
            )
    return result


def _tried(key: Array, envelope: Envelope, count: int) -> tuple[Array, Array, Array]:
    """Proposals [count, ...], which are accepted, and log p - log M q of each."""
    draw, decide = jax.random.split(key)
    x = envelope.sampler(draw, count)
    log_p, log_q = envelope.target(x), envelope.proposal(x)
    if not log_p.shape == log_q.shape == x.shape[:1] == (count,):
        raise InputError(
            f"{count} proposals [{count}, ...] have log-densities [{count}], got {list(x.shape)}, "
            f"the target's {list(log_p.shape)} and the proposal's {list(log_q.shape)}"
        )
    excess = log_p - log_q - jnp.asarray(envelope.log_bound, log_p.dtype)
    u = uniform(decide, (count,), np.promote_types(excess.dtype, np.float32))
    return x, jnp.log(u).astype(excess.dtype) < excess, excess


def _tolerance(dtype: np.dtype) -> float:
    # by how much a log-ratio may be above 0 by rounding, where the envelope touches the density
    return float(jnp.finfo(dtype).eps) ** 0.5
