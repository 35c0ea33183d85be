import numpy as np
import pytest

from ae_jax import metrics
from ae_jax.core import InputError
from ae_jax.experiment import clusters

#: Three far groups of 20 rows.
LABEL = np.repeat([0, 1, 2], 20)
X = 9.0 * np.eye(4)[LABEL] + np.random.default_rng(0).normal(0, 0.1, (60, 4))


def test_classical_ways_find_what_is_plain():
    for found in clusters.classical(X, 3, 2, seed=1).values():
        assert metrics.cluster_accuracy(found, LABEL) == 1
        np.testing.assert_array_equal(clusters.named(found, LABEL), LABEL)
    np.testing.assert_array_equal(clusters.nearest(X, 9 * np.eye(4)[:3]), LABEL)
    with pytest.raises(InputError, match="5 components and 3 clusters are too many"):
        clusters.classical(X, 3, 5, seed=1)


def test_more_clusters_than_classes_have_names_of_their_own():
    named = clusters.named(np.array([2, 2, 2, 0, 1]), np.array([0, 0, 0, 0, 1]))
    np.testing.assert_array_equal(named[[0, 1, 2, 4]], [0, 0, 0, 1])
    assert named[3] == 2
