"""How well clusters agree with classes that no clustering has seen; on the host.

Clusters and classes are numbers without an order, and there may be more of one than of the other.
"""

import numpy as np

from ae_jax.core import Array, InputError


def cluster_accuracy(clusters: Array, labels: Array) -> float:
    """The share of examples that are right under the best naming of clusters by classes.

    Every cluster is named by one class at most, and every class names one cluster at most, by the
    assignment with the most right examples: naming each cluster by its most frequent class is
    larger, and 1 where every example is a cluster of its own.

    Args:
      clusters: int [N].
      labels: int [N].

    Returns:
      From 0 to 1.

    Raises:
      InputError: if shapes do not fit, there is no example or numbers are not whole.

    Reference:
      Yang, Xu, Nie, Yan and Zhuang, 2010, "Image clustering using local discriminant models and
      global integration", section V.B.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix

    clusters, labels = _checked(clusters, labels)
    counts = contingency_matrix(clusters, labels)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(labels))


def clustering_quality(clusters: Array, labels: Array) -> dict[str, float]:
    """How well clusters agree with classes, by three measures.

    Args:
      clusters: int [N].
      labels: int [N].

    Returns:
      `accuracy` of `cluster_accuracy`; `nmi`, the mutual information over the mean of both
      entropies; `ari`, the share of pairs on which both agree, adjusted so that a random clustering
      has 0 on average. Each is 1 where clusters are the classes.

    Raises:
      InputError: as `cluster_accuracy`.

    Reference:
      Vinh, Epps and Bailey, 2010, "Information theoretic measures for clusterings comparison",
      table 2 (NMI_sum and ARI).
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    clusters, labels = _checked(clusters, labels)
    return {
        "accuracy": cluster_accuracy(clusters, labels),
        "nmi": float(normalized_mutual_info_score(labels, clusters)),
        "ari": float(adjusted_rand_score(labels, clusters)),
    }


def _checked(clusters: Array, labels: Array) -> tuple[np.ndarray, np.ndarray]:
    clusters, labels = np.asarray(clusters), np.asarray(labels)
    if clusters.ndim != 1 or clusters.shape != labels.shape or not clusters.size:
        raise InputError(
            f"clusters and labels must both be [N] and not empty, got {list(clusters.shape)} and "
            f"{list(labels.shape)}"
        )
    for name, numbers in {"clusters": clusters, "labels": labels}.items():
        if not np.issubdtype(numbers.dtype, np.integer):
            raise InputError(f"{name} must be integers, got {numbers.dtype}")
    return clusters, labels
