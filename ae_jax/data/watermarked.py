"""Images beside the same under watermarks that are drawn once and for all."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import FRACTION, Array, Batch, Dataset, InputError
from ae_jax.data.content import derived, digest, shared
from ae_jax.data.stored import gather
from ae_jax.data.transforms import subset
from ae_jax.watermarks import Stamper

#: So many stamps tell a stamper from others.
_SHOWN = 64


def stamped(
    dataset: Dataset,
    stamper: Stamper,
    opacity: float = 1.0,
    copies: int = 1,
    first: int = 0,
    alike: bool = False,
) -> Dataset:
    """A data set of images, each beside itself under a stamp.

    The stamp of an example is a draw of its own, of a number that counts on from `first`.

    Args:
      dataset: any of images [H, W, C].
      stamper: such as `watermarks.stamper` makes; pure and traceable.
      opacity: that it is called with.
      copies: how many examples there are of each image, with different stamps.
      first: the number of the first draw; other data get no draw of these from beyond the last.
      alike: whether all images have the first stamp, in its place.

    Returns:
      A Dataset of `copies` times as many examples, one copy of all after the other; beside what
      there was, `stamped` [H, W, C] and `alpha` [H, W, 1] of `ae_jax.watermarks`.

    Raises:
      InputError: there are no images that the stamper takes, or a number is out of its range.
    """
    if "image" not in dataset.spec or len(dataset.spec["image"].shape) != 3:
        raise InputError("images [H, W, C] are stamped: use a data set of such")
    if opacity not in FRACTION:
        raise InputError(f"opacity is {opacity!r}: use {FRACTION}")
    if copies < 1 or first < 0:
        raise InputError(f"copies and first count from 1 and 0, got {copies} and {first}")
    image = dataset.spec["image"]
    over, alpha = jax.eval_shape(stamper, jax.eval_shape(_key), image, opacity)
    every = np.arange(copies * dataset.size, dtype=np.int32)
    tiled = subset(dataset, every % dataset.size)
    black = jnp.zeros(image.shape, image.dtype)
    some = jax.vmap(lambda draw: stamper(_of(draw), black, opacity)[0])
    told = digest(np.asarray(jax.jit(some)(np.arange(_SHOWN, dtype=np.int32))))
    return tiled._replace(
        spec={**dataset.spec, "stamped": over, "alpha": alpha},
        arrays={"single": tiled.arrays, "draw": first + (every * 0 if alike else every)},
        fetch=_stamped(tiled.fetch, stamper, float(opacity)),
        digest=derived([dataset.digest], "stamped", copies, first, alike, told),
    )


@shared
def _stamped(fetch: Callable, stamper: Stamper, opacity: float) -> Callable:
    @jax.jit  # one program where batches are fetched by themselves
    @jax.vmap
    def over(draw: Array, image: Array) -> tuple[Array, Array]:
        return stamper(_of(draw), image, opacity)

    def fetch_stamped(arrays: Any, indices: Array) -> Batch:
        batch = fetch(arrays["single"], indices)
        stamped, alpha = over(gather(arrays["draw"], indices), batch["image"])
        return {**batch, "stamped": stamped, "alpha": alpha}

    return fetch_stamped


def _key() -> Array:
    return jax.random.key(0, impl="threefry2x32")


def _of(draw: Array) -> Array:
    return jax.random.fold_in(_key(), draw)
