import itertools
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.neighbors import LocalOutlierFactor

from ae_jax import metrics
from ae_jax.core import InputError, Network, Views
from ae_jax.experiment import anomalies
from ae_jax.methods import boltzmann
from ae_jax.training import Model

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


def test_distances_of_latents_shrink_their_covariance():
    train, z = DRAWN.normal(size=(15, 4)) @ DRAWN.normal(size=(4, 4)) + 3, DRAWN.normal(size=(6, 4))
    centred = train - train.mean(axis=0)
    covariance = centred.T @ centred / 15
    level = np.trace(covariance) / 4
    # d = min(b, a) / a: what the covariance is off from the mean variance, and what by chance
    a = np.sum((covariance - level * np.eye(4)) ** 2)
    b = sum(np.sum((np.outer(x, x) - covariance) ** 2) for x in centred) / 15**2
    d = min(b, a) / a
    assert 0.01 < d < 0.99
    inverse = np.linalg.inv((1 - d) * covariance + d * level * np.eye(4))
    expected = [mahalanobis(x, train.mean(axis=0), inverse) ** 2 for x in z]
    np.testing.assert_allclose(anomalies.mahalanobis(train)(z), expected, rtol=1e-9)
    plain = np.einsum("ni,ij,nj->n", z - 3, np.linalg.inv(covariance), z - 3)
    assert not np.allclose(anomalies.mahalanobis(train)(z), plain, rtol=0.01)


def test_distances_of_many_white_latents_are_those_of_euclid():
    z = np.random.RandomState(0).normal(size=(20_000, 3))
    found = anomalies.mahalanobis(z)(np.eye(3) * 2)
    np.testing.assert_allclose(found, 4, rtol=0.05)


def test_free_energy_sums_over_hidden_states():
    weights, bias, hidden, variance, v = (
        DRAWN.normal(size=shape) for shape in ((3, 2), 3, 2, 3, (5, 1, 3, 1))
    )
    params = boltzmann.RBMParams(weights, bias, hidden, variance)  # of which it is the logarithm
    units = boltzmann.Units(boltzmann.gaussian(), boltzmann.bernoulli_hidden())
    flat, precision = v.reshape(5, 3), np.exp(-variance)
    states = [
        flat * precision @ weights @ h + hidden @ h for h in itertools.product((0, 1), repeat=2)
    ]
    expected = 0.5 * np.sum((flat - bias) ** 2 * precision, axis=1) - np.log(
        np.sum(np.exp(states), axis=0)
    )
    found = anomalies.free_energy(jax.tree.map(np.float32, params), units)(v.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_scores_of_an_autoencoder_and_of_a_discriminator():
    matrix = DRAWN.normal(size=(4, 2)).astype(np.float32)
    views = Views(
        encode=lambda state, batch, hparams: batch["image"] @ state,
        reconstruct=lambda state, batch, hparams: hparams["by"] * batch["image"],
    )
    model = Model({}, SimpleNamespace(views=views), matrix, {"by": np.float32(0.5)})
    train, x = DRAWN.normal(size=(2, 30, 4)).astype(np.float32)
    error, distance = anomalies.errors(model, train)
    np.testing.assert_allclose(error(x), np.sum((0.5 * x.astype(float)) ** 2, axis=1), rtol=1e-5)
    expected = anomalies.mahalanobis(train @ matrix)(x @ matrix)
    np.testing.assert_allclose(distance(x), expected, rtol=1e-3)
    network = Network(lambda key, x: matrix, lambda params, x: x @ params[:, :1])
    np.testing.assert_allclose(
        anomalies.suspicion(network, matrix)(x), -x @ matrix[:, 0], rtol=1e-4, atol=1e-5
    )


def test_what_is_likely_is_not_odd():
    views = Views(log_likelihood=lambda key, state, batch, hparams: state - batch["image"][:, 0])
    model = Model({}, SimpleNamespace(views=views), np.float32(1), {})
    np.testing.assert_allclose(anomalies.unlikeliness(model)(np.eye(2, dtype=np.float32)), [0, -1])


def row(detector, left_out, value):
    found = {"detector": detector, "left_out": left_out, "draw": 0, "seed": 0, "status": "ok"}
    return found | {"auroc": value}


def test_models_are_compared_with_the_best_classical_detector_task_by_task():
    values = {"mine": (0.9, 0.7), "PCA": (0.5, 0.5), "LOF": (0.6, 0.8), "slow": (0.2, 0.1)}
    rows = [row(name, k, v) for name, own in values.items() for k, v in enumerate(own)]
    said = anomalies.compared(rows, ("mine", "absent"))
    assert said[0] == "The best classical detector is LOF, of AUROC 0.700."
    assert said[1:] == [
        "AUROC of mine, 0.800, less others': +0.100 ± 0.200 (LOF), +0.300 ± 0.100 (PCA)."
    ]


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
    with pytest.raises(InputError, match="without class 1 all examples are the same"):
        anomalies.leaving_out(POINTS * (LABEL == 1)[:, None], LABEL, (1,), 1)
    with pytest.raises(InputError, match="less than 5 normal examples"):
        anomalies.leaving_out(POINTS[:7], np.repeat([0, 1], [3, 4]), (0,), 1)
    with pytest.raises(InputError, match="5 components of"):
        anomalies.classical_detectors(POINTS, 5)
