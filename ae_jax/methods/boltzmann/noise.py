"""Uniform numbers, of which Gibbs sampling takes very many: about half of its time."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.extend.random import threefry_2x32

from ae_jax.core import Array


def uniforms(key: Array, dtype: jnp.dtype, *shapes: Sequence[int]) -> list[Array]:
    """Draws independent uniform numbers on (0, 1), for several arrays at once.

    A call of the Threefry function gives two words of 32 bits; `jax.random.bits` makes one of
    them, so that arrays spread over devices are drawn where they lie. Here both are used, and
    one call serves all arrays: a step of Gibbs sampling takes a quarter less on a CPU.

    Args:
      key: PRNG key, of any kind.
      dtype: float32 or float64.
      shapes: of the arrays.

    Returns:
      An array for each shape: odd multiples of 2^-24 (of 2^-33 for doubles).
    """
    sizes = [math.prod(shape) for shape in shapes]
    if jax.random.key_impl(key) == "threefry2x32":
        counts = jnp.arange(sum(sizes), dtype=jnp.uint32)
        words = threefry_2x32(jax.random.key_data(key), counts)
    else:
        words = jax.random.bits(key, (sum(sizes),), jnp.uint32)
    digits = min(32, jnp.finfo(dtype).nmant)
    numbers = (words >> jnp.uint32(32 - digits)).astype(dtype) * 2.0**-digits
    numbers = numbers + 2.0 ** -(digits + 1)
    ends = [sum(sizes[:i]) for i in range(1, len(sizes))]
    return [x.reshape(shape) for x, shape in zip(jnp.split(numbers, ends), shapes, strict=True)]
