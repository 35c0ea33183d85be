"""Posteriors on the sphere, of length 1 in R^Z."""

from typing import Any, NamedTuple

import jax

from ae_jax import probability
from ae_jax.core import Array, HParams, InputError
from ae_jax.methods.parts.latents import Posterior
from ae_jax.probability import sphere


class Directional(NamedTuple):
    """Parameters of a distribution on the sphere."""

    direction: Array
    concentration: Array


def von_mises_fisher() -> Posterior:
    """The von Mises-Fisher distribution on the sphere in R^Z, a latent's length being 1.

    Outputs are Z + 1 numbers: Z whose direction is the mean's, whatever their length, and one, o,
    of which the concentration is softplus(o) + 1.

    Reference:
      Davidson et al. (2018), Hyperspherical Variational Auto-Encoders.
    """
    return _directional(probability.von_mises_fisher)


def power_spherical() -> Posterior:
    """The power spherical distribution on the sphere in R^Z; outputs as `von_mises_fisher`'s.

    Reference:
      De Cao and Aziz (2020), The Power Spherical distribution.
    """
    return _directional(probability.power_spherical)


def _directional(density: Any) -> Posterior:
    def read(outputs: Array, latent_size: int, hparams: HParams) -> Directional:
        if outputs.shape[1:] != (latent_size + 1,):
            raise InputError(
                f"the encoder must give a direction and a concentration for {latent_size} latents, "
                f"[B, {latent_size + 1}], and gives {list(outputs.shape)}"
            )
        sphere.require_dim(latent_size)
        direction, raw = outputs[:, :latent_size], outputs[:, latent_size]
        return Directional(sphere.unit(direction), jax.nn.softplus(raw) + 1)

    return Posterior(
        outputs=lambda latent_size: latent_size + 1,
        read=read,
        sample=lambda key, parameters: density.sample(key, *parameters),
        log_prob=lambda z, parameters: density.log_prob(z, *parameters),
        mean=lambda parameters: parameters.direction,
        kl_standard=lambda parameters: density.kl_uniform(
            parameters.concentration, parameters.direction.shape[1]
        ),
        support="sphere",
    )
