"""Data with known factors: some of their values, and pairs that differ in some factors."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Batch, Dataset, Domain, InputError, require, require_kind
from ae_jax.data.content import derived, shared
from ae_jax.data.pairs import beside
from ae_jax.data.transforms import subset

#: So many pairs there are by default; of stored images, which are copied, at most so many.
PAIRS, STORED_PAIRS = 1_000_000, 100_000
#: An index counts them in 32 bits.
_SIZE = Domain(1, 2**31 - 1, whole=True)


def restricted(dataset: Dataset, values: Mapping[str, int | Sequence[int]]) -> Dataset:
    """The examples whose factors have chosen values.

    Args:
      dataset: any with factors.
      values: of each factor that is named, the values to keep, in the order in which they
        become 0, 1, ...; of others all are kept.

    Returns:
      A Dataset in the same order, with `factors` and `factor_sizes` of those factors only that
      still vary.

    Raises:
      InputError: there are no factors, or none of that name or value; no value is chosen, or one
        twice; no factor would vary, or no example is left.
    """
    sizes = known_factors(dataset, "values are chosen")
    if not isinstance(values, Mapping):
        raise InputError(f"values is {values!r}: name factors and values, as {{'scale': [0, 2]}}")
    if "other_factors" in dataset.spec:
        raise InputError("choose the factors' values first, and make pairs of what is left")
    if unknown := [name for name in values if name not in sizes]:
        raise InputError(f"there is no factor {unknown[0]!r}: choose from {', '.join(sizes)}")
    kept = {
        name: _checked(values[name], name, size) if name in values else tuple(range(size))
        for name, size in sizes.items()
    }
    varying = [(column, name) for column, name in enumerate(kept) if len(kept[name]) > 1]
    if not varying:
        raise InputError("with these values no factor varies: choose several of at least one")
    factors = all_factors(dataset)
    chosen = [np.isin(factors[:, column], kept[name]) for column, name in enumerate(kept)]
    rows = np.flatnonzero(np.logical_and.reduce(chosen))
    if not len(rows):
        raise InputError(f"none of the {dataset.size} examples has these values")
    part = subset(dataset, rows)
    tables = tuple((column, sizes[name], kept[name]) for column, name in varying)
    spec = {**part.spec, "factors": jax.ShapeDtypeStruct((len(varying),), jnp.int32)}
    return part._replace(
        spec=spec,
        fetch=_renumbered(part.fetch, tables),
        factor_sizes={name: len(kept[name]) for _, name in varying},
        digest=derived([part.digest], "restricted", tables),
    )


@shared
def _renumbered(fetch: Callable, tables: tuple[tuple[int, int, tuple[int, ...]], ...]) -> Callable:
    """Keeps the named columns of factors, and calls their values 0, 1, ..."""

    def fetch_renumbered(arrays: Any, indices: Array) -> Batch:
        batch = fetch(arrays, indices)
        columns = []
        for column, size, kept in tables:
            new = np.zeros(size, np.int32)
            new[list(kept)] = np.arange(len(kept))
            columns.append(jnp.take(jnp.asarray(new), batch["factors"][:, column], mode="clip"))
        return {**batch, "factors": jnp.stack(columns, axis=-1)}

    return fetch_renumbered


def changed(dataset: Dataset, count: int | None = None, size: int | None = None) -> Dataset:
    """Pairs of images that differ in some of their factors, drawn once and for all.

    Factors that never vary are left out. The first of a pair is any combination of the others,
    all as likely; so are the factors that change, and the new values of each, which differ from
    the old ones. (disentanglement_lib draws them from all values, and changes one factor in half
    of its pairs whatever was asked for, so that pairs differ in fewer than the paper says.)

    Args:
      dataset: any of which there is every combination of the factors: split `all`, say. Where it
        has several examples of one, any of them is taken.
      count: how many factors differ, from 1; by default another number for each pair, from 1 to
        one less than there are, all as likely.
      size: how many pairs; by default a million, and of stored images, which are copied, as many
        as there are, but at most 100,000.

    Returns:
      A Dataset with `image`, `other`, `factors`, `other_factors`, and what else there was.

    Raises:
      InputError: there are no images or factors, or not every combination of them, or not so many
        factors.

    Reference:
      Locatello et al. (2020), Weakly-supervised disentanglement without compromises, section 5.
    """
    known = known_factors(dataset, "pairs are made")
    if "other" in dataset.spec:
        raise InputError("pairs are made of single images, and these are pairs")
    if max(known.values()) < 2:
        raise InputError("pairs differ in factors that vary, and of these data's none does")
    if 1 in known.values():
        dataset = restricted(dataset, {})
    sizes = tuple(dataset.factor_sizes.values())
    if count is None and len(sizes) < 2:
        raise InputError(
            "a random number of factors changes only where there are two or more that vary: give a "
            "count, as in changed1:NAME"
        )
    if count is not None:
        most = Domain(1, len(sizes), whole=True)
        require(most, **{"the number of factors that change": count})
    cells = np.ravel_multi_index(tuple(all_factors(dataset).T), sizes)
    there = np.bincount(cells, minlength=np.prod(sizes))
    if not there.all():
        raise InputError(
            f"pairs need every combination of the factors, and {np.sum(there == 0):,} of "
            f"{len(there):,} are missing: take split 'all', or data.restricted"
        )
    if size is None:
        stored = jax.tree.leaves(dataset.arrays) and "image" in dataset.arrays
        size = min(dataset.size, STORED_PAIRS) if stored else PAIRS
    require(_SIZE, size=size)
    rows, starts = np.argsort(cells, kind="stable"), np.cumsum(there) - there
    first, second = (
        subset(dataset, rows[starts[cell] + np.floor(which * there[cell]).astype(int)])
        for cell, which in _drawn_pairs(sizes, count, size)
    )
    names = {"image": "other", "factors": "other_factors", "label": "other_label"}
    return beside(first, second, names, "changed")


@functools.lru_cache(maxsize=1)  # of one split after another
def _drawn_pairs(
    sizes: tuple[int, ...], count: int | None, size: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Combinations of factors, and a uniform number beside each, of the first and the second."""
    random = np.random.RandomState(0)  # its stream is frozen
    first = random.randint(0, sizes, (size, len(sizes)))
    counts = random.randint(1, len(sizes), size) if count is None else np.full(size, count)
    ranks = random.random_sample(first.shape).argsort(axis=1).argsort(axis=1)
    step = 1 + random.randint(0, np.array(sizes) - 1, first.shape)
    second = np.where(ranks < counts[:, None], (first + step) % sizes, first)
    return [
        (np.ravel_multi_index(tuple(values.T), sizes), random.random_sample(size))
        for values in (first, second)
    ]


