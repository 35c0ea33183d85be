"""What a machine's visible units are shown of images."""

import jax

from ae_jax.core import Array, Batch


def visible_units(key: Array, batch: Batch, stochastic_binarization: bool) -> tuple[Array, Array]:
    """Returns a machine's visible units, [B, V], and a key that is still unused.

    Args:
      key: PRNG key.
      batch: with `image`, [B, ...].
      stochastic_binarization: whether images are probabilities, of which zeros and ones are drawn.
    """
    v = batch["image"].reshape(batch["image"].shape[0], -1)
    if not stochastic_binarization:
        return v, key
    data_key, key = jax.random.split(key)
    return jax.random.bernoulli(data_key, v).astype(v.dtype), key
