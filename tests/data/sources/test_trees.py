"""Trees: who descends from whom, and what is drawn about which node."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.csgraph import shortest_path

from ae_jax import data
from ae_jax.core import InputError


def test_a_tree_is_one():
    own = data.tree(3, 2, 4, seed=5)
    assert own.places.shape == (13, 4)
    np.testing.assert_array_equal(own.parent, [-1, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    np.testing.assert_array_equal(own.level, [0] + 3 * [1] + 9 * [2])
    np.testing.assert_array_equal(own.branch, [-1, 0, 1, 2, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    edges = np.zeros((13, 13))
    edges[np.arange(1, 13), own.parent[1:]] = 1
    np.testing.assert_array_equal(own.distances(), shortest_path(edges, directed=False))
    # every step is of variance 1
    wide = data.tree(2, 5, 1000)
    steps = wide.places[1:] - wide.places[wide.parent[1:]]
    np.testing.assert_allclose(np.mean(steps**2, axis=1), 1, atol=0.2)
    np.testing.assert_array_equal(wide.places[0], 0)


def test_examples_are_of_nodes_all_alike():
    train, test = (data.load("tree:2x3in40", split) for split in ("train", "test"))
    assert {k: (v.shape, v.dtype) for k, v in train.spec.items()} == {
        "image": ((40,), jnp.float32),
        "label": ((), jnp.int32),
    }
    assert (train.size, test.size) == (80_000, 10_000)
    batch = jax.jit(train.fetch)(train.arrays, jnp.arange(3000))
    own, label = data.tree(2, 3, 40), np.asarray(batch["label"])
    counts = np.bincount(label, minlength=15)
    assert len(counts) == 15
    assert np.all(np.abs(counts - 200) < 60)
    noise = np.asarray(batch["image"]) - own.places[label]
    np.testing.assert_allclose(np.std(noise), 0.2**0.5, rtol=0.02)
    other = test.fetch(test.arrays, jnp.arange(3))["image"]
    assert not np.array_equal(other, batch["image"][:3])
    assert "tree" in data.names()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tree:2x3", "unknown tree 'tree:2x3': use tree:2x5in50"),
        ("tree:1x3in4", "branching is 1: use a whole number, 2 or more"),
        ("tree:2x0in4", "depth is 0"),
        ("tree:3x9in4", "a tree of 29524 nodes: use 4000 or fewer"),
    ],
)
def test_what_is_no_tree_is_refused(name, words):
    with pytest.raises(InputError, match=words):
        data.load(name)
