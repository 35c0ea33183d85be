"""Which examples lie nearest to each other in a latent space."""

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.probability._examples import matched


def nearest_neighbours(queries: Array, latents: Array, count: int) -> tuple[Array, Array]:
    """The vectors with the largest cosine similarity to each query.

    Args:
      queries: [Q, Z].
      latents: [N, Z].
      count: K, at most N; a query that is among the latents is its own first neighbour,
        unless another one has its direction.

    Returns:
      Places in `latents`, int [Q, K], and similarities in [-1, 1], [Q, K], both nearest
      first. A vector of zeros is at similarity 0 to all.

    Raises:
      InputError: if there are fewer than K latents.
    """
    if not 1 <= count <= latents.shape[0]:
        raise InputError(f"count must be from 1 to {latents.shape[0]}, the number of latents")
    cosines = jnp.matmul(_unit(queries), _unit(latents).T, precision="highest")
    similarity, places = jax.lax.top_k(cosines, count)
    return places, jnp.clip(similarity, -1, 1)


def _unit(x: Array) -> Array:
    (x,) = matched("x", x)
    # by a power of two, which is exact: squares would overflow, or vanish as zeros do
    exponent = jnp.frexp(jnp.max(jnp.abs(x), axis=1, keepdims=True))[1]
    x = jnp.ldexp(x, -exponent)
    norm = jnp.linalg.norm(x, axis=1, keepdims=True)
    return x / jnp.where(norm > 0, norm, 1)
