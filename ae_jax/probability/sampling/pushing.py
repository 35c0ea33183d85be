"""Noise pushed through a map, and the density of where it lands."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.probability.sampling.inverse import checked_grid


def pushed(
    transform: Callable[[Array], Array], z: Array, log_density: Array
) -> tuple[Array, Array]:
    """Maps noise, and gives the density of where it lands by the change of variables.

    Args:
      transform: one example [D] -> [D], or scalar -> scalar; differentiable, and one to one.
      z: [B, D], or [B].
      log_density: [B], of the noise at z.

    Returns:
      transform(z) [B, D] or [B], and the log-density there, [B]: log p(z) - log |det dy/dz|.

    Raises:
      InputError: if the shapes do not fit.

    Reference:
      Rezende and Mohamed (2015), Variational Inference with Normalizing Flows.
    """
    z, log_density = jnp.asarray(z), jnp.asarray(log_density)
    y = jax.vmap(transform)(z)
    if z.ndim not in (1, 2) or y.shape != z.shape or log_density.shape != z.shape[:1]:
        raise InputError(
            f"a density is pushed from z [B] or [B, D] to as many numbers, got {list(z.shape)}, "
            f"mapped to {list(y.shape)}, and log-densities {list(log_density.shape)}"
        )
    jacobian = jax.vmap(jax.jacfwd(transform))(z)
    if z.ndim == 1:
        return y, log_density - jnp.log(jnp.abs(jacobian))
    return y, log_density - jnp.linalg.slogdet(jacobian)[1]


def pushed_density(
    transform: Callable[[Array], Array], z: Array, density: Array, y: Array
) -> Array:
    """The density of a function of one variable, which may fold: the sum over all that land at y.

    Args:
      transform: z, elementwise -> y; taken as linear between the points of the grid.
      z: [N], increasing, a grid on which there is (almost) all the noise.
      density: [N], of the noise.
      y: [M], where the density is wanted.

    Returns:
      [M]. A flat stretch of the function makes a point mass, which is left out.

    Raises:
      InputError: if z and density are not [N] of at least 2 points.
    """
    z, density = checked_grid(z, density)
    image = transform(z)
    mass = 0.5 * (density[1:] + density[:-1]) * jnp.diff(z)
    low, high = jnp.minimum(image[1:], image[:-1]), jnp.maximum(image[1:], image[:-1])
    # sum over cells of p dz / |dy|, where y is inside
    height = jnp.where(high > low, mass / jnp.where(high > low, high - low, 1), 0)
    y = jnp.asarray(y, image.dtype)[:, None]
    return jnp.sum(jnp.where((low[None] <= y) & (y < high[None]), height[None], 0), axis=1)
