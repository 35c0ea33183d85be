import itertools

import numpy as np
import pytest

from ae_jax import metrics
from ae_jax.core import InputError

DRAWN = np.random.default_rng(0)
LABELS = DRAWN.integers(0, 4, 60)
CLUSTERS = np.where(DRAWN.uniform(size=60) < 0.6, (LABELS + 1) % 4, DRAWN.integers(0, 4, 60))


def by_permutations(clusters, labels, count):
    named = (np.mean(np.take(p, clusters) == labels) for p in itertools.permutations(range(count)))
    return max(named)


def test_accuracy_is_that_of_the_best_of_all_namings():
    expected = by_permutations(CLUSTERS, LABELS, 4)
    assert metrics.cluster_accuracy(CLUSTERS, LABELS) == pytest.approx(expected, rel=1e-12)
    # more clusters than classes, and fewer
    more, fewer = CLUSTERS + 4 * (np.arange(60) % 2 == 0) * (CLUSTERS == 0), CLUSTERS // 2
    assert metrics.cluster_accuracy(more, LABELS) == by_permutations(more, LABELS, 5)
    assert metrics.cluster_accuracy(fewer, LABELS) == by_permutations(fewer, LABELS, 4)
    # naming each cluster by its most frequent class is another thing
    assert metrics.cluster_accuracy(np.arange(60), LABELS) == 4 / 60


def test_names_say_nothing():
    found = metrics.clustering_quality(CLUSTERS, LABELS)
    assert metrics.clustering_quality(7 - 3 * CLUSTERS, LABELS + 100) == pytest.approx(found)
    assert metrics.clustering_quality(9 - LABELS, LABELS) == pytest.approx(
        {"accuracy": 1, "nmi": 1, "ari": 1}
    )


def test_mutual_information_is_over_the_mean_entropy():
    joint = np.zeros((4, 4))
    np.add.at(joint, (CLUSTERS, LABELS), 1 / 60)

    def entropy(p):
        return -np.sum(p[p > 0] * np.log(p[p > 0]))

    both = entropy(joint.sum(axis=0)), entropy(joint.sum(axis=1))
    expected = (sum(both) - entropy(joint)) / (sum(both) / 2)
    found = metrics.clustering_quality(CLUSTERS, LABELS)
    assert found["nmi"] == pytest.approx(expected, rel=1e-12)


def test_agreement_of_pairs_is_adjusted():
    pairs = list(itertools.combinations(range(60), 2))
    ours = np.array([CLUSTERS[i] == CLUSTERS[j] for i, j in pairs], float)
    theirs = np.array([LABELS[i] == LABELS[j] for i, j in pairs], float)
    chance = ours.sum() * theirs.sum() / len(pairs)
    expected = (ours @ theirs - chance) / ((ours.sum() + theirs.sum()) / 2 - chance)
    found = metrics.clustering_quality(CLUSTERS, LABELS)
    assert found["ari"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("clusters", "labels", "words"),
    [
        (CLUSTERS[1:], LABELS, r"\[59\] and \[60\]"),
        (CLUSTERS[:0], LABELS[:0], "not empty"),
        (CLUSTERS * 1.0, LABELS, "clusters must be integers, got float64"),
    ],
)
def test_what_cannot_be_used(clusters, labels, words):
    with pytest.raises(InputError, match=words):
        metrics.clustering_quality(clusters, labels)
