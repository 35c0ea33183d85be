"""Penalties on images, by what lies beside what in them."""

import jax
import jax.numpy as jnp

from ae_jax.core import POSITIVE, Array, InputError
from ae_jax.probability._examples import matched


def total_variation(x: Array, beta: Array | float = 1.0) -> Array:
    """Total variation: the length of the gradient, to the power of beta, summed over an image.

    Differences are of a pixel from the one below and from the one to its right, 0 beyond the edge;
    channels are taken one by one. The penalty's gradient is 0 where both differences are, which is
    among its subgradients for a beta of 1 or more.

    Args:
      x: [B, H, W, C].
      beta: scalar above 0, may be traced. 1 is total variation, which keeps edges; 2 the sum of
        squared differences, of which `inversion.fills.harmonic` finds the minimum.

    Returns:
      [B], summed over pixels and channels.

    Raises:
      InputError: if x are no images, or beta is not above 0.

    Reference:
      Mahendran and Vedaldi (2015), Understanding Deep Image Representations by Inverting Them,
      section 3.1; Rudin, Osher and Fatemi (1992) for beta = 1.
    """
    (x,) = matched("x", x)
    if x.ndim != 4:
        raise InputError(f"total variation is of images [B, H, W, C], got {list(x.shape)}")
    if not isinstance(beta, jax.core.Tracer) and beta not in POSITIVE:
        raise InputError(f"beta of total variation is {beta}: use {POSITIVE}")
    down = jnp.pad(x[:, 1:] - x[:, :-1], ((0, 0), (0, 1), (0, 0), (0, 0)))
    right = jnp.pad(x[:, :, 1:] - x[:, :, :-1], ((0, 0), (0, 0), (0, 1), (0, 0)))
    # sum of (d_down^2 + d_right^2)^(beta / 2); a power's slope at 0 may be infinite
    squared = down**2 + right**2
    steep = jnp.where(squared > 0, squared, 1) ** (jnp.asarray(beta, x.dtype) / 2)
    return jnp.sum(jnp.where(squared > 0, steep, 0), axis=(1, 2, 3))
