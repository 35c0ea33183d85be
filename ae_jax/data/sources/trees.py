"""Branching trees: vectors that stray from their parents', drawn inside the program."""

import functools
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import COUNT, NOT_NEGATIVE, Array, Dataset, Domain, InputError, require
from ae_jax.data.drawn import drawn

#: What stands for the branches, levels and dimensions of a tree of one's own.
PATTERN = "tree:<branching>x<depth>in<space>"
_DEFAULT = "tree:2x5in50"
#: More nodes than that are hardly meant, and would be in memory with the distances of all pairs.
_MOST = 4000


class Tree(NamedTuple):
    """A tree whose nodes are vectors.

    Attributes:
      places: [N, D], of nodes, level by level; the root is 0 and lies at the origin.
      parent: int [N]; the root's is -1.
      level: int [N], how many steps it is from the root.
      branch: int [N], from which of the root's children it descends; the root's is -1.
      noise: the standard deviation of examples about their node, in each dimension.
    """

    places: np.ndarray
    parent: np.ndarray
    level: np.ndarray
    branch: np.ndarray
    noise: float

    def distances(self) -> np.ndarray:
        """Returns how many steps it is from node to node along the tree, int [N, N]."""
        # a node's row is its parent's, one step longer but for the node itself
        steps = np.zeros((len(self.parent),) * 2, int)
        for node, parent in enumerate(self.parent[1:], 1):
            steps[node, :node] = steps[:node, node] = steps[parent, :node] + 1
        return steps


@functools.cache
def tree(
    branching: int = 2, depth: int = 5, space: int = 50, noise: float = 0.2**0.5, seed: int = 0
) -> Tree:
    """Returns a tree in which every node strays from its parent by a step of a Gaussian.

    Args:
      branching: children of every node but the leaves.
      depth: levels below the root.
      space: D; a step is of variance 1 in each of them.
      noise: the standard deviation of examples about their node, in each dimension.
      seed: of the steps.

    Raises:
      InputError: if a number is none, or there were more than 4,000 nodes.

    Reference:
      Mathieu et al. (2019), Continuous Hierarchical Representations with Poincare Variational
      Auto-Encoders, section 5.1, a branching diffusion process.
    """
    require(Domain(2, whole=True), branching=branching)
    require(COUNT, depth=depth, space=space)
    require(NOT_NEGATIVE, noise=noise)
    if (nodes := sum(branching**level for level in range(depth + 1))) > _MOST:
        raise InputError(f"a tree of {nodes} nodes: use {_MOST} or fewer")
    steps = np.random.RandomState(seed).standard_normal((nodes, space))
    parent, level = (np.arange(nodes) - 1) // branching, np.zeros(nodes, int)
    branch, places = np.full(nodes, -1), np.zeros((nodes, space))
    for node in range(1, nodes):
        own = parent[node]
        level[node] = level[own] + 1
        branch[node] = branch[own] if own else node - 1
        places[node] = places[own] + steps[node]
    return Tree(places, parent, level, branch, float(noise))


def named(name: str) -> Tree:
    """Returns the tree of a data set's name, with the noise that `tree` has.

    Raises:
      InputError: if there is none of that name; as `tree`.
    """
    sizes = re.fullmatch(
        r"tree:(\d{1,4})x(\d{1,2})in(\d{1,4})", _DEFAULT if name == "tree" else name
    )
    if not sizes:
        raise InputError(f"unknown tree {name!r}: use {_DEFAULT}, or other numbers in their place")
    return tree(*map(int, sizes.groups()))


def load(split: str, name: str = "tree") -> Dataset:
    """100,000 examples of a tree: each of a node, all alike, with noise.

    Args:
      split: validation, test (10,000 each), train (the rest), or all.
      name: tree, of two branches and five levels in 50 dimensions, or such as tree:3x4in20.

    Returns:
      A Dataset with `image` [D] and `label`, which node it is of.

    Raises:
      InputError: as `named`.
    """
    example = _example(name)
    return drawn(split, "trees", name, jax.eval_shape(example, jax.random.key(0)), example)


@functools.cache
def _example(name: str) -> Callable[[Array], Mapping[str, Array]]:
    own = named(name)

    def example(key: Array) -> Mapping[str, Array]:
        node_key, noise_key = jax.random.split(key)
        places = jnp.asarray(own.places, jnp.result_type(float))
        node = jax.random.randint(node_key, (), 0, len(places), jnp.int32)
        noise = jax.random.normal(noise_key, places.shape[1:], jnp.float32)
        return {"image": places[node] + own.noise * noise.astype(places.dtype), "label": node}

    return example
