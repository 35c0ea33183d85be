"""What metrics of samples share: checks, distances in blocks, and what is not finite."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.probability._examples import matched

#: Distances that are in memory at a time.
BLOCK = 2**21


def checked_samples(least: int = 1, **samples: Array) -> list[Array]:
    """Returns samples by name, [N, D], [M, D], ..., as floats of one dtype, float32 at least.

    Args:
      least: how many examples each must have.
      **samples: traced ones are not looked at for what is not finite.

    Raises:
      InputError: if one is not of that shape, has too few examples or is not finite.
    """
    arrays = [matched(name, array)[0] for name, array in samples.items()]
    listed = ", ".join(f"{n} {list(a.shape)}" for n, a in zip(samples, arrays, strict=True))
    if any(a.ndim != 2 or a.shape[1] != arrays[0].shape[-1] or not a.shape[1] for a in arrays):
        raise InputError(f"samples must be [N, D] of the same D of at least 1, got {listed}")
    if min(len(a) for a in arrays) < least:
        raise InputError(f"samples must have at least {least} examples, got {listed}")
    for name, array in zip(samples, arrays, strict=True):
        checked_finite(name, array)
    dtype = np.result_type(*(array.dtype for array in arrays))
    return [array.astype(dtype) for array in arrays]


def checked_finite(name: str, array: Array) -> None:
    """Raises InputError where an array that is not traced has values that are not finite."""
    if not isinstance(array, jax.core.Tracer) and not np.all(np.isfinite(array)):
        raise InputError(f"{name} contains values that are not finite")


def unless_broken(values: Any, *samples: Array) -> Any:
    """Returns a pytree of floats, NaN where a sample is not finite: comparisons hide that."""
    finite = [jnp.all(jnp.isfinite(sample)) for sample in samples]
    whole = jnp.all(jnp.stack(finite))
    return jax.tree.map(lambda value: jnp.where(whole, value, jnp.nan), values)


def squared_distances(point: Array, points: Array) -> Array:
    """Squared distances [M] of a point [D] from points [M, D]."""

    def add(total: Array, column: tuple[Array, Array]) -> tuple[Array, None]:
        return total + (column[0] - column[1]) ** 2, None

    # by columns, which never makes an array of M D differences for each point
    start = jnp.zeros(len(points), points.dtype)
    return jax.lax.scan(add, start, (point, points.T), unroll=16)[0]


def by_rows(function: Callable[[Array], Any], rows: Array, width: int) -> Any:
    """A function of each row [D], in blocks of so many that BLOCK values of `width` fit."""
    blocks = -(-len(rows) // max(1, BLOCK // width))
    size = -(-len(rows) // blocks)
    padded = jnp.pad(rows, ((0, blocks * size - len(rows)), (0, 0)), mode="edge")
    found = jax.lax.map(jax.vmap(function), padded.reshape(blocks, size, -1))
    return jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:])[: len(rows)], found)
