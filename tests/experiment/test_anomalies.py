import numpy as np
import pytest
from sklearn.neighbors import LocalOutlierFactor

from ae_jax import metrics
from ae_jax.core import InputError
from ae_jax.experiment import anomalies

DRAWN = np.random.default_rng(0)
LABEL = np.repeat([0, 1, 2], [30, 25, 21])
POINTS = DRAWN.normal(size=(76, 4)) * [1, 10, 100, 0] + 5


def test_a_class_is_left_out_of_all_but_the_test():
    images = np.arange(76.0).reshape(-1, 1, 1, 1)  # each its own number
    tasks = anomalies.leaving_out(images, LABEL, (), draws=2)
    assert [(task.left_out, task.draw) for task in tasks] == [
        (k, draw) for k in range(3) for draw in range(2)
    ]
    for task in tasks:
        # 76 - 30 = 46 normal ones at least, of which a fifth is 9; and 21 anomalies
        assert [len(part) for part in task[2:]] == [27, 9, 30, 30]
        own, normal = (
            task.test[where].astype(int).ravel() for where in (task.anomalous, ~task.anomalous)
        )
        parts = [*(part.astype(int).ravel() for part in task[2:4]), normal]
        assert set(LABEL[own]) == {task.left_out}
        assert task.left_out not in LABEL[np.concatenate(parts)]
        assert len(set(np.concatenate([*parts, own]))) == 27 + 9 + 30
    assert not np.array_equal(tasks[0].train, tasks[1].train)


def test_columns_are_standardised_by_what_is_trained_on():
    (task,) = anomalies.leaving_out(POINTS, LABEL, (2,), draws=1)
    np.testing.assert_allclose(task.train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(task.train.std(axis=0), [1, 1, 1, 0])
    held_out = np.concatenate([task.calibration, task.test])
    assert np.abs(held_out[:, :3].mean(axis=0)).min() > 1e-3  # by no statistic of its own
    assert (held_out[:, 3] == 0).all()


def test_classical_scores():
    (task,) = anomalies.leaving_out(POINTS, LABEL, (2,), draws=1)
    found = anomalies.classical_detectors(task.train, components=2)
    scores = {name: score(task.test) for name, score in found.items()}
    _, singular, basis = np.linalg.svd(task.train, full_matrices=False)
    left = np.sum((task.test @ basis[2:].T) ** 2, axis=1)  # the training mean is 0
    np.testing.assert_allclose(scores["PCA"], left, rtol=1e-8, atol=1e-12)
    kept = np.cumsum(singular**2) / np.sum(singular**2)
    most = np.flatnonzero(kept >= 0.95)[0] + 1
    left = np.sum((task.test @ basis[most:].T) ** 2, axis=1)
    np.testing.assert_allclose(scores["PCA 95%"], left, rtol=1e-8, atol=1e-12)
    reference = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(task.train)
    np.testing.assert_allclose(
        scores["local outlier factor"], -reference.score_samples(task.test), rtol=1e-12
    )
    far = np.full((1, 4), 50.0)
    assert all(score(far) > np.median(scores[name]) for name, score in found.items())


def test_mean_of_curves():
    anomalous = {k: DRAWN.uniform(size=50) < 0.3 for k in range(2)}
    scored = {k: DRAWN.normal(size=50) + anomalous[k] for k in range(2)}
    false, true, _ = anomalies.mean_roc(scored, anomalous, 5001)
    expected = np.mean([metrics.auroc(scored[k], anomalous[k]) for k in range(2)])
    assert np.trapezoid(true, false) == pytest.approx(expected, abs=1e-3)
    assert (false[0], false[-1], true[-1]) == (0, 1, 1)


def test_squared_errors_are_sums():
    made, y = DRAWN.normal(size=(2, 3, 2, 2, 1)).astype(np.float32)
    expected = [np.sum((a.astype(float) - b) ** 2) for a, b in zip(made, y, strict=True)]
    np.testing.assert_allclose(anomalies.squared_error(made, y), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        ((3,), "is 3, of which there is no example"),
        ((1, 1), "given twice"),
    ],
)
def test_classes_that_cannot_be_left_out(left_out, words):
    with pytest.raises(InputError, match=words):
        anomalies.leaving_out(POINTS, LABEL, left_out, 1)


def test_too_few_examples():
    with pytest.raises(InputError, match="less than 5 normal examples"):
        anomalies.leaving_out(POINTS[:7], np.repeat([0, 1], [3, 4]), (0,), 1)
    with pytest.raises(InputError, match="5 components of"):
        anomalies.classical_detectors(POINTS, 5)
