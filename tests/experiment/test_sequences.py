import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from ae_jax.core import InputError
from ae_jax.experiment import sequences

DRAWN = np.random.RandomState(0)
TRAIN = np.cumsum(DRAWN.normal(size=(40, 12, 2)), axis=1)
TEST = np.cumsum(DRAWN.normal(size=(5, 12, 2)), axis=1)
ORDER = 3


def forecast(x, order):
    """What a regression on the steps before each step of each series leaves, [N, T - order, D]."""

    def rows(x):
        return [
            (series[t - order : t].ravel(), series[t])
            for series in x
            for t in range(order, len(series))
        ]

    seen, wanted = map(np.array, zip(*rows(TRAIN if x is TEST else TRAIN[:, ::-1]), strict=True))
    model = LinearRegression().fit(seen, wanted)
    seen, wanted = map(np.array, zip(*rows(x), strict=True))
    return (wanted - model.predict(seen)).reshape(len(x), -1, 2)


def test_autoregression_is_a_regression_on_the_steps_before():
    found = sequences.autoregression(TRAIN, ORDER)(TEST)
    assert found.shape == (5, 12, 2)
    np.testing.assert_allclose(found[:, ORDER:], forecast(TEST, ORDER), rtol=1e-8)
    # the first ones from those after them: the last ones of the series backwards
    back = forecast(TEST[:, ::-1], ORDER)[:, -ORDER:]
    np.testing.assert_allclose(found[:, :ORDER], back[:, ::-1], rtol=1e-8)


def test_sinusoids_are_forecast_exactly_and_one_wrong_step_is_found():
    t = np.arange(30)
    waves = np.sin(0.4 * t + DRAWN.uniform(0, 6, (20, 1)))[..., None]
    score = sequences.autoregression(waves, 2)  # x_t = 2 cos(0.4) x_{t-1} - x_{t-2}
    np.testing.assert_allclose(score(waves), 0, atol=1e-10)
    waves[0, 11] += 1
    found = score(waves)[0, :, 0]
    expected = np.zeros(30)
    expected[11:14] = 1, -2 * np.cos(0.4), 1
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_moving_average():
    found = sequences.moving_average(3)(TEST)
    padded = np.pad(TEST, ((0, 0), (1, 1), (0, 0)), "edge")
    mean = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
    np.testing.assert_allclose(found, TEST - mean, atol=1e-10)


def test_steps_are_judged_by_what_is_usual_there_and_the_oddest_counts():
    detector = sequences.by_steps(lambda x: x - 1, TRAIN)
    usual = np.mean((TRAIN - 1) ** 2, axis=0)  # of each step and channel
    expected = np.sum((TEST - 1) ** 2 / usual, axis=2)
    np.testing.assert_allclose(detector.steps(TEST), expected, rtol=1e-12)
    np.testing.assert_allclose(detector.whole(TEST), expected.max(axis=1), rtol=1e-12)
    np.testing.assert_allclose(detector.steps(TRAIN).mean(axis=0), 2, rtol=1e-12)
    exact = sequences.by_steps(lambda x: x, np.zeros((3, 12, 2)))  # nothing is usual
    np.testing.assert_allclose(exact.steps(TEST), np.sum(TEST**2, axis=2), rtol=1e-12)


def test_classical_detectors():
    found = sequences.classical_detectors(TRAIN, 4, ORDER, 3)
    assert set(found) == {
        *("PCA", "autoregression", "moving average"),
        *("local outlier factor", "isolation forest", "one-class SVM"),
    }
    located = {name for name, detector in found.items() if detector.steps is not None}
    assert located == {"PCA", "autoregression", "moving average"}
    assert all(detector.whole(TEST).shape == (5,) for detector in found.values())
    mean = TRAIN.reshape(40, -1).mean(axis=0)
    basis = np.linalg.svd(TRAIN.reshape(40, -1) - mean)[2][4:]

    def left(x):
        return ((x.reshape(len(x), -1) - mean) @ basis.T @ basis).reshape(x.shape)

    expected = np.sum(left(TEST) ** 2 / np.mean(left(TRAIN) ** 2, axis=0), axis=2)
    np.testing.assert_allclose(found["PCA"].steps(TEST), expected, rtol=1e-6)


def test_refuses():
    with pytest.raises(InputError, match="an order of 7 needs 14 steps or more, got 12"):
        sequences.autoregression(TRAIN, 7)
    with pytest.raises(InputError, match="width is 0"):
        sequences.moving_average(0)
