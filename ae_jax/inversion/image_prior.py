"""The deep image prior: a network fitted to one image, whose structure is all that it knows."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import (
    BELOW_ONE,
    COUNT,
    NOT_NEGATIVE,
    Array,
    InputError,
    Network,
    require_function,
    require_networks,
)
from ae_jax.inversion.descent import check_rate, moved
from ae_jax.inversion.masks import known_pixels

#: The network's input is uniform noise up to this.
AMPLITUDE = 0.1


class Fitted(NamedTuple):
    """Images that networks were fitted to; `composed` puts the known pixels in them.

    Attributes:
      output: [B, H, W, C], the networks' last outputs.
      average: [B, H, W, C], the exponential averages of their outputs.
      best: [B, H, W, C], those averages when they were nearest to the pixels that were held out.
      best_step: int [B], after how many steps that was.
      trace: by name, [steps, B], mean squared errors of a number before each step: `loss` of the
        output on what it is fitted to, `held_out` of the average on what it is not; and where the
        truth was given, `output_error` and `average_error`, of unknown pixels, or of all where none
        is unknown.
    """

    output: Array
    average: Array
    best: Array
    best_step: Array
    trace: Mapping[str, Array]


def deep_image_prior(
    network: Network,
    steps: int,
    *,
    channels: int = 32,
    output: Callable[[Array], Array] = jax.nn.sigmoid,
    optimizer: optax.GradientTransformation | None = None,
) -> Callable[..., Fitted]:
    """Returns what fits a network to each image's known pixels, all images side by side.

    The network is given the same noise at every step, and a little more that is new. It learns
    what is regular in an image before it learns noise, so fitting must end in time: some of the
    known pixels are held out, and the best average is the one that comes nearest to them.

    Args:
      network: [1, H, W, channels] -> [1, H, W, C], such as `nets.hourglass(C)`.
      steps: how many; each has one pass.
      channels: of the noise.
      output: makes an image of what the network gives.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      (key, images [B, H, W, C], mask, rate=0.01, input_noise=0.03, decay=0.99, held_out=0.05,
      truth=None) -> Fitted, jitted, of which all numbers are traced: the deviation of the noise
      that is new, the part of the average that a step keeps, and the share of known pixels that
      are held out. The truth, images of the same shape, is measured and never learned from.

    Raises:
      InputError: if there are no steps or channels; when called, as `known_pixels`, if a number is
        out of its domain, if the truth is of another size, or the network gives other images.

    Reference:
      Ulyanov, Vedaldi and Lempitsky (2018), Deep Image Prior, equation 2 and section 3; held-out
      pixels are ours.
    """
    require_networks(network=network)
    require_function("jax.nn.sigmoid", output=output)
    for name, count in (("steps", steps), ("channels", channels)):
        if count not in COUNT:
            raise InputError(f"{name} of a deep image prior are {count!r}: use {COUNT}")
    optimizer = optax.scale_by_adam() if optimizer is None else optimizer

    def fit_one(
        key: Array, image: Array, known: Array, truth: Array | None, numbers: Mapping[str, Array]
    ) -> Fitted:
        init_key, input_key, held_key, key = jax.random.split(key, 4)
        shape, dtype = (1, *image.shape[:2], channels), image.dtype
        noise = jax.random.uniform(input_key, shape, dtype, maxval=AMPLITUDE)
        # a pixel is held out with all of its channels
        kept = jax.random.bernoulli(held_key, 1 - numbers["held_out"], (*image.shape[:2], 1))
        seen, held = known & kept, known & ~kept
        judged = ~known | jnp.all(known)

        def error(x: Array, where: Array) -> Array:
            total = jnp.sum(jnp.where(where, (x - image) ** 2, 0))
            return total / jnp.maximum(jnp.sum(where.astype(dtype)), 1)

        def loss(params: Any, x: Array) -> tuple[Array, Array]:
            made = output(network.apply(params, x))[0]
            return error(made, seen), made

        def step(carried: tuple, at: tuple[Array, Array]) -> tuple[tuple, dict[str, Array]]:
            params, state, _, average, best, least, best_step = carried
            place, key = at
            x = noise + numbers["input_noise"] * jax.random.normal(key, shape, dtype)
            (value, made), gradient = jax.value_and_grad(loss, has_aux=True)(params, x)
            params, state = moved(optimizer, gradient, state, params, numbers["rate"])
            kept = jnp.where(place > 0, numbers["decay"], 0)  # the first output is all there is
            average = kept * average + (1 - kept) * made
            reported = {"loss": value, "held_out": error(average, held)}
            better = (reported["held_out"] < least) | ~jnp.any(held)  # the last, if none is held
            best, least, best_step = (
                jnp.where(better, new, old)
                for new, old in ((average, best), (reported["held_out"], least), (place, best_step))
            )
            if truth is not None:
                for name, x in (("output", made), ("average", average)):
                    reported[f"{name}_error"] = jnp.mean((x - truth) ** 2, where=judged)
            return (params, state, made, average, best, least, best_step), reported

        params = network.init(init_key, noise)
        nothing = jnp.zeros_like(image)
        start = (nothing, nothing, nothing, jnp.asarray(jnp.inf, dtype), jnp.int32(0))
        carried = (params, optimizer.init(params), *start)
        places = jnp.arange(steps, dtype=jnp.int32), jax.random.split(key, steps)
        (*_, made, average, best, _, best_step), trace = jax.lax.scan(step, carried, places)
        return Fitted(made, average, best, best_step, trace)

    @jax.jit
    def fitted(
        key: Array, images: Array, known: Array, truth: Array | None, numbers: Mapping[str, Array]
    ) -> Fitted:
        numbers = {name: jnp.asarray(number, images.dtype) for name, number in numbers.items()}
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(len(images)))
        # as many errors as there are steps, of each image
        axes = Fitted(0, 0, 0, 0, 1)
        fit = jax.vmap(fit_one, (0, 0, 0, None if truth is None else 0, None), axes)
        return fit(keys, images, known, truth, numbers)

    def fit(
        key: Array,
        images: Array,
        mask: Array,
        rate: Array | float = 0.01,
        input_noise: Array | float = 0.03,
        decay: Array | float = 0.99,
        held_out: Array | float = 0.05,
        truth: Array | None = None,
    ) -> Fitted:
        check_rate(rate)
        images = jnp.asarray(images)
        known = known_pixels(images, mask)
        numbers = {"input_noise": input_noise, "decay": decay, "held_out": held_out}
        for name, number in numbers.items():
            domain = NOT_NEGATIVE if name == "input_noise" else BELOW_ONE
            if not isinstance(number, jax.core.Tracer) and number not in domain:
                raise InputError(f"{name} of a deep image prior is {number}: use {domain}")
        if truth is not None:
            truth = jnp.asarray(truth)
            if truth.shape != images.shape or not jnp.issubdtype(truth.dtype, jnp.floating):
                raise InputError(
                    f"images are {images.dtype} {list(images.shape)}, and their truth "
                    f"{truth.dtype} {list(truth.shape)}: use floats of the same size"
                )
        noise = jax.ShapeDtypeStruct((1, *images.shape[1:3], channels), images.dtype)
        params = jax.eval_shape(network.init, key, noise)
        made = jax.eval_shape(network.apply, params, noise).shape
        if made != (1, *images.shape[1:]):
            raise InputError(
                f"the network gives {list(made)} for images {[1, *images.shape[1:]]}: use as many "
                "outputs as they have channels"
            )
        truth = None if truth is None else jnp.asarray(truth, images.dtype)
        return fitted(key, images, known, truth, {"rate": rate, **numbers})

    return fit
