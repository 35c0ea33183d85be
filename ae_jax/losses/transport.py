"""Optimal transport between samples, as losses: along directions, and entropic.

Rows that are not present (padding) count for nothing. `metrics` has exact distances.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.losses.moments import (
    as_mask,
    check_positive,
    count_present,
    filled,
    squared_distances,
)
from ae_jax.probability._examples import matched


def random_directions(key: Array, count: int, size: int) -> Array:
    """Directions for `sliced_wasserstein`, [count, size]: uniform on the unit sphere."""
    if min(count, size) < 1:
        raise InputError(f"directions need a count and a size of at least 1, got {count}, {size}")
    return _unit(jax.random.normal(key, (count, size)))


def _unit(directions: Array) -> Array:
    return directions / jnp.linalg.norm(directions, axis=1, keepdims=True)


def sliced_wasserstein(
    x: Array, y: Array, directions: Array, power: float = 2.0, *, present: Array | None = None
) -> Array:
    """Sliced Wasserstein distance to its power: the mean over directions of projections' W_p^p.

    Args:
      x: [N, D].
      y: [M, D]; N and M may differ: distances are between the quantiles.
      directions: [L, D], of `random_directions` for instance; their lengths do not count.
      power: p, at least 1; static.
      present: bool [N], False where a row of both x and y is padding; None where there is none.

    Returns:
      A scalar, in units of x to the power p, 0 where the samples are the same. A shift by d comes
      to |d|^2 / D over all directions, for p = 2.

    Raises:
      InputError: if the shapes do not fit.

    Reference:
      Bonneel et al., 2015, "Sliced and Radon Wasserstein barycenters of measures"; as a loss in
      Deshpande, Zhang and Schwing, 2018, "Generative modeling using the sliced Wasserstein
      distance".
    """
    x, y = _samples(x, y, present)
    directions = jnp.asarray(directions, x.dtype)
    if directions.ndim != 2 or directions.shape[1] != x.shape[1]:
        raise InputError(f"directions must be [L, {x.shape[1]}], got {list(directions.shape)}")
    n, m = len(x), len(y)
    # between neighbouring edges, in units of 1 / (N M), both quantile functions are constant
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    widths = jnp.asarray(np.diff(edges) / (n * m), x.dtype)
    origin, directions = jax.lax.stop_gradient(y[:1]), _unit(directions)

    def quantiles(sample: Array, size: int) -> Array:
        projected = jnp.matmul(directions, (sample - origin).T, precision="highest")
        if present is not None:  # last in both, and equal
            projected = jnp.where(present[None], projected, jnp.finfo(projected.dtype).max)
        return jnp.sort(projected, axis=1)[:, edges[:-1] // size]

    apart = jnp.abs(quantiles(x, m) - quantiles(y, n)) ** power
    total = jnp.mean(jnp.sum(widths[None] * apart, axis=1))
    return total if present is None else total * n / count_present(present, total)


def sinkhorn_divergence(
    x: Array,
    y: Array,
    epsilon: Array | float,
    iterations: int = 50,
    *,
    present: Array | None = None,
) -> Array:
    """Sinkhorn divergence: entropic transport at the cost |x - y|^2, without its bias.

    The gradient is that of the envelope theorem, through the costs alone and not through the
    iterations: exact where they have converged, which for a small epsilon takes more of them.

    Args:
      x: [N, D].
      y: [M, D].
      epsilon: positive scalar, in squared units of x. The divergence goes to W_2^2 as it goes to
        0, and to the squared distance of the means as it grows.
      iterations: of Sinkhorn, at an epsilon that is halved from the largest cost on; static, at
        least 1.
      present: bool [N], False where a row of both x and y is padding; None where there is none.

    Returns:
      A scalar, in squared units of x; 0 where the samples are the same, after any number of
      iterations.

    Raises:
      InputError: if the shapes do not fit, there is no iteration, or epsilon is not positive and
        not traced.

    Reference:
      Feydy et al., 2019, "Interpolating between optimal transport and MMD using Sinkhorn
      divergences", with the Kullback-Leibler divergence from the independent coupling.
    """
    if iterations < 1:
        raise InputError(f"Sinkhorn needs at least 1 iteration, got {iterations}")
    check_positive(epsilon=epsilon)
    x, y = _samples(x, y, present)
    epsilon = jnp.asarray(epsilon, x.dtype)

    def weights(sample: Array) -> Array:
        """Logarithms of the weights of its rows."""
        if present is None:
            return jnp.full(len(sample), -np.log(len(sample)), x.dtype)
        return jnp.where(present, -jnp.log(count_present(present, sample)), -jnp.inf)

    def cost(first: Array, second: Array) -> Array:
        between, (log_a, log_b) = squared_distances(first, second), map(weights, (first, second))
        f, g = _potentials(jax.lax.stop_gradient(between), log_a, log_b, epsilon, iterations)
        log_plan = (f[:, None] + g[None] - between) / epsilon + log_a[:, None] + log_b[None]
        # <a, f> + <b, g> - epsilon (mass of the plan - 1), whose slope in the costs is the plan
        dual = jnp.sum(jnp.exp(log_a) * f) + jnp.sum(jnp.exp(log_b) * g)
        return dual - epsilon * (jnp.sum(jnp.exp(log_plan)) - 1)

    # both orders, in which potentials take turns: at a match all four have the same plan, or its
    # transpose, however far the iterations have come
    return (cost(x, y) + cost(y, x) - cost(x, x) - cost(y, y)) / 2


def _samples(x: Array, y: Array, present: Array | None) -> tuple[Array, Array]:
    (x,), (y,) = matched("x", x), matched("y", y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not min(len(x), len(y)):
        raise InputError(f"x and y must be [N, D] and [M, D], got {x.shape} and {y.shape}")
    if present is not None and len(x) != len(y):
        raise InputError(f"rows of both are present or not, but they are {len(x)} and {len(y)}")
    present = as_mask(present, x)
    return filled(x, present), filled(y, present)


def _smoothed(values: Array, log_weights: Array, epsilon: Array) -> Array:
    """The smooth minimum of [N, M] over the last axis, with weights [M]: [N]."""
    return -epsilon * jax.nn.logsumexp(log_weights[None] - values / epsilon, axis=1)


def _levels(costs: Array, epsilon: Array, iterations: int) -> Array:
    """What epsilon is in each iteration: halved from the largest cost on, itself in the last."""
    falling = jnp.max(costs) * 0.5 ** jnp.arange(iterations, dtype=costs.dtype)
    return jnp.maximum(epsilon, falling).at[-1].set(epsilon)


def _potentials(
    costs: Array, log_a: Array, log_b: Array, epsilon: Array, iterations: int
) -> tuple[Array, Array]:
    """The dual potentials [N], [M], each in turn the best for the other."""

    def iterate(carry: tuple[Array, Array], level: Array) -> tuple[tuple[Array, Array], None]:
        f = _smoothed(costs - carry[1][None], log_b, level)
        return (f, _smoothed(costs.T - f[None], log_a, level)), None

    start = jnp.zeros(len(costs), costs.dtype), jnp.zeros(costs.shape[1], costs.dtype)
    return jax.lax.scan(iterate, start, _levels(costs, epsilon, iterations))[0]
