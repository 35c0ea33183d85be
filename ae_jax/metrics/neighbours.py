"""Which examples lie nearest to each other in a latent space."""

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError


def nearest_neighbours(queries: Array, latents: Array, count: int) -> tuple[Array, Array]:
    """The vectors with the largest cosine similarity to each query.

    Args:
      queries: [Q, Z].
      latents: [N, Z].
      count: K, at most N; a query that is among the latents is its own first neighbour.

    Returns:
      Places in `latents`, int [Q, K], and similarities in [-1, 1], [Q, K], both nearest
      first. A vector of zeros is at similarity 0 to all.

    Raises:
      InputError: if there are fewer than K latents.
    """
    if not 1 <= count <= latents.shape[0]:
        raise InputError(f"count must be from 1 to {latents.shape[0]}, the number of latents")
    similarity, places = jax.lax.top_k(_unit(queries) @ _unit(latents).T, count)
    return places, similarity


def _unit(x: Array) -> Array:
    norm = jnp.linalg.norm(x, axis=-1, keepdims=True)
    return x / jnp.where(norm > 0, norm, 1)
