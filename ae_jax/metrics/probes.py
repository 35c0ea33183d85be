"""What a representation is good for: how well simple classifiers do on it.

The classifiers and the silhouette are scikit-learn's, on the host and in double precision. Each
takes representations [N, ...] of any kind, latents as well as pixels, which are flattened.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ae_jax.core import Array, Batch, InputError


def linear_probe(
    train_latents: Array,
    train_labels: Array,
    test_latents: Array,
    test_labels: Array,
    *,
    weight_decay: float = 1.0,
) -> float:
    """Accuracy of logistic regression on standardised representations.

    Args:
      train_latents: [N, ...]; each dimension is brought to mean 0 and variance 1.
      train_labels: int [N].
      test_latents: [M, ...], standardised as the training ones.
      test_labels: int [M].
      weight_decay: what half the weights' squared norm counts beside the sum of N negative
        log-likelihoods.

    Returns:
      The fraction of test examples that are classified correctly.

    Raises:
      InputError: if shapes do not fit, values are not finite, there is a single class, or
        weight_decay is not positive.

    Reference:
      Alain and Bengio, 2017, "Understanding intermediate layers using linear classifier
      probes".
    """
    from sklearn.linear_model import LogisticRegression

    if not weight_decay > 0:
        raise InputError(f"weight_decay must be positive, not {weight_decay}")
    classifier = _standardised(LogisticRegression(C=1 / weight_decay, max_iter=5000))
    return _accuracy(classifier, train_latents, train_labels, test_latents, test_labels)


def knn_accuracy(
    train_latents: Array,
    train_labels: Array,
    test_latents: Array,
    test_labels: Array,
    *,
    neighbours: int = 5,
) -> float:
    """Accuracy of a vote among the nearest training examples, by Euclidean distance.

    Args:
      train_latents: [N, ...], taken as they are.
      train_labels: int [N].
      test_latents: [M, ...].
      test_labels: int [M].
      neighbours: how many vote; the smallest label wins a tie.

    Returns:
      The fraction of test examples that are classified correctly.

    Raises:
      InputError: if shapes do not fit, values are not finite, there is a single class, or
        there are fewer training examples than neighbours.
    """
    from sklearn.neighbors import KNeighborsClassifier

    if not 1 <= neighbours <= len(train_latents):
        raise InputError(f"{neighbours} neighbours among {len(train_latents)} training examples")
    classifier = KNeighborsClassifier(neighbours)
    return _accuracy(classifier, train_latents, train_labels, test_latents, test_labels)


def svm_accuracy(
    train_latents: Array,
    train_labels: Array,
    test_latents: Array,
    test_labels: Array,
    *,
    cost: float = 10.0,
) -> float:
    """Accuracy of a support vector machine with a Gaussian kernel.

    The kernel is exp(-|x - y|^2 / (D v)), v the variance of all the training numbers: the
    scale of a representation does not matter.

    Args:
      train_latents: [N, ...] of D numbers each.
      train_labels: int [N]; each pair of classes has its machine, and they vote.
      test_latents: [M, ...].
      test_labels: int [M].
      cost: of training examples within the margin.

    Returns:
      The fraction of test examples that are classified correctly.

    Raises:
      InputError: if shapes do not fit, values are not finite, there is a single class, or
        cost is not positive.

    Reference:
      Cortes and Vapnik, 1995, "Support-vector networks".
    """
    from sklearn.svm import SVC

    if not cost > 0:
        raise InputError(f"cost must be positive, not {cost}")
    train, _ = _checked("train_latents", train_latents, "train_labels", train_labels)
    variance = train.var()
    classifier = SVC(C=cost, kernel="rbf", gamma=1 / (train.shape[1] * variance) if variance else 1)
    return _accuracy(classifier, train_latents, train_labels, test_latents, test_labels)


def fisher_separability(latents: Array, labels: Array) -> float:
    """Trace of the between-class scatter over that of the within-class scatter.

    It does not change under shifts, rotations and a common scaling of the representation,
    which makes representations of different sizes comparable. Scaling dimensions differently
    changes it.

    Args:
      latents: [N, ...].
      labels: int [N].

    Returns:
      0 where all classes have the same mean or all examples are one point, infinite where
      each class is one point of its own.

    Raises:
      InputError: if shapes do not fit, values are not finite or there is a single class.

    Reference:
      Fukunaga, 1990, "Introduction to statistical pattern recognition", section 10.2, the
      criterion J4.
    """
    latents, labels = _checked("latents", latents, "labels", labels)
    classes = _several(np.unique(labels), "labels")
    latents = latents - latents[0]  # about a point of their own, as scatters do not depend on it
    centre = latents.mean(axis=0)
    between = within = 0.0
    for value in classes:
        members = latents[labels == value]
        inside = members - members[0]  # exactly 0 where the class is one point
        mean = inside.mean(axis=0)
        # sum_c n_c |m_c - m|^2 and sum_c sum_i |x_i - m_c|^2
        between += len(members) * np.sum((members[0] + mean - centre) ** 2)
        within += np.sum((inside - mean) ** 2)
    if within == 0:
        return float("inf") if between > 0 else 0.0
    return float(between / within)


def silhouette(latents: Array, labels: Array) -> float:
    """Mean silhouette of the classes, by Euclidean distance.

    An example's silhouette is (b - a) / max(a, b): a is its mean distance from the others of
    its class and b that from the nearest other class; 0 where both are 0, or where it is alone
    in its class. Takes time in N^2.

    Args:
      latents: [N, ...].
      labels: int [N], of at least 2 and at most N - 1 values.

    Returns:
      From -1 to 1; around 0 where classes overlap.

    Raises:
      InputError: if shapes do not fit, values are not finite or there is a single class.

    Reference:
      Rousseeuw, 1987, "Silhouettes: a graphical aid to the interpretation and validation of
      cluster analysis".
    """
    from sklearn.metrics import silhouette_score

    latents, labels = _checked("latents", latents, "labels", labels)
    if len(_several(np.unique(labels), "labels")) == len(labels):
        raise InputError("labels are all different: a silhouette needs examples of the same class")
    # SciPy's distances: scikit-learn's own are of rounding size where they should be 0
    return float(silhouette_score(latents, labels, metric="minkowski", p=2))


def probed(encode: Callable[[Batch], Array], train: Batch, test: Batch) -> dict[str, float]:
    """A linear probe on what an encoder makes of examples, where there are labels to tell.

    Args:
      encode: batch of B examples -> representations [B, ...].
      train: with `label` int [N].
      test: with `label` int [M].

    Returns:
      `linear_probe`, its accuracy in percent; nothing where the training examples have no labels
      or are all of one class.

    Raises:
      InputError: as `linear_probe`.
    """
    if "label" not in train or len(np.unique(train["label"])) < 2:
        return {}
    right = linear_probe(encode(train), train["label"], encode(test), test["label"])
    return {"linear_probe": 100 * right}


def representation_quality(
    train_latents: Array, train_labels: Array, test_latents: Array, test_labels: Array
) -> dict[str, float]:
    """What a representation is good for, by all measures of this module at their defaults.

    Args:
      train_latents: [N, ...].
      train_labels: int [N].
      test_latents: [M, ...], of which alone separabilities are measured.
      test_labels: int [M].

    Returns:
      `linear_probe`, `knn` and `svm`, accuracies in percent, `fisher_separability` and
      `silhouette`.

    Raises:
      InputError: as those functions.
    """
    classified = (train_latents, train_labels, test_latents, test_labels)
    return {
        "linear_probe": 100 * linear_probe(*classified),
        "knn": 100 * knn_accuracy(*classified),
        "svm": 100 * svm_accuracy(*classified),
        "fisher_separability": fisher_separability(test_latents, test_labels),
        "silhouette": silhouette(test_latents, test_labels),
    }


def _standardised(classifier: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), classifier)


def _accuracy(
    classifier: Any, train_latents: Array, train_labels: Array, latents: Array, labels: Array
) -> float:
    train = _checked("train_latents", train_latents, "train_labels", train_labels)
    test = _checked("test_latents", latents, "test_labels", labels)
    if train[0].shape[1] != test[0].shape[1]:
        raise InputError(
            f"train_latents have {train[0].shape[1]} dimensions and test_latents {test[0].shape[1]}"
        )
    _several(np.unique(train[1]), "train_labels")
    # about an example: distances are differences of squares, which lose digits far from 0
    origin = train[0][0]
    classifier.fit(train[0] - origin, train[1])
    return float(np.mean(classifier.predict(test[0] - origin) == test[1]))


def _several(classes: np.ndarray, name: str) -> np.ndarray:
    if len(classes) < 2:
        raise InputError(f"{name} are of one class; at least two are needed")
    return classes


def _checked(name: str, latents: Array, label_name: str, labels: Array) -> tuple[Any, Any]:
    """Representations as float64 [N, D] and labels as int [N]."""
    latents, labels = np.asarray(latents, np.float64), np.asarray(labels)
    if latents.ndim < 2 or labels.shape != latents.shape[:1] or not latents.size:
        raise InputError(
            f"{name} and {label_name} must be [N, ...] and [N] and not empty, got "
            f"{list(latents.shape)} and {list(labels.shape)}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{label_name} must be integers, got {labels.dtype}")
    if not np.all(np.isfinite(latents)):
        raise InputError(f"{name} contain values that are not finite")
    return latents.reshape(len(latents), -1), labels
