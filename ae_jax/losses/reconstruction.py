"""How far a reconstruction is from its example."""

import math

import jax
import jax.numpy as jnp

from ae_jax.core import Array
from ae_jax.probability import bernoulli, continuous_bernoulli, discretised_logistic
from ae_jax.probability._examples import matched, sum_dimensions
from ae_jax.probability.gaussian import LOG_2PI


def bernoulli_nll(logits: Array, x: Array) -> Array:
    """Negative log-likelihood of x under independent Bernoulli variables.

    For grey levels between 0 and 1 this is the cross-entropy, whose least value is the
    entropy of the grey levels, not 0.

    Args:
      logits: [B, ...], log-odds; values and gradients are finite for any finite logits.
      x: [B, ...] in [0, 1].

    Returns:
      [B], nats, summed over an example's dimensions.

    Raises:
      InputError: if the shapes differ.
    """
    return -bernoulli.log_prob(x, logits)


def continuous_bernoulli_nll(logits: Array, x: Array) -> Array:
    """Negative log-likelihood of x under independent continuous Bernoulli variables.

    Unlike `bernoulli_nll` it is that of a density of grey levels.

    Args:
      logits: [B, ...]; values and gradients are finite for any finite logits, 0 included.
      x: [B, ...] in [0, 1].

    Returns:
      [B], nats, summed over an example's dimensions; it may be below 0.

    Raises:
      InputError: if the shapes differ.

    Reference:
      Loaiza-Ganem and Cunningham, 2019, "The continuous Bernoulli".
    """
    return -continuous_bernoulli.log_prob(x, logits)


def discretised_logistic_nll(
    location: Array, x: Array, log_scale: Array, levels: int = 256
) -> Array:
    """Negative log-likelihood of x under logistic variables that are rounded to levels of [0, 1].

    Args:
      location: [B, ...], in units of x.
      x: [B, ...] in [0, 1], rounded to the nearest level.
      log_scale: [B, ...], in units of x.
      levels: how many there are: 256 of an 8-bit image; static.

    Returns:
      [B], nats, summed over an example's dimensions; never below 0.

    Raises:
      InputError: if the shapes differ or there are fewer than 2 levels.

    Reference:
      Salimans et al., 2017, "PixelCNN++".
    """
    return -discretised_logistic.log_prob(x, location, log_scale, levels)


def gaussian_nll(mean: Array, x: Array, variance: Array | float = 1.0) -> Array:
    """Negative log-likelihood of x under a Gaussian with a given variance.

    Args:
      mean: [B, ...].
      x: [B, ...].
      variance: positive; a scalar, or [B, ...] as x.

    Returns:
      [B], nats, summed over an example's dimensions, normalising constant included.

    Raises:
      InputError: if the shapes differ.
    """
    mean, x = matched("mean x", mean, x)
    if jnp.ndim(variance):
        mean, variance = matched("mean variance", mean, variance)
    else:
        variance = jnp.asarray(variance, mean.dtype)
    # -log N(x; m, v) = [(x - m)^2 / v + log v + log 2 pi] / 2
    return 0.5 * sum_dimensions((x - mean) ** 2 / variance + (jnp.log(variance) + LOG_2PI))


def optimal_gaussian_nll(mean: Array, x: Array, least_variance: Array | float = 1e-6) -> Array:
    """Negative log-likelihood of x under a Gaussian of the variance that makes it least.

    One variance for each example, its own mean squared error: no other example counts, as those
    of a batch do in popular code. It is a lower bound of `gaussian_nll` over all such variances,
    and no density of x, which the variance has seen.

    Args:
      mean: [B, ...].
      x: [B, ...].
      least_variance: positive scalar; without it a perfect reconstruction costs minus infinity.

    Returns:
      [B], nats, summed over an example's dimensions.

    Raises:
      InputError: if the shapes differ.

    Reference:
      Rybkin, Daniilidis and Levine, 2021, "Simple and effective VAE training with calibrated
      decoders", where the variance is that of a batch.
    """
    mean, x = matched("mean x", mean, x)
    dimensions = x.size // x.shape[0]
    error = sum_dimensions((x - mean) ** 2) / dimensions
    variance = jnp.maximum(error, jnp.asarray(least_variance, error.dtype))
    # D [log(2 pi v) + e / v] / 2, least at v = e
    return 0.5 * dimensions * (jnp.log(variance) + LOG_2PI + error / variance)


