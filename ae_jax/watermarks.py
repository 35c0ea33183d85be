"""Watermarks: stamps over images, how they come off again, and what many images tell of one.

y = (1 - alpha) x + alpha w. Of each pixel alpha is the opacity times the stamp's matte, between 0
and 1, and w the stamp's colour.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import FRACTION, NOT_NEGATIVE, Array, InputError

#: (key, image [H, W, C], opacity) -> the stamped image [H, W, C] and alpha [H, W, 1]
Stamper = Callable[[Array, Array, Array | float], tuple[Array, Array]]


def blend(x: Array, alpha: Array, colour: Array | float = 1.0) -> Array:
    """Images under a stamp.

    Args:
      x: float [..., H, W, C].
      alpha: [..., H, W, 1], or what is broadcast to it.
      colour: w, a number, [C], or what is broadcast to x.

    Returns:
      [..., H, W, C].

    Raises:
      InputError: if images are no floats, or alpha or the colour is not broadcast to them.

    Reference:
      Dekel, Rubinstein, Liu and Freeman, 2017, "On the effectiveness of visible watermarks",
      equations 1 and 2.
    """
    x = _floats(x)
    alpha, colour = _broad(alpha, x, "alpha"), _broad(colour, x, "the colour")
    return (1 - alpha) * x + alpha * colour


def unblend(y: Array, alpha: Array, colour: Array | float = 1.0) -> Array:
    """Images from under a stamp that is known: (y - alpha w) / (1 - alpha), cut off at 0 and 1.

    Where y was rounded to n levels, an error of half a level becomes one of 1 / (1 - alpha) halves.

    Args:
      y: float [..., H, W, C].
      alpha: as of `blend`.
      colour: likewise.

    Returns:
      [..., H, W, C].

    Raises:
      InputError: as `blend`; if alpha, where it is not traced, leaves 0 to below 1: nothing is seen
        under 1.

    Reference:
      Dekel et al., 2017, equation 3.
    """
    if not isinstance(alpha, jax.core.Tracer):
        least, most = float(np.min(alpha)), float(np.max(alpha))
        if not (least >= 0 and most < 1):
            raise InputError(
                f"alpha lies between {least:g} and {most:g}: a stamp comes off where that is 0 or "
                "more, and below 1"
            )
    y = _floats(y)
    alpha, colour = _broad(alpha, y, "alpha"), _broad(colour, y, "the colour")
    return jnp.clip((y - alpha * colour) / (1 - alpha), 0, 1)


def in_bytes(x: Array) -> Array:
    """Images in [0, 1] as files of 8 bits hold them."""
    return jnp.round(255 * jnp.clip(_floats(x), 0, 1)) * (1 / 255)


def fixed_stamp(
    stamped: Array, mean: Array | None = None, spread: Array | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What one stamp in one place is, told by many images with it whose contents are not known.

    E[y] = (1 - alpha) E[x] + alpha w and sd(y) = (1 - alpha) sd(x), of each pixel. Alpha is that
    of the least squared error over the channels; a pixel that is not covered has some as well, of
    the order of 1 / sqrt(N).

    Args:
      stamped: [N, H, W, C], y.
      mean: E[x], broadcast to [H, W, C]; where None, all pixels have that of most: the median over
        the pixels of the means of y, for stamps of less than half of an image.
      spread: sd(x), likewise.

    Returns:
      alpha [H, W, 1] and the colour [H, W, C], 0 where alpha is.

    Raises:
      InputError: if there are fewer than two images, or they do not differ.

    Reference:
      Dekel et al., 2017, section 3, of images instead of their gradients.
    """
    y = np.asarray(stamped, np.float64)
    if y.ndim != 4 or len(y) < 2:
        raise InputError(
            f"a stamp is told by images [N, H, W, C], two or more, got {list(y.shape)}"
        )
    level, deviation = y.mean(axis=0), y.std(axis=0)
    mean = np.median(level, axis=(0, 1)) if mean is None else np.asarray(mean, np.float64)
    spread = np.median(deviation, axis=(0, 1)) if spread is None else np.asarray(spread, np.float64)
    mean, spread = (np.broadcast_to(x, level.shape) for x in (mean, spread))
    power = np.sum(spread**2, axis=-1, keepdims=True)
    if not np.all(power > 0):
        raise InputError("the images do not differ, of which a stamp's alpha is told: take others")
    rest = np.clip(np.sum(deviation * spread, axis=-1, keepdims=True) / power, 0, 1)
    alpha = 1 - rest
    colour = np.where(alpha > 0, level - rest * mean, 0) / np.where(alpha > 0, alpha, 1)
    dtype = jnp.result_type(float)
    return alpha.astype(dtype), colour.astype(dtype)


