"""Variational autoencoders by composition: posterior, prior, likelihood, bound, regularisers.

Reference:
  Kingma and Welling (2014), Auto-Encoding Variational Bayes; Rezende, Mohamed and
  Wierstra (2014); Higgins et al. (2017), beta-VAE.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax import losses
from ae_jax.core import (
    COUNT,
    NOT_NEGATIVE,
    Array,
    Batch,
    HParams,
    InputError,
    Method,
    Network,
    Views,
    require,
    require_each,
    require_kind,
    require_networks,
)
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import joined
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend
from ae_jax.methods.learners.views import coded
from ae_jax.methods.parts.latent_regularisers import Encoded, LatentRegulariser
from ae_jax.methods.parts.observations import Observation, bernoulli
from ae_jax.methods.parts.posteriors import Posterior, gaussian
from ae_jax.methods.parts.priors import Prior, closed_form, normal
from ae_jax.methods.variational.bounds import Bound, Terms, elbo


def vae(
    encoder: Network,
    decoder: Network,
    latent_size: int,
    *,
    likelihood: Observation | None = None,
    posterior: Posterior | None = None,
    prior: Prior | None = None,
    regularisers: Sequence[LatentRegulariser] = (),
    bound: Bound | None = None,
    beta: float = 1.0,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
    importance_samples: int = 100,
) -> Method:
    """Returns the VAE that lowers minus a bound on log p(x), plus regularisers of its latents.

    By default that is E_q(z|x)[-log p(x|z)] + beta KL(q(z|x) || p(z)), with one reparametrised
    sample per example; beta = 1 is the negative ELBO.

    Args:
      encoder: [B, ...] -> the posterior's outputs [B, O]; of the Gaussian one [B, 2 Z], mean and
        log-variance side by side.
      decoder: [B, Z] -> the likelihood's outputs [B, ...].
      latent_size: Z.
      likelihood: an Observation with a density; Bernoulli where None.
      posterior: `posteriors.gaussian()` where None.
      prior: `priors.normal()` where None. The parameters of one that is learned are the entry
        `prior` beside `encoder` and `decoder`.
      regularisers: terms to add, of `latent_regularisers`; each brings its own traced weights. Of
        several draws of the posterior they see the first.
      bound: of `bounds`; `bounds.elbo()` where None.
      beta: weight of the KL divergence in the bound; traced.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.
      importance_samples: samples of the `log_likelihood` view's importance-weighted bound.

    Returns:
      The method. Evaluation, per example in nats: `loss`, minus the bound, plus regularisers;
      `reconstruction` = -log p(x|z), `kl`, `elbo` = -(reconstruction + kl), means over the bound's
      draws. A regulariser that is no mean over examples is in the `loss` of a whole data set
      alone. With a prior of clusters, such as `priors.gaussian_mixture()`, the view `predict` gives
      their log-probabilities at the posterior's mean, [B, K].

    Raises:
      InputError: if a network or a part is none, the likelihood has no density, two parts share a
        hyperparameter, posterior and prior lie in different places, a regulariser does not hold
        for the posterior, or there are no latents or samples; when traced, if the encoder's outputs
        are not the posterior's.

    Reference:
      Higgins et al. (2017), equation 4; Burda et al. (2016), equation 8, for the
      log-likelihood.
    """
    posterior = gaussian() if posterior is None else posterior
    prior = normal() if prior is None else prior
    objective = vae_objective(
        encoder,
        decoder,
        latent_size,
        likelihood=likelihood,
        posterior=posterior,
        prior=prior,
        regularisers=regularisers,
        bound=bound,
        beta=beta,
    )
    views = vae_views(
        encoder,
        decoder,
        latent_size,
        likelihood or bernoulli(),
        posterior,
        prior,
        importance_samples,
    )
    return descend(objective, views, optimizer=optimizer, learning_rate=learning_rate)


def vae_objective(
    encoder: Network,
    decoder: Network,
    latent_size: int,
    *,
    likelihood: Observation | None = None,
    posterior: Posterior | None = None,
    prior: Prior | None = None,
    regularisers: Sequence[LatentRegulariser] = (),
    bound: Bound | None = None,
    beta: float = 1.0,
) -> Objective:
    """Returns what `vae` descends, for learners that do more with it.

    Args:
      encoder: as for `vae`; moved by the name of `encoder`.
      decoder: as for `vae`; moved by the name of `decoder`.
      latent_size: as for `vae`, and the others too.
      likelihood: an Observation with a density.
      posterior: of each example.
      prior: of the latents; one that is learned is moved by the name of `prior`.
      regularisers: see the parameters of all networks, in training and for single examples.
      bound: what draws of the posterior come to.
      beta: traced.

    Raises:
      InputError: as `vae`.
    """
    likelihood = bernoulli() if likelihood is None else likelihood
    posterior = gaussian() if posterior is None else posterior
    prior = normal() if prior is None else prior
    bound = elbo() if bound is None else bound
    require_networks(encoder=encoder, decoder=decoder)
    _check_parts(likelihood, posterior, prior, regularisers, bound)
    require(COUNT, latent_size=latent_size)
    closed = closed_form(posterior, prior) if bound.closed else None

    def each(f: Callable[[Array], Array], draws: Array) -> Array:
        """Of every draw, [K, B, ...] -> [K, B]."""
        return f(draws[0])[None] if bound.samples == 1 else jax.vmap(f)(draws)

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        encoder_key, decoder_key = jax.random.split(key)
        x = batch["image"]
        latent = jnp.zeros((x.shape[0], latent_size), x.dtype)
        params = {
            "encoder": encoder.init(encoder_key, x),
            "decoder": decoder.init(decoder_key, latent),
        }
        if prior.init is not None:
            params["prior"] = prior.init(jax.random.fold_in(key, 2), x, latent_size)
        return params

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        sample_key, encoder_key, decoder_key = jax.random.split(key, 3)
        x, beta = batch["image"], hparams["beta"]
        outputs, moved = gradient.forward(encoder, encoder_key, params["encoder"], x, training)
        parameters = posterior.read(outputs, latent_size, hparams)
        if bound.samples == 1:
            latents = posterior.sample(sample_key, parameters)[None]
        else:
            keys = jax.random.split(sample_key, bound.samples)
            latents = jax.vmap(lambda key: posterior.sample(key, parameters))(keys)

        def cost(
            decoder_key: Array, params: Mapping[str, Any], latents: Array
        ) -> tuple[Terms, Mapping[str, Any]]:
            """Of draws [K, B, Z], by some parameters; and what the decoder's pass moves."""
            flat = latents.reshape(-1, latent_size)
            made, moved = gradient.forward(decoder, decoder_key, params["decoder"], flat, training)
            made = made.reshape(*latents.shape[:2], *made.shape[1:])
            error = each(lambda made: likelihood.loss(made, x, hparams), made)
            if closed is not None:
                return Terms(error, closed(parameters)[None]), moved
            own = jax.lax.stop_gradient(parameters) if bound.held else parameters
            divergence = each(
                lambda z: posterior.log_prob(z, own) - prior.log_prob(z, params, hparams), latents
            )
            return Terms(error, divergence), moved

        apart = training and bound.objective is not None
        again = jax.random.clone(decoder_key)
        hold = jax.lax.stop_gradient
        found, moved_after = cost(decoder_key, params, hold(latents) if apart else latents)
        reconstruction, kl = (jnp.mean(term, axis=0) for term in found)
        values = {
            "loss": bound.loss(found, beta),
            "reconstruction": reconstruction,
            "kl": kl,
            "elbo": losses.elbo(-reconstruction, kl),
        }
        if apart:
            of_latents, _ = cost(again, hold(params), latents)
            values["objective"] = bound.objective(found, of_latents, beta)
            reached = jnp.mean(of_latents.divergence, axis=0)
            # the same number, whose gradient reaches the encoder as well
            kl += reached - hold(reached)
        if regularisers:
            keys = jax.random.split(jax.random.fold_in(key, 3), len(regularisers) + 1)
            seen = Encoded(
                latent=latents[0],
                parameters=parameters,
                kl=kl,
                log_prior=prior.log_prob(latents[0], params, hparams),
                drawn=prior.sample(keys[-1], params, latents.shape[1:], hparams),
                params=params,
                posterior=posterior,
            )
            for regulariser, own in zip(regularisers, keys, strict=False):
                if training or not regulariser.whole:
                    term, figures = regulariser.apply(own, seen, None, hparams)
                    raised = {"loss", "objective"} & values.keys()
                    values |= {name: values[name] + term for name in raised} | dict(figures)
            if wholes and not training:
                values |= {"outputs": outputs, "latent": seen.latent, "drawn": seen.drawn}
                values["log_prior"] = seen.log_prior[:, None]
        return values, {"encoder": moved, "decoder": moved_after}

    def conclude(values: Mapping[str, Array], present: Array, hparams: HParams) -> dict[str, Array]:
        loss = values["loss"]
        mean = jnp.sum(jnp.where(present, loss, 0)) / jnp.sum(present.astype(loss.dtype))
        seen = Encoded(
            latent=values["latent"],
            parameters=posterior.read(values["outputs"], latent_size, hparams),
            kl=values["kl"],
            log_prior=values["log_prior"][:, 0],
            drawn=values["drawn"],
            params={},
            posterior=posterior,
        )
        concluded = {}
        for regulariser in wholes:
            # the same directions, if any are drawn, at every evaluation
            term, figures = regulariser.apply(jax.random.key(0), seen, present, hparams)
            mean = mean + term
            concluded |= figures
        return {"loss": mean, **concluded}

    wholes = [regulariser for regulariser in regularisers if regulariser.whole]
    numbers = joined(likelihood, posterior, prior, *regularisers, beta=(beta, NOT_NEGATIVE))
    return Objective(init, terms, **numbers, conclude=conclude if wholes else None)


