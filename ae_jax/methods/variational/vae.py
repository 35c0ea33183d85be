"""Variational autoencoders, with the KL divergence weighted by beta.

Reference:
  Kingma and Welling (2014), Auto-Encoding Variational Bayes; Rezende, Mohamed and
  Wierstra (2014); Higgins et al. (2017), beta-VAE.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax import losses
from ae_jax.core import (
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    Array,
    Batch,
    HParams,
    InputError,
    Method,
    Network,
)
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import joined, require
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend
from ae_jax.methods.learners.views import coded
from ae_jax.methods.parts.observations import Observation, bernoulli
from ae_jax.methods.parts.posteriors import gaussian_halves
from ae_jax.probability import gaussian


def vae(
    encoder: Network,
    decoder: Network,
    latent_size: int,
    *,
    likelihood: Observation | None = None,
    log_var_bound: float | None = None,
    beta: float = 1.0,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
    importance_samples: int = 100,
) -> Method:
    """Returns the VAE of a Gaussian posterior, a standard Gaussian prior and a likelihood.

    It minimises E_q(z|x)[-log p(x|z)] + beta KL(q(z|x) || p(z)), with one reparametrised
    sample per example; beta = 1 is the negative ELBO.

    Args:
      encoder: [B, ...] -> [B, 2 Z], the posterior's mean and log-variance side by side.
      decoder: [B, Z] -> the likelihood's outputs [B, ...].
      latent_size: Z.
      likelihood: an Observation with a density; Bernoulli where None.
      log_var_bound: keeps log-variances between plus and minus it, as bound * tanh(output /
        bound): near the identity for small ones. Where None nothing keeps them: in float32 the
        KL divergence is infinite from 89 on, and a lane freezes, `kl` among its reasons.
      beta: weight of the KL divergence; traced.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.
      importance_samples: samples of the `log_likelihood` view's importance-weighted bound.

    Returns:
      The method. Evaluation, per example in nats: `loss`, `reconstruction` = -log p(x|z),
      `kl`, `elbo` = -(reconstruction + kl).

    Raises:
      InputError: if the likelihood has no density or shares a hyperparameter, the bound is not
        positive, or there are no latents or samples; when traced, if the encoder's outputs are
        not 2 Z.

    Reference:
      Higgins et al. (2017), equation 4; Burda et al. (2016), equation 8, for the
      log-likelihood.
    """
    objective = vae_objective(
        encoder, decoder, latent_size, likelihood=likelihood, log_var_bound=log_var_bound, beta=beta
    )
    require(COUNT, importance_samples=importance_samples)
    likelihood = likelihood or bernoulli()
    halves = gaussian_halves(latent_size, log_var_bound)

    def posterior(params: Mapping[str, Any], x: Array) -> tuple[Array, Array]:
        return halves(encoder.apply(params["encoder"], x))

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return posterior(state.params, batch["image"])[0]

    def decode(state: GradientState, latent: Array, hparams: HParams) -> Array:
        return likelihood.mean(decoder.apply(state.params["decoder"], latent))

    def sample(key: Array, state: GradientState, count: int, hparams: HParams) -> Array:
        latent = jax.random.normal(key, (count, latent_size), jnp.result_type(float))
        return decode(state, latent, hparams)

    log_likelihood = _importance_bound(posterior, decoder, likelihood, importance_samples)
    views = coded(encode, decode, sample=sample, log_likelihood=log_likelihood)
    return descend(objective, views, optimizer=optimizer, learning_rate=learning_rate)


def vae_objective(
    encoder: Network,
    decoder: Network,
    latent_size: int,
    *,
    likelihood: Observation | None = None,
    log_var_bound: float | None = None,
    beta: float = 1.0,
) -> Objective:
    """Returns what `vae` descends, for learners that do more with it.

    Args:
      encoder: as for `vae`; moved by the name of `encoder`.
      decoder: as for `vae`; moved by the name of `decoder`.
      latent_size: as for `vae`, and the others too.
      likelihood: an Observation with a density.
      log_var_bound: of the posterior.
      beta: traced.

    Raises:
      InputError: as `vae`.
    """
    likelihood = likelihood or bernoulli()
    if likelihood.sample is None:
        raise InputError(
            "a VAE needs a likelihood, and this is a plain error: use gaussian(0.5) for the "
            "squared error"
        )
    require(COUNT, latent_size=latent_size)
    if log_var_bound is not None:
        require(POSITIVE, log_var_bound=log_var_bound)
    halves = gaussian_halves(latent_size, log_var_bound)

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        encoder_key, decoder_key = jax.random.split(key)
        x = batch["image"]
        latent = jnp.zeros((x.shape[0], latent_size), x.dtype)
        return {
            "encoder": encoder.init(encoder_key, x),
            "decoder": decoder.init(decoder_key, latent),
        }

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        sample_key, encoder_key, decoder_key = jax.random.split(key, 3)
        x = batch["image"]
        outputs, moved = gradient.forward(encoder, encoder_key, params["encoder"], x, training)
        mean, log_var = halves(outputs)
        latent = gaussian.sample(sample_key, mean, log_var)
        outputs, moved_after = gradient.forward(
            decoder, decoder_key, params["decoder"], latent, training
        )
        reconstruction = likelihood.loss(outputs, x, hparams)
        kl = gaussian.kl_standard(mean, log_var)
        values = {
            "loss": -losses.beta_elbo(-reconstruction, kl, hparams["beta"]),
            "reconstruction": reconstruction,
            "kl": kl,
            "elbo": losses.elbo(-reconstruction, kl),
        }
        return values, {"encoder": moved, "decoder": moved_after}

    return Objective(init, terms, **joined(likelihood, beta=(beta, NOT_NEGATIVE)))


def _importance_bound(
    posterior: Callable, decoder: Network, likelihood: Observation, samples: int
) -> Callable:
    def log_likelihood(key: Array, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        x = batch["image"]
        mean, log_var = posterior(state.params, x)

        def log_weight(key: Array) -> Array:
            latent = gaussian.sample(key, mean, log_var)
            outputs = decoder.apply(state.params["decoder"], latent)
            prior = gaussian.log_prob(latent, jnp.zeros_like(mean), jnp.zeros_like(log_var))
            # log w = log p(x|z) + log p(z) - log q(z|x)
            return (
                prior
                - likelihood.loss(outputs, x, hparams)
                - gaussian.log_prob(latent, mean, log_var)
            )

        return losses.iwae_bound(jax.lax.map(log_weight, jax.random.split(key, samples)))

    return log_likelihood
