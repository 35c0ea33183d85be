"""An anomaly detector for tables: an autoencoder's error, and a threshold that normal rows give."""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ae_jax import data, metrics, nets, training
from ae_jax.core import BETWEEN, COUNT, Array, InputError, Method, State, require
from ae_jax.methods import autoencoder

#: So many rows are scored at a time, by a program that is compiled once.
_ROWS = 256
#: In deviations: what lies further out counts as that far, and its square is a number.
_FURTHEST = 1e12


class AnomalyDetector(OutlierMixin, BaseEstimator):
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

        self._scaler = StandardScaler().fit(rows)
        self._form = (
            X.shape[1],
            self.latent_size or round(X.shape[1] ** 0.5),
            tuple(np.atleast_1d(self.widths).tolist()),
        )
        method, _ = _model(*self._form)
        result = training.run(
            method,
            data.stored(self._standardised(rows), origin="X"),
            training.grid(learning_rate=self.learning_rate, seed=int(seed)),
            self.steps,
            batch_size=min(self.batch_size, len(rows)),
            schedules=[training.warmup_cosine(self.steps)],
        )
        if result.rows[0]["status"] != "ok":
            raise InputError(
                f"training broke at step {result.rows[0]['frozen_step']}: lower learning_rate"
            )
        _, state, _ = training.lane(result, 0)
        self._state = method.inference(state)

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
        return self._scaler.inverse_transform(self._made(self._standardised(self._checked(X))))

    def _checked(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float64, reset=False)

    def _standardised(self, X: np.ndarray) -> np.ndarray:
        return np.clip(self._scaler.transform(X), -_FURTHEST, _FURTHEST)

    def _made(self, x: np.ndarray) -> np.ndarray:
        """What is made of standardised rows."""
        _, reconstruct = _model(*self._form)
        blocks = [x[first : first + _ROWS] for first in range(0, len(x), _ROWS)]
        padded = (np.pad(block, ((0, _ROWS - len(block)), (0, 0))) for block in blocks)
        return np.concatenate([reconstruct(self._state, block) for block in padded])[: len(x)]

    def _parts(self, X: np.ndarray) -> np.ndarray:
        x = self._standardised(X)
        return (x - self._made(x)) ** 2

    def _errors(self, X: np.ndarray) -> np.ndarray:
        return np.sum(self._parts(X), axis=1)


@functools.lru_cache(maxsize=64)
def _model(
    columns: int, latent_size: int, widths: tuple[int, ...]
) -> tuple[Method, Callable[[State, np.ndarray], Array]]:
    """An autoencoder of rows, and its compiled reconstruction."""
    method = autoencoder(nets.mlp(latent_size, widths), nets.mlp(columns, widths[::-1]))

    @jax.jit
    def reconstruct(state: State, x: Array) -> Array:
        batch = {"image": x.astype(jnp.result_type(float))}
        return method.views.reconstruct(state, batch, dict(method.hparams))

    return method, reconstruct
