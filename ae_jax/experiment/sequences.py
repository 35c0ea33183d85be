"""Classical detectors of what does not fit in sequences, step by step where they can."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ae_jax import metrics
from ae_jax.core import COUNT, InputError, require
from ae_jax.experiment import anomalies

#: Sequences [N, T, D] -> what is left of each number, [N, T, D].
Residual = Callable[[np.ndarray], Any]


class Detector(NamedTuple):
    """Scores of sequences [N, T, D]: of the whole, [N], and of each step, [N, T].

    Higher where they fit less; None where steps are not scored.
    """

    whole: anomalies.Score
    steps: Callable[[np.ndarray], np.ndarray] | None = None


def by_steps(residual: Residual, train: np.ndarray) -> Detector:
    """Returns the detector that a residual is; a sequence is as odd as its oddest step.

    A step's score is sum_d r_d^2 / s_d^2: its residuals' squares over their means over training
    sequences, at that step and in that channel, for no reconstruction is as good everywhere.

    Args:
      residual: such as what a model makes of sequences, less these.
      train: normal sequences, [N, T, D].

    Reference:
      Malhotra et al. (2016), LSTM-based Encoder-Decoder for Multi-sensor Anomaly Detection, section
      2.2, whose covariance of channels is diagonal here.
    """

    def squares(x: np.ndarray) -> np.ndarray:
        return np.asarray(residual(x), np.float64) ** 2

    usual = np.mean(squares(train), axis=0)
    usual = np.where(usual > 0, usual, 1)

    def steps(x: np.ndarray) -> np.ndarray:
        return np.sum(squares(x) / usual, axis=2)

    return Detector(lambda x: np.max(steps(x), axis=1), steps)


def classical_detectors(
    train: np.ndarray, components: int, order: int, width: int
) -> dict[str, Detector]:
    """Fits classical detectors to sequences that are normal.

    Args:
      train: [N, T, D].
      components: of PCA of whole sequences.
      order: steps that an autoregression looks back on.
      width: steps of a moving average, the middle one included.

    Raises:
      InputError: if there are not so many components, or steps.
    """
    others = anomalies.classical_detectors(train, components)
    principal = metrics.pca(train.reshape(len(train), -1).astype(np.float64), components)

    def left_by_pca(x: np.ndarray) -> np.ndarray:
        flat = np.asarray(x, np.float64).reshape(len(x), -1)
        return (metrics.pca_reconstruct(principal, flat) - flat).reshape(x.shape)

    residuals = {
        "PCA": left_by_pca,
        "autoregression": autoregression(train, order),
        "moving average": moving_average(width),
    }
    found = {name: by_steps(residual, train) for name, residual in residuals.items()}
    return found | {
        name: Detector(score) for name, score in others.items() if not name.startswith("PCA")
    }


def autoregression(train: np.ndarray, order: int) -> Residual:
    """What a linear forecast leaves of each step, given those before it.

    The forecast is x_t = c + sum_{k=1}^p A_k x_{t-k}, by least squares over all training sequences.
    The first p steps, which have too few before them, are forecast from the p after them.

    Args:
      train: [N, T, D].
      order: p.

    Raises:
      InputError: if sequences have fewer than 2 p steps.
    """
    require(COUNT, order=order)
    steps = train.shape[1]
    if steps < 2 * order:
        raise InputError(f"an order of {order} needs {2 * order} steps or more, got {steps}")

    def lagged(x: np.ndarray) -> np.ndarray:
        """The p steps before each step from p on, and a one: [N, T - p, p D + 1]."""
        before = np.lib.stride_tricks.sliding_window_view(x, order, axis=1)[:, :-1]
        flat = before.reshape(*before.shape[:2], -1)
        return np.concatenate([flat, np.ones((*flat.shape[:2], 1))], axis=2)

    def fitted(x: np.ndarray) -> np.ndarray:
        seen = lagged(x)
        return np.linalg.lstsq(
            seen.reshape(-1, seen.shape[2]), x[:, order:].reshape(-1, x.shape[2]), rcond=None
        )[0]

    def left(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return x[:, order:] - lagged(x) @ weights

    train = np.asarray(train, np.float64)
    onwards, back = fitted(train), fitted(train[:, ::-1])

    def residual(x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, np.float64)
        first = left(x[:, : 2 * order][:, ::-1], back)[:, ::-1]
        return np.concatenate([first, left(x, onwards)], axis=1)

    return residual


def moving_average(width: int) -> Residual:
    """What the mean of the steps around it leaves of each step; edges are repeated.

    Args:
      width: how many steps that are, the middle one included.
    """
    from scipy.ndimage import uniform_filter1d

    require(COUNT, width=width)

    def residual(x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, np.float64)
        return x - uniform_filter1d(x, width, axis=1, mode="nearest")

    return residual
