"""Penalties on a representation."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import rel_entr

from ae_jax.core import Array, InputError
from ae_jax.probability._examples import matched, sum_dimensions


def kl_sparsity(activations: Array, rho: Array | float) -> Array:
    """Divergence of each unit's mean activation from the target rate rho, summed over units.

    Args:
      activations: [B, H] in [0, 1].
      rho: scalar in (0, 1), the wanted mean activation.

    Returns:
      A scalar, nats: 0 exactly where every unit's mean over the batch is rho. Finite for
      units that are never (or always) on, whose gradient still points towards rho.

    Raises:
      InputError: if activations is not [B, H].

    Reference:
      Ng, 2011, "Sparse autoencoder", CS294A lecture notes, section 3.
    """
    (activations,) = matched("activations", activations)
    if activations.ndim != 2:
        raise InputError(f"activations must be [B, H], got {list(activations.shape)}")
    rate = jnp.mean(activations, axis=0)
    smallest = float(jnp.finfo(rate.dtype).eps)
    # clipped in value only: a unit stuck at 0 or 1 keeps a gradient
    rate += jax.lax.stop_gradient(jnp.clip(rate, smallest, 1 - smallest) - rate)
    rho = jnp.broadcast_to(jnp.asarray(rho, rate.dtype), rate.shape)
    # rho log(rho / r) + (1 - rho) log((1 - rho) / (1 - r))
    return jnp.sum(rel_entr(rho, rate) + rel_entr(1 - rho, 1 - rate))


def contractive_penalty(encode: Callable[[Array], Array], x: Array) -> Array:
    """Squared Frobenius norm of the encoder's Jacobian.

    Costs as many forward passes as an example has dimensions, all in one batch.

    Args:
      encode: maps one example [...] (no batch axis) to its latent, of any shape.
      x: [B, ...].

    Returns:
      [B], summed over the Jacobian's entries.

    Reference:
      Rifai et al., 2011, "Contractive auto-encoders", equation 1.
    """
    (x,) = matched("x", x)
    return sum_dimensions(jax.vmap(jax.jacfwd(encode))(x) ** 2)
