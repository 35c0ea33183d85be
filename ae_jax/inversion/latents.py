"""Filling images by the search for a latent whose generated image agrees with what is known."""

from collections.abc import Callable
from numbers import Integral

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax.core import POSITIVE, Array, InputError, require
from ae_jax.inversion.descent import Found, check_rate, check_steps, descent
from ae_jax.inversion.masks import known_pixels
from ae_jax.inversion.objectives import Objective, weighted
from ae_jax.probability._examples import sum_dimensions

#: The window and the weight of the prior that Yeh et al. (2017) use.
WINDOW, REALISM = 7, 0.003


def context_weights(known: Array, window: int = WINDOW) -> Array:
    """How much each known pixel counts: by the share of unknown ones around it.

    Args:
      known: bool [B, H, W, C], of `known_pixels`.
      window: the side of the square around a pixel, odd; what of it lies beyond the edge is known.

    Returns:
      [B, H, W, C] in [0, 1): the unknown pixels in the window, over all that are in it and the
      image, but for the pixel itself; 0 where a pixel is unknown, or far from any that is.

    Raises:
      InputError: if the window is no odd number above 1, or what is known no bool of four axes.

    Reference:
      Yeh et al. (2017), Semantic Image Inpainting with Deep Generative Models, equation 4.
    """
    if jnp.ndim(known) != 4 or known.dtype != bool:
        raise InputError(f"known is bool [B, H, W, C], got {known.dtype} {list(known.shape)}")
    if not isinstance(window, Integral) or window < 3 or window % 2 == 0:
        raise InputError(f"a window of {window} pixels a side has no middle: use 3, 5, 7, ...")
    reach, dtype = window // 2, jnp.result_type(float)

    def within(length: int) -> np.ndarray:
        place = np.arange(length)
        return np.minimum(place + reach, length - 1) - np.maximum(place - reach, 0) + 1

    unknown = jax.lax.reduce_window(
        (~known).astype(dtype),
        np.zeros((), dtype),
        jax.lax.add,
        (1, window, window, 1),
        (1, 1, 1, 1),
        "SAME",
    )
    neighbours = np.outer(within(known.shape[1]), within(known.shape[2])) - 1
    share = unknown / np.maximum(neighbours, 1).astype(dtype)[None, :, :, None]
    return jnp.where(known, share, 0)


def context_error(
    images: Array, mask: Array, generate: Callable[[Array], Array], window: int | None = WINDOW
) -> Objective:
    """How far generated images are from what is known: |W (G(z) - y)|, summed over pixels.

    Args:
      images: y [B, H, W, C].
      mask: as for `known_pixels`.
      generate: G, latents [B, Z] -> [B, H, W, C].
      window: of `context_weights`; None for a weight of 1 of every known pixel.

    Returns:
      (key, latents [B, Z]) -> [B].

    Raises:
      InputError: as `known_pixels` and `context_weights`; when called, if what is generated is of
        another size.

    Reference:
      Yeh et al. (2017), equation 5.
    """
    images, known = jnp.asarray(images), known_pixels(images, mask)
    weights = context_weights(known, window) if window else known
    weights = weights.astype(images.dtype)

    def error(key: Array, z: Array) -> Array:
        gap = jnp.where(known, _generated(generate, z, images) - images, 0)
        return sum_dimensions(weights * jnp.abs(gap))

    return error


def squared_context_error(
    images: Array, mask: Array, generate: Callable[[Array], Array], deviation: Array | float = 1.0
) -> Objective:
    """Minus log p(y | z) of the known pixels, for noise of one deviation, without its constant.

    With half of |z|^2 beside it, the minimum is the most probable latent of a decoder with
    Gaussian noise and a standard normal prior.

    Args:
      images: y [B, H, W, C].
      mask: as for `known_pixels`.
      generate: latents [B, Z] -> [B, H, W, C].
      deviation: of the noise; may be traced.

    Returns:
      (key, latents [B, Z]) -> [B], nats.

    Raises:
      InputError: as `known_pixels`; if the deviation is not above 0; when called, if what is
        generated is of another size.
    """
    images, known = jnp.asarray(images), known_pixels(images, mask)
    if not isinstance(deviation, jax.core.Tracer) and deviation not in POSITIVE:
        raise InputError(f"the deviation of the noise is {deviation}: use {POSITIVE}")

    def error(key: Array, z: Array) -> Array:
        gap = jnp.where(known, _generated(generate, z, images) - images, 0)
        return sum_dimensions(gap**2) / (2 * jnp.asarray(deviation, gap.dtype) ** 2)

    return error


