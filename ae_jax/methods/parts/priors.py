"""What latents are drawn from before anything is seen, p(z); it may be learned."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import probability
from ae_jax.core import COUNT, Array, Domain, HParams, require, require_kind
from ae_jax.methods.parts.posteriors import Posterior, Support


class Prior(NamedTuple):
    """A density of latents.

    Its functions see the parameters of all networks by name: those of a prior that is learned are
    the entry `prior`, moved by what moves encoder and decoder, and a mixture of an encoder's own
    posteriors reads `encoder` as well.

    Attributes:
      sample: (key, params, (count, Z), hparams) -> [count, Z].
      log_prob: (z [B, Z], params, hparams) -> [B], nats.
      init: (key, x [B, ...], latent_size) -> its own parameters; None where there are none.
      predict: (z [B, Z], params, hparams) -> log-probabilities of its clusters, [B, K]; None where
        it has none.
      standard: whether it is the standard one of its support, from which a posterior may have its
        divergence in closed form.
      support: of its density.
      hparams: its traced hyperparameters and their defaults.
      domains: the values that each of them may take.
    """

    sample: Callable[[Array, Mapping[str, Any], tuple[int, int], HParams], Array]
    log_prob: Callable[[Array, Mapping[str, Any], HParams], Array]
    init: Callable[[Array, Array, int], Any] | None = None
    predict: Callable[[Array, Mapping[str, Any], HParams], Array] | None = None
    standard: bool = False
    support: Support = "plane"
    hparams: Mapping[str, float] = {}
    domains: Mapping[str, Domain] = {}


def fixed(density: probability.priors.Prior) -> Prior:
    """A density without parameters, such as `probability.priors.ring()`, for all classes alike.

    Raises:
      InputError: if that is none.
    """
    require_kind(probability.priors.Prior, "probability.priors.ring()", density=density)
    return Prior(
        sample=lambda key, params, shape, hparams: density(key, shape),
        log_prob=lambda z, params, hparams: density.log_prob(z),
    )


def normal() -> Prior:
    """The standard Gaussian N(0, I)."""
    return fixed(probability.priors.normal())._replace(standard=True)


def sphere() -> Prior:
    """Uniform on the sphere of radius 1 about the origin, for posteriors on it.

    Its density is with respect to the sphere's area, 2 pi^(Z/2) / Gamma(Z/2).
    """
    return Prior(
        sample=lambda key, params, shape, hparams: probability.sphere.sample(key, shape),
        log_prob=lambda z, params, hparams: probability.sphere.log_prob(z),
        standard=True,
        support="sphere",
    )


def gaussian_mixture(components: int = 10) -> Prior:
    """A learned mixture of Gaussians with diagonal covariances, each of which is a cluster: VaDE.

    A VAE with this prior raises a bound on log p(x) of an image's latent and cluster together. With
    q(k | x, z) = p(k | z), which is the best, the cluster drops out:

      E_q(z, k | x)[log p(z, k) - log q(z, k | x)] = E_q(z | x)[log p(z) - log q(z | x)].

    So every bound, regulariser and view does with it what it does with other priors. The published
    bound is of a q(k | x) that does not know z, and lower by E_q(z | x)[KL(q(k | x) || p(k | z))].

    Components start at draws of N(0, I), of variance 1 and equal weight. The authors start them at
    a mixture of the latents of a trained autoencoder: `recipes.clustering.begun_mixture`.

    Args:
      components: K; static.

    Raises:
      InputError: if there is none.

    Reference:
      Jiang, Zheng, Tan, Tang and Zhou (2017), Variational Deep Embedding, section 3.
    """
    require(COUNT, components=components)
    density = probability.gaussian_mixture

    def init(key: Array, x: Array, latent_size: int) -> dict[str, Array]:
        return {
            "mean": jax.random.normal(key, (components, latent_size), x.dtype),
            "log_var": jnp.zeros((components, latent_size), x.dtype),
            "logits": jnp.zeros(components, x.dtype),
        }

    return Prior(
        sample=lambda key, params, shape, hparams: density.sample(key, shape[0], **params["prior"]),
        log_prob=lambda z, params, hparams: density.log_prob(z, **params["prior"]),
        init=init,
        predict=lambda z, params, hparams: density.log_responsibilities(z, **params["prior"]),
    )


def factorised(components: int = 3) -> Prior:
    """What whole numbers cost that are coded one by one: learned, for each latent by itself.

    A mixture of logistic variables, rounded. With `posteriors.uniform()` the divergence is the
    rate of such a code, in nats.

    Args:
      components: of each latent's mixture; static. They start at different places, one apart.

    Raises:
      InputError: if there is none.

    Reference:
      Balle, Laparra and Simoncelli (2017), End-to-end Optimized Image Compression, section 3, where
      the density is piecewise linear.
    """
    require(COUNT, components=components)
    density = probability.rounded_logistic

    def init(key: Array, x: Array, latent_size: int) -> dict[str, Array]:
        start = jnp.arange(components, dtype=x.dtype) - (components - 1) / 2
        zeros = jnp.zeros((latent_size, components), x.dtype)
        return {"location": zeros + start[None], "log_scale": zeros, "logits": zeros}

    return Prior(
        sample=lambda key, params, shape, hparams: density.sample(key, shape[0], **params["prior"]),
        log_prob=lambda z, params, hparams: density.log_prob(z, **params["prior"]),
        init=init,
    )


def closed_form(posterior: Posterior, prior: Prior) -> Callable[[Any], Array] | None:
    """The divergence of a posterior from a prior, parameters -> [B], where it has a closed form."""
    return posterior.kl_standard if prior.standard else None
