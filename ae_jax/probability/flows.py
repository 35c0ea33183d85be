"""Invertible maps of latents that say by how much they stretch: single steps of normalizing flows.

Each gives log |det dz'/dz| beside z'. Densities follow: log p(z') = log p(z) - log |det dz'/dz|.
"""

import jax
import jax.numpy as jnp

from ae_jax.core import Array


def planar(z: Array, w: Array, u: Array, b: Array) -> tuple[Array, Array]:
    """Stretches space at right angles to a plane: z' = z + u^ tanh(w.z + b).

    Along w, u is moved to u^ so that w.u^ = softplus(w.u) - 1 > -1: the map is invertible, whatever
    the parameters. Its inverse has no closed form.

    Args:
      z: [B, Z].
      w: [B, Z], not 0: the plane's normal.
      u: [B, Z].
      b: [B].

    Returns:
      z' [B, Z] and log |det dz'/dz| [B].

    Reference:
      Rezende and Mohamed (2015), Variational Inference with Normalizing Flows, equations 10 to 12
      and appendix A.1.
    """
    along, square = jnp.sum(w * u, axis=1), jnp.sum(w**2, axis=1)
    stretch = jax.nn.softplus(along)
    moved = u + ((stretch - 1 - along) / square)[:, None] * w
    shown = jnp.tanh(jnp.sum(w * z, axis=1) + b)
    # 1 + (1 - tanh^2) w.u^, of which neither part is negative
    return z + moved * shown[:, None], jnp.log(shown**2 + (1 - shown**2) * stretch)


def radial(z: Array, centre: Array, log_alpha: Array, raw_beta: Array) -> tuple[Array, Array]:
    """Draws space towards a point or away from it: z' = z + beta (z - centre) / (alpha + r).

    r is the distance from the centre, alpha = exp(log_alpha) and beta = softplus(raw_beta) - alpha
    > -alpha: the map is invertible, whatever the parameters. Its inverse has no closed form.

    Args:
      z: [B, Z].
      centre: [B, Z].
      log_alpha: [B].
      raw_beta: [B].

    Returns:
      z' [B, Z] and log |det dz'/dz| [B].

    Reference:
      Rezende and Mohamed (2015), equation 14 and appendix A.2.
    """
    away = z - centre
    square = jnp.sum(away**2, axis=1)
    # with a slope of 0 at the centre itself
    distance = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    alpha = jnp.exp(log_alpha)
    beta, near = jax.nn.softplus(raw_beta) - alpha, 1 / (alpha + distance)
    across = jnp.log1p(beta * near)
    along = jnp.log1p(beta * alpha * near**2)
    return z + (beta * near)[:, None] * away, (z.shape[1] - 1) * across + along