def placed(
    matte: Array, shape: Sequence[int], centre: Array, scale: Array | float, turn: Array | float
) -> Array:
    """A matte laid into an image, by bilinear interpolation; it is 0 beyond its ends.

    Args:
      matte: float [h, w].
      shape: (H, W).
      centre: [2], the row and the column that the matte's middle comes to.
      scale: how many times as large it becomes.
      turn: in degrees, counter-clockwise.

    Returns:
      [H, W].
    """
    rows, columns = (
        jnp.arange(length, dtype=matte.dtype) - middle
        for length, middle in zip(shape, centre, strict=True)
    )
    angle = jnp.deg2rad(jnp.asarray(turn, matte.dtype))
    cos, sin = jnp.cos(angle) / scale, jnp.sin(angle) / scale
    down = (rows[:, None] * cos + columns[None] * sin).ravel() + (matte.shape[0] - 1) / 2
    along = (columns[None] * cos - rows[:, None] * sin).ravel() + (matte.shape[1] - 1) / 2

    def weights(at: Array, length: int) -> Array:
        """[P, length]: of each point's two neighbours 1 less their distance."""
        pixel = jnp.arange(length, dtype=matte.dtype)
        return jnp.maximum(1 - jnp.abs(at[:, None] - pixel[None]), 0)

    rows_of = jnp.matmul(weights(down, matte.shape[0]), matte, precision="highest")
    return jnp.sum(rows_of * weights(along, matte.shape[1]), axis=-1).reshape(*shape)


def stamper(
    mattes: Array,
    colour: Array | float = 1.0,
    *,
    scales: tuple[float, float] = (0.75, 1.0),
    turn: float = 15.0,
    least: float = 1.0,
) -> Stamper:
    """Returns what stamps an image at random.

    Which stamp, its size, angle and opacity, and the place are uniform; all of it lies in the
    image unless it is too large for that when turned. Images are rounded to 8 bits under a stamp,
    as files are: of exact ones a network would read more than there is.

    Args:
      mattes: float [K, h, w] in [0, 1], such as `data.stamps`.
      colour: a number, or [C].
      scales: the least and the largest size, in units of the matte's.
      turn: the largest angle, in degrees to either side.
      least: the least opacity, over the one that is asked for.

    Returns:
      The pure function. At opacity 0 it gives the image itself.

    Raises:
      InputError: if there are no mattes, or a number is out of its range; when called, if images
        are no floats [H, W, C], or smaller than a matte, or the opacity is out of its range.
    """
    mattes = _mattes(mattes)
    if not 0 < scales[0] <= scales[1] < np.inf:
        raise InputError(f"scales are the least and the largest, above 0: got {tuple(scales)}")
    for name, value, domain in (("turn", turn, NOT_NEGATIVE), ("least", least, FRACTION)):
        if value not in domain:
            raise InputError(f"{name} is {value!r}: use {domain}")
    sides = np.array(mattes.shape[1:])
    # XLA (CPU, jaxlib 0.10.2) sums a product with a constant of ones wrongly: that is none
    framed = np.pad(mattes, ((0, 0), (1, 1), (1, 1)))

    def stamp(key: Array, image: Array, opacity: Array | float) -> tuple[Array, Array]:
        image, shape = _stampable(image, opacity)
        if np.any(sides * scales[1] > shape):
            height, width = (int(side) for side in np.ceil(sides * scales[1]))
            raise InputError(
                f"stamps of {height}x{width} pixels are larger than images of "
                f"{shape[0]}x{shape[1]}: use smaller mattes, or larger images"
            )
        dtype = np.promote_types(image.dtype, np.float32)
        which, place, size, angle, strength = jax.random.split(key, 5)
        matte = jnp.asarray(framed, dtype)[jax.random.randint(which, (), 0, len(mattes))]
        scale = jax.random.uniform(size, (), dtype, *scales)
        degrees = jax.random.uniform(angle, (), dtype, -turn, turn)
        cos, sin = (jnp.abs(f(jnp.deg2rad(degrees))) for f in (jnp.cos, jnp.sin))
        ends = scale * jnp.stack([cos, sin, sin, cos]).reshape(2, 2) @ jnp.asarray(sides, dtype)
        whole = jnp.asarray(shape, dtype)
        offset = jax.random.uniform(place, (2,), dtype, -0.5, 0.5)
        centre = (whole - 1) / 2 + offset * jnp.maximum(whole - ends, 0)
        m = placed(matte, shape, centre, scale, degrees)[..., None]
        alpha = opacity * jax.random.uniform(strength, (), dtype, least, 1) * m
        return _over(image, alpha, colour), alpha

    return stamp


