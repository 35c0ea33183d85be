"""What estimators of tables share: standardised columns, an autoencoder of rows, rows in blocks."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from ae_jax import nets, training
from ae_jax.core import REAL, Array, Dataset, InputError, Method, Network, require
from ae_jax.data import tables
from ae_jax.methods import autoencoder

#: So many rows are taken at a time, by a program that is compiled once.
_ROWS = 256
#: In deviations: what lies further out counts as that far, and its square is a number.
_FURTHEST = 1e12


class Rows(NamedTuple):
    """An autoencoder of rows.

    Attributes:
      encoder: [B, D] -> latent [B, Z].
      decoder: latent [B, Z] -> [B, D].
      method: that trains both by the squared error.
      encode: (parameters by name, [B, D]) -> [B, Z], compiled.
      decode: (parameters by name, [B, Z]) -> [B, D], compiled.
    """

    encoder: Network
    decoder: Network
    method: Method
    encode: Callable[[Any, np.ndarray], Array]
    decode: Callable[[Any, Array], Array]


class TableEstimator(BaseEstimator):
    """An estimator that learns networks of rows whose columns are standardised."""

    def _begin(self, rows: np.ndarray, latent_size: int, widths: Sequence[int]) -> np.ndarray:
        """Learns the columns' units, and returns rows [N, D] in deviations."""
        if np.ndim(widths) > 1:
            raise InputError(f"widths are {widths!r}: give the size of each hidden layer")
        self._unit = tables.units(rows)
        self._scaler = StandardScaler().fit(rows / self._unit)
        # 1, which nothing below 1 deviates by, is of what is always the same: it keeps its unit
        still = self._scaler.scale_ == 1
        self._scaler.scale_[still] = 1 / self._unit[still]
        self._form = (rows.shape[1], latent_size, tuple(np.atleast_1d(widths).tolist()))
        return self._standardised(rows)

    def _checked(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float64, reset=False)

    def _standardised(self, X: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # of what is clipped
            return np.clip(self._scaler.transform(X / self._unit), -_FURTHEST, _FURTHEST)

    def _in_units(self, x: np.ndarray) -> np.ndarray:
        """The inverse of `_standardised`."""
        return self._scaler.inverse_transform(x) * self._unit

    def _rows(self) -> Rows:
        return autoencoder_of(*self._form)


def trained(
    method: Method,
    dataset: Dataset,
    steps: int,
    *,
    batch_size: int,
    learning_rate: float,
    seed: int,
    **options: Any,
) -> training.Result:
    """Trains one lane; options are those of `training.run`.

    Raises:
      InputError: if a number cannot be used, or training broke.
    """
    require(REAL, learning_rate=learning_rate)
    result = training.run(
        method,
        dataset,
        training.grid(learning_rate=learning_rate, seed=seed),
        steps,
        batch_size=min(batch_size, dataset.size),
        **options,
    )
    if result.rows[0]["status"] != "ok":
        raise InputError(
            f"training broke at step {result.rows[0]['frozen_step']}: lower learning_rate"
        )
    return result


def mapped(function: Callable[[np.ndarray], Array], x: np.ndarray) -> np.ndarray:
    """Applies a function of rows [B, D], each by itself, to any number of them, [N, D]."""
    blocks = [x[first : first + _ROWS] for first in range(0, len(x), _ROWS)]
    padded = (np.pad(block, ((0, _ROWS - len(block)), (0, 0))) for block in blocks)
    return np.concatenate([function(block) for block in padded])[: len(x)]


@functools.lru_cache(maxsize=64)
def autoencoder_of(columns: int, latent_size: int, widths: tuple[int, ...]) -> Rows:
    """Returns an autoencoder of rows, made and compiled once."""
    encoder, decoder = nets.mlp(latent_size, widths), nets.mlp(columns, widths[::-1])

    def encode(params: Any, x: Array) -> Array:
        return encoder.apply(params["encoder"], x.astype(jnp.result_type(float)))

    def decode(params: Any, latent: Array) -> Array:
        return decoder.apply(params["decoder"], latent)

    method = autoencoder(encoder, decoder)
    return Rows(encoder, decoder, method, jax.jit(encode), jax.jit(decode))