def student_nll(mean: Array, x: Array, degrees: Array | float, variance: Array | float) -> Array:
    """Negative log-likelihood of x under a Gaussian of a variance that nobody knows.

    One variance for each example, integrated out under a scaled inverse chi-squared distribution:
    a multivariate Student distribution. With few degrees of freedom its gradient is that of
    `optimal_gaussian_nll`, and it is a density.

    Args:
      mean: [B, ...].
      x: [B, ...].
      degrees: positive scalar, of freedom: how many dimensions the given variance counts for.
      variance: positive scalar, where the unknown one is expected.

    Returns:
      [B], nats, summed over an example's dimensions, normalising constant included.

    Raises:
      InputError: if the shapes differ.

    Reference:
      Gelman et al., 2013, "Bayesian data analysis".
    """
    mean, x = matched("mean x", mean, x)
    dimensions = x.size // x.shape[0]
    degrees, variance = (jnp.asarray(value, mean.dtype) for value in (degrees, variance))
    scale = degrees * variance
    # log G(n/2) - log G((n+D)/2) + D/2 log(pi n v) + (n+D)/2 log(1 + |x - m|^2 / (n v))
    gammas = jax.lax.lgamma(degrees / 2) - jax.lax.lgamma((degrees + dimensions) / 2)
    constant = gammas + dimensions / 2 * (jnp.log(scale) + math.log(math.pi))
    surprise = jnp.log1p(sum_dimensions((x - mean) ** 2) / scale)
    return constant + (degrees + dimensions) / 2 * surprise


def squared_error(x_hat: Array, x: Array) -> Array:
    """Squared Euclidean distance.

    Args:
      x_hat: [B, ...], the reconstruction.
      x: [B, ...].

    Returns:
      [B], summed over an example's dimensions (no factor 1/2).

    Raises:
      InputError: if the shapes differ.
    """
    x_hat, x = matched("x_hat x", x_hat, x)
    return sum_dimensions((x_hat - x) ** 2)


def absolute_error(x_hat: Array, x: Array) -> Array:
    """Sum of absolute differences.

    Args:
      x_hat: [B, ...], the reconstruction.
      x: [B, ...].

    Returns:
      [B], summed over an example's dimensions.

    Raises:
      InputError: if the shapes differ.
    """
    x_hat, x = matched("x_hat x", x_hat, x)
    return sum_dimensions(jnp.abs(x_hat - x))


def correntropy(x_hat: Array, x: Array, sigma: Array | float) -> Array:
    """Correntropy-induced loss: a squared error that saturates at outliers.

    Minimising it maximises the correntropy (the mean Gaussian kernel) of the errors. The
    scale is such that it tends to `squared_error` as sigma grows.

    Args:
      x_hat: [B, ...], the reconstruction.
      x: [B, ...].
      sigma: positive scalar, in units of x: errors well above it hardly count.

    Returns:
      [B], summed over an example's dimensions; a dimension contributes at most 2 sigma^2.

    Raises:
      InputError: if the shapes differ.

    Reference:
      Liu, Pokharel and Principe, 2007, "Correntropy: properties and applications in
      non-Gaussian signal processing".
    """
    x_hat, x = matched("x_hat x", x_hat, x)
    scale = 2 * jnp.asarray(sigma, x_hat.dtype) ** 2
    # 2 sigma^2 (1 - exp(-e^2 / (2 sigma^2)))
    return sum_dimensions(-scale * jnp.expm1(-((x_hat - x) ** 2) / scale))
