"""The unit sphere in R^m: its uniform density, and directions at an angle to another."""

import math

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.probability._examples import matched


def log_area(dim: int) -> float:
    """The logarithm of the area of the unit sphere in R^dim (its length, where dim is 2): nats.

    Raises:
      InputError: if dim is below 2.
    """
    require_dim(dim)
    # 2 pi^(m/2) / Gamma(m/2)
    return math.log(2) + dim / 2 * math.log(math.pi) - math.lgamma(dim / 2)


def log_prob(x: Array) -> Array:
    """Log-density of the uniform distribution, with respect to the sphere's area.

    Args:
      x: [B, m], of length 1, which is not checked.

    Returns:
      [B], nats.

    Raises:
      InputError: if x is no [B, m] with m of at least 2.
    """
    x = _directions("x", x)
    return jnp.full(x.shape[:1], -log_area(x.shape[1]), x.dtype)


def sample(key: Array, shape: tuple[int, int]) -> Array:
    """Draws directions uniformly.

    Args:
      key: PRNG key.
      shape: (B, m).

    Returns:
      [B, m] in the default float type, of length 1.

    Raises:
      InputError: if m is below 2.
    """
    require_dim(shape[1])
    return unit(jax.random.normal(key, shape, jnp.result_type(float)))


def unit(x: Array) -> Array:
    """The direction of x, [..., m] -> [..., m], however long it is; the first axis where x is 0."""
    size = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    zero = size == 0
    scaled = x / jnp.where(zero, 1, size)
    squares = jnp.where(zero, 1, jnp.sum(scaled**2, axis=-1, keepdims=True))
    first = jnp.zeros_like(x).at[..., 0].set(1)
    return jnp.where(zero, first, scaled * jax.lax.rsqrt(squares))


def at_angle(key: Array, mean_direction: Array, angle: Array) -> Array:
    """Draws directions at given angles to others, uniformly among these.

    A tangent is drawn by projection, not by a reflection that takes a pole to the mean direction:
    that one is undefined at the pole, and its slope is unbounded nearby.

    Args:
      key: PRNG key.
      mean_direction: [B, m], of length 1.
      angle: [B], radians.

    Returns:
      [B, m], of length 1. As the mean direction moves, the tangent moves no more than it has to.
    """
    noise = jax.random.normal(key, mean_direction.shape, mean_direction.dtype)
    tangent = jax.lax.stop_gradient(unit(_projected(noise, mean_direction)))
    # once more: for the slope, and for what rounding has left where the noise was almost parallel
    tangent = unit(_projected(tangent, mean_direction))
    return jnp.cos(angle)[:, None] * mean_direction + jnp.sin(angle)[:, None] * tangent


def geodesic(start: Array, end: Array, share: Array | float) -> Array:
    """The direction that lies a share of the way from one to another, along their great circle.

    Args:
      start: [..., m], of length 1.
      end: [..., m], of length 1. Where it is opposed to the start, no way is shorter than the
        others: it is one towards the axis that the start is farthest from.
      share: a number, or one for each, [..., 1]: 0 is the start, 1 the end.

    Returns:
      [..., m], of length 1.
    """
    away = _projected(end, start)
    squares = jnp.sum(away**2, axis=-1, keepdims=True)
    axis = jax.nn.one_hot(jnp.argmin(jnp.abs(start), axis=-1), start.shape[-1], dtype=start.dtype)
    tangent = unit(jnp.where(squares > 0, away, _projected(axis, start)))
    # once more, for what rounding has left where the two are almost parallel
    tangent = unit(_projected(tangent, start))
    along = jnp.sum(start * end, axis=-1, keepdims=True)
    angle = share * jnp.arctan2(jnp.sqrt(squares), along)  # which is exact where they are near
    return unit(jnp.cos(angle) * start + jnp.sin(angle) * tangent)


def _projected(x: Array, direction: Array) -> Array:
    return x - jnp.sum(x * direction, axis=-1, keepdims=True) * direction


def require_dim(dim: int) -> None:
    """Raises InputError where no sphere has so many dimensions around it."""
    if dim < 2:
        raise InputError(f"a sphere is in 2 dimensions or more, got {dim}")


def directions(mean_direction: Array, concentration: Array) -> tuple[Array, Array]:
    """Returns [B, m] and [B] in one type, float32 at least.

    Raises:
      InputError: if they have other shapes, or m is below 2.
    """
    mean_direction = _directions("mean_direction", mean_direction)
    concentration = jnp.asarray(concentration)
    if concentration.shape != mean_direction.shape[:1]:
        raise InputError(
            f"there is one concentration for each direction: got mean_direction "
            f"{list(mean_direction.shape)}, concentration {list(concentration.shape)}"
        )
    return mean_direction, concentration.astype(mean_direction.dtype)


def _directions(name: str, x: Array) -> Array:
    x = jnp.asarray(x)
    if x.ndim != 2:
        raise InputError(f"{name} must be [B, m], got {list(x.shape)}")
    require_dim(x.shape[1])
    return matched(name, x)[0]
