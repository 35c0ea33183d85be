"""What figures show of a decoder: what it makes of chosen latents."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError

#: Latents [N, Z] -> images [N, H, W, C].
Decode = Callable[[Array], Array]


def traverse(decode: Decode, latent: Array, values: np.ndarray) -> np.ndarray:
    """Decodes copies of one latent vector in which one dimension at a time is changed.

    Args:
      decode: a lane's, as `Model.decode`.
      latent: float [Z].
      values: float [S], what each dimension is set to.

    Returns:
      Images [Z, S, H, W, C].
    """
    size, count = latent.shape[0], len(values)
    grid = jnp.tile(latent, (size, count, 1))
    each = jnp.arange(size)
    grid = grid.at[each, :, each].set(jnp.asarray(values, grid.dtype)[None])
    images = decode(grid.reshape(size * count, size))
    return np.asarray(images).reshape(size, count, *images.shape[1:])


def plane(decode: Decode, values: np.ndarray) -> np.ndarray:
    """Decodes a grid over a two-dimensional latent space.

    Args:
      decode: of a latent size of 2.
      values: float [G], the grid's places along either axis, ascending; or [2, G], those
        along each.

    Returns:
      Images [G, G, H, W, C]; images[i, j] is decoded from (values[0, i], values[1, j]).
    """
    values = np.broadcast_to(values, (2, np.shape(values)[-1]))
    first, second = np.meshgrid(*values, indexing="ij")
    latent = jnp.asarray(np.stack([first.ravel(), second.ravel()], axis=-1))
    images = decode(latent.astype(jnp.result_type(float)))
    return np.asarray(images).reshape(*first.shape, *images.shape[1:])


def walk(decode: Decode, start: Array, end: Array, count: int = 9) -> np.ndarray:
    """Decodes evenly spaced latents on the straight line between two.

    Args:
      decode: a lane's, as `Model.decode`.
      start: float [Z], the first latent.
      end: float [Z], the last.
      count: how many, both ends included; at least 2.

    Returns:
      Images [count, H, W, C].

    Raises:
      InputError: where the latents' shapes differ or the count is below 2.
    """
    if start.ndim != 1 or start.shape != end.shape or count < 2:
        raise InputError(
            "a walk needs two latents [Z] of one size and at least 2 places; "
            f"got {list(start.shape)}, {list(end.shape)} and {count}"
        )
    part = jnp.linspace(0, 1, count, dtype=start.dtype)[:, None]
    latents = (1 - part) * start[None] + part * end[None]
    return np.asarray(decode(latents))
