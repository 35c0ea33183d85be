"""Inverse transform: the quantile function of uniform numbers.

Uniform numbers are taken from the open interval (0, 1), so that no quantile is infinite.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError

#: Probabilities in (0, 1), of any shape -> quantiles.
Quantile = Callable[[Array], Array]


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
        probability of 2^-24: 5.3 standard deviations of a normal distribution.

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
    x, density = checked_grid(x, density)
    if not isinstance(density, jax.core.Tracer) and not (np.all(density >= 0) and np.any(density)):
        raise InputError("a density is 0 or more, and not 0 everywhere")
    mass = _cumulative((density[1:] + density[:-1]) * jnp.diff(x))
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
    x, distribution = checked_grid(x, distribution)
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
    distribution = _cumulative(probabilities)
    distribution = distribution / distribution[-1]
    return lambda u: jnp.searchsorted(
        distribution, jnp.asarray(u, distribution.dtype), side="right"
    )


def checked_grid(x: Array, values: Array) -> tuple[Array, Array]:
    """Returns points of a grid and values there as floats, [N] of at least 2, or InputError."""
    x, values = jnp.asarray(x, jnp.result_type(float)), jnp.asarray(values, jnp.result_type(float))
    if x.ndim != 1 or x.shape != values.shape or x.size < 2:
        raise InputError(
            f"a grid has its points and its values in [N], 2 or more, got {list(x.shape)} and "
            f"{list(values.shape)}"
        )
    return x, values


def _cumulative(mass: Array) -> Array:
    """Sums up to each of [N], none of which is below the one before, or above it without mass."""
    # partial sums that are made in parallel are rounded one by one
    return jax.lax.cummax(jnp.where(mass > 0, jnp.cumsum(mass), 0))
