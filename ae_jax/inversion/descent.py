"""Images, or latents, found by descending an objective; of images, with known pixels kept."""

from collections.abc import Callable
from numbers import Integral
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax.core import NOT_NEGATIVE, Array, InputError
from ae_jax.inversion.masks import composed, known_pixels, mean_of_known
from ae_jax.inversion.objectives import Objective


class Found(NamedTuple):
    """What a descent comes to.

    Attributes:
      x: [B, ...].
      trace: the objective at the start and after every step, [steps + 1, B]; [steps + 1] where it
        is one number for all.
    """

    x: Array
    trace: Array


def descent(
    objective: Objective,
    steps: int,
    *,
    optimizer: optax.GradientTransformation | None = None,
    project: Callable[[Array], Array] | None = None,
) -> Callable[[Array, Array, Array | float], Found]:
    """Returns what descends an objective from where it is told to start, as one compiled program.

    Examples do not depend on each other where the optimizer works number by number, as Adam does,
    and the objective draws nothing. What is climbed is minus the objective. What the objective
    closes over may be traced by a `jax.jit` around both calls: numbers, and a model's parameters.

    Args:
      objective: (key, x [B, ...]) -> [B], or a scalar; the sum is lowered. Each step has a key of
        its own.
      steps: how many; none returns the start.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None, and `optax.identity()` for
        the gradient itself. A schedule of the step's size belongs here, as a factor.
      project: x -> x, the nearest that is allowed, after every step; all is where None.

    Returns:
      (key, start [B, ...], rate) -> Found, jitted, of which the rate, a scalar, is traced.

    Raises:
      InputError: if steps is no whole number, 0 or more; when called, if the start has no floats,
        or the rate is not finite, and 0 or more.
    """
    check_steps(steps)
    optimizer = optax.scale_by_adam() if optimizer is None else optimizer
    project = (lambda x: x) if project is None else project

    def valued(x: Array, key: Array) -> tuple[Array, Array]:
        value = objective(key, x)
        return jnp.sum(value), value

    def descend(key: Array, start: Array, rate: Array | float) -> Found:
        check_rate(rate)
        return descended(key, start, rate)

    @jax.jit
    def descended(key: Array, start: Array, rate: Array | float) -> Found:
        start = jnp.asarray(start)
        if not jnp.issubdtype(start.dtype, jnp.floating):
            raise InputError(f"a descent starts from floats, got {start.dtype}")

        def step(carried: tuple, step_key: Array) -> tuple[tuple, Array]:
            x, state = carried
            (_, value), gradient = jax.value_and_grad(valued, has_aux=True)(x, step_key)
            x, state = moved(optimizer, gradient, state, x, rate)
            return (project(x), state), value

        keys = jax.random.split(key, steps + 1)
        (x, _), trace = jax.lax.scan(step, (start, optimizer.init(start)), keys[1:])
        return Found(x, jnp.concatenate([trace, objective(keys[0], x)[None]]))

    return descend


def inpainting(
    objective: Objective,
    steps: int,
    *,
    low: float | None = 0.0,
    high: float | None = 1.0,
    optimizer: optax.GradientTransformation | None = None,
) -> Callable[..., Found]:
    """Returns what fills images by descending an objective of the whole image.

    The objective sees known pixels as they are, and only the others move: no weight says how much
    the known ones count.

    Args:
      objective: (key, images [B, H, W, C]) -> [B], or a scalar.
      steps: how many.
      low: the least value of a filled pixel; None for no bound.
      high: the largest.
      optimizer: as for `descent`.

    Returns:
      (key, images [B, H, W, C], mask, rate, start=None) -> Found. The mask is as for
      `known_pixels`, the start [B, H, W, C]: the mean of each image's known pixels where None.
      Known pixels of what is found are those of the images, bit for bit.

    Raises:
      InputError: as `descent`; if low is not below high; when called, as `known_pixels`, or if the
        start has another shape.

    Reference:
      Mahendran and Vedaldi (2015), Understanding Deep Image Representations by Inverting Them,
      equation 1, with known pixels for the representation.
    """
    check_steps(steps)
    if low is not None and high is not None and not low < high:
        raise InputError(f"filled pixels are from {low} to {high}: the first must be below")

    def clip(x: Array) -> Array:
        return x if low is None and high is None else jnp.clip(x, low, high)

    @jax.jit
    def filled(key: Array, images: Array, known: Array, rate: Array | float, start: Array) -> Found:
        def whole(key: Array, x: Array) -> Array:
            return objective(key, jnp.where(known, images, x))

        found = descent(whole, steps, optimizer=optimizer, project=clip)(key, start, rate)
        return found._replace(x=jnp.where(known, images, found.x))

    def fill(
        key: Array, images: Array, mask: Array, rate: Array | float, start: Array | None = None
    ) -> Found:
        check_rate(rate)
        images = jnp.asarray(images)
        known = known_pixels(images, mask)
        start = mean_of_known(images, known) if start is None else start
        return filled(key, images, known, rate, composed(images, known, start))

    return fill


def moved(
    optimizer: optax.GradientTransformation,
    gradient: optax.Updates,
    state: optax.OptState,
    x: optax.Params,
    rate: Array | float,
) -> tuple[optax.Params, optax.OptState]:
    """Takes one step of a descent, of arrays in any pytree: x, and the optimizer's state."""
    with jax.numpy_dtype_promotion("standard"):  # optax mixes counts with floats
        direction, state = optimizer.update(gradient, state, x)
    return jax.tree.map(lambda x, d: x - jnp.asarray(rate, x.dtype) * d, x, direction), state


def check_rate(rate: Array | float) -> None:
    """Raises InputError where the rate of a descent, unless it is traced, is not allowed."""
    if not isinstance(rate, jax.core.Tracer) and (
        isinstance(rate, str) or np.ndim(rate) or rate not in NOT_NEGATIVE
    ):
        raise InputError(f"the rate of a descent is {rate}: use one number, {NOT_NEGATIVE}")


def check_steps(steps: int) -> None:
    """Raises InputError where there can be no such number of steps."""
    if not isinstance(steps, Integral) or steps < 0:
        raise InputError(f"steps of a descent are {steps!r}: use a whole number, 0 or more")
