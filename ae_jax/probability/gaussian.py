"""The Gaussian with a diagonal covariance, given by its mean and log-variance."""

import math

import jax
import jax.numpy as jnp

from ae_jax.core import Array
from ae_jax.probability._examples import matched, sum_dimensions, widened

LOG_2PI = math.log(2 * math.pi)


def log_prob(x: Array, mean: Array, log_var: Array) -> Array:
    """Log-density of x.

    Args:
      x: [B, ...].
      mean: [B, ...].
      log_var: [B, ...], the logarithm of the variance.

    Returns:
      [B], nats, summed over an example's dimensions.

    Raises:
      InputError: if the shapes differ.
    """
    mean, x, log_var = matched("mean x log_var", mean, x, log_var)
    # log N(x; m, v) = -[(x - m)^2 / v + log v + log 2 pi] / 2
    return -0.5 * sum_dimensions(_over_variance(x - mean, log_var) + log_var + LOG_2PI)


def log_probs(x: Array, mean: Array, log_var: Array) -> Array:
    """Log-density of each of x's dimensions, of which `log_prob` is the sum.

    Args:
      x: [B, ...].
      mean: [B, ...].
      log_var: [B, ...].

    Returns:
      [B, ...], nats.

    Raises:
      InputError: if the shapes differ.
    """
    mean, x, log_var = matched("mean x log_var", mean, x, log_var)
    return -0.5 * (_over_variance(x - mean, log_var) + log_var + LOG_2PI)


def _over_variance(difference: Array, log_var: Array) -> Array:
    # d^2 / v, which is 0 at d = 0 however small v is: 1 / v may overflow
    largest = math.log(jnp.finfo(log_var.dtype).max)
    overflows = (difference == 0) & (-log_var > largest)
    return difference**2 * jnp.exp(-jnp.where(overflows, 0, log_var))


def sample(key: Array, mean: Array, log_var: Array) -> Array:
    """Draws mean + std * noise, through which gradients flow to both parameters.

    Args:
      key: PRNG key.
      mean: [B, ...].
      log_var: [B, ...].

    Returns:
      [B, ...] of the mean's dtype, one draw per entry.

    Raises:
      InputError: if the shapes differ.

    Reference:
      Kingma and Welling, 2014, "Auto-encoding variational Bayes", section 2.4.
    """
    mean, log_var = matched("mean log_var", mean, log_var, widen=False)
    wide = widened(mean)
    noise = jax.random.normal(key, (wide.size,), wide.dtype).reshape(wide.shape)
    return (wide + jnp.exp(0.5 * widened(log_var)) * noise).astype(mean.dtype)


def kl_standard(mean: Array, log_var: Array) -> Array:
    """Kullback-Leibler divergence from N(mean, exp(log_var)) to N(0, I).

    Args:
      mean: [B, ...].
      log_var: [B, ...].

    Returns:
      [B], nats, summed over an example's dimensions; never negative.

    Raises:
      InputError: if the shapes differ.

    Reference:
      Kingma and Welling, 2014, appendix B.
    """
    mean, log_var = matched("mean log_var", mean, log_var)
    # KL = [m^2 + v - 1 - log v] / 2; expm1 keeps the digits of v - 1 near the prior
    return 0.5 * sum_dimensions(mean**2 + (jnp.expm1(log_var) - log_var))


def kl(mean: Array, log_var: Array, other_mean: Array, other_log_var: Array) -> Array:
    """Kullback-Leibler divergence from N(mean, ..) to N(other_mean, ..).

    Args:
      mean: [B, ...].
      log_var: [B, ...].
      other_mean: [B, ...].
      other_log_var: [B, ...].

    Returns:
      [B], nats, summed over an example's dimensions; never negative.

    Raises:
      InputError: if the shapes differ.
    """
    mean, log_var, other_mean, other_log_var = matched(
        "mean log_var other_mean other_log_var", mean, log_var, other_mean, other_log_var
    )
    log_ratio = log_var - other_log_var
    # KL = [(m1 - m2)^2 / v2 + v1/v2 - 1 - log v1/v2] / 2
    distance = _over_variance(mean - other_mean, other_log_var)
    return 0.5 * sum_dimensions(distance + (jnp.expm1(log_ratio) - log_ratio))


def symmetric_kls(mean: Array, log_var: Array, other_mean: Array, other_log_var: Array) -> Array:
    """Means of both Kullback-Leibler divergences of two Gaussians, of each dimension.

    Args:
      mean: [B, ...].
      log_var: [B, ...].
      other_mean: [B, ...].
      other_log_var: [B, ...].

    Returns:
      [B, ...], nats; the same for the two exchanged.

    Raises:
      InputError: if the shapes differ.
    """
    mean, log_var, other_mean, other_log_var = matched(
        "mean log_var other_mean other_log_var", mean, log_var, other_mean, other_log_var
    )
    distance = mean - other_mean
    # [v1/v2 + v2/v1 - 2 + (m1 - m2)^2 (1/v1 + 1/v2)] / 4, where v1/v2 + v2/v1 - 2 is a square
    ratio = 4 * jnp.sinh(0.5 * (log_var - other_log_var)) ** 2
    nearness = _over_variance(distance, log_var) + _over_variance(distance, other_log_var)
    return 0.25 * (ratio + nearness)


def product(
    mean: Array, log_var: Array, other_mean: Array, other_log_var: Array
) -> tuple[Array, Array]:
    """The Gaussian that the product of two Gaussian densities is, but for its height.

    Args:
      mean: [B, ...].
      log_var: [B, ...].
      other_mean: [B, ...].
      other_log_var: [B, ...].

    Returns:
      Its mean and log-variance, [B, ...]: 1/v = 1/v1 + 1/v2, and means weighted by precisions.

    Raises:
      InputError: if the shapes differ.

    Reference:
      Sonderby et al. (2016), Ladder Variational Autoencoders, section 2.2.
    """
    mean, log_var, other_mean, other_log_var = matched(
        "mean log_var other_mean other_log_var", mean, log_var, other_mean, other_log_var
    )
    # (1/v1) / (1/v1 + 1/v2) = v2 / (v1 + v2)
    weight = jax.nn.sigmoid(other_log_var - log_var)
    merged = weight * mean + (1 - weight) * other_mean
    return merged, -jnp.logaddexp(-log_var, -other_log_var)


def entropy(log_var: Array) -> Array:
    """Differential entropy.

    Args:
      log_var: [B, ...].

    Returns:
      [B], nats, summed over an example's dimensions.
    """
    (log_var,) = matched("log_var", log_var)
    return 0.5 * sum_dimensions(1 + LOG_2PI + log_var)
