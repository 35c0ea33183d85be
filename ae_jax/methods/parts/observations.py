"""What a decoder's output says about the data: a likelihood, or a plain error.

An Observation joins a loss from `ae_jax.losses` to the mean (and, for a likelihood, the
sampler) that belongs to it, so that autoencoders and VAEs take it as one argument.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ae_jax import losses
from ae_jax.core import POSITIVE, Array, Domain, HParams, traced


class Observation(NamedTuple):
    """How decoder outputs are compared with data.

    Attributes:
      hparams: its traced hyperparameters and their defaults.
      loss: (outputs, x, hparams) -> [B]; a negative log-likelihood in nats where
        `sample` is defined.
      mean: outputs -> reconstruction in data space.
      sample: (key, outputs, hparams) -> data; None where the loss is no likelihood.
      domains: the values that each of them may take.
    """

    hparams: Mapping[str, float]
    loss: Callable[[Array, Array, HParams], Array]
    mean: Callable[[Array], Array]
    sample: Callable[[Array, Array, HParams], Array] | None = None
    domains: Mapping[str, Domain] = {}


def bernoulli() -> Observation:
    """Outputs are logits; data in [0, 1] count as probabilities (cross-entropy)."""
    return Observation(
        hparams={},
        loss=lambda logits, x, hparams: losses.bernoulli_nll(logits, x),
        mean=jax.nn.sigmoid,
        sample=lambda key, logits, hparams: jax.random.bernoulli(
            key, jax.nn.sigmoid(logits)
        ).astype(logits.dtype),
    )


def categorical() -> Observation:
    """Outputs are logits [B, V]; data are one-hot [B, V]."""
    return Observation(
        hparams={},
        # -log softmax(logits)_x
        loss=lambda logits, x, hparams: optax.losses.softmax_cross_entropy(logits, x),
        mean=jax.nn.softmax,
        sample=lambda key, logits, hparams: jax.nn.one_hot(
            jax.random.categorical(key, logits), logits.shape[1], dtype=logits.dtype
        ),
    )


def gaussian(variance: float = 1.0) -> Observation:
    """Outputs are means; the variance, one number for all dimensions, is a hyperparameter."""
    return Observation(
        **traced(variance=(variance, POSITIVE)),
        loss=lambda mean, x, hparams: losses.gaussian_nll(mean, x, hparams["variance"]),
        mean=lambda mean: mean,
        sample=lambda key, mean, hparams: (
            mean + jnp.sqrt(hparams["variance"]) * jax.random.normal(key, mean.shape, mean.dtype)
        ),
    )


def squared_error() -> Observation:
    """Sum of squared differences."""
    return Observation({}, lambda outputs, x, _: losses.squared_error(outputs, x), lambda x: x)


def absolute_error() -> Observation:
    """Sum of absolute differences."""
    return Observation({}, lambda outputs, x, _: losses.absolute_error(outputs, x), lambda x: x)


def correntropy(sigma: float = 0.5) -> Observation:
    """A squared error that saturates at outliers, well above sigma, which is a hyperparameter."""
    return Observation(
        **traced(sigma=(sigma, POSITIVE)),
        loss=lambda outputs, x, hparams: losses.correntropy(outputs, x, hparams["sigma"]),
        mean=lambda outputs: outputs,
    )


#: The observations that need no argument, by name.
OBSERVATIONS: Mapping[str, Callable[[], Observation]] = {
    "bernoulli": bernoulli,
    "gaussian": gaussian,
    "squared_error": squared_error,
    "absolute_error": absolute_error,
    "correntropy": correntropy,
}
