"""Corruptions: what a denoising autoencoder undoes, and what spoils training data.

Each is a pure function (key, x [B, ...], level) -> x of the same shape and dtype. The level may
be traced, so that one program sweeps it, and at level 0 x comes back exactly. A level that is
not traced is refused where it is out of range. Random numbers are drawn in float32 at least.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Dataset, InputError
from ae_jax.data.content import derived, digest_of_arrays
from ae_jax.data.stored import scaled

#: (key, x [B, ...], level) -> x [B, ...]
Corruption = Callable[[Array, Array, Array | float], Array]
#: Degrees of freedom of `heavy_tailed`: a finite mean, and no variance.
DEGREES_OF_FREEDOM = 1.5
#: Examples that `contaminate` holds on the device at a time.
CHUNK = 1000


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
    x, level = _checked(x, level, largest=1)
    return jnp.where(jax.random.bernoulli(key, level, x.shape), 0, x)


def dropout(key: Array, x: Array, level: Array | float) -> Array:
    """Masking, with the numbers that are left divided by 1 - level, so that the mean is x.

    Args:
      key: PRNG key.
      x: float [B, ...].
      level: scalar in [0, 1]; at 1 everything is 0.

    Returns:
      [B, ...].

    Reference:
      Srivastava et al., 2014, "Dropout", section 10 (scaled in training).
    """
    x, level = _checked(x, level, largest=1)
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
    x, level = _checked(x, level)
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
    x, level = _checked(x, level)
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
    x, level = _checked(x, level, largest=1)
    uniform = jax.random.uniform(key, x.shape, level.dtype)
    spoiled = jnp.where(uniform < level / 2, jnp.zeros_like(x), jnp.ones_like(x))
    return jnp.where(uniform < level, spoiled, x)


def occlusion(key: Array, x: Array, level: Array | float) -> Array:
    """Sets one square block of each image to 0, at a place drawn uniformly.

    Args:
      key: PRNG key.
      x: float [B, H, W, ...].
      level: scalar in [0, 1]: the block's side over the image's shorter side, rounded to
        pixels.

    Returns:
      [B, H, W, ...].

    Raises:
      InputError: if x has no height and width.
    """
    x, level = _checked(x, level, largest=1)
    if x.ndim < 3:
        raise InputError(f"occlusion needs images [B, H, W, ...], got {list(x.shape)}")
    height, width = x.shape[1:3]
    shorter = min(height, width)
    side = jnp.clip(jnp.round(level * shorter), 0, shorter).astype(jnp.int32)

    def covered(key: Array, length: int) -> Array:
        first = jax.random.randint(key, (x.shape[0], 1), 0, length - side + 1, jnp.int32)
        place = jnp.arange(length, dtype=jnp.int32)[None] - first
        return (place >= 0) & (place < side)

    row_key, column_key = jax.random.split(key)
    block = covered(row_key, height)[:, :, None] & covered(column_key, width)[:, None, :]
    return jnp.where(block.reshape(*block.shape, *[1] * (x.ndim - 3)), 0, x)


#: The corruptions by name.
CORRUPTIONS: Mapping[str, Corruption] = {
    "masking": masking,
    "gaussian_noise": gaussian_noise,
    "salt_and_pepper": salt_and_pepper,
    "occlusion": occlusion,
    "dropout": dropout,
    "heavy_tailed": heavy_tailed,
}


def contaminate(
    key: Array,
    dataset: Dataset,
    corruption: Corruption,
    level: Array | float,
    fraction: float = 1.0,
) -> Dataset:
    """Corrupts some of a data set's images once and for all.

    A denoising autoencoder gets a fresh corruption of clean data at every step; here the
    clean images are lost, as they are where the data were spoiled before one had them.

    Args:
      key: PRNG key, which picks the examples and corrupts them.
      dataset: any with images; rendered ones are drawn and stored, so take a `subset` of
        many first.
      corruption: one of `CORRUPTIONS`, or one of your own.
      level: the corruption's.
      fraction: of the examples, in [0, 1]; that of `size` is rounded.

    Returns:
      A Dataset whose images lie on the host as floats: corrupted ones as the corruption
      leaves them, in [0, 1] or not, and the others unchanged.

    Raises:
      InputError: the data set has no images, or the fraction or the level is out of range.
    """
    if "image" not in dataset.spec:
        raise InputError(f"contaminate needs images; the data set has {', '.join(dataset.spec)}")
    if not 0 <= fraction <= 1:
        raise InputError(f"the fraction of contaminated examples is {fraction:g}; use 0 to 1")
    image = jax.ShapeDtypeStruct((1, *dataset.spec["image"].shape), jnp.result_type(float))
    jax.eval_shape(lambda key, x: corruption(key, x, level), key, image)  # may refuse the level
    choice_key, noise_key = jax.random.split(key)
    everything = np.arange(dataset.size, dtype=np.int32)
    batches = [
        jax.device_get(dict(dataset.fetch(dataset.arrays, rows))) for rows in _chunks(everything)
    ]
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    order = np.asarray(jax.random.permutation(choice_key, dataset.size))
    chosen = np.sort(order[: round(fraction * dataset.size)])
    corrupt = jax.jit(corruption)
    for number, rows in enumerate(_chunks(chosen)):
        chunk_key = jax.random.fold_in(noise_key, number)
        columns["image"][rows] = corrupt(chunk_key, columns["image"][rows], level)
    known = [name for name, function in CORRUPTIONS.items() if function is corruption]
    if known:  # not of the values, whose last bits may be another device's
        made = *known, float(level), float(fraction), jax.random.key_data(key).tolist()
        name = derived([dataset.digest], "contaminated", *made)
    else:
        name = digest_of_arrays(columns)
    return dataset._replace(arrays=columns, fetch=scaled(0.0, 1.0), digest=name)


def _chunks(indices: np.ndarray) -> list[np.ndarray]:
    return [indices[start : start + CHUNK] for start in range(0, len(indices), CHUNK)]


def _checked(x: Array, level: Array | float, largest: float = np.inf) -> tuple[Array, Array]:
    """x, and the level in x's dtype or, as its random numbers, in float32 at least."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise InputError(f"corruptions are for floats, got {x.dtype}; scale images to [0, 1]")
    if not isinstance(level, jax.core.Tracer) and not 0 <= np.asarray(level) <= largest:
        allowed = f"from 0 to {largest:g}" if largest < np.inf else "0 or above"
        raise InputError(f"the level of this corruption is {level}; it must be {allowed}")
    return x, jnp.asarray(level, np.promote_types(x.dtype, np.float32))
