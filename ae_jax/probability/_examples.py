"""What densities and losses share: matching arrays, and sums over one example's dimensions."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError


def widened(array: Array) -> Array:
    """Half precision as float32, whose squares are finite and whose sums keep their digits."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array
    return array.astype(np.promote_types(array.dtype, np.float32))


def matched(names: str, *arrays: Array, widen: bool = True) -> Sequence[Array]:
    """Returns the arrays as floats of the first one's dtype, after comparing their shapes.

    Where that is half precision they are returned in float32.

    Broadcasting is refused: [B, 28, 28] against [B, 28, 28, 1] would be silently wrong.

    Args:
      names: the arguments' names, separated by blanks, for the error message.
      *arrays: of equal shapes [B, ...].
      widen: False keeps half precision, for what is neither squared nor summed.

    Raises:
      InputError: if the shapes differ or there is no batch axis.
    """
    arrays = [jnp.asarray(array) for array in arrays]
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) > 1 or not shapes[0]:
        listed = ", ".join(f"{n} {list(s)}" for n, s in zip(names.split(), shapes, strict=True))
        raise InputError(f"shapes must be equal and start with a batch axis, got {listed}")
    dtype = arrays[0].dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.result_type(float)
    if widen:
        dtype = np.promote_types(dtype, np.float32)
    return [array.astype(dtype) for array in arrays]


def sum_dimensions(values: Array) -> Array:
    """Sums [B, ...] over every axis but the first: [B].

    As a product with ones: XLA fuses a sum with the elementwise functions before it into one
    loop over the last axis, which is one long for grey images (30 times slower on a CPU).
    """
    flat = values.reshape(values.shape[0], math.prod(values.shape[1:]))
    return jnp.matmul(flat, jnp.ones(flat.shape[1], flat.dtype), precision="highest")