def _check_parts(
    likelihood: Observation,
    posterior: Posterior,
    prior: Prior,
    regularisers: Sequence[LatentRegulariser],
    bound: Bound,
) -> None:
    require_kind(Observation, "observations.bernoulli()", likelihood=likelihood)
    if likelihood.sample is None:
        raise InputError(
            "a VAE needs a likelihood, and this is a plain error: use gaussian(0.5) for the "
            "squared error, student() where the best variance is not known"
        )
    require_kind(Posterior, "posteriors.gaussian()", posterior=posterior)
    require_kind(Prior, "priors.normal()", prior=prior)
    require_kind(Bound, "bounds.iwae(5)", bound=bound)
    if posterior.support != prior.support:
        where = {"plane": "normal", "sphere": "sphere"}[posterior.support]
        raise InputError(
            f"a posterior on the {posterior.support} needs a prior there, and this one is on the "
            f"{prior.support}: use priors.{where}()"
        )
    require_each(LatentRegulariser, "latent_regularisers.dip()", regularisers=regularisers)
    for regulariser in regularisers:
        regulariser.check(posterior)


def vae_views(
    encoder: Network,
    decoder: Network,
    latent_size: int,
    likelihood: Observation,
    posterior: Posterior,
    prior: Prior,
    importance_samples: int,
) -> Views:
    """Returns the views of whoever moves `vae_objective`, of a GradientState.

    Raises:
      InputError: if there are no samples.
    """
    require(COUNT, importance_samples=importance_samples)

    def posteriors(state: GradientState, batch: Batch, hparams: HParams) -> Any:
        outputs = encoder.apply(state.params["encoder"], batch["image"])
        return posterior.read(outputs, latent_size, hparams)

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return posterior.mean(posteriors(state, batch, hparams))

    def decode(state: GradientState, latent: Array, hparams: HParams) -> Array:
        return likelihood.mean(decoder.apply(state.params["decoder"], latent))

    def sample(key: Array, state: GradientState, count: int, hparams: HParams) -> Array:
        latent = prior.sample(key, state.params, (count, latent_size), hparams)
        return decode(state, latent, hparams)

    def log_likelihood(key: Array, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        parameters = posteriors(state, batch, hparams)

        def log_weight(key: Array) -> Array:
            latent = posterior.sample(key, parameters)
            outputs = decoder.apply(state.params["decoder"], latent)
            # log w = log p(x|z) + log p(z) - log q(z|x)
            return (
                prior.log_prob(latent, state.params, hparams)
                - likelihood.loss(outputs, batch["image"], hparams)
                - posterior.log_prob(latent, parameters)
            )

        return losses.iwae_bound(jax.lax.map(log_weight, jax.random.split(key, importance_samples)))

    def predict(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return prior.predict(encode(state, batch, hparams), state.params, hparams)

    return coded(
        encode,
        decode,
        sample=sample,
        log_likelihood=log_likelihood,
        predict=predict if prior.predict is not None else None,
    )
