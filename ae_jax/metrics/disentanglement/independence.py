"""How far latents are from independent, as far as their covariance tells; no factors are needed."""

import jax
import jax.numpy as jnp

from ae_jax.core import Array
from ae_jax.metrics._samples import checked_samples, unless_broken
from ae_jax.metrics.generation import frechet_distance


def gaussian_total_correlation(latents: Array) -> Array:
    """Total correlation of the Gaussian with the latents' covariance; can be jitted.

    Args:
      latents: [N, Z], at least 2 examples.

    Returns:
      A scalar, nats: KL of N(0, S) from N(0, diag S), -1/2 log det of the correlations. 0 where no
      two latents are correlated, and large, or infinite, where one is a linear function of
      others. Latents with one value are left out. NaN if a latent is not finite.

    Raises:
      InputError: if the shape does not fit, values are not finite or there is a single example.

    Reference:
      Watanabe, 1960, "Information theoretical analysis of multivariate correlation"; of codes in
      Locatello et al., 2019, section 5.
    """
    return _total_correlation(*checked_samples(2, latents=latents))


@jax.jit
def _total_correlation(latents: Array) -> Array:
    centred = latents - latents[:1]  # a constant is 0, without rounding
    largest = jnp.max(jnp.abs(centred), axis=0, keepdims=True)
    centred = centred / jnp.where(largest > 0, largest, 1)
    centred = centred - jnp.mean(centred, axis=0, keepdims=True)
    length = jnp.sqrt(jnp.sum(centred**2, axis=0, keepdims=True))
    unit = centred / jnp.where(length > 0, length, 1)
    # det C = det R^2 for C = R'R, and a QR decomposition needs no squares; a column of zeros has a
    # row of its own, so that its latent is independent of all
    own = jnp.diag((length[0] == 0).astype(unit.dtype))
    diagonal = jnp.abs(jnp.diagonal(jnp.linalg.qr(jnp.concatenate([unit, own]), mode="r")))
    return unless_broken(-jnp.sum(jnp.log(jnp.minimum(diagonal, 1))), latents)


def wasserstein_correlation(latents: Array) -> Array:
    """Squared Wasserstein distance of the latents' Gaussian from independence; can be jitted.

    Args:
      latents: [N, Z], at least 2 examples.

    Returns:
      A scalar, squared units of the latents: W2^2 of N(0, S) and N(0, diag S), S by 1 / (N - 1).
      Unlike the total correlation it is finite always, and grows with the latents' scale; Locatello
      et al. also divide it by the trace of S. NaN if a latent is not finite.

    Raises:
      InputError: if the shape does not fit, values are not finite or there is a single example.

    Reference:
      Locatello et al., 2019, "Challenging common assumptions", section 5.
    """
    return _wasserstein(*checked_samples(2, latents=latents))


@jax.jit
def _wasserstein(latents: Array) -> Array:
    centred = latents - latents[:1]
    centred = centred - jnp.mean(centred, axis=0, keepdims=True)
    covariance = jnp.matmul(centred.T, centred, precision="highest") / (len(latents) - 1)
    mean = jnp.zeros_like(covariance[0])
    independent = jnp.diag(jnp.diagonal(covariance))
    return unless_broken(frechet_distance(mean, covariance, mean, independent), latents)
