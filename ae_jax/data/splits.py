"""Fixed splits into train, validation and test."""

import numpy as np

from ae_jax.core import InputError

SPLITS = ("train", "validation", "test", "all")
#: The most examples that validation and test get.
MOST_HELD_OUT = 10_000


def held_out(size: int) -> int:
    """How many of `size` examples to hold out: a tenth, at least 1, at most 10,000."""
    return min(max(size // 10, 1), MOST_HELD_OUT)


def shuffled(size: int) -> np.ndarray:
    """A fixed permutation of range(size), int [size]: the same on every machine, for good."""
    return np.random.RandomState(0).permutation(size)  # its stream is frozen


def stratified(label: np.ndarray) -> np.ndarray:
    """A fixed permutation [N] of which every stretch holds each class in its proportion.

    Args:
      label: int [N].

    Returns:
      Int [N]: an example that is the r-th of its class of n stands at (r + 1/2) / n.
    """
    order = shuffled(len(label))
    place = np.empty(len(label))
    for value in np.unique(label):
        members = order[label[order] == value]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(place[order], kind="stable")]


def labelled(label: np.ndarray, most: int, seeds: int) -> np.ndarray:
    """Draws, for each seed, the examples whose labels it sees.

    Args:
      label: int [N].
      most: how many to draw.
      seeds: how many seeds, 0, 1, ...

    Returns:
      Int [seeds, most], different indices of which every stretch holds each class in its
      proportion: the first n are a seed's n labelled examples.

    Raises:
      InputError: if there are fewer examples.
    """
    if most > len(label):
        raise InputError(f"there are {len(label)} labels to draw from, not {most}")
    mixed = [np.random.RandomState(seed).permutation(len(label)) for seed in range(seeds)]
    return np.array([mix[stratified(label[mix])][:most] for mix in mixed])


def part(order: np.ndarray, split: str, sizes: tuple[int, int], origin: str) -> np.ndarray:
    """The indices of a split: validation and test from the end of `order`, train the rest.

    Args:
      order: int [N], a permutation.
      split: one of SPLITS.
      sizes: the numbers of validation and of test examples; 0 for none.
      origin: where the data come from, to open an error message with.

    Returns:
      Int [M], ascending.

    Raises:
      InputError: nothing would be left for train.
    """
    train = len(order) - sum(sizes)
    if train < 1 and split != "all":
        raise InputError(f"{origin}: {len(order)} examples are too few to split; load split='all'")
    bounds = {
        "train": (0, train),
        "validation": (train, train + sizes[0]),
        "test": (train + sizes[0], len(order)),
        "all": (0, len(order)),
    }
    return np.sort(order[slice(*bounds[split])])
