"""What latents of a whole data set are to be: of independent dimensions, of unit covariance.

The aggregate posterior q(z) = (1/N) sum_n q(z | x_n) is estimated from a batch.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.losses.moments import covariance, mean_of_present
from ae_jax.probability._examples import matched, widened

#: How a batch's posteriors are weighed to estimate the aggregate one.
Weights = Literal["symmetric", "mss", "mws"]


def aggregate_weights(
    batch_size: int, data_size: int, weights: Weights = "symmetric"
) -> np.ndarray:
    """How much the posterior of example j counts in q(z_i), from a batch drawn without repeats.

    Args:
      batch_size: B.
      data_size: N, the number of examples that batches are drawn from.
      weights: `symmetric`, 1/N for an example's own posterior and (N - 1) / (N (B - 1)) for every
        other: unbiased for q(z), and exact where the batch is the whole data set. `mss`, minibatch
        stratified sampling, unbiased too, which treats one of the others as the rest; `symmetric`
        is its mean over which one, and varies less. `mws`, minibatch-weighted sampling, 1 / (N B)
        for all: far too low, so that a total correlation comes out by up to (Z - 1) log N nats too
        large. Its gradient does not see this.

    Returns:
      float64 [B, B], the logarithms. Rows of the first two sum to 1.

    Raises:
      InputError: if the batch has less than two examples or more than the data, or the weights are
        unknown.

    Reference:
      Chen et al., 2018, "Isolating sources of disentanglement in VAEs", appendix.
    """
    if batch_size < 2:
        raise InputError("the total correlation of a batch of 1 is not defined: use 2 or more")
    if data_size < batch_size:
        raise InputError(
            f"data_size is {data_size}, less than the batch of {batch_size}: give the number of "
            "examples that batches are drawn from"
        )
    others = batch_size - 1
    if weights == "mws":
        return np.full((batch_size, batch_size), -np.log(data_size * batch_size))
    own = np.eye(batch_size, dtype=bool)
    if weights == "symmetric":
        every = (data_size - 1) / (data_size * others)
    elif weights == "mss":
        rest = (data_size - others) / (data_size * others)
        every = np.where(np.roll(own, 1, axis=1), rest, 1 / others)
    else:
        raise InputError(f"unknown weights {weights!r}: use symmetric, mss or mws")
    return np.log(np.where(own, 1 / data_size, every))


def aggregate_log_prob(log_probs: Array, log_weights: Array) -> tuple[Array, Array]:
    """Log-densities of the aggregate posterior, and of the product of its marginals.

    Args:
      log_probs: [Z, S, B], log q(z_id | x_j) of dimension d of sample i.
      log_weights: [S, B], of posterior j for sample i.

    Returns:
      log q(z_i) and sum_d log q(z_id), [S] each, nats. The means of log q(z | x) - log q(z), of
      log q(z) - sum_d log q(z_d) and of sum_d log q(z_d) - log p(z) are the mutual information of
      examples and latents, the total correlation and the dimension-wise divergence. For any
      weights they sum to the divergence from the prior; a single one may be estimated below 0.

    Raises:
      InputError: if the shapes are not those.

    Reference:
      Chen et al., 2018, "Isolating sources of disentanglement in VAEs", equation 2.
    """
    log_probs = widened(jnp.asarray(log_probs))
    log_weights = jnp.asarray(log_weights, log_probs.dtype)
    if log_probs.ndim != 3 or log_weights.shape != log_probs.shape[1:]:
        raise InputError(
            f"log_probs and log_weights must be [Z, S, B] and [S, B], got {list(log_probs.shape)} "
            f"and {list(log_weights.shape)}"
        )
    joint = _log_sum_exp(jnp.sum(log_probs, axis=0) + log_weights)
    marginals = _log_sum_exp(log_probs + log_weights[None])
    return joint, jnp.sum(marginals, axis=0)


def _log_sum_exp(x: Array) -> Array:
    """Over the last axis, as a product with ones: on a CPU a third of the time of a sum."""
    largest = jax.lax.stop_gradient(jnp.max(x, axis=-1, keepdims=True))
    flat = jnp.exp(x - largest).reshape(-1, x.shape[-1])
    total = jnp.matmul(flat, jnp.ones(flat.shape[1], flat.dtype), precision="highest")
    return jnp.log(total.reshape(x.shape[:-1])) + largest[..., 0]


def covariance_penalties(
    mean: Array, variance: Array | None = None, present: Array | None = None
) -> tuple[Array, Array]:
    """How far the covariance of latents is from the identity.

    Args:
      mean: [N, Z], posterior means, whose covariance it is (DIP-VAE-I).
      variance: [N, Z], the posteriors' variances: with their mean on the diagonal it is the
        covariance of latents drawn from the aggregate posterior (DIP-VAE-II).
      present: bool [N], False where a row is padding; None where there is none.

    Returns:
      Two scalars: the sums of squares of the entries off the diagonal, and of the diagonal minus
      1. The covariance is that of the sample itself, by 1/N.

    Raises:
      InputError: if the shapes do not fit.

    Reference:
      Kumar, Sattigeri and Balakrishnan, 2018, "Variational inference of disentangled latent
      concepts from unlabeled observations", equations 6 and 7.
    """
    found = covariance(mean, present)
    diagonal = jnp.diagonal(found)
    off = found - jnp.diag(diagonal)
    if variance is not None:
        mean, variance = matched("mean variance", mean, variance)
        diagonal = diagonal + mean_of_present(variance, present)
    return jnp.sum(off**2), jnp.sum((diagonal - 1) ** 2)


def permuted_dimensions(key: Array, latent: Array) -> Array:
    """Draws from the product of a sample's marginals: each dimension permuted on its own.

    Args:
      key: PRNG key.
      latent: [B, Z].

    Returns:
      [B, Z], the columns of which hold the same numbers.

    Reference:
      Kim and Mnih, 2018, "Disentangling by factorising", algorithm 1.
    """
    return jax.random.permutation(key, latent, axis=0, independent=True)


def density_ratio_loss(joint: Array, permuted: Array) -> Array:
    """Cross-entropy of telling latents from such of independent dimensions.

    At its minimum the logit is log q(z) - sum_d log q(z_d), whose mean is the total correlation.

    Args:
      joint: [B], logits of "drawn jointly" of latents.
      permuted: [B], logits of the others.

    Returns:
      [B], nats; log 2 where the logits are 0.

    Raises:
      InputError: if the shapes differ.

    Reference:
      Kim and Mnih, 2018, "Disentangling by factorising", algorithm 2.
    """
    joint, permuted = matched("joint permuted", joint, permuted)
    return 0.5 * (jax.nn.softplus(-joint) + jax.nn.softplus(permuted))
