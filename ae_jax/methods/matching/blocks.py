"""What is compared within a whole data set, a block of examples at a time."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ae_jax.core import Array

#: Examples that are compared at a time when a data set is evaluated.
BLOCK = 1000


def mean_over_blocks(compare: Callable[..., Array], present: Array, *arrays: Array) -> Array:
    """The mean of what blocks of examples come to, by their numbers of examples.

    Args:
      compare: (rows of each array..., present) -> scalar, of a block, of which some are padding.
      present: bool [N].
      *arrays: [N, ...].

    Returns:
      A scalar. Blocks are of 1000; the last may be smaller.
    """

    def of_block(block: tuple[Array, ...]) -> tuple[Array, Array]:
        *rows, present = block
        found = compare(*rows, present)
        count = jnp.sum(present).astype(found.dtype)
        return jnp.where(count > 0, found * count, 0), count

    total, count = map(jnp.sum, jax.lax.map(of_block, _blocks(*arrays, present)))
    return total / count


def _blocks(*arrays: Array) -> list[Array]:
    """[N, ...] -> [N / BLOCK, BLOCK, ...], padded with zeros, or one block of fewer."""
    size = min(len(arrays[0]), BLOCK)
    more = -len(arrays[0]) % size

    def cut(x: Array) -> Array:
        padded = jnp.pad(x, ((0, more), *[(0, 0)] * (x.ndim - 1)))
        return padded.reshape(-1, size, *x.shape[1:])

    return [cut(x) for x in arrays]
