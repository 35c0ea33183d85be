"""The Concrete distribution, or Gumbel-softmax: categories, relaxed to probabilities.

A draw is softmax((logits + Gumbel noise) / temperature); at a low temperature it is almost one-hot.
The density is with respect to the first K - 1 of the K probabilities.

Reference:
  Maddison, Mnih and Teh (2017), The Concrete Distribution; Jang, Gu and Poole (2017), Categorical
  Reparameterization with Gumbel-Softmax.
"""

import math

import jax
import jax.numpy as jnp

from ae_jax.core import Array
from ae_jax.probability import categorical
from ae_jax.probability._examples import matched


def log_prob(x: Array, logits: Array, temperature: Array | float) -> Array:
    """Log-density of x.

    Args:
      x: [B, ..., K], positive, of sum 1 over the last axis; what is 0 counts as the least positive
        number.
      logits: [B, ..., K], up to a constant.
      temperature: scalar or [B], positive.

    Returns:
      [B], nats, summed over an example's variables.

    Raises:
      InputError: if the shapes differ.

    Reference:
      Maddison, Mnih and Teh (2017), equation 10.
    """
    logits, x = matched("logits x", logits, x)
    size, t = logits.shape[-1], categorical.for_each(temperature, logits)
    log_x = jnp.log(jnp.maximum(x, jnp.finfo(x.dtype).tiny))
    # (K - 1)! t^(K - 1) prod_k a_k x_k^(-t - 1) / (sum_k a_k x_k^(-t))^K
    scores = logits - t * log_x
    nats = jnp.sum(scores - log_x, axis=-1) - size * jax.nn.logsumexp(scores, axis=-1)
    nats = nats + math.lgamma(size) + (size - 1) * jnp.log(t[..., 0])
    return jnp.sum(nats.reshape(len(x), -1), axis=1)


def sample(key: Array, logits: Array, temperature: Array | float) -> Array:
    """Draws probabilities, through which gradients flow to the logits and the temperature.

    Args:
      key: PRNG key.
      logits: [B, ..., K].
      temperature: scalar or [B], positive.

    Returns:
      [B, ..., K] of the logits' dtype, float32 at least; none is 0.
    """
    (logits,) = matched("logits", logits)
    drawn = categorical.relaxed(key, logits, temperature)
    return jnp.maximum(drawn, jnp.finfo(drawn.dtype).tiny)
