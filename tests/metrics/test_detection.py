import itertools
import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from ae_jax import metrics
from ae_jax.core import InputError

DRAWN = np.random.default_rng(0)
SCORES = DRAWN.integers(0, 6, 40) / 4.0  # with many ties
ANOMALOUS = DRAWN.uniform(size=40) < 0.3


def by_enumeration(scores, anomalous):
    pairs = list(itertools.product(scores[anomalous], scores[~anomalous]))
    return sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs)


def test_location_is_the_mean_over_sequences_of_auroc():
    scores = DRAWN.integers(0, 6, (7, 12)) * 10.0 ** np.arange(7)[:, None]  # with ties; of any size
    inside = np.arange(12) >= DRAWN.integers(2, 11, (7, 1))
    expected = [roc_auc_score(where, own) for own, where in zip(scores, inside, strict=True)]
    assert metrics.location_auroc(scores, inside) == pytest.approx(np.mean(expected), rel=1e-12)
    assert metrics.location_auroc(scores, inside.astype(int)) == pytest.approx(np.mean(expected))
    together = metrics.auroc(scores.ravel(), inside.ravel())
    assert abs(together - np.mean(expected)) > 0.02  # where large scores are would count
    assert metrics.location_auroc(np.ones((7, 12)), inside) == 0.5


@pytest.mark.parametrize(
    ("scores", "inside", "words"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), r"both be \[N, T\], got \[2, 3\] and \[2, 4\]"),
        (np.ones(3), np.ones(3), r"both be \[N, T\], got \[3\]"),
        (np.ones((0, 3)), np.ones((0, 3)), r"got \[0, 3\]"),
        (np.ones((2, 2)), [[0, 1], [1, 1]], "all steps of a sequence are of one kind"),
        (np.ones((2, 2)), [[0, 1], [0, 0]], "all steps of a sequence are of one kind"),
        (np.full((1, 2), np.nan), [[0, 1]], "not finite"),
        (np.ones((1, 2)), [[0, 2]], "0 and 1"),
    ],
)
def test_locations_that_cannot_be_judged(scores, inside, words):
    with pytest.raises(InputError, match=words):
        metrics.location_auroc(scores, inside)


def test_auroc_counts_pairs_and_ties_by_half():
    expected = by_enumeration(SCORES, ANOMALOUS)
    assert metrics.auroc(SCORES, ANOMALOUS) == pytest.approx(expected, rel=1e-12)
    assert metrics.auroc(-SCORES, ANOMALOUS) == pytest.approx(1 - expected, rel=1e-12)
    assert metrics.auroc(np.exp(SCORES), ANOMALOUS.astype(int)) == metrics.auroc(SCORES, ANOMALOUS)
    assert metrics.auroc(np.full(40, 3.0), ANOMALOUS) == 0.5


def test_average_precision_by_hand():
    # thresholds 4, 3, 2: precisions 1, 1/2, 2/3 at recalls 1/2, 1/2, 1
    assert metrics.average_precision([4.0, 3, 2, 1], [1, 0, 1, 0]) == pytest.approx(5 / 6)
    # scores that say nothing: the share of anomalies
    assert metrics.average_precision(np.ones(40), ANOMALOUS) == pytest.approx(ANOMALOUS.mean())


@pytest.mark.parametrize(
    ("count", "alpha", "rank"),
    [(99, 0.1, 90), (36, 0.05, 36), (19, 0.05, 19), (4, 0.5, 3), (4, 1 - 1e-12, 1)],
)
def test_a_threshold_is_the_score_of_a_rank(count, alpha, rank):
    scores = np.random.default_rng(1).permutation(np.arange(1.0, count + 1))
    assert metrics.conformal_threshold(scores, alpha) == rank


def test_false_alarms_are_distributed_as_beta():
    count, alpha = 36, 0.05
    drawn = np.random.default_rng(2).uniform(size=(2000, count))
    shares = [1 - metrics.conformal_threshold(own, alpha) for own in drawn]
    rank = math.ceil((count + 1) * (1 - alpha))
    assert stats.kstest(shares, stats.beta(count + 1 - rank, rank).cdf).pvalue > 0.01
    assert np.mean(shares) < alpha
    # the quantile that interpolates has more of them
    assert np.mean(1 - np.quantile(drawn, 1 - alpha, axis=1)) > 1.3 * alpha
    low, high = metrics.false_alarms(count, alpha, 0.8)
    np.testing.assert_allclose(np.quantile(shares, [0.1, 0.9]), [low, high], atol=0.004)


def test_what_a_threshold_is_worth():
    found = metrics.detection_quality(SCORES, ANOMALOUS, 0.75)
    above = SCORES > 0.75
    hits, misses = np.sum(above & ANOMALOUS), np.sum(~above & ANOMALOUS)
    false = np.sum(above & ~ANOMALOUS)
    precision, recall = hits / (hits + false), hits / (hits + misses)
    assert found == pytest.approx(
        {
            "auroc": by_enumeration(SCORES, ANOMALOUS),
            "average_precision": metrics.average_precision(SCORES, ANOMALOUS),
            "prevalence": ANOMALOUS.mean(),
            "true_positive_rate": recall,
            "false_positive_rate": false / np.sum(~ANOMALOUS),
            "f1": 2 * precision * recall / (precision + recall),
        }
    )
    p = ANOMALOUS.mean()
    everything = metrics.detection_quality(SCORES, ANOMALOUS, -1.0)
    assert everything["f1"] == pytest.approx(2 * p / (1 + p))
    nothing = metrics.detection_quality(SCORES, ANOMALOUS, np.inf)
    assert (nothing["f1"], nothing["true_positive_rate"]) == (0, 0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.auroc(SCORES, ANOMALOUS[1:]), r"\[40\] and \[39\]"),
        (lambda: metrics.auroc(SCORES, np.zeros(40)), "all examples are of one kind"),
        (lambda: metrics.auroc(SCORES, 2 * ANOMALOUS), "True or False, or 0 and 1"),
        (lambda: metrics.auroc(SCORES * np.nan, ANOMALOUS), "not finite"),
        (lambda: metrics.conformal_threshold(SCORES[None], 0.1), r"must be \[N\], got \[1, 40\]"),
        (
            lambda: metrics.conformal_threshold(SCORES[:18], 0.05),
            "18 scores are too few .* give 19",
        ),
        (lambda: metrics.conformal_threshold(SCORES, 0), "alpha is 0: use more than 0"),
        (lambda: metrics.false_alarms(20, 0.05, 1.0), "coverage is 1.0: use"),
        (lambda: metrics.detection_quality(SCORES, ANOMALOUS, np.nan), "threshold is NaN"),
    ],
)
def test_what_cannot_be_used(call, words):
    with pytest.raises(InputError, match=words):
        call()
