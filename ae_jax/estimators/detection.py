"""An anomaly detector for tables: an autoencoder's error, and a threshold that normal rows give."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from ae_jax import data, metrics, training
from ae_jax.core import BETWEEN, COUNT, require
from ae_jax.estimators.tables import TableEstimator, mapped, trained


class AnomalyDetector(OutlierMixin, TableEstimator):
    """Tells what does not fit normal rows, by how badly an autoencoder of them reconstructs it.

    Some of the rows are held out: they give the mean and the deviation of no column and train
    nothing, and a new normal row exceeds the threshold that they give with a probability of
    `alpha` at most, whatever the network learned. That is a promise about rows like those of
    `fit`: anomalies among these raise the threshold.

    The score is minus the sum over columns of the squared error of standardised values. Every
    parameter is a choice made before any anomaly is seen; there is none that asks for their share.

    Args:
      alpha: the share of false alarms, within (0, 1).
      calibration: the share of the rows that is held out for the threshold, within (0, 1).
      latent_size: numbers that a row is squeezed into; the square root of the number of columns,
        rounded, where None.
      widths: hidden layers of the encoder, reversed in the decoder.
      steps: of training.
      batch_size: rows in a step; all of them where there are fewer.
      learning_rate: at first; it falls to 0 as a half cosine.
      random_state: draws the rows to hold out and the seed of the training: an int repeats both.

    Attributes:
      threshold_: of the error; what is above it is anomalous.
      offset_: minus that, of `score_samples`.
      alpha_: the share of false alarms that the threshold keeps to: `alpha`, or more where the
        held-out rows are too few for it, of which a warning says so.
      calibration_errors_: [M], of the held-out rows.
      n_features_in_: the number of columns.

    Reference:
      Sakurada and Yairi, 2014, "Anomaly detection using autoencoders with nonlinear
      dimensionality reduction"; `metrics.conformal_threshold` for the threshold.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.05,
        calibration: float = 0.25,
        latent_size: int | None = None,
        widths: Sequence[int] = (64,),
        steps: int = 1000,
        batch_size: int = 64,
        learning_rate: float = 3e-3,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.alpha = alpha
        self.calibration = calibration
        self.latent_size = latent_size
        self.widths = widths
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "AnomalyDetector":
        """Learns what is normal.

        Args:
          X: [N, D], normal rows, two or more.
          y: is not looked at.

        Returns:
          The detector.

        Raises:
          ValueError: if rows or parameters cannot be used.
        """
        require(BETWEEN, alpha=self.alpha, calibration=self.calibration)
        require(COUNT, batch_size=self.batch_size, steps=self.steps)
        if self.latent_size is not None:
            require(COUNT, latent_size=self.latent_size)
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        random = check_random_state(self.random_state)
        order, seed = random.permutation(len(X)), random.randint(2**31)
        held = min(max(round(self.calibration * len(X)), 1), len(X) - 1)
        rows, held_out = X[order[held:]], X[order[:held]]

        size = self.latent_size or round(X.shape[1] ** 0.5)
        x = self._begin(rows, size, self.widths)
        result = trained(
            self._rows().method,
            data.stored(x, origin="X"),
            self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=int(seed),
            schedules=[training.warmup_cosine(self.steps)],
        )
        self._params = training.lane(result, 0)[1].params

        self.calibration_errors_ = self._errors(held_out)
        self.alpha_ = max(self.alpha, 1 / (held + 1))
        if self.alpha_ > self.alpha:
            warnings.warn(
                f"{held} held-out rows are too few for alpha {self.alpha:g}: with the largest of "
                f"their errors as the threshold it is {self.alpha_:.2g}",
                stacklevel=2,
            )
        self.threshold_ = metrics.conformal_threshold(self.calibration_errors_, self.alpha_)
        self.offset_ = -self.threshold_
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Returns minus the error of rows [N, D], [N]: the lower the less they fit."""
        return -self._errors(self._checked(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Returns what rows [N, D] are below the threshold, [N]: less than 0 where anomalous."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Returns of rows [N, D] 1 where they are normal and -1 where they are anomalous, [N]."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def errors(self, X: Any) -> np.ndarray:
        """Returns each column's part of the error of rows [N, D], [N, D]: what does not fit."""
        return self._parts(self._checked(X))

    def reconstruct(self, X: Any) -> np.ndarray:
        """Returns what the autoencoder makes of rows [N, D], [N, D], in their own units."""
        return self._in_units(self._made(self._standardised(self._checked(X))))

    def _made(self, x: np.ndarray) -> np.ndarray:
        """What is made of standardised rows."""
        rows, params = self._rows(), self._params
        return mapped(lambda block: rows.decode(params, rows.encode(params, block)), x)

    def _parts(self, X: np.ndarray) -> np.ndarray:
        x = self._standardised(X)
        return (x - self._made(x)) ** 2

    def _errors(self, X: np.ndarray) -> np.ndarray:
        return np.sum(self._parts(X), axis=1)
