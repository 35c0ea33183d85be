"""What an encoder's outputs say about the latents."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import probability
from ae_jax.core import POSITIVE, Array, Domain, HParams, InputError, require
from ae_jax.probability import gaussian as normal
from ae_jax.probability import sphere
from ae_jax.probability._examples import sum_dimensions

#: Where latents lie: in R^Z, or at length 1 in it.
Support = Literal["plane", "sphere"]


class Posterior(NamedTuple):
    """A distribution of latents for each example, q(z | x).

    Its parameters are whatever `read` makes of the encoder's outputs, a pytree of [B, ...]; who
    holds them (`jax.lax.stop_gradient`) holds the distribution.

    Attributes:
      outputs: latent_size -> how many numbers an encoder has to give.
      read: (outputs [B, O], latent_size, hparams) -> parameters. Raises InputError, when traced,
        for outputs of another shape.
      sample: (key, parameters) -> [B, Z], one draw each, through which gradients flow.
      log_prob: (z [B, Z], parameters) -> [B], nats.
      mean: parameters -> [B, Z], what stands for the distribution where one latent is asked for.
      kl_standard: parameters -> [B], nats: the divergence from the standard prior of its support,
        the Gaussian N(0, I) in the plane and the uniform density on the sphere. None where it has
        no closed form.
      log_probs: (z, parameters) -> nats of single numbers, elementwise in z and parameters of one
        shape, [B, Z] or any other; None where dimensions depend on each other.
      variance: parameters -> [B, Z], of each dimension; likewise.
      support: of its density.
      hparams: its traced hyperparameters and their defaults.
      domains: the values that each of them may take.
    """

    outputs: Callable[[int], int]
    read: Callable[[Array, int, HParams], Any]
    sample: Callable[[Array, Any], Array]
    log_prob: Callable[[Array, Any], Array]
    mean: Callable[[Any], Array]
    kl_standard: Callable[[Any], Array] | None = None
    log_probs: Callable[[Array, Any], Array] | None = None
    variance: Callable[[Any], Array] | None = None
    support: Support = "plane"
    hparams: Mapping[str, float] = {}
    domains: Mapping[str, Domain] = {}


class Gaussian(NamedTuple):
    """Parameters of a Gaussian with a diagonal covariance, [B, Z] each."""

    mean: Array
    log_var: Array


def gaussian(log_var_bound: float | None = None) -> Posterior:
    """The Gaussian with a diagonal covariance: outputs are means and log-variances, side by side.

    Args:
      log_var_bound: keeps log-variances between plus and minus it, as bound * tanh(output /
        bound): near the identity for small ones. Where None nothing keeps them: in float32 the
        KL divergence is infinite from 89 on, and a lane freezes, `kl` among its reasons.

    Raises:
      InputError: if the bound is not positive.

    Reference:
      Kingma and Welling (2014), Auto-Encoding Variational Bayes, section 3.
    """
    if log_var_bound is not None:
        require(POSITIVE, log_var_bound=log_var_bound)

    def read(outputs: Array, latent_size: int, hparams: HParams) -> Gaussian:
        if outputs.shape[1:] != (2 * latent_size,):
            raise InputError(
                f"the encoder must give the means and log-variances of {latent_size} latents, "
                f"[B, {2 * latent_size}], and gives {list(outputs.shape)}"
            )
        mean, log_var = jnp.split(outputs, [latent_size], axis=1)
        if log_var_bound is not None:
            log_var = log_var_bound * jnp.tanh(log_var / log_var_bound)
        return Gaussian(mean, log_var)

    return Posterior(
        outputs=lambda latent_size: 2 * latent_size,
        read=read,
        sample=lambda key, parameters: normal.sample(key, *parameters),
        log_prob=lambda z, parameters: normal.log_prob(z, *parameters),
        mean=lambda parameters: parameters.mean,
        kl_standard=lambda parameters: normal.kl_standard(*parameters),
        log_probs=lambda z, parameters: normal.log_probs(z, *parameters),
        variance=lambda parameters: jnp.exp(parameters.log_var),
    )


def uniform() -> Posterior:
    """Uniform, of width 1, about the encoder's outputs: rounding, as it is trained.

    A draw has the noise that rounding to whole numbers makes of a smooth density. Where one latent
    is asked for it is the whole numbers themselves, through which gradients pass as if they were
    the outputs. So `encode` gives what a coder is to write, `reconstruct` what is made of that, and
    with `priors.factorised()` the divergence is what it costs: the density of the posterior is 1.

    Reference:
      Balle, Laparra and Simoncelli (2017), End-to-end Optimized Image Compression, section 3.
    """

    def read(outputs: Array, latent_size: int, hparams: HParams) -> Array:
        if outputs.shape[1:] != (latent_size,):
            raise InputError(
                f"the encoder must give the centres of {latent_size} latents, [B, {latent_size}], "
                f"and gives {list(outputs.shape)}"
            )
        return outputs

    def sample(key: Array, centre: Array) -> Array:
        return centre + jax.random.uniform(key, centre.shape, centre.dtype, -0.5, 0.5)

    def log_probs(z: Array, centre: Array) -> Array:
        # of a draw at the edge rounding may be the larger part
        rounding = 2 * jnp.finfo(centre.dtype).eps * (1 + jnp.abs(centre))
        inside = jnp.abs(z - centre) <= 0.5 + rounding
        return jnp.where(inside, jnp.zeros_like(z), -jnp.inf)

    return Posterior(
        outputs=lambda latent_size: latent_size,
        read=read,
        sample=sample,
        log_prob=lambda z, centre: sum_dimensions(log_probs(z, centre)),
        mean=lambda centre: centre + jax.lax.stop_gradient(jnp.round(centre) - centre),
        # E[z^2] = c^2 + 1/12
        kl_standard=lambda centre: sum_dimensions((centre**2 + 1 / 12 + normal.LOG_2PI) / 2),
        log_probs=log_probs,
        variance=lambda centre: jnp.full_like(centre, 1 / 12),
    )


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
