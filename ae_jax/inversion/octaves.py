"""Images that emphasise what a network sees in them, from coarse to fine: hallucinations."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax.errors import FlaxError

from ae_jax.core import COUNT, WHOLE, Array, Domain, InputError, require
from ae_jax.inversion.descent import Found, check_rate, check_steps, clipped, descent
from ae_jax.inversion.directions import normalised_gradient
from ae_jax.inversion.objectives import Objective


def octaves(
    objective: Objective,
    steps: int,
    *,
    count: int = 4,
    ratio: float = 1.4,
    low: float | None = 0.0,
    high: float | None = 1.0,
    optimizer: optax.GradientTransformation | None = None,
) -> Callable[[Array, Array, Array | float], Found]:
    """Returns what descends an objective of images at several scales, from the smallest on.

    A scale starts from the image in its size, and what the scale before has changed of it, made
    larger. That is the enlarged result of the scale before with the detail put back that the
    smaller image had lost, so that nothing but what was descended differs from the image.

    Args:
      objective: (key, x [B, h, w, C]) -> [B], or a scalar, of images of every scale; `resized`
        makes one of an objective that takes a single size.
      steps: of each scale; none returns the images bit for bit.
      count: of scales; none likewise.
      ratio: of one scale's sides to those of the one before, which are rounded.
      low: the least value of a pixel; None for no bound.
      high: the largest.
      optimizer: as for `descent`, begun anew at each scale; `normalised_gradient()` where None.

    Returns:
      (key, images [B, H, W, C], rate) -> Found, of which the trace is [count, steps + 1, B], or
      [count, steps + 1] where the objective is one number, from the smallest scale on.

    Raises:
      InputError: a number that makes no scales; when called, if images are no floats of that rank
        or would have no pixels, the rate is negative, or the objective does not take images of a
        scale's size.

    Reference:
      Mordvintsev, Olah and Tyka (2015), Inceptionism, "iterations", and their code's octaves.
    """
    check_steps(steps)
    require(WHOLE, count=count)
    require(Domain(1, low_open=True), ratio=ratio)
    clip = clipped(low, high)
    optimizer = normalised_gradient() if optimizer is None else optimizer
    climb = descent(objective, steps, optimizer=optimizer, project=clip)

    @jax.jit
    def dreamt(key: Array, images: Array, rate: Array | float) -> Found:
        x, traces = images, []
        changed = jnp.zeros((len(images), 1, 1, images.shape[3]), images.dtype)
        for place, size in enumerate(sizes(images.shape[1:3])):
            own = images if size == images.shape[1:3] else resize(images, size)
            x, trace = climb(jax.random.fold_in(key, place), own + resize(changed, size), rate)
            changed = x - own
            traces.append(trace)
        return Found(x, jnp.stack(traces))

    def sizes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [
            tuple(round(side / ratio**above) for side in shape) for above in reversed(range(count))
        ]

    def dream(key: Array, images: Array, rate: Array | float) -> Found:
        images = jnp.asarray(images)
        if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
            raise InputError(
                f"images must be floats [B, H, W, C], got {images.dtype} {list(images.shape)}"
            )
        check_rate(rate)
        if not count:
            value = jax.eval_shape(objective, key, images)
            return Found(images, jnp.zeros((0, steps + 1, *value.shape), value.dtype))
        whole = images.shape[1:3]  # first: what is refused of these is refused for another reason
        for size in (whole, *sizes(whole)):
            seen = f"{size[0]}x{size[1]}, a scale of images {images.shape[1]}x{images.shape[2]}"
            if not all(size):
                raise InputError(f"there are no images of {seen}: use fewer scales")
            shown = jax.ShapeDtypeStruct((len(images), *size, images.shape[3]), images.dtype)
            try:
                jax.eval_shape(objective, key, shown)
            except (FlaxError, InputError, TypeError, ValueError) as error:
                if size is whole and isinstance(error, InputError):
                    raise
                raise InputError(
                    f"the objective does not take images of {seen}: use a layer in front of all "
                    f"dense ones, or resized(objective, size) ({str(error).splitlines()[0]})"
                ) from error
        return dreamt(key, images, rate)

    return dream


def resize(images: Array, size: tuple[int, int]) -> Array:
    """Images of another size, linear in them, by triangles that are as wide as pixels become.

    Args:
      images: [B, H, W, C].
      size: (h, w).

    Returns:
      [B, h, w, C].
    """
    return jax.image.resize(images, (len(images), *size, images.shape[3]), "linear")


def resized(objective: Objective, size: tuple[int, int]) -> Objective:
    """An objective that sees images in one size, such as of a network with dense layers.

    Args:
      objective: (key, x [B, h, w, C]) -> [B].
      size: (h, w).

    Returns:
      (key, x [B, H, W, C]) -> [B], of any H and W.

    Raises:
      InputError: if that is no size.
    """
    height, width = size
    require(COUNT, height=height, width=width)
    return lambda key, x: objective(key, resize(x, (height, width)))


def rolled(images: Array, shift: Array) -> Array:
    """Images moved down and to the right, of which what leaves comes in on the other side.

    Args:
      images: [B, H, W, C].
      shift: int [2], rows and columns, of any sign; that of -shift is the inverse.

    Returns:
      [B, H, W, C].
    """
    return jnp.roll(images, shift, axis=(1, 2))


def jittered(objective: Objective, reach: int) -> Objective:
    """An objective that sees images rolled, by another shift at every step.

    Its gradient is rolled back, so that a step is what one of rolled images would be. What depends
    on where a network's strides lie averages out.

    Args:
      objective: (key, x [B, H, W, C]) -> [B].
      reach: the most pixels, in rows and in columns, to either side; all images roll alike.

    Returns:
      (key, x [B, H, W, C]) -> [B].

    Raises:
      InputError: if that is no number of pixels.

    Reference:
      Mordvintsev, Olah and Tyka (2015), the jitter of their code.
    """
    require(WHOLE, reach=reach)

    def moved(key: Array, x: Array) -> Array:
        shift_key, key = jax.random.split(key)
        shift = jax.random.randint(shift_key, (2,), -reach, reach + 1, jnp.int32)
        return objective(key, rolled(x, shift))

    return moved
