"""A pool of past images, which a discriminator is shown among new ones.

Reference:
  Shrivastava et al. (2017), Learning from Simulated and Unsupervised Images through Adversarial
  Training, section 2.3; Zhu et al. (2017), Unpaired Image-to-Image Translation, section 4.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import Array


class Pool(NamedTuple):
    """Past images.

    Attributes:
      images: [P, ...]; zeros where none has come yet.
      count: int scalar, how many have come, P at most.
    """

    images: Array
    count: Array


def empty(size: int, shape: Sequence[int], dtype: Any) -> Pool:
    """Returns a pool of no images yet.

    Args:
      size: P, the most that it holds; 0 for a pool that gives back what it is given.
      shape: of an image.
      dtype: likewise.
    """
    return Pool(jnp.zeros((size, *shape), dtype), jnp.zeros((), jnp.int32))


def exchanged(key: Array, pool: Pool, images: Array) -> tuple[Pool, Array]:
    """Hands over images, one after the other, and gets as many back.

    While the pool fills, an image is kept, and given back as well. Later it comes back itself,
    or, half of the time, takes the place of one at random, which comes back for it. So an image
    that is kept comes back exactly once more, on average 2 P images later.

    Args:
      key: PRNG key.
      pool: of P images.
      images: [B, ...].

    Returns:
      The pool, and images [B, ...].
    """
    size = len(pool.images)
    if not size:
        return pool, images

    def once(pool: Pool, given: tuple[Array, Array]) -> tuple[Pool, Array]:
        coin, slot = jax.random.split(given[0])
        image, full = given[1], pool.count == size
        old = full & jax.random.bernoulli(coin)
        place = jnp.where(full, jax.random.randint(slot, (), 0, size, jnp.int32), pool.count)
        there = pool.images[place]
        kept = pool.images.at[place].set(jnp.where(full & ~old, there, image))
        count = jnp.minimum(pool.count + 1, size)
        return Pool(kept, count), jnp.where(old, there, image)

    return jax.lax.scan(once, pool, (jax.random.split(key, len(images)), images))
