"""Corruptions: what a denoising autoencoder undoes, and what spoils data.

Each is a pure function (key, x [B, ...], level) -> x of the same shape and dtype. The level may
be traced, so that one program sweeps it, and at level 0 x comes back exactly. A level that is
not traced is refused where it is out of range. Random numbers are drawn in float32 at least.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from ae_jax.core import BELOW_ONE, FRACTION, NOT_NEGATIVE, Array, Domain, InputError
from ae_jax.watermarks import stamper

#: (key, x [B, ...], level) -> x [B, ...]
Corruption = Callable[[Array, Array, Array | float], Array]
#: (key, x [B, H, W, ...], level) -> bool [B, H, W], True where an image is not known.
Hole = Callable[[Array, Array, Array | float], Array]
#: Degrees of freedom of `heavy_tailed`: a finite mean, and no variance.
DEGREES_OF_FREEDOM = 1.5


def masking(key: Array, x: Array, level: Array | float) -> Array:
    """Sets each number to 0 with probability `level`, independently.

    Args:
      key: PRNG key.
      x: float [B, ...].
      level: scalar in [0, 1].

    Returns:
      [B, ...].

    Reference:
      Vincent et al., 2010, "Stacked denoising autoencoders", section 3.3.
    """
    x, level = _checked(masking, x, level)
    return jnp.where(jax.random.bernoulli(key, level, x.shape), 0, x)


def dropout(key: Array, x: Array, level: Array | float) -> Array:
    """Masking, with the numbers that are left divided by 1 - level, so that the mean is x.

    Args:
      key: PRNG key.
      x: float [B, ...].
      level: scalar in [0, 1).

    Returns:
      [B, ...].

    Reference:
      Srivastava et al., 2014, "Dropout", section 10 (scaled in training).
    """
    x, level = _checked(dropout, x, level)
    rest = jnp.where(level < 1, 1 - level, 1)  # no 0 / 0 in gradients
    return masking(key, (x.astype(level.dtype) / rest).astype(x.dtype), level)


def gaussian_noise(key: Array, x: Array, level: Array | float) -> Array:
    """Adds Gaussian noise; what leaves [0, 1] is not clipped.

    Args:
      key: PRNG key.
      x: float [B, ...].
      level: scalar, the noise's standard deviation in units of x.

    Returns:
      [B, ...].

    Reference:
      Vincent et al., 2010, "Stacked denoising autoencoders", section 3.3.
    """
    x, level = _checked(gaussian_noise, x, level)
    noise = level * jax.random.normal(key, x.shape, level.dtype)
    return (x.astype(level.dtype) + noise).astype(x.dtype)


def heavy_tailed(key: Array, x: Array, level: Array | float) -> Array:
    """Adds noise of Student's t distribution with 1.5 degrees of freedom; nothing is clipped.

    Args:
      key: PRNG key.
      x: float [B, ...].
      level: scalar, the noise's scale in units of x: half of the noise is within 0.87 level,
        and the mean of its square is infinite.

    Returns:
      [B, ...].

    Reference:
      Bailey, 1994, "Polar generation of random variates with the t-distribution",
      Mathematics of Computation 62.
    """
    x, level = _checked(heavy_tailed, x, level)
    radius_key, angle_key = jax.random.split(key)
    uniform = jax.random.uniform(radius_key, x.shape, level.dtype)
    angle = jax.random.uniform(angle_key, x.shape, level.dtype, maxval=2 * np.pi)
    # t = sqrt(n (U^(-2/n) - 1)) cos(2 pi V), U = 1 - uniform in (0, 1]
    power = jnp.expm1(-2 / DEGREES_OF_FREEDOM * jnp.log1p(-uniform))
    noise = level * (jnp.sqrt(DEGREES_OF_FREEDOM * power) * jnp.cos(angle))
    return (x.astype(level.dtype) + noise).astype(x.dtype)


def salt_and_pepper(key: Array, x: Array, level: Array | float) -> Array:
    """Sets each number with probability `level` to 0 or 1, either with half of it.

    Args:
      key: PRNG key.
      x: float [B, ...].
      level: scalar in [0, 1].

    Returns:
      [B, ...].

    Reference:
      Vincent et al., 2010, "Stacked denoising autoencoders", section 3.3.
    """
    x, level = _checked(salt_and_pepper, x, level)
    uniform = jax.random.uniform(key, x.shape, level.dtype)
    spoiled = jnp.where(uniform < level / 2, jnp.zeros_like(x), jnp.ones_like(x))
    return jnp.where(uniform < level, spoiled, x)


def occlusion(key: Array, x: Array, level: Array | float) -> Array:
    """Sets one square block of each image to 0, at a place drawn uniformly.

    Args:
      key: PRNG key.
      x: float [B, H, W, ...].
      level: as for `block`.

    Returns:
      [B, H, W, ...].

    Raises:
      InputError: if x has no height and width.
    """
    hidden = block(key, x, level)
    return jnp.where(hidden.reshape(*hidden.shape, *[1] * (jnp.ndim(x) - 3)), 0, x)


def stamping(mattes: Array, colour: Array | float = 1.0, **how: Any) -> Corruption:
    """Returns what puts a stamp over each image, at random, and rounds to 8 bits under it.

    The level is the opacity, from 0 to 1.

    Args:
      mattes: as of `watermarks.stamper`.
      colour: likewise.
      how: its further arguments: scales, turn, least.

    Returns:
      The corruption, of images [B, H, W, C].

    Raises:
      InputError: as `watermarks.stamper`; when called, if images are no such, or too small.

    Reference:
      Dekel et al., 2017, "On the effectiveness of visible watermarks", equation 1.
    """
    stamp = stamper(mattes, colour, **how)

    def stamping(key: Array, x: Array, level: Array | float) -> Array:
        x, level = _checked(stamping, x, level)
        _sides(x)
        keys = jax.random.split(key, len(x))
        return jax.vmap(stamp, (0, 0, None))(keys, x, level)[0]

    stamping.levels = FRACTION
    return stamping


def levels_of(corruption: Corruption | Hole) -> Domain:
    """The levels that a corruption, or a hole, makes sense at."""
    known = LEVELS.get(corruption, NOT_NEGATIVE)
    return getattr(corruption, "levels", known)


def warped(key: Array, x: Array, level: Array | float) -> Array:
    """Moves, turns, stretches and shears each image by an affine map that is drawn for it.

    Where the middle of an image is 0 and its outermost pixels are at -1 and 1, the pixel at p shows
    what was at p + A p + b. Between pixels that is bilinear, and beyond the image its border.

    Args:
      key: PRNG key.
      x: float [B, H, W, ...].
      level: scalar in [0, 1]: A [2, 2] and b [2] are uniform from -level to level.

    Returns:
      [B, H, W, ...].

    Raises:
      InputError: if x has no height and width.

    Reference:
      Simard, Steinkraus and Platt, 2003, "Best practices for convolutional neural networks applied
      to visual document analysis", section 2.
    """
    x, level = _checked(warped, x, level)
    sides = _sides(x)
    drawn = level * jax.random.uniform(key, (x.shape[0], 2, 3), level.dtype, -1, 1)
    pixels = jnp.stack(jnp.meshgrid(*map(jnp.arange, sides), indexing="ij")).astype(level.dtype)
    middle = (jnp.array(sides, level.dtype)[:, None, None] - 1) / 2
    points = (pixels - middle) / jnp.maximum(middle, 0.5)
    # p, 1 -> A p + b, in pixels; nothing at level 0
    points = jnp.concatenate([points, jnp.ones_like(points[:1])])
    moves = middle[None] * jnp.einsum("bij,jhw->bihw", drawn, points, precision="highest")

    def resampled(image: Array, places: Array) -> Array:
        return map_coordinates(image, list(places), order=1, mode="nearest")

    flat = x.reshape(*x.shape[:3], -1).astype(level.dtype)
    of_channels = jax.vmap(resampled, (-1, None), -1)
    moved = jax.vmap(of_channels)(flat, pixels[None] + moves)
    return moved.reshape(x.shape).astype(x.dtype)


def inverted(key: Array, x: Array, level: Array | float) -> Array:
    """Shows 1 - x in place of x with probability `level` / 2, each example as a whole.

    At level 1 an example says nothing of which of the two it was, so that what is learned of it
    does not depend on whether it is bright on dark.

    Args:
      key: PRNG key.
      x: float [B, ...], in [0, 1].
      level: scalar in [0, 1].

    Returns:
      [B, ...].
    """
    x, level = _checked(inverted, x, level)
    turned = jax.random.bernoulli(key, level / 2, (x.shape[0], *[1] * (x.ndim - 1)))
    return jnp.where(turned, 1 - x, x)


def block(key: Array, x: Array, level: Array | float) -> Array:
    """One square hole in each image, at a place drawn uniformly.

    Args:
      key: PRNG key.
      x: float [B, H, W, ...].
      level: scalar in [0, 1]: the hole's side over the image's shorter side, rounded to
        pixels.

    Returns:
      bool [B, H, W], True in the hole.

    Raises:
      InputError: if x has no height and width.
    """
    x, level = _checked(block, x, level)
    height, width = _sides(x)
    side = _side(x, level)

    def first(key: Array, length: int) -> Array:
        return jax.random.randint(key, (x.shape[0], 1), 0, length - side + 1, jnp.int32)

    row_key, column_key = jax.random.split(key)
    return _square(x, side, first(row_key, height), first(column_key, width))


def centre(key: Array, x: Array, level: Array | float) -> Array:
    """One square hole in the middle of each image, the same for all.

    Args:
      key: not looked at.
      x: float [B, H, W, ...].
      level: as for `block`; of a hole that cannot be in the middle, the upper left is meant.

    Returns:
      bool [B, H, W], True in the hole.

    Raises:
      InputError: if x has no height and width.
    """
    del key
    x, level = _checked(centre, x, level)
    height, width = _sides(x)
    side = _side(x, level)

    def first(length: int) -> Array:
        return jnp.broadcast_to((length - side) // 2, (x.shape[0], 1))

    return _square(x, side, first(height), first(width))


def scattered(key: Array, x: Array, level: Array | float) -> Array:
    """Holes of one pixel, each with probability `level`, independently.

    Args:
      key: PRNG key.
      x: float [B, H, W, ...].
      level: scalar in [0, 1].

    Returns:
      bool [B, H, W], True in a hole.

    Raises:
      InputError: if x has no height and width.
    """
    x, level = _checked(scattered, x, level)
    return jax.random.bernoulli(key, level, (x.shape[0], *_sides(x)))


#: The corruptions by name.
CORRUPTIONS: Mapping[str, Corruption] = {
    "masking": masking,
    "gaussian_noise": gaussian_noise,
    "salt_and_pepper": salt_and_pepper,
    "occlusion": occlusion,
    "dropout": dropout,
    "heavy_tailed": heavy_tailed,
    "warped": warped,
}
#: The holes by name.
HOLES: Mapping[str, Hole] = {"block": block, "centre": centre, "scattered": scattered}
#: The levels that each makes sense at.
LEVELS: Mapping[Corruption | Hole, Domain] = {
    masking: FRACTION,
    gaussian_noise: NOT_NEGATIVE,
    salt_and_pepper: FRACTION,
    occlusion: FRACTION,
    dropout: BELOW_ONE,
    heavy_tailed: NOT_NEGATIVE,
    warped: FRACTION,
    inverted: FRACTION,
    block: FRACTION,
    centre: FRACTION,
    scattered: FRACTION,
}


def _checked(corruption: Corruption | Hole, x: Array, level: Array | float) -> tuple[Array, Array]:
    """x, and the level in x's dtype or, as its random numbers, in float32 at least."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise InputError(f"corruptions are for floats, got {x.dtype}; scale images to [0, 1]")
    levels = levels_of(corruption)
    if not isinstance(level, jax.core.Tracer) and level not in levels:
        raise InputError(f"the level of this corruption is {level}: use {levels}")
    return x, jnp.asarray(level, np.promote_types(x.dtype, np.float32))


def _sides(x: Array) -> tuple[int, int]:
    if x.ndim < 3:
        raise InputError(f"this takes images [B, H, W, ...], got {list(x.shape)}")
    return x.shape[1:3]


def _side(x: Array, level: Array) -> Array:
    """A hole's side in pixels, of a level of the image's shorter side."""
    shorter = min(_sides(x))
    return jnp.clip(jnp.round(level * shorter), 0, shorter).astype(jnp.int32)


def _square(x: Array, side: Array, top: Array, left: Array) -> Array:
    """Squares in images [B, H, W, ...], of upper left corners [B, 1]: bool [B, H, W]."""

    def covered(first: Array, length: int) -> Array:
        place = jnp.arange(length, dtype=jnp.int32)[None] - first
        return (place >= 0) & (place < side)

    height, width = _sides(x)
    return covered(top, height)[:, :, None] & covered(left, width)[:, None, :]
