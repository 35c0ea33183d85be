"""Posteriors and priors on the Poincare ball, for `posteriors` and `priors`.

The curvature is static: it is of the space, which decoders know of as well. A ball of curvature -c
with a prior of scale s is, but for its coordinates, one of curvature -1 with a prior of scale
sqrt(c) s: in one program curvatures are swept as `prior_scale`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from ae_jax.core import POSITIVE, Array, HParams, InputError, traced
from ae_jax.methods.parts.latents import Ball, Posterior, Prior
from ae_jax.probability import poincare, riemannian_normal, wrapped_normal


class OnBall(NamedTuple):
    """Parameters of a normal distribution on the ball.

    Attributes:
      mean: [B, Z], of the ball.
      log_var: [B, Z] of the wrapped one, [B] of the Riemannian one.
    """

    mean: Array
    log_var: Array


def wrapped_normal_posterior(curvature: float = 1.0) -> Posterior:
    """The wrapped normal on the Poincare ball: outputs are where its mean is, and log-variances.

    The mean is where the geodesic ends that leaves the origin in the direction of the first Z
    outputs and is as long as they are. Of curvature 0 all is as of `gaussian()`, whose latents are
    halved.

    Args:
      curvature: c; the ball's is -c. Static, as decoders that know of the geometry have it, too.

    Raises:
      InputError: if the curvature is below 0.

    Reference:
      Mathieu et al. (2019), Continuous Hierarchical Representations with Poincare Variational
      Auto-Encoders, section 3.
    """
    return _posterior(wrapped_normal, curvature, lambda latent_size: latent_size)


def riemannian_normal_posterior(curvature: float = 1.0) -> Posterior:
    """The Riemannian normal on the Poincare ball: outputs are where its mean is, one log-variance.

    Means and the curvature are as `wrapped_normal`'s; there are two latents or more.

    Args:
      curvature: c; static.

    Raises:
      InputError: if the curvature is below 0; when traced, for one latent.

    Reference:
      Mathieu et al. (2019), section 3.
    """
    return _posterior(riemannian_normal, curvature, lambda latent_size: 1)


def wrapped_normal_prior(curvature: float = 1.0, scale: float = 1.0) -> Prior:
    """The wrapped normal about the origin of the Poincare ball, of one scale in all directions.

    Args:
      curvature: c of the ball, the posterior's; static.
      scale: a standard deviation, as measured at the origin; swept as `prior_scale`.

    Raises:
      InputError: if the curvature is below 0.

    Reference:
      Mathieu et al. (2019), section 3.2.
    """
    return _prior(wrapped_normal, curvature, scale, lambda shape: shape)


def riemannian_normal_prior(curvature: float = 1.0, scale: float = 1.0) -> Prior:
    """The Riemannian normal about the origin of the Poincare ball.

    Args:
      curvature: c of the ball, the posterior's; static.
      scale: the root of v in exp(-d^2 / (2 v)); swept as `prior_scale`.

    Raises:
      InputError: if the curvature is below 0.

    Reference:
      Mathieu et al. (2019), section 3.2.
    """
    return _prior(riemannian_normal, curvature, scale, lambda shape: shape[:1])


def _posterior(density, curvature: float, variances: Callable[[int], int]) -> Posterior:
    poincare.require_curvature(curvature)

    def outputs(latent_size: int) -> int:
        return latent_size + variances(latent_size)

    def read(given: Array, latent_size: int, hparams: HParams) -> OnBall:
        if given.shape[1:] != (outputs(latent_size),):
            raise InputError(
                f"the encoder must give the means of {latent_size} latents and "
                f"{variances(latent_size)} log-variance(s), [B, {outputs(latent_size)}], and gives "
                f"{list(given.shape)}"
            )
        mean, log_var = given[:, :latent_size], given[:, latent_size:]
        mean = poincare.reached(jnp.zeros_like(mean), mean, curvature)
        return OnBall(mean, log_var[:, 0] if density is riemannian_normal else log_var)

    return Posterior(
        outputs=outputs,
        read=read,
        sample=lambda key, parameters: density.sample(key, *parameters, curvature),
        log_prob=lambda z, parameters: density.log_prob(z, *parameters, curvature),
        mean=lambda parameters: parameters.mean,
        support=Ball(curvature),
    )


def _prior(
    density, curvature: float, scale: float, spread: Callable[[tuple[int, ...]], tuple[int, ...]]
) -> Prior:
    poincare.require_curvature(curvature)

    def parameters(shape: tuple[int, ...], dtype: jnp.dtype, hparams: HParams) -> OnBall:
        log_var = 2 * jnp.log(jnp.asarray(hparams["prior_scale"], dtype))
        return OnBall(jnp.zeros(shape, dtype), jnp.broadcast_to(log_var, spread(shape)))

    def sample(key: Array, params, shape: tuple[int, int], hparams: HParams) -> Array:
        own = parameters(shape, jnp.result_type(float), hparams)
        return density.sample(key, *own, curvature)

    def log_prob(z: Array, params, hparams: HParams) -> Array:
        return density.log_prob(z, *parameters(z.shape, z.dtype, hparams), curvature)

    numbers = traced(prior_scale=(scale, POSITIVE))
    return Prior(sample, log_prob, support=Ball(curvature), **numbers)
