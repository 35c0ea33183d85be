"""How well scores tell what is anomalous, and the threshold that normal data alone give.

A score is higher the less an example fits. All is computed on the host, in double precision.
"""

import math

import numpy as np

from ae_jax.core import BETWEEN, Array, InputError, require


def auroc(scores: Array, anomalous: Array) -> float:
    """Area under the ROC curve: the probability that an anomaly's score is the higher one.

    Args:
      scores: [N].
      anomalous: bool [N], or 0 and 1.

    Returns:
      P(s+ > s-) + P(s+ = s-) / 2, over all pairs of an anomaly and a normal example: 1/2 where
      scores say nothing, and below where they say the opposite.

    Raises:
      InputError: if shapes do not fit, scores are not finite or all examples are of one kind.

    Reference:
      Hanley and McNeil, 1982, "The meaning and use of the area under a receiver operating
      characteristic (ROC) curve".
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(*_both_kinds(scores, anomalous)[::-1]))


def average_precision(scores: Array, anomalous: Array) -> float:
    """Precision, averaged over the anomalies as the threshold falls.

    It depends on how many anomalies there are: scores that say nothing have their share. Print
    that beside it, as `detection_quality` does.

    Args:
      scores: [N].
      anomalous: bool [N], or 0 and 1.

    Returns:
      sum_i (R_i - R_{i-1}) P_i over the distinct scores, without interpolation.

    Raises:
      InputError: as `auroc`.
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(*_both_kinds(scores, anomalous)[::-1]))


def location_auroc(scores: Array, inside: Array) -> float:
    """How well scores of steps tell where something is: the mean over sequences of their AUROC.

    Each sequence is judged on its own, so that it does not matter how much its scores are at large.

    Args:
      scores: [N, T].
      inside: bool [N, T], or 0 and 1: some of the steps of each sequence.

    Raises:
      InputError: if shapes do not fit, scores are not finite or a sequence has steps of one kind.
    """
    from scipy.stats import rankdata

    scores, inside = np.asarray(scores, np.float64), np.asarray(inside)
    if scores.ndim != 2 or not len(scores) or inside.shape != scores.shape:
        raise InputError(
            f"scores and inside must both be [N, T], got {list(scores.shape)} and "
            f"{list(inside.shape)}"
        )
    _both_kinds(scores.ravel(), inside.ravel())
    count = np.sum(inside != 0, axis=1)
    others = scores.shape[1] - count
    if np.any(count * others == 0):
        raise InputError("all steps of a sequence are of one kind: leave it out")
    # the rank sum of Mann and Whitney: U = R - n (n + 1) / 2, AUROC = U / (n m)
    ranks = np.sum(rankdata(scores, axis=1) * (inside != 0), axis=1)
    return float(np.mean((ranks - count * (count + 1) / 2) / (count * others)))


def conformal_threshold(scores: Array, alpha: float) -> float:
    """The threshold that a new normal example exceeds with a probability of alpha at most.

    That holds for any scores and any number of them, as long as the new example and those of the
    scores are exchangeable: these must be of normal examples that nothing was trained or chosen
    on.

    Args:
      scores: [N], of held-out normal examples.
      alpha: the share of false alarms, within (0, 1).

    Returns:
      The k-th smallest score, k = ceil((N + 1)(1 - alpha)); what exceeds it is anomalous.

    Raises:
      InputError: if scores are not [N] and finite, alpha is not within (0, 1), or the scores are
        fewer than 1 / alpha - 1, of which the largest is exceeded too often.

    Reference:
      Vovk, Gammerman and Shafer, 2005, "Algorithmic learning in a random world", section 4.1.
    """
    scores = _scores(scores)
    rank = _rank(len(scores), alpha)
    return float(np.partition(scores, rank - 1)[rank - 1])


def false_alarms(count: int, alpha: float, coverage: float = 0.9) -> tuple[float, float]:
    """The range of the share of false alarms that a calibrated threshold comes to.

    The share depends on which examples were drawn to calibrate; where scores do not tie it is
    distributed as Beta(N + 1 - k, k), of mean (N + 1 - k) / (N + 1) <= alpha.

    Args:
      count: N, of the scores that `conformal_threshold` was given.
      alpha: as there.
      coverage: the probability of the range, of which as much lies below as above.

    Returns:
      The lowest and the highest share.

    Raises:
      InputError: as `conformal_threshold`; if coverage is not within (0, 1).

    Reference:
      Vovk, 2012, "Conditional validity of inductive conformal predictors", proposition 2.
    """
    from scipy import stats

    require(BETWEEN, coverage=coverage)
    rank = _rank(count, alpha)
    low, high = stats.beta(count + 1 - rank, rank).interval(coverage)
    return float(low), float(high)


def detection_quality(scores: Array, anomalous: Array, threshold: float) -> dict[str, float]:
    """What scores and a threshold, chosen elsewhere, are worth on test data.

    Args:
      scores: [N].
      anomalous: bool [N], or 0 and 1.
      threshold: as of `conformal_threshold`; never chosen on these examples.

    Returns:
      `auroc`, `average_precision`, `prevalence` (the share of anomalies, which scores that say
      nothing have for average precision), and at the threshold `true_positive_rate`,
      `false_positive_rate` and `f1`, which is 0 where nothing exceeds the threshold.

    Raises:
      InputError: as `auroc`; if the threshold is NaN.
    """
    scores, anomalous = _both_kinds(scores, anomalous)
    if math.isnan(threshold):
        raise InputError("the threshold is NaN")
    found = scores > threshold
    true_positives = np.sum(found & anomalous)
    return {
        "auroc": auroc(scores, anomalous),
        "average_precision": average_precision(scores, anomalous),
        "prevalence": float(np.mean(anomalous)),
        "true_positive_rate": float(np.mean(found[anomalous])),
        "false_positive_rate": float(np.mean(found[~anomalous])),
        # 2 TP / (2 TP + FP + FN)
        "f1": float(2 * true_positives / (np.sum(found) + np.sum(anomalous))),
    }


def _rank(count: int, alpha: float) -> int:
    require(BETWEEN, alpha=alpha)
    # (N + 1)(1 - alpha) may be whole, and rounded to above that
    rank = max(1, math.ceil(round((count + 1) * (1 - alpha), 9)))
    if rank > count:
        raise InputError(
            f"{count} scores are too few for alpha {alpha:g}: give {math.ceil(1 / alpha - 1)}, or "
            "more false alarms"
        )
    return rank


def _scores(scores: Array) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1:
        raise InputError(f"scores must be [N], got {list(scores.shape)}")
    if not np.all(np.isfinite(scores)):
        raise InputError("scores contain values that are not finite")
    return scores


def _both_kinds(scores: Array, anomalous: Array) -> tuple[np.ndarray, np.ndarray]:
    scores, anomalous = _scores(scores), np.asarray(anomalous)
    if anomalous.shape != scores.shape:
        raise InputError(
            f"scores and anomalous must both be [N], got {list(scores.shape)} and "
            f"{list(anomalous.shape)}"
        )
    if not np.all((anomalous == 0) | (anomalous == 1)):
        raise InputError("anomalous must be True or False, or 0 and 1")
    if len(np.unique(anomalous)) < 2:
        raise InputError("all examples are of one kind: give anomalies and normal ones")
    return scores, anomalous.astype(bool)