def known_factors(dataset: Dataset, purpose: str) -> dict[str, int]:
    """The factors' sizes by name.

    Raises:
      InputError: if there are none; `purpose` opens the message.
    """
    require_kind(Dataset, 'data.load("sprites16", "all")', dataset=dataset)
    if "factors" not in dataset.spec or not dataset.factor_sizes:
        raise InputError(
            f"{purpose} by factors, and these data have none, but {', '.join(dataset.spec)}"
        )
    return dict(dataset.factor_sizes)


def all_factors(dataset: Dataset) -> np.ndarray:
    """The factors of all examples, int [N, K]; no image is drawn or read."""
    fetch = jax.jit(lambda arrays, indices: dataset.fetch(arrays, indices)["factors"])
    return np.asarray(fetch(dataset.arrays, np.arange(dataset.size, dtype=np.int32)))


def _checked(values: int | Sequence[int], name: str, size: int) -> tuple[int, ...]:
    chosen = np.atleast_1d(np.asarray(values))
    if not chosen.size:
        raise InputError(f"no value of {name} is chosen: name some, or leave {name} out")
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise InputError(f"values of {name} are whole numbers from 0 to {size - 1}, got {values}")
    if chosen.min() < 0 or chosen.max() >= size:
        raise InputError(f"values of {name} go from 0 to {size - 1}, got {chosen.tolist()}")
    if len(set(chosen.tolist())) < len(chosen):
        raise InputError(f"a value of {name} is chosen twice: {chosen.tolist()}")
    return tuple(chosen.tolist())
