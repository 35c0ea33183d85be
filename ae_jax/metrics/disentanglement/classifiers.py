"""Scores that are defined by classifiers: scikit-learn's, on the host and in double precision.

None can be jitted. Each takes latents [N, Z] and factors int [N, K], any integers, and what is held
out; factors with one value in training are left out.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.metrics.disentanglement._checks import on_host
from ae_jax.metrics.disentanglement.importance import disentanglement_completeness
from ae_jax.metrics.disentanglement.information import mutual_information


def dci(
    latents: Array,
    factors: Array,
    test_latents: Array | None = None,
    test_factors: Array | None = None,
    importance: Literal["boosting", "forest", "information"] = "boosting",
    seed: int = 0,
) -> dict[str, float]:
    """Disentanglement, completeness and informativeness; on the host.

    Scores depend on what says how important a latent is as much as on the model, so their names say
    it.

    Args:
      latents: [N, Z].
      factors: int [N, K].
      test_latents: [M, Z], of which informativeness is measured; the training examples if None.
      test_factors: int [M, K].
      importance: of a latent for a factor. boosting: gradient-boosted trees, as published with the
        study: 100 trees for each value of each factor, minutes for thousands of examples.
        forest: 20 trees of depth 8 for each factor, of bootstrap samples, seconds. information:
        the mutual information of binned latents, without a classifier.
      seed: of the trees.

    Returns:
      `dci_disentanglement`, `dci_completeness` (see `disentanglement_completeness`) and
      `dci_informativeness`, the mean accuracy over factors, for boosting; `forest_disentanglement`
      and so on for a forest; `mi_disentanglement` and `mi_completeness` for information. All 0
      where no factor varies.

    Raises:
      InputError: if the shapes do not fit, values are not finite or no importance has that name.

    Reference:
      Eastwood and Williams, 2018, "A framework for the quantitative evaluation of disentangled
      representations"; by boosting as in Locatello et al., 2019.
    """
    if importance not in _IMPORTANCE:
        raise InputError(f"importance is one of {', '.join(_IMPORTANCE)}, not {importance!r}")
    examples = on_host(latents, factors, test_latents, test_factors)
    name, matter = _IMPORTANCE[importance]
    matrix, accuracy = matter(*examples, seed)
    spread = [0.0, 0.0] if matrix is None else disentanglement_completeness(matrix)
    parts = ("disentanglement", "completeness", "informativeness")
    found = [*spread, *accuracy]
    return {f"{name}_{part}": float(value) for part, value in zip(parts, found, strict=False)}


def explicitness(
    latents: Array,
    factors: Array,
    test_latents: Array | None = None,
    test_factors: Array | None = None,
) -> float:
    """Explicitness: how well logistic regression ranks a factor's values; on the host.

    Args:
      latents: [N, Z]; each is brought to mean 0 and variance 1.
      factors: int [N, K].
      test_latents: [M, Z], standardised as the training ones, of which the areas are measured; the
        training examples if None.
      test_factors: int [M, K].

    Returns:
      The area under the curve of a value's probability against all others, mean over the values
      seen in training and in the test, then over factors: 0.5 by chance, 1 at best, and not
      rescaled. 0.5 where no factor varies.

    Raises:
      InputError: if the shapes do not fit or values are not finite.

    Reference:
      Ridgeway and Mozer, 2018, "Learning deep disentangled embeddings with the F-statistic loss",
      section 3.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import StandardScaler

    train, test = on_host(latents, factors, test_latents, test_factors)
    scaler = StandardScaler().fit(train[0])
    means = []
    for k in _varying(train[1]):
        model = logistic_regression().fit(scaler.transform(train[0]), train[1][:, k])
        probabilities = model.predict_proba(scaler.transform(test[0]))
        areas = [
            roc_auc_score(test[1][:, k] == value, column)
            for value, column in zip(model.classes_, probabilities.T, strict=True)
            if 0 < np.sum(test[1][:, k] == value) < len(test[1])
        ]
        if not areas:
            raise InputError("test_factors have no two values that training examples have as well")
        means.append(np.mean(areas))
    return float(np.mean(means)) if means else 0.5


def sap_svc(
    latents: Array,
    factors: Array,
    test_latents: Array | None = None,
    test_factors: Array | None = None,
) -> float:
    """Separated attribute predictability by linear support vector machines; on the host.

    For each factor the accuracy of a machine that sees the best latent alone, less that of the
    next; the mean over factors. `sap` needs no machine, and sees values that no line separates.

    Args:
      latents: [N, Z], taken as they are.
      factors: int [N, K].
      test_latents: [M, Z], on which the accuracy is measured; the training examples if None.
      test_factors: int [M, K].

    Returns:
      From 0 to 1; 0 where no factor varies.

    Raises:
      InputError: if the shapes do not fit or values are not finite.

    Reference:
      Kumar, Sattigeri and Balakrishnan, 2018, "Variational inference of disentangled latent
      concepts from unlabeled observations", section 3; the machine as in Locatello et al., 2019.
    """
    from sklearn.svm import LinearSVC

    train, test = on_host(latents, factors, test_latents, test_factors)

    def accuracy(latent: int, factor: int) -> float:
        machine = LinearSVC(C=0.01, class_weight="balanced", dual="auto", random_state=0)
        column = slice(latent, latent + 1)
        machine.fit(train[0][:, column], train[1][:, factor])
        return machine.score(test[0][:, column], test[1][:, factor])

    varying = _varying(train[1])
    if not len(varying):
        return 0.0
    latent_size = train[0].shape[1]
    accuracies = np.array([[accuracy(j, k) for k in varying] for j in range(latent_size)])
    # a single latent's gap is to 0
    ordered = np.sort(np.append(accuracies, np.zeros((1, len(varying))), axis=0), axis=0)
    return float(np.mean(ordered[-1] - ordered[-2]))


def logistic_regression() -> Any:
    """Returns multinomial logistic regression with scikit-learn's penalty, converged."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=5000, tol=1e-10)


def _varying(factors: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.any(factors != factors[:1], axis=0))


def _boosting(seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(random_state=seed)


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    # each split sees all latents: where it sees a few, those that know nothing become important
    return RandomForestClassifier(20, max_depth=8, max_features=None, random_state=seed)


def _by(classifier: Callable[[int], Any]) -> Callable:
    """Importances by a classifier, and its accuracy; None and 0 where no factor varies."""

    def matter(train: Any, test: Any, seed: int) -> tuple[np.ndarray | None, list[float]]:
        fitted = [(k, classifier(seed).fit(train[0], train[1][:, k])) for k in _varying(train[1])]
        if not fitted:
            return None, [0.0]
        columns = [np.maximum(model.feature_importances_, 0) for _, model in fitted]
        right = [model.score(test[0], test[1][:, k]) for k, model in fitted]
        return np.stack(columns, axis=1), [float(np.mean(right))]

    return matter


def _by_information(train: Any, test: Any, seed: int) -> tuple[np.ndarray | None, list[float]]:
    del test, seed
    varying = _varying(train[1])
    if not len(varying):
        return None, []
    return mutual_information(train[0], train[1][:, varying])[0], []


#: What the scores are called, and what makes a matrix of importances.
_IMPORTANCE = {
    "boosting": ("dci", _by(_boosting)),
    "forest": ("forest", _by(_forest)),
    "information": ("mi", _by_information),
}
