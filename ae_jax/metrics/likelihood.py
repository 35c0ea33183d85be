"""How likely images can be, and how likely they are at least."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.losses.bounds import iwae_bound
from ae_jax.metrics._samples import by_rows, checked_samples, squared_distances, unless_broken
from ae_jax.metrics.comparison import mean_over_draws
from ae_jax.probability._examples import matched


def best_log_likelihood(images: Array) -> float:
    """Returns the largest sum of log p over images: each is as probable as it is frequent.

    Args:
      images: [N, ...], of discrete values.

    Returns:
      Nats: minus N times the entropy of the images' own distribution.
    """
    counts = np.unique(np.reshape(images, (len(images), -1)), axis=0, return_counts=True)[1]
    return float(np.sum(counts * np.log(counts / np.sum(counts))))


class ImportanceEstimate(NamedTuple):
    """Log-likelihoods by importance sampling.

    Attributes:
      log_likelihood: [N], nats.
      error: [N], the standard error that is left by the number of samples, nats.
    """

    log_likelihood: Array
    error: Array


def importance_log_likelihood(log_weights: Array) -> ImportanceEstimate:
    """Log-likelihoods from importance weights, with what more samples would change; can be jitted.

    The estimate is a bound on average, too low by about half its squared error. Errors of
    examples are independent: that of a mean of N given examples is the root of their squares'
    sum, over N. How the mean varies with the examples themselves is another matter, for which
    `mean_over_examples` of the log-likelihoods.

    Args:
      log_weights: [K, N], log p(x, z_k) - log q(z_k | x) of K samples for each example.

    Returns:
      log 1/K sum_k w_k and its error, the standard deviation of the weights over their mean and
      the root of K (the delta method): infinite for K = 1, and not to be trusted where it is not
      far below 1, since few weights make up the sum.

    Raises:
      InputError: if the shape is another or there is no sample.

    Reference:
      Burda, Grosse and Salakhutdinov, 2016, "Importance weighted autoencoders", equation 8; Owen,
      2013, "Monte Carlo theory, methods and examples", section 2.7.
    """
    (log_weights,) = matched("log_weights", log_weights)
    found = iwae_bound(log_weights)
    count = len(log_weights)
    # w_k / mean w, whose mean is 1
    ratio = jnp.exp(log_weights - found[None])
    if count == 1:
        return ImportanceEstimate(found, jnp.full_like(found, jnp.inf))
    error = jnp.std(ratio, axis=0, ddof=1) / math.sqrt(count)
    return ImportanceEstimate(found, error)


def importance_bounds(
    bound: Callable[[int, Array], Array], key: Array, counts: Sequence[int], least: int = 100
) -> dict[str, Array]:
    """Bounds on log p(x) from ever more importance samples, side by side; can be jitted.

    Args:
      bound: (samples, key) -> [B], nats: the importance-weighted bound of so many samples.
      key: PRNG key; each number of samples has its own.
      counts: numbers of samples, from 1.
      least: bounds of fewer samples are averaged over draws until they have seen so many, as
        they vary more.

    Returns:
      [B] by `bound_name`, in the order of the counts.

    Raises:
      InputError: if a number of samples is below 1.

    Reference:
      Burda, Grosse and Salakhutdinov (2016), Importance Weighted Autoencoders, theorem 1: none
      exceeds log p(x) on average, and more samples give a tighter one.
    """
    if any(count < 1 for count in counts):
        raise InputError(f"importance samples are numbers from 1, got {list(counts)}")

    def mean(count: int) -> Array:
        own = jax.random.fold_in(key, count)
        return mean_over_draws(lambda key: bound(count, key), own, -(-least // count))

    return {bound_name(count): mean(count) for count in counts}


def bound_name(samples: int) -> str:
    """Returns what a bound of importance samples is called: elbo of one, iwae_10 of ten."""
    return f"iwae_{samples}" if samples > 1 else "elbo"


def parzen_log_likelihood(samples: Array, examples: Array, deviation: Array | float) -> Array:
    """Log-density of examples under Gaussians around a model's samples; can be jitted.

    Of use for the rank of models that have no likelihood, and for little else: in many dimensions
    no number of samples brings it near the model's own, and copies of training examples may
    outrank the data (Theis, van den Oord and Bethge, 2016).

    Args:
      samples: [M, D], what was generated.
      examples: [N, D], held out.
      deviation: of the Gaussians; a positive scalar, to be chosen by other held-out examples.

    Returns:
      [N], nats.

    Raises:
      InputError: if the shapes do not fit, values are not finite or the deviation is not positive.

    Reference:
      Breuleux, Bengio and Vincent, 2011, "Quickly generating representative samples from an
      RBM-derived process".
    """
    samples, examples = checked_samples(samples=samples, examples=examples)
    deviation = jnp.asarray(deviation, samples.dtype)
    if not isinstance(deviation, jax.core.Tracer) and not deviation > 0:
        raise InputError(f"deviation must be positive, got {deviation}")
    return _parzen(samples, examples, deviation)


def parzen_deviation(samples: Array, examples: Array, deviations: Sequence[float]) -> Array:
    """The deviation for `parzen_log_likelihood` under which examples are the most likely.

    Args:
      samples: [M, D], what was generated.
      examples: [N, D], held out, and not those whose likelihood is then told.
      deviations: positive numbers to choose from.

    Returns:
      One of them, a scalar.

    Raises:
      InputError: as `parzen_log_likelihood`.
    """
    samples, examples = checked_samples(samples=samples, examples=examples)
    if not len(deviations) or not min(deviations) > 0:
        raise InputError(f"deviations must be positive numbers, got {deviations}")
    widths = jnp.asarray(deviations, samples.dtype)
    found = jax.vmap(lambda width: jnp.mean(_parzen(samples, examples, width)))(widths)
    return widths[jnp.argmax(found)]


@jax.jit
def _parzen(samples: Array, examples: Array, deviation: Array) -> Array:
    count, size = samples.shape

    def log_density(example: Array) -> Array:
        exponents = -squared_distances(example, samples) / (2 * deviation**2)
        # log(1/M sum_j N(x; s_j, deviation^2 I))
        scale = math.log(count) + size / 2 * jnp.log(2 * math.pi * deviation**2)
        return jax.nn.logsumexp(exponents) - scale

    return unless_broken(by_rows(log_density, examples, count), samples, examples)
