"""What a variational autoencoder raises: lower bounds on log p(x) from draws of the posterior.

A bound sees of K draws, [K, B], the error -log p(x | z_k) and the divergence log q(z_k | x) -
log p(z_k), which is weighted by beta wherever it stands: beta = 1 is the bound.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.core import COUNT, FRACTION, Array, Domain, HParams, InputError, require, traced


class Terms(NamedTuple):
    """What K draws of the posterior cost, [K, B] each, nats.

    Attributes:
      error: -log p(x | z).
      divergence: of the posterior from the prior; in closed form the same for all draws, [1, B].
    """

    error: Array
    divergence: Array


class Bound(NamedTuple):
    """How draws of the posterior make a loss.

    Attributes:
      loss: (Terms, hparams) -> [B], minus the bound; `beta` is among the numbers.
      samples: K.
      closed: whether the divergence is taken in closed form, where there is one.
      held: whether the posterior's parameters are held in its density, so that gradients reach
        them through the draws alone.
      objective: (Terms, Terms, hparams) -> [B], what is differentiated in the place of the loss.
        The first terms are functions of decoder and prior alone, the second ones of the posterior
        alone; their values are the same. None where it is the loss.
      hparams: its traced hyperparameters and their defaults, beside `beta`.
      domains: the values that each of them may take.
    """

    loss: Callable[[Terms, HParams], Array]
    samples: int = 1
    closed: bool = False
    held: bool = False
    objective: Callable[[Terms, Terms, HParams], Array] | None = None
    hparams: Mapping[str, float] = {}
    domains: Mapping[str, Domain] = {}


def elbo(kl: Literal["closed", "sampled"] = "closed", samples: int = 1) -> Bound:
    """The evidence lower bound, E_q[log p(x | z)] - beta KL.

    Args:
      kl: `closed`, the divergence's closed form, where posterior and prior have one; `sampled`, by
        the draws themselves.
      samples: draws of which it is the mean.

    Raises:
      InputError: if there is no sample, or the divergence is unknown.

    Reference:
      Kingma and Welling (2014), equations 3 (closed) and 2 (sampled); Higgins et al. (2017),
      equation 4, for beta.
    """
    require(COUNT, samples=samples)
    if kl not in ("closed", "sampled"):
        raise InputError(f"unknown kl {kl!r}: use closed or sampled")
    return Bound(_mean, samples, closed=kl == "closed")


def sticking_the_landing(samples: int = 1) -> Bound:
    """The evidence lower bound whose gradient vanishes, draw by draw, at the exact posterior.

    The divergence is sampled, and the posterior's density held: the gradient that this leaves out
    is 0 in expectation, of one draw and of the mean of several. Of an importance-weighted bound it
    is not: see `doubly_reparametrised`.

    Args:
      samples: draws of which it is the mean.

    Raises:
      InputError: if there is no sample.

    Reference:
      Roeder, Wu and Duvenaud (2017), Sticking the Landing, section 3.
    """
    require(COUNT, samples=samples)
    return Bound(_mean, samples, held=True)


def iwae(samples: int = 5) -> Bound:
    """The importance-weighted bound, E log (1/K) sum_k p(x | z_k) (p(z_k) / q(z_k | x))^beta.

    Args:
      samples: K; static. 1 is the evidence lower bound with its divergence sampled.

    Raises:
      InputError: if there is no sample.

    Reference:
      Burda, Grosse and Salakhutdinov (2016), Importance Weighted Autoencoders, equation 8, where
      beta is 1.
    """
    require(COUNT, samples=samples)
    return Bound(_importance_weighted, samples)


def doubly_reparametrised(samples: int = 5) -> Bound:
    """The importance-weighted bound, by a gradient of the encoder that gains from more draws.

    In expectation the gradient is that of `iwae`; its noise falls with K where that of `iwae`
    drowns the encoder's. What is reported as `loss` is minus the bound.

    Args:
      samples: K; static. 1 is `sticking_the_landing`.

    Raises:
      InputError: if there is no sample.

    Reference:
      Tucker et al. (2019), Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives,
      section 4; Rainforth et al. (2018), Tighter Variational Bounds are Not Necessarily Better.
    """
    require(COUNT, samples=samples)

    def objective(of_decoder: Terms, of_posterior: Terms, hparams: HParams) -> Array:
        decoder, latents = (_log_weights(terms, hparams) for terms in (of_decoder, of_posterior))
        share = jax.lax.stop_gradient(jax.nn.softmax(decoder, axis=0))
        # E[w~ dlog q / dphi] = E[(w~ - w~^2) (dlog w / dz) (dz / dphi)], and counts beta times
        squared = share + jnp.asarray(hparams["beta"], share.dtype) * (share**2 - share)
        return -jnp.sum(share * decoder + squared * latents, axis=0)

    return Bound(_importance_weighted, samples, held=True, objective=objective)


def combined(samples: int = 5, weight: float = 0.5) -> Bound:
    """Between the evidence lower bound and the importance-weighted one: CIWAE.

    weight ELBO + (1 - weight) IWAE_K, of the same draws; swept as `elbo_weight`.

    Args:
      samples: K; static.
      weight: of the evidence lower bound; traced. 1 is `elbo("sampled", K)`, 0 is `iwae(K)`.

    Raises:
      InputError: if there is no sample.

    Reference:
      Rainforth et al. (2018), Tighter Variational Bounds are Not Necessarily Better, CIWAE.
    """
    require(COUNT, samples=samples)

    def loss(terms: Terms, hparams: HParams) -> Array:
        share = hparams["elbo_weight"]
        return share * _mean(terms, hparams) + (1 - share) * _importance_weighted(terms, hparams)

    return Bound(loss, samples, **traced(elbo_weight=(weight, FRACTION)))


def multiply_importance_weighted(repeats: int = 8, samples: int = 8) -> Bound:
    """The mean of several importance-weighted bounds, each of draws of its own: MIWAE.

    (1/M) sum_m log (1/K) sum_k w_mk: the gradient of fewer draws K, with less noise.

    Args:
      repeats: M; static.
      samples: K, of each; static. 1 is `elbo("sampled", M)`, and M = 1 is `iwae(K)`.

    Raises:
      InputError: if there is no sample.

    Reference:
      Rainforth et al. (2018), MIWAE.
    """
    require(COUNT, repeats=repeats, samples=samples)
    return Bound(_repeated(repeats), repeats * samples)


def partially_importance_weighted(repeats: int = 8, samples: int = 8) -> Bound:
    """The decoder by all draws together, the encoder by several bounds of fewer each: PIWAE.

    Decoder and prior ascend the importance-weighted bound of all M K draws, which is what is
    reported; the encoder ascends, of the same draws, `multiply_importance_weighted`.

    Args:
      repeats: M; static. 1 is `iwae(K)`.
      samples: K; static.

    Raises:
      InputError: if there is no sample.

    Reference:
      Rainforth et al. (2018), PIWAE.
    """
    require(COUNT, repeats=repeats, samples=samples)
    of_encoder = _repeated(repeats)

    def objective(of_decoder: Terms, of_posterior: Terms, hparams: HParams) -> Array:
        return _importance_weighted(of_decoder, hparams) + of_encoder(of_posterior, hparams)

    return Bound(_importance_weighted, repeats * samples, objective=objective)


def _mean(terms: Terms, hparams: HParams) -> Array:
    return -jnp.mean(_log_weights(terms, hparams), axis=0)


def _importance_weighted(terms: Terms, hparams: HParams) -> Array:
    return -losses.iwae_bound(_log_weights(terms, hparams))


def _repeated(repeats: int) -> Callable[[Terms, HParams], Array]:
    """Of draws [M K, B], the first K of which are the first bound's."""

    def loss(terms: Terms, hparams: HParams) -> Array:
        log_weights = _log_weights(terms, hparams)
        each = jnp.reshape(log_weights, (repeats, -1, log_weights.shape[1]))
        return -jnp.mean(jax.vmap(losses.iwae_bound)(each), axis=0)

    return loss


def _log_weights(terms: Terms, hparams: HParams) -> Array:
    divergence = jnp.broadcast_to(terms.divergence, terms.error.shape)
    return losses.beta_elbo(-terms.error, divergence, hparams["beta"])
