"""What a trained variational autoencoder can be used for."""

from typing import Any

import jax

from ae_jax import losses
from ae_jax.core import COUNT, Array, Batch, HParams, Views, require
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.views import coded
from ae_jax.methods.parts.labels import beside, drawn_one_hot
from ae_jax.methods.parts.latents import drawn
from ae_jax.methods.variational.model import LatentModel


def vae_views(model: LatentModel, importance_samples: int) -> Views:
    """Returns the views of whoever moves a `vae_objective` of the model, of a GradientState.

    Raises:
      InputError: if there are no samples.
    """
    require(COUNT, importance_samples=importance_samples)
    encoder, decoder, latent_size, likelihood, posterior, prior, classes = model

    def posteriors(state: GradientState, batch: Batch, hparams: HParams) -> Any:
        shown = beside(batch["image"], model.given(batch))
        outputs = encoder.apply(state.params["encoder"], shown)
        return model.parameters(outputs, state.params, batch, hparams)

    def mean(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return posterior.mean(posteriors(state, batch, hparams))

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return beside(mean(state, batch, hparams), model.given(batch))

    def decode(state: GradientState, latent: Array, hparams: HParams) -> Array:
        return likelihood.mean(decoder.apply(state.params["decoder"], latent))

    def made(key: Array, state: GradientState, given: Any, count: int, hparams: HParams) -> Array:
        drawing = model.prior_of(given).sample
        latent = drawing(key, state.params, (count, latent_size), hparams)
        return decode(state, beside(latent, given), hparams)

    def sample(key: Array, state: GradientState, count: int, hparams: HParams) -> Array:
        if not classes:
            return made(key, state, (), count, hparams)
        label_key, latent_key = jax.random.split(key)
        return made(latent_key, state, drawn_one_hot(label_key, count, classes), count, hparams)

    def generate(key: Array, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        given = model.given(batch)
        return made(key, state, given, len(given), hparams)

    def log_likelihood(key: Array, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        parameters = posteriors(state, batch, hparams)
        given = model.given(batch)
        own_prior = model.prior_of(given)

        def log_weight(key: Array) -> Array:
            latent, nats = drawn(posterior, key, parameters)
            nats = posterior.log_prob(latent, parameters) if nats is None else nats
            outputs = decoder.apply(state.params["decoder"], beside(latent, given))
            # log w = log p(x|z) + log p(z) - log q(z|x)
            return (
                own_prior.log_prob(latent, state.params, hparams)
                - likelihood.loss(outputs, batch["image"], hparams)
                - nats
            )

        return losses.iwae_bound(jax.lax.map(log_weight, jax.random.split(key, importance_samples)))

    def predict(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return prior.predict(mean(state, batch, hparams), state.params, hparams)

    return coded(
        encode,
        decode,
        predict=predict if prior.predict is not None else None,
        sample=sample,
        generate=generate if classes else None,
        log_likelihood=log_likelihood,
    )
