"""Independent categorical variables, one-hot, given by logits: unnormalised log-probabilities."""

import math

import jax
import jax.numpy as jnp

from ae_jax.core import Array
from ae_jax.probability._examples import matched, sum_dimensions


def log_prob(x: Array, logits: Array) -> Array:
    """Log-probability of x.

    Args:
      x: [B, ..., K], one-hot.
      logits: [B, ..., K].

    Returns:
      [B], nats, summed over an example's variables.

    Raises:
      InputError: if the shapes differ.
    """
    logits, x = matched("logits x", logits, x)
    return sum_dimensions(x * jax.nn.log_softmax(logits))


def entropy(logits: Array) -> Array:
    """Entropy.

    Args:
      logits: [B, ..., K].

    Returns:
      [B], nats, summed over an example's variables.
    """
    (logits,) = matched("logits", logits)
    log_p = jax.nn.log_softmax(logits)
    return -sum_dimensions(jnp.exp(log_p) * log_p)


def kl_uniform(logits: Array) -> Array:
    """Kullback-Leibler divergence to the uniform distribution: log K less the entropy.

    Args:
      logits: [B, ..., K].

    Returns:
      [B], nats, summed over an example's variables; from 0 to log K for each.
    """
    (logits,) = matched("logits", logits)
    log_p = jax.nn.log_softmax(logits)
    return sum_dimensions(jnp.exp(log_p) * (log_p + math.log(logits.shape[-1])))


def sample(key: Array, logits: Array, temperature: Array | float = 1.0) -> Array:
    """Draws categories, through which the gradient of their relaxation flows.

    A draw is where the `concrete` draw of the same key is greatest: one-hot, and distributed as the
    logits say at any temperature. Its gradient is that of the relaxed draw (straight-through), and
    that of no expectation: a biased one, less so at low temperatures, where it is noisier.

    Args:
      key: PRNG key.
      logits: [B, ..., K].
      temperature: scalar or [B], positive.

    Returns:
      [B, ..., K], one-hot, of the logits' dtype, float32 at least.

    Reference:
      Jang, Gu and Poole (2017), Categorical Reparameterization with Gumbel-Softmax, section 2.2;
      Bengio, Leonard and Courville (2013).
    """
    (logits,) = matched("logits", logits)
    return likeliest(relaxed(key, logits, temperature))


@jax.custom_jvp
def likeliest(x: Array) -> Array:
    """The category of most weight, [..., K] one-hot, whose gradient is that of the weights."""
    return jax.nn.one_hot(jnp.argmax(x, axis=-1), x.shape[-1], dtype=x.dtype)


@likeliest.defjvp
def _likeliest_jvp(primals: tuple, tangents: tuple) -> tuple:
    return likeliest(*primals), tangents[0]


def relaxed(key: Array, logits: Array, temperature: Array | float) -> Array:
    """Draws of the Concrete distribution; see `ae_jax.probability.concrete.sample`."""
    gumbel = jax.random.gumbel(key, logits.shape, logits.dtype)
    return jax.nn.softmax((logits + gumbel) / for_each(temperature, logits))


def for_each(temperature: Array | float, logits: Array) -> Array:
    """A temperature, or one for each example [B], beside logits [B, ..., K]."""
    return jnp.asarray(temperature, logits.dtype).reshape(-1, *[1] * (logits.ndim - 1))
