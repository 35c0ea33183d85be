"""Samples of densities that are known: inverse transform, rejection, and pushing noise on.

Uniform numbers are taken from the open interval (0, 1), so that no quantile is infinite.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import COUNT, Array, InputError

#: Probabilities in (0, 1), of any shape -> quantiles.
Quantile = Callable[[Array], Array]
#: x [N, ...] -> [N], nats.
LogDensity = Callable[[Array], Array]
#: (key, count) -> x [count, ...]
Sampler = Callable[[Array, int], Array]


def uniform(key: Array, shape: tuple[int, ...] = (), dtype: np.dtype | None = None) -> Array:
    """Uniform numbers in the open interval (0, 1), symmetric about 1/2.

    Args:
      key: PRNG key.
      shape: of the result.
      dtype: float32 or float64; the default float type where None.

    Returns:
      The middles of the 2^23 (2^52 in double precision) equal cells of the interval.
    """
    dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
    below = jax.random.uniform(key, shape, dtype)
    return below + jnp.asarray(jnp.finfo(dtype).eps / 2, dtype)


def inverse_transform(
    key: Array, quantile: Quantile, shape: tuple[int, ...] = (), dtype: np.dtype | None = None
) -> Array:
    """Draws F^-1(u), u uniform: a sample of the distribution function F.

    Args:
      key: PRNG key.
      quantile: F^-1, such as `jax.scipy.special.ndtri`, or one of `grid_quantile`.
      shape: of the result.
      dtype: of the uniform numbers, as `uniform`'s. In single precision the tails end at a
        probability of 2^-24: 5.4 standard deviations of a normal distribution.

    Returns:
      What `quantile` gives of uniform numbers [*shape].

    Reference:
      Devroye (1986), Non-Uniform Random Variate Generation, section II.2.1.
    """
    return quantile(uniform(key, shape, dtype))


def grid_distribution(x: Array, density: Array) -> Array:
    """The distribution function of a density on a grid, by the trapezium rule.

    Args:
      x: [N], increasing.
      density: [N], not negative; need not integrate to 1.

    Returns:
      [N], from 0 to 1.

    Raises:
      InputError: if they are not [N] of at least 2 points, or, unless it is traced, the density
        is negative somewhere or 0 everywhere.
    """
    x, density = _grid(x, density)
    if not isinstance(density, jax.core.Tracer) and not (np.all(density >= 0) and np.any(density)):
        raise InputError("a density is 0 or more, and not 0 everywhere")
    mass = jnp.cumsum((density[1:] + density[:-1]) * jnp.diff(x))
    return jnp.concatenate([jnp.zeros(1, mass.dtype), mass]) / mass[-1]


def grid_quantile(x: Array, distribution: Array) -> Quantile:
    """The inverse of a distribution function that is known on a grid, linear between its points.

    What lies outside the grid is left out: the distribution is that given the grid's range.

    Args:
      x: [N], increasing.
      distribution: [N], never decreasing.

    Returns:
      u, of any shape -> quantiles. Where the function is flat there is no sample.

    Raises:
      InputError: if they are not [N] of at least 2 points, or, unless they are traced, do not
        increase.

    Reference:
      Devroye (1986), Non-Uniform Random Variate Generation, section II.2.
    """
    x, distribution = _grid(x, distribution)
    if not isinstance(x, jax.core.Tracer) and not np.all(np.diff(x) > 0):
        raise InputError("the points of a grid must increase")
    if not isinstance(distribution, jax.core.Tracer):
        steps = np.diff(distribution)
        if not (np.all(steps >= 0) and np.any(steps > 0)):
            raise InputError("a distribution function may not decrease, and must increase")
    first, last = distribution[0], distribution[-1]
    levels = (distribution - first) / (last - first)

    def quantile(u: Array) -> Array:
        u = jnp.asarray(u, levels.dtype)
        # the cell whose upper level is the first above u, which is never a flat one
        upper = jnp.clip(jnp.searchsorted(levels, u, side="right"), 1, levels.size - 1)
        low, high = levels[upper - 1], levels[upper]
        inside = (u - low) / jnp.where(high > low, high - low, 1)
        return x[upper - 1] + inside * (x[upper] - x[upper - 1])

    return quantile


def _grid(x: Array, values: Array) -> tuple[Array, Array]:
    x, values = jnp.asarray(x, jnp.result_type(float)), jnp.asarray(values, jnp.result_type(float))
    if x.ndim != 1 or x.shape != values.shape or x.size < 2:
        raise InputError(
            f"a grid has its points and its values in [N], 2 or more, got {list(x.shape)} and "
            f"{list(values.shape)}"
        )
    return x, values


def discrete_quantile(probabilities: Array) -> Quantile:
    """The inverse of a discrete distribution function: the least k of which F(k) is above u.

    Args:
      probabilities: [K], not negative; need not add up to 1.

    Returns:
      u, of any shape -> int, from 0 to K - 1, never one of probability 0.

    Raises:
      InputError: if they are not [K], or, unless they are traced, some are negative or not
        finite, or all are 0.

    Reference:
      Devroye (1986), Non-Uniform Random Variate Generation, section III.2.1.
    """
    probabilities = jnp.asarray(probabilities, jnp.result_type(float))
    if probabilities.ndim != 1 or not probabilities.size:
        raise InputError(f"probabilities must be [K], got {list(probabilities.shape)}")
    if not isinstance(probabilities, jax.core.Tracer):
        p = np.asarray(probabilities)
        if not (np.all(p >= 0) and 0 < np.sum(p) < np.inf):
            raise InputError("probabilities must be finite, 0 or more, and not all 0")
    distribution = jnp.cumsum(probabilities)
    distribution = distribution / distribution[-1]
    return lambda u: jnp.searchsorted(
        distribution, jnp.asarray(u, distribution.dtype), side="right"
    )


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


def propose(
    key: Array,
    target: LogDensity,
    proposal: LogDensity,
    sampler: Sampler,
    log_bound: Array | float,
    count: int,
) -> Proposed:
    """Proposes a fixed number of times, and says which proposals rejection accepts.

    Args:
      key: PRNG key.
      target: log p, up to a constant.
      proposal: log q.
      sampler: draws of q.
      log_bound: scalar, log M: M q is the envelope, nowhere below p.
      count: N, static.

    Returns:
      The proposals; x is accepted with probability p / (M q).

    Raises:
      InputError: if the shapes do not fit. `checked` raises it where the envelope is below the
        density at one of the proposals.

    Reference:
      Von Neumann (1951), Various techniques used in connection with random digits; Devroye
      (1986), Non-Uniform Random Variate Generation, section II.3.1.
    """
    _require_count(count)
    x, accepted, excess = _tried(key, target, proposal, sampler, log_bound, count)
    rate = jnp.mean(accepted.astype(excess.dtype))
    return Proposed(x, accepted, rate, jnp.exp(jnp.max(excess)))


def reject(
    key: Array,
    target: LogDensity,
    proposal: LogDensity,
    sampler: Sampler,
    log_bound: Array | float,
    count: int,
    *,
    rounds: int = 10_000,
) -> Drawn:
    """Draws a sample of a given size by rejection.

    Proposals are made `count` at a time until enough are accepted; under `vmap` until that is so
    for all. The draws are the first accepted ones.

    Args:
      key: PRNG key.
      target: log p, up to a constant.
      proposal: log q.
      sampler: draws of q, floats.
      log_bound: scalar, log M: M q is the envelope, nowhere below p.
      count: static.
      rounds: after so many it gives up; static.

    Returns:
      The sample, of which `checked` says whether it is one.

    Raises:
      InputError: if the shapes do not fit; unless it is traced, as `checked`.

    Reference:
      As for `propose`.
    """
    _require_count(count)
    _require_count(rounds)
    x, _, excess = jax.eval_shape(
        lambda key: _tried(key, target, proposal, sampler, log_bound, count), key
    )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise InputError(f"the sampler must give floats, not {x.dtype}")

    def unfinished(state: tuple) -> Array:
        done, _, drawn, _ = state
        return (done < rounds) & (drawn.filled < count)

    def round_(state: tuple) -> tuple:
        done, key, drawn, largest = state
        key, own = jax.random.split(key)
        x, accepted, excess = _tried(own, target, proposal, sampler, log_bound, count)
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


def _tried(
    key: Array,
    target: LogDensity,
    proposal: LogDensity,
    sampler: Sampler,
    log_bound: Array | float,
    count: int,
) -> tuple[Array, Array, Array]:
    """Proposals [count, ...], which are accepted, and log p - log M q of each."""
    draw, decide = jax.random.split(key)
    x = sampler(draw, count)
    log_p, log_q = target(x), proposal(x)
    if not log_p.shape == log_q.shape == x.shape[:1] == (count,):
        raise InputError(
            f"{count} proposals [{count}, ...] have log-densities [{count}], got {list(x.shape)}, "
            f"the target's {list(log_p.shape)} and the proposal's {list(log_q.shape)}"
        )
    excess = log_p - log_q - jnp.asarray(log_bound, log_p.dtype)
    u = uniform(decide, (count,), np.promote_types(excess.dtype, np.float32))
    return x, jnp.log(u).astype(excess.dtype) < excess, excess


def _tolerance(dtype: np.dtype) -> float:
    # by how much a log-ratio may be above 0 by rounding, where the envelope touches the density
    return float(jnp.finfo(dtype).eps) ** 0.5


def _require_count(count: int) -> None:
    if count not in COUNT:
        raise InputError(f"samples and rounds are counted: use {COUNT}, not {count}")


def pushed(
    transform: Callable[[Array], Array], z: Array, log_density: Array
) -> tuple[Array, Array]:
    """Maps noise, and gives the density of where it lands by the change of variables.

    Args:
      transform: one example [D] -> [D], or scalar -> scalar; differentiable, and one to one.
      z: [B, D], or [B].
      log_density: [B], of the noise at z.

    Returns:
      transform(z) [B, D] or [B], and the log-density there, [B]: log p(z) - log |det dy/dz|.

    Raises:
      InputError: if the shapes do not fit.

    Reference:
      Rezende and Mohamed (2015), Variational Inference with Normalizing Flows, equation 5.
    """
    z, log_density = jnp.asarray(z), jnp.asarray(log_density)
    y = jax.vmap(transform)(z)
    if z.ndim not in (1, 2) or y.shape != z.shape or log_density.shape != z.shape[:1]:
        raise InputError(
            f"a density is pushed from z [B] or [B, D] to as many numbers, got {list(z.shape)}, "
            f"mapped to {list(y.shape)}, and log-densities {list(log_density.shape)}"
        )
    jacobian = jax.vmap(jax.jacfwd(transform))(z)
    if z.ndim == 1:
        return y, log_density - jnp.log(jnp.abs(jacobian))
    return y, log_density - jnp.linalg.slogdet(jacobian)[1]


def pushed_density(
    transform: Callable[[Array], Array], z: Array, density: Array, y: Array
) -> Array:
    """The density of a function of one variable, which may fold: the sum over all that land at y.

    Args:
      transform: z, elementwise -> y; taken as linear between the points of the grid.
      z: [N], increasing, a grid on which there is (almost) all the noise.
      density: [N], of the noise.
      y: [M], where the density is wanted.

    Returns:
      [M]. A flat stretch of the function makes a point mass, which is left out.

    Raises:
      InputError: if z and density are not [N] of at least 2 points.
    """
    z, density = _grid(z, density)
    image = transform(z)
    mass = 0.5 * (density[1:] + density[:-1]) * jnp.diff(z)
    low, high = jnp.minimum(image[1:], image[:-1]), jnp.maximum(image[1:], image[:-1])
    # sum over cells of p dz / |dy|, where y is inside
    height = jnp.where(high > low, mass / jnp.where(high > low, high - low, 1), 0)
    y = jnp.asarray(y, image.dtype)[:, None]
    return jnp.sum(jnp.where((low[None] <= y) & (y < high[None]), height[None], 0), axis=1)
