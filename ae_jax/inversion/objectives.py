"""What an image is wanted to be, as functions (key, x [B, ...]) -> [B] to be lowered.

They take functions, such as a trained model's views with its state put in, and know of no method.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import losses
from ae_jax.core import POSITIVE, Array, Domain, InputError
from ae_jax.probability._examples import sum_dimensions

#: (key, x [B, ...]) -> [B], or a scalar.
Objective = Callable[[Array, Array], Array]


def weighted(*terms: tuple[Objective, Array | float]) -> Objective:
    """The sum of objectives, each with its weight, a number that may be traced.

    Each sees a key of its own, so that leaving one out changes the draws of none before it.

    Raises:
      InputError: if there are no terms.
    """
    if not terms:
        raise InputError("a sum of objectives needs one at least, as in weighted((prior, 1.0))")

    def total(key: Array, x: Array) -> Array:
        values = (
            weight * objective(jax.random.fold_in(key, i), x)
            for i, (objective, weight) in enumerate(terms)
        )
        return sum(values)

    return total


def keyless(measure: Callable[[Array], Array]) -> Objective:
    """A function of images alone, such as a machine's free energy or a total variation.

    Args:
      measure: x [B, ...] -> [B].
    """
    return lambda key, x: measure(x)


def improbability(log_likelihood: Objective) -> Objective:
    """Minus a log-likelihood, or minus a bound on it that draws latents by the key.

    Args:
      log_likelihood: (key, x [B, ...]) -> [B], nats.
    """
    return lambda key, x: -log_likelihood(key, x)


def reconstruction_error(
    reconstruct: Callable[[Array], Array],
    loss: Callable[[Array, Array], Array] = losses.squared_error,
) -> Objective:
    """How far an image is from its reconstruction; both move.

    That is no density: an autoencoder that reconstructs holes as holes is content with them, so a
    large hole needs a further term. Of a projection onto a subspace the minimum over the unknown
    pixels is the least squares fit to the known ones, `fills.principal`.

    Args:
      reconstruct: x [B, ...] -> [B, ...].
      loss: (reconstruction, x) -> [B].
    """
    return lambda key, x: loss(reconstruct(x), x)


def denoising_score(
    reconstruct: Callable[[Array], Array], deviation: Array | float = 1.0
) -> Objective:
    """What has minus the score of a denoising autoencoder for its gradient.

    An autoencoder r that was trained to undo Gaussian noise of deviation s knows the slope of the
    log-density of noisy data, (r(x) - x) / s^2. That is no function's gradient in general, so the
    value is |r(x) - x|^2 / (2 s^2), whose own gradient it is not. Plain descent at a rate of s^2 is
    x <- r(x).

    Args:
      reconstruct: r, x [B, ...] -> [B, ...].
      deviation: s, in units of x; may be traced.

    Raises:
      InputError: if the deviation is not above 0.

    Reference:
      Alain and Bengio (2014), What Regularized Auto-Encoders Learn from the Data-Generating
      Distribution, theorem 1.
    """
    if not isinstance(deviation, jax.core.Tracer) and deviation not in POSITIVE:
        raise InputError(f"the deviation of the noise is {deviation}: use {POSITIVE}")

    def objective(key: Array, x: Array) -> Array:
        gap = jax.lax.stop_gradient(x - reconstruct(x)) / jnp.asarray(deviation, x.dtype) ** 2
        slope = sum_dimensions(gap * x)
        value = sum_dimensions(gap**2) * jnp.asarray(deviation, x.dtype) ** 2 / 2
        return value + slope - jax.lax.stop_gradient(slope)  # the value, with gap for its gradient

    return objective


def activation(features: Callable[[Array], Array]) -> Objective:
    """Minus half the mean square of features: lowering it emphasises whatever they see.

    Args:
      features: x [B, ...] -> [B, ...], of a layer or of some of its channels.

    Reference:
      Mordvintsev, Olah and Tyka (2015), Inceptionism: Going Deeper into Neural Networks.
    """

    def objective(key: Array, x: Array) -> Array:
        seen = features(x)
        return -sum_dimensions(seen**2) * (len(seen) / seen.size / 2)

    return objective


def of_class(logits: Callable[[Array], Array], label: Array | int) -> Objective:
    """Minus the log-probability of a class, by a classifier.

    Args:
      logits: x [B, ...] -> [B, classes].
      label: int, or int [B].

    Raises:
      InputError: when called, if a label that is not traced is no class.

    Reference:
      Simonyan, Vedaldi and Zisserman (2014), Deep Inside Convolutional Networks, section 2 (of
      logits there).
    """

    def objective(key: Array, x: Array) -> Array:
        log_probabilities = jax.nn.log_softmax(logits(x))
        classes = Domain(0, log_probabilities.shape[1] - 1, whole=True)
        if not isinstance(label, jax.core.Tracer) and any(
            n not in classes for n in np.ravel(label)
        ):
            raise InputError(f"a label is {label}: use {classes}")
        places = jnp.broadcast_to(jnp.asarray(label, jnp.int32), log_probabilities.shape[:1])
        return -jnp.take_along_axis(log_probabilities, places[:, None], axis=1)[:, 0]

    return objective