def overlay(pages: Array, colours: Sequence[float] = (0.0, 1.0)) -> Stamper:
    """Returns what lays a page over an image, such as text that goes on beyond its sides.

    Which page, which part of it, and which of the colours are uniform. Images are rounded to 8 bits
    under it.

    Args:
      pages: float [K, h, w] in [0, 1], mattes that are as large as an image, or larger.
      colours: numbers to choose from.

    Returns:
      The pure function. At opacity 0 it gives the image itself.

    Raises:
      InputError: if there are no pages, or no colours; when called, if images are no floats
        [H, W, C], or larger than a page, or the opacity is out of its range.
    """
    pages, shades = _mattes(pages), np.asarray(colours, np.float32)
    if shades.ndim != 1 or not shades.size:
        raise InputError("a page is laid over in one of some colours: give them, or one")

    def lay(key: Array, image: Array, opacity: Array | float) -> tuple[Array, Array]:
        (image, shape), whole = _stampable(image, opacity), pages.shape[1:]
        if np.any(np.array(shape) > whole):
            raise InputError(
                f"images of {shape[0]}x{shape[1]} pixels are larger than pages of "
                f"{whole[0]}x{whole[1]}: use larger pages, or smaller images"
            )
        dtype = np.promote_types(image.dtype, np.float32)
        keys = jax.random.split(key, 4)
        ends = len(pages), *(large - small + 1 for large, small in zip(whole, shape, strict=True))
        place = [jax.random.randint(k, (), 0, n) for k, n in zip(keys[:3], ends, strict=True)]
        part = jax.lax.dynamic_slice(jnp.asarray(pages, dtype), place, (1, *shape))[0, ..., None]
        alpha, shade = opacity * part, jax.random.choice(keys[3], jnp.asarray(shades, dtype))
        return _over(image, alpha, shade), alpha

    return lay


def _mattes(mattes: Array) -> np.ndarray:
    mattes = np.asarray(mattes)
    if mattes.ndim != 3 or not mattes.size or mattes.dtype.kind != "f":
        raise InputError(
            f"stamps are mattes, floats [K, h, w], one or more: got {mattes.dtype} "
            f"{list(mattes.shape)}"
        )
    if not (mattes.min() >= 0 and mattes.max() <= 1):
        raise InputError("a matte is between 0, where nothing is stamped, and 1")
    return mattes


def _stampable(image: Array, opacity: Array | float) -> tuple[Array, tuple[int, int]]:
    image = _floats(image)
    if not isinstance(opacity, jax.core.Tracer) and opacity not in FRACTION:
        raise InputError(f"the opacity of a stamp is {opacity}: use {FRACTION}")
    if image.ndim != 3:
        raise InputError(f"images [H, W, C] are stamped, got {list(image.shape)}")
    return image, image.shape[:2]


def _over(image: Array, alpha: Array, colour: Array | float) -> Array:
    """An image [H, W, C], and under alpha [H, W, 1] blended and rounded to 8 bits."""
    over = in_bytes(blend(image.astype(alpha.dtype), alpha, colour)).astype(image.dtype)
    return jnp.where(alpha > 0, over, image)


def _floats(x: Array) -> Array:
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise InputError(f"images under stamps are floats in [0, 1], got {x.dtype}: scale them")
    return x


def _broad(values: Array | float, x: Array, name: str) -> Array:
    """Values of as many axes, and of the type, as an image has."""
    values = jnp.asarray(values, x.dtype)
    places = zip(reversed(values.shape), reversed(x.shape), strict=False)
    if values.ndim > x.ndim or any(n not in (1, full) for n, full in places):
        raise InputError(
            f"{name} is {list(values.shape)} for images {list(x.shape)}: use a number, or an axis "
            "of 1 or of their length for each of their last axes"
        )
    return values.reshape((1,) * (x.ndim - values.ndim) + values.shape)
