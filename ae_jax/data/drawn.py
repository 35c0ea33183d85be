"""Examples that are each drawn from a key of their own, inside the program that trains on them."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax.core import Array, Batch, Dataset
from ae_jax.data.content import digest, shared
from ae_jax.data.splits import MOST_HELD_OUT
from ae_jax.data.transforms import subset

SIZE = 100_000


def drawn(
    split: str,
    source: str,
    name: str,
    spec: Mapping[str, jax.ShapeDtypeStruct],
    draw: Callable[[Array], Mapping[str, Array]],
) -> Dataset:
    """100,000 examples of a distribution.

    Args:
      split: validation, test (10,000 each), train (the rest), or all.
      source: what they are of, which their digest is made of; likewise `name`.
      name: which of them.
      spec: of an example.
      draw: key -> an example; the same function whenever the same is drawn.
    """
    if split in ("validation", "test"):  # tables of indices: one function fetches both
        start = MOST_HELD_OUT * (split == "test")
        whole = drawn("all", source, name, spec, draw)
        return subset(whole, slice(start, start + MOST_HELD_OUT))
    start = 2 * MOST_HELD_OUT if split == "train" else 0
    own = digest(source, name, start)
    return Dataset(dict(spec), SIZE - start, {}, _fetched(start, draw), digest=own)


@shared
def _fetched(start: int, draw: Callable[[Array], Mapping[str, Array]]) -> Callable:
    def fetch(arrays: Any, indices: Array) -> Batch:
        del arrays
        keys = jax.vmap(jax.random.fold_in, (None, 0))(
            jax.random.key(0, impl="threefry2x32"), jnp.asarray(indices).astype(jnp.int32) + start
        )
        return jax.vmap(draw)(keys)

    return fetch
