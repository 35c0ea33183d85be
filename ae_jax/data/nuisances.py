"""What the factors do not tell: sprites in a random colour, in noise, before a photograph."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ae_jax.core import Array, Batch, Dataset, Domain, InputError, require
from ae_jax.data.content import derived, digest, shared
from ae_jax.data.factors import known_factors
from ae_jax.data.stored import gather
from ae_jax.data.transforms import subset

#: (PRNG key, grey image [H, W, 1]) -> image [H, W, C]
Nuisance = Callable[[Array, Array], Array]
#: Random levels are bytes, so that sprites of zeros and ones come out the same everywhere.
_WHITE = 255
#: So many images tell a function from others.
_SHOWN = 256


def coloured(key: Array, image: Array) -> Array:
    """One colour for the image, each of its channels between 1/2 and 1."""
    level = _bytes(key, (1, 1, 3)) // 2 + 128
    return image * (level.astype(image.dtype) * (1 / _WHITE))


def noisy(key: Array, image: Array) -> Array:
    """Noise, uniform in each channel of each pixel, added and cut off at 1."""
    level = _bytes(key, (*image.shape[:2], 3))
    return jnp.minimum(image + level.astype(image.dtype) * (1 / _WHITE), 1)


def photo(key: Array, image: Array) -> Array:
    """A piece of a photograph under a random tint, inverted where the image is bright.

    The photograph is `china.jpg` of scikit-learn, by danielbuechele (flickr), under the licence
    CC BY 2.0, made smaller for images of less than 64 pixels.

    Raises:
      InputError: scikit-learn or pillow is not installed, or images are larger than it.
    """
    height, width, _ = image.shape
    picture = _photograph(max(1, 64 // max(height, width)))
    rows, columns = picture.shape[0] - height, picture.shape[1] - width
    if min(rows, columns) < 0:
        raise InputError(
            f"the photo has {list(picture.shape[:2])} pixels, images {height} x {width}"
        )
    where, tint = jax.random.split(key)
    ends = jnp.array([rows + 1, columns + 1], jnp.int32)
    row, column = jax.random.randint(where, (2,), 0, ends, jnp.int32)
    piece = lax.dynamic_slice(jnp.asarray(picture), (row, column, jnp.int32(0)), (height, width, 3))
    level = piece.astype(jnp.uint32) + _bytes(tint, (1, 1, 3))
    background = level.astype(image.dtype) * (1 / (2 * _WHITE))
    return background * (1 - image) + (1 - background) * image


def _bytes(key: Array, shape: tuple[int, ...]) -> Array:
    """Random bytes, as uint32: four of each word, whose bits are what is dear."""
    count = math.prod(shape)
    words = jax.random.bits(key, (-(-count // 4), 1), jnp.uint32)
    four = words >> jnp.arange(0, 32, 8, dtype=jnp.uint32)[None] & 255
    return four.reshape(-1)[:count].reshape(shape)


#: How images are changed by what no factor tells, by name.
NUISANCES: Mapping[str, Nuisance] = {
    nuisance.__name__: nuisance for nuisance in (coloured, noisy, photo)
}


def with_nuisance(dataset: Dataset, nuisance: Nuisance, copies: int = 1) -> Dataset:
    """A data set of grey images with something in them that their factors do not tell.

    It is drawn once and for all for each combination of the factors, whatever split that is in.

    Args:
      dataset: any of single grey images with factors.
      nuisance: one of `coloured`, `noisy`, `photo`, or one of your own, pure and traceable.
      copies: how many examples there are of each, with a draw of their own: of a small grid
        several, lest a decoder learn the draws by heart.

    Returns:
      A Dataset of `copies` times as many examples, one copy of all after the other.

    Raises:
      InputError: there are no factors, or no grey images, or copies are not at least 1.

    Reference:
      Locatello et al. (2019), Challenging common assumptions in the unsupervised learning of
      disentangled representations, section 5: Color-, Noisy- and Scream-dSprites.
    """
    sizes = known_factors(dataset, "nuisances are drawn")
    shape = dataset.spec["image"].shape if "image" in dataset.spec else ()
    if len(shape) != 3 or shape[2] != 1:
        raise InputError(f"nuisances are of grey images [H, W, 1], and these are {list(shape)}")
    if "other" in dataset.spec or "target" in dataset.spec:
        raise InputError("nuisances are of single images: make pairs of what has them")
    if not callable(nuisance):
        raise InputError(f"nuisance is {nuisance!r}: use a function of (key, image), or NUISANCES'")
    most = (2**31 - 1) // dataset.size  # an index counts them in 32 bits
    require(Domain(1, most, whole=True), copies=copies)
    key = jax.eval_shape(_key)
    spec = {**dataset.spec, "image": jax.eval_shape(nuisance, key, dataset.spec["image"])}
    content = "nuisance", copies, *_content(dataset, nuisance)
    if copies > 1:
        every = np.arange(copies * dataset.size, dtype=np.int32)
        tiled = subset(dataset, every % dataset.size)
        arrays = {"single": tiled.arrays, "copy": every // dataset.size}
        tiled = tiled._replace(arrays=arrays)
    else:
        tiled = dataset
    fetch = _with_nuisance(tiled.fetch, nuisance, tuple(sizes.values()), copies > 1)
    digest_of_it = derived([dataset.digest], *content)
    return tiled._replace(spec=spec, fetch=fetch, digest=digest_of_it)


def _key() -> Array:
    return jax.random.key(0, impl="threefry2x32")


@shared
def _with_nuisance(
    fetch: Callable, nuisance: Nuisance, sizes: tuple[int, ...], copied: bool
) -> Callable:
    strides = np.array([math.prod(sizes[column + 1 :]) for column in range(len(sizes))], np.int32)

    def fetch_with_nuisance(arrays: Any, indices: Array) -> Batch:
        batch = fetch(arrays["single"] if copied else arrays, indices)
        cell = jnp.sum(batch["factors"] * jnp.asarray(strides)[None], axis=-1, dtype=jnp.int32)
        copy = gather(arrays["copy"], indices) if copied else jnp.zeros_like(cell)
        of_cell = jax.vmap(jax.random.fold_in, (None, 0))(_key(), cell)
        keys = jax.vmap(jax.random.fold_in)(of_cell, copy)
        return {**batch, "image": jax.vmap(nuisance)(keys, batch["image"])}

    return fetch_with_nuisance


def _content(dataset: Dataset, nuisance: Nuisance) -> tuple[str, ...]:
    """What names a nuisance: functions of the same name may be others, and photographs too."""
    if nuisance is photo:
        return photo.__name__, digest(_photograph(1))
    if nuisance in NUISANCES.values():
        return (nuisance.__name__,)
    every = np.arange(min(dataset.size, _SHOWN), dtype=np.int32)
    image = dataset.fetch(dataset.arrays, every)["image"]
    keys = jax.random.split(_key(), len(every))
    return (digest(np.asarray(jax.jit(jax.vmap(nuisance))(keys, image))),)


@functools.cache
def _photograph(block: int) -> np.ndarray:
    """A photograph [H, W, 3], uint8, averaged over squares of pixels."""
    try:
        from sklearn.datasets import load_sample_image

        picture = load_sample_image("china.jpg")
    except ImportError as error:
        raise InputError(
            "the photo comes with scikit-learn, which reads it with pillow: "
            "pip install scikit-learn pillow"
        ) from error
    height, width = (length // block for length in picture.shape[:2])
    cut = picture[: height * block, : width * block].astype(np.float64)
    means = cut.reshape(height, block, width, block, 3).mean(axis=(1, 3))
    return np.rint(means).astype(np.uint8)
