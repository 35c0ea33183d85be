"""How well logits tell classes apart."""

import jax.numpy as jnp
import optax

from ae_jax.core import Array


def classified(logits: Array, label: Array) -> tuple[Array, Array]:
    """Returns minus the log-probability of labels, nats, and 1 where a wrong one is likelier.

    What is no class, below 0 or too large, has no probability: NaN, so that nobody misses it.

    Args:
      logits: [B, classes].
      label: int [B].

    Returns:
      [B] and [B], of the logits' dtype.
    """
    wrong = jnp.argmax(logits, axis=1).astype(label.dtype) != label
    nll = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    return jnp.where(label < 0, jnp.nan, nll), wrong.astype(logits.dtype)