def _generated(generate: Callable[[Array], Array], z: Array, images: Array) -> Array:
    """What is generated, of the size of the images."""
    made = generate(z)
    if made.shape != images.shape:
        raise InputError(
            f"images are {list(images.shape)}, and of latents {list(z.shape)} are generated "
            f"{list(made.shape)}: use images of the generator's size"
        )
    return made


def realism(logits: Callable[[Array], Array], generate: Callable[[Array], Array]) -> Objective:
    """log(1 - D(G(z))), which is low where a discriminator takes generated images for real.

    Args:
      logits: of "real", images [B, ...] -> [B, ...], of which the mean is taken.
      generate: latents [B, Z] -> [B, ...].

    Returns:
      (key, latents [B, Z]) -> [B], nats.

    Reference:
      Yeh et al. (2017), equation 6.
    """

    def objective(key: Array, z: Array) -> Array:
        judged = logits(generate(z))
        # log(1 - sigmoid(l)) = -log(1 + exp(l))
        return -jnp.mean(jax.nn.softplus(judged).reshape(len(judged), -1), axis=1)

    return objective


def normal_prior(key: Array, latents: Array) -> Array:
    """An Objective: half of a latent's squared length, [B].

    That is minus its log-density under a standard normal prior, in nats, but for a constant.
    """
    del key
    return sum_dimensions(latents**2) / 2


def latent_search(
    generate: Callable[[Array], Array],
    steps: int,
    *,
    objective: Callable[[Array, Array], Objective] | None = None,
    logits: Callable[[Array], Array] | None = None,
    bound: float | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> Callable[..., Found]:
    """Returns what searches latents whose generated images agree with the known pixels.

    Args:
      generate: latents [B, Z] -> images [B, H, W, C].
      steps: of each descent.
      objective: (images, mask) -> what latents are to lower; that of Yeh et al. where None: the
        error in the context of the hole, and 0.003 of the discriminator's log(1 - D(G(z))).
      logits: of "real", of the discriminator; None for the error alone.
      bound: numbers of a latent are kept in [-bound, bound]; None for no bound.
      optimizer: as for `descent`.

    Returns:
      (key, images, mask, starts [R, B, Z], rate) -> Found: of each image the best of R latents,
      [B, Z], and the trace of its descent. `fills.poisson(images, mask, generate(found.x))` is the
      filled image, `composed(images, mask, generate(found.x))` that without blending.

    Raises:
      InputError: as `descent`, or if the bound is not above 0; when called, as `known_pixels`, or
        if the starts or the generated images do not fit.

    Reference:
      Yeh et al. (2017), Semantic Image Inpainting with Deep Generative Models, section 3.
    """

    def of_yeh(images: Array, mask: Array) -> Objective:
        error = context_error(images, mask, generate)
        return (
            error
            if logits is None
            else weighted((error, 1.0), (realism(logits, generate), REALISM))
        )

    check_steps(steps)
    if bound is not None:
        require(POSITIVE, bound=bound)
    build = of_yeh if objective is None else objective
    clip = None if bound is None else lambda z: jnp.clip(z, -bound, bound)

    @jax.jit
    def searched(key: Array, images: Array, known: Array, starts: Array, rate: Array) -> Found:
        again = len(starts)
        images, known = (jnp.tile(x, (again, 1, 1, 1)) for x in (images, known))
        search = descent(build(images, known), steps, optimizer=optimizer, project=clip)
        found = search(key, starts.reshape(len(images), -1), rate)
        trace = found.trace.reshape(len(found.trace), again, -1)
        # what has diverged is worse than all others
        best = jnp.argmin(jnp.where(jnp.isnan(trace[-1]), jnp.inf, trace[-1]), axis=0)
        latents = jnp.take_along_axis(found.x.reshape(starts.shape), best[None, :, None], axis=0)
        return Found(latents[0], jnp.take_along_axis(trace, best[None, None], axis=1)[:, 0])

    def search(key: Array, images: Array, mask: Array, starts: Array, rate: Array | float) -> Found:
        check_rate(rate)
        images, starts = jnp.asarray(images), jnp.asarray(starts)
        known = known_pixels(images, mask)
        if starts.ndim != 3 or starts.shape[1] != len(images) or not starts.size:
            raise InputError(
                f"starts are latents [R, {len(images)}, Z], R for each image; got "
                f"{list(starts.shape)}"
            )
        return searched(key, images, known, starts, rate)

    return search
