"""How a descent of images goes: by what gradients are turned into, and where it may not leave."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax.core import NOT_NEGATIVE, Array, InputError, require


def normalised_gradient() -> optax.GradientTransformation:
    """A direction whose numbers are 1 in their mean size, of each example on its own.

    So a rate is how much a pixel moves in a step, whatever layer is emphasised, and at every scale
    of octaves. Where a gradient is 0 nothing moves.

    Returns:
      g [B, ...] -> g / mean|g|, the mean over an example's numbers.

    Reference:
      Mordvintsev, Olah and Tyka (2015), Inceptionism; the step of their code.
    """

    def normalised(gradient: Array) -> Array:
        axes = tuple(range(1, gradient.ndim))
        size = jnp.mean(jnp.abs(gradient), axis=axes, keepdims=True)
        return jnp.where(size > 0, gradient / jnp.where(size > 0, size, 1), 0)

    return optax.stateless(lambda updates, params: jax.tree.map(normalised, updates))


def fourier(
    optimizer: optax.GradientTransformation | None = None, decay: float = 1.0
) -> optax.GradientTransformation:
    """Optimises the spectrum of images in place of their pixels, high frequencies less.

    An image is x = H S p, of a spectrum p as large as it is: H is the orthonormal Hartley
    transform (the Fourier transform in real numbers, its own inverse), S scales p as most images'
    spectra fall, as 1/f. What is found is what a descent of p finds, without one having to know p:
    the direction of x is H S d, where d is that of p, by its gradient S H g.

    Args:
      optimizer: gives the direction of the spectrum; the gradient itself where None.
      decay: the power of 1/f, relative to the lowest frequency there is; 0 for a spectrum as it is.

    Returns:
      What gives the direction of images [B, H, W, C].

    Raises:
      InputError: if the decay is negative; when used, if images have another rank.

    Reference:
      Olah, Mordvintsev and Schubert (2017), Feature Visualization, "Preconditioning and
      Parameterization".
    """
    require(NOT_NEGATIVE, decay=decay)
    optimizer = optax.identity() if optimizer is None else optimizer

    def scaled(spectrum: Array) -> Array:
        return spectrum * _falling(spectrum.shape, decay).astype(spectrum.dtype)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        spectra = jax.tree.map(lambda x: scaled(hartley(x)), updates)
        directions, state = optimizer.update(spectra, state)
        return jax.tree.map(lambda x: hartley(scaled(x)), directions), state

    return optax.GradientTransformation(optimizer.init, update)


def hartley(images: Array) -> Array:
    """The orthonormal Hartley transform of rows and columns, which is its own inverse.

    Args:
      images: [B, H, W, C].

    Returns:
      [B, H, W, C], the sum over pixels of x (cos + sin)(2 pi (k i / H + l j / W)) / sqrt(H W) at
      the frequencies k, l.

    Raises:
      InputError: if images have another rank.
    """
    if images.ndim != 4:
        raise InputError(f"a spectrum is of images [B, H, W, C], got {list(images.shape)}")
    spectrum = jnp.fft.fft2(images, axes=(1, 2), norm="ortho")
    return spectrum.real - spectrum.imag


def _falling(shape: tuple[int, ...], decay: float) -> Array:
    """(lowest / f)^decay, [1, H, W, 1], where the mean and all below the lowest count as that."""
    height, width = shape[1:3]
    rows, columns = jnp.fft.fftfreq(height), jnp.fft.fftfreq(width)
    frequency = jnp.sqrt(rows[:, None] ** 2 + columns[None, :] ** 2)
    lowest = 1 / max(height, width)
    return ((lowest / jnp.maximum(frequency, lowest)) ** decay)[None, :, :, None]


def ball(radius: Array | float, centre: Array | None = None) -> Callable[[Array], Array]:
    """Returns the projection onto balls, of each example on its own: a descent's `project`.

    Args:
      radius: the largest Euclidean distance, a scalar or [B]; may be traced.
      centre: [B, ...]; 0 where None.

    Returns:
      x [B, ...] -> the nearest points in the balls.

    Raises:
      InputError: if the radius is negative.
    """
    _check_radius(radius)

    def project(x: Array) -> Array:
        away = x if centre is None else x - centre
        far = jnp.sqrt(jnp.sum(away**2, axis=tuple(range(1, x.ndim)), keepdims=True))
        most = _radii(radius, x)
        inside = far <= most
        nearest = away * (most / jnp.where(inside, 1, far))
        return jnp.where(inside, x, nearest if centre is None else centre + nearest)

    return project


def most_exciting(slopes: Array, radius: Array | float, centre: Array | None = None) -> Array:
    """Where in balls linear functions are largest: what excites units of a first layer most.

    That holds of whatever increases with the function too, such as a unit behind its activation
    function. It is where an ascent ends that `ball` keeps inside.

    Args:
      slopes: w [B, ...], weights of a unit each.
      radius: r, as of `ball`.
      centre: c [B, ...]; 0 where None.

    Returns:
      c + r w / |w|, [B, ...], and c where w is 0.

    Raises:
      InputError: as `ball`.

    Reference:
      Ng (2011), Sparse Autoencoder (CS294A lecture notes), section 4, for a radius of 1.
    """
    _check_radius(radius)
    axes = tuple(range(1, slopes.ndim))
    length = jnp.sqrt(jnp.sum(slopes**2, axis=axes, keepdims=True))
    unit = slopes / jnp.where(length > 0, length, 1)
    away = unit * _radii(radius, slopes)
    return away if centre is None else centre + away


def _radii(radius: Array | float, x: Array) -> Array:
    """A scalar or [B] as [1 or B, 1, ...], in x's type."""
    return jnp.asarray(radius, x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def _check_radius(radius: Array | float) -> None:
    if not isinstance(radius, jax.core.Tracer) and np.min(radius) not in NOT_NEGATIVE:
        raise InputError(f"the radius of a ball is {radius}: use {NOT_NEGATIVE}")
