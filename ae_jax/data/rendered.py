"""Images of known factors, drawn inside the program that trains on them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Batch, Dataset
from ae_jax.data.content import digest, shared
from ae_jax.data.splits import MOST_HELD_OUT
from ae_jax.data.stored import gather
from ae_jax.data.transforms import subset
from ae_jax.shuffle import index_shuffle


def rendered(
    split: str,
    name: str,
    render: Callable[..., Array],
    factor_sizes: Mapping[str, int],
    image_shape: tuple[int, int, int],
    *options: Any,
) -> Dataset:
    """All combinations of factors, as images drawn when they are fetched.

    Args:
      split: validation and test (10,000 each, a fixed random choice), train (the rest), or
        all: the whole grid, with the last factor changing fastest.
      name: of the data set, which its digest is made of.
      render: (factors int [B, K], *options) -> images [B, H, W, C]; a function of a module, so
        that data sets drawn alike are fetched by one program.
      factor_sizes: the number of values of each factor; their product is below 2**31.
      image_shape: (H, W, C).
      options: of `render`, hashable and with a faithful `repr`.
    """
    spec = {
        "image": jax.ShapeDtypeStruct(image_shape, jnp.result_type(float)),
        "factors": jax.ShapeDtypeStruct((len(factor_sizes),), jnp.int32),
    }
    sizes = tuple(factor_sizes.values())

    def grid(start: int, shuffle: bool) -> Dataset:
        fetch = _drawn(render, options, sizes, start, shuffle)
        content = digest(name, start, shuffle, *options)
        return Dataset(spec, math.prod(sizes) - start, {}, fetch, dict(factor_sizes), content)

    if split in ("validation", "test"):  # tables of indices: one function fetches both
        start = MOST_HELD_OUT * (split == "test")
        return subset(grid(0, True), slice(start, start + MOST_HELD_OUT))
    return grid(2 * MOST_HELD_OUT, True) if split == "train" else grid(0, False)


@shared
def _drawn(
    render: Callable, options: tuple, sizes: tuple[int, ...], start: int, shuffle: bool
) -> Callable:
    def fetch(arrays: Any, indices: Array) -> Batch:
        del arrays
        index = jnp.asarray(indices).astype(jnp.int32) + start
        if shuffle:
            index = index_shuffle(jax.random.key(0, impl="threefry2x32"), index, math.prod(sizes))
        factors = jnp.stack(jnp.unravel_index(index, sizes), axis=-1).astype(jnp.int32)
        return {"image": render(factors, *options), "factors": factors}

    return fetch


def drawn_once(dataset: Dataset) -> Dataset:
    """The same few examples, kept as constants of the program that trains on them.

    Args:
      dataset: rendered, and small: all its examples are drawn here.

    Returns:
      A Dataset of equal content and digest. Its `fetch` looks examples up, so that a step does
      not draw them; its `arrays` are a table of indices.
    """
    every = jax.jit(dataset.fetch)(dataset.arrays, np.arange(dataset.size, dtype=np.int32))
    tables = jax.tree.map(np.asarray, dict(every))

    def fetch(arrays: Any, indices: Array) -> Batch:
        rows = gather(arrays["index"], indices)
        return {name: gather(jnp.asarray(table), rows) for name, table in tables.items()}

    index = np.arange(dataset.size, dtype=np.int32)
    return dataset._replace(arrays={"index": index}, fetch=fetch)
