"""What figures show of a trained lane, computed through its views."""

import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, HParams, InputError, Method, State


def traverse(
    method: Method, state: State, hparams: HParams, latent: Array, values: np.ndarray
) -> np.ndarray:
    """Decodes copies of one latent vector in which one dimension at a time is changed.

    Args:
      method: with a `decode` view.
      state: a lane's.
      hparams: a lane's.
      latent: float [Z].
      values: float [S], what each dimension is set to.

    Returns:
      Images [Z, S, H, W, C].
    """
    size, count = latent.shape[0], len(values)
    grid = jnp.tile(latent, (size, count, 1))
    each = jnp.arange(size)
    grid = grid.at[each, :, each].set(jnp.asarray(values, grid.dtype)[None])
    images = method.views.decode(state, grid.reshape(size * count, size), hparams)
    return np.asarray(images).reshape(size, count, *images.shape[1:])


def plane(method: Method, state: State, hparams: HParams, values: np.ndarray) -> np.ndarray:
    """Decodes a grid over a two-dimensional latent space.

    Args:
      method: with a `decode` view and a latent size of 2.
      state: a lane's.
      hparams: a lane's.
      values: float [G], the grid's places along either axis, ascending; or [2, G], those
        along each.

    Returns:
      Images [G, G, H, W, C]; images[i, j] is decoded from (values[0, i], values[1, j]).
    """
    values = np.broadcast_to(values, (2, np.shape(values)[-1]))
    first, second = np.meshgrid(*values, indexing="ij")
    latent = jnp.asarray(np.stack([first.ravel(), second.ravel()], axis=-1))
    images = method.views.decode(state, latent.astype(jnp.result_type(float)), hparams)
    return np.asarray(images).reshape(*first.shape, *images.shape[1:])


def walk(
    method: Method, state: State, hparams: HParams, start: Array, end: Array, count: int = 9
) -> np.ndarray:
    """Decodes evenly spaced latents on the straight line between two.

    Args:
      method: with a `decode` view.
      state: a lane's.
      hparams: a lane's.
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
    return np.asarray(method.views.decode(state, latents, hparams))
