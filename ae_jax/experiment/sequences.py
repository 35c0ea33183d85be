"""Classical detectors of what does not fit in sequences, step by step where they can."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ae_jax import metrics
from ae_jax.core import COUNT, InputError, require
from ae_jax.experiment import anomalies

#: Sequences [N, T, D] -> scores of their steps [N, T], higher where they fit less.
StepScore = Callable[[np.ndarray], np.ndarray]


class Detector(NamedTuple):
    """Scores of whole sequences, and of their steps, of which some detectors know none."""

    whole: anomalies.Score
    steps: StepScore | None = None


def by_steps(steps: StepScore) -> Detector:
    """Returns the detector whose score of a sequence is the sum over its steps."""
    return Detector(lambda x: steps(x).sum(axis=1), steps)


def squared_errors(made: Any, x: Any) -> np.ndarray:
    """The squared error of each step of sequences [N, T, D], summed over channels, [N, T]."""
    return np.sum((np.asarray(made, np.float64) - np.asarray(x, np.float64)) ** 2, axis=2)


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
        return squared_errors(metrics.pca_reconstruct(principal, flat).reshape(x.shape), x)

    found = {
        "PCA": by_steps(left_by_pca),
        "autoregression": by_steps(autoregression(train, order)),
        "moving average": by_steps(moving_average(width)),
    }
    return found | {
        name: Detector(score) for name, score in others.items() if not name.startswith("PCA")
    }


def autoregression(train: np.ndarray, order: int) -> StepScore:
    """What a linear forecast leaves: the squared error of each step given those before it.

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
        return squared_errors(lagged(x) @ weights, x[:, order:])

    train = np.asarray(train, np.float64)
    onwards, back = fitted(train), fitted(train[:, ::-1])

    def steps_of(x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, np.float64)
        first = left(x[:, : 2 * order][:, ::-1], back)[:, ::-1]
        return np.concatenate([first, left(x, onwards)], axis=1)

    return steps_of


def moving_average(width: int) -> StepScore:
    """The squared distance of each step from the mean of those around it; edges are repeated.

    Args:
      width: how many steps that are, the middle one included.
    """
    from scipy.ndimage import uniform_filter1d

    require(COUNT, width=width)

    def steps_of(x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, np.float64)
        return squared_errors(uniform_filter1d(x, width, axis=1, mode="nearest"), x)

    return steps_of
