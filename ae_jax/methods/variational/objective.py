"""What a variational autoencoder lowers: minus a bound on log p(x), and its regularisers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.core import (
    NOT_NEGATIVE,
    Array,
    Batch,
    HParams,
    InputError,
    require_each,
    require_kind,
)
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import joined, of_classes
from ae_jax.methods.learners.objective import Objective
from ae_jax.methods.parts.labels import beside
from ae_jax.methods.parts.latent_regularisers import Encoded, LatentRegulariser
from ae_jax.methods.parts.latents import drawn
from ae_jax.methods.parts.priors import closed_form
from ae_jax.methods.variational.bounds import Bound, Terms, elbo
from ae_jax.methods.variational.model import LatentModel


def vae_objective(
    model: LatentModel,
    *,
    regularisers: Sequence[LatentRegulariser] = (),
    bound: Bound | None = None,
    beta: float = 1.0,
) -> Objective:
    """Returns what `vae` descends, for learners that do more with it.

    Args:
      model: of `latent_model`; its parts are moved by the names of `encoder` and `decoder`, and
        `prior` and `posterior` where those have parameters.
      regularisers: see the parameters of all networks, in training and for single examples.
      bound: what draws of the posterior come to.
      beta: traced.

    Raises:
      InputError: as `vae`.
    """
    encoder, decoder, latent_size, likelihood, posterior, prior, _ = model
    bound = elbo() if bound is None else bound
    require_kind(Bound, "bounds.iwae(5)", bound=bound)
    if bound.held and posterior.log_prob is None:
        raise InputError(
            "this bound asks for the density of draws whose posterior is held, and this posterior "
            "knows it with its own draws alone: use bounds.elbo(), or a flow that has an inverse"
        )
    require_each(LatentRegulariser, "latent_regularisers.dip()", regularisers=regularisers)
    for regulariser in regularisers:
        regulariser.check(posterior)
    closed = closed_form(posterior, prior) if bound.closed else None
    hold = jax.lax.stop_gradient

    def each(f: Callable[[Array], Array], draws: Array) -> Array:
        """Of every draw, [K, B, ...] -> [K, B]."""
        return f(draws[0])[None] if bound.samples == 1 else jax.vmap(f)(draws)

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        encoder_key, decoder_key = jax.random.split(key)
        x, given = batch["image"], model.given(batch)
        latent = jnp.zeros((x.shape[0], latent_size), x.dtype)
        params = {
            "encoder": encoder.init(encoder_key, beside(x, given)),
            "decoder": decoder.init(decoder_key, beside(latent, given)),
        }
        if prior.init is not None:
            params["prior"] = prior.init(jax.random.fold_in(key, 2), x, latent_size)
        if posterior.init is not None:
            params["posterior"] = posterior.init(jax.random.fold_in(key, 4), latent_size)
        return params

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        sample_key, encoder_key, decoder_key = jax.random.split(key, 3)
        x, given = batch["image"], model.given(batch)
        outputs, moved = gradient.forward(
            encoder, encoder_key, params["encoder"], beside(x, given), training
        )
        parameters = model.parameters(outputs, params, batch, hparams)
        own_prior = model.prior_of(given)
        if bound.samples == 1:
            draws = jax.tree.map(lambda own: own[None], drawn(posterior, sample_key, parameters))
        else:
            keys = jax.random.split(sample_key, bound.samples)
            draws = jax.vmap(lambda key: drawn(posterior, key, parameters))(keys)
        latents = draws[0]

        def cost(
            decoder_key: Array,
            params: Mapping[str, Any],
            draws: tuple[Array, Array | None],
            parameters: Any,
        ) -> tuple[Terms, Mapping[str, Any]]:
            """Of draws [K, B, Z], by some parameters; and what the decoder's pass moves."""
            latents, drawn_at = draws
            told = jax.tree.map(lambda own: jnp.tile(own, (len(latents), 1)), given)
            flat = beside(latents.reshape(-1, latent_size), told)
            made, moved = gradient.forward(decoder, decoder_key, params["decoder"], flat, training)
            made = made.reshape(*latents.shape[:2], *made.shape[1:])
            error = each(lambda made: likelihood.loss(made, x, hparams), made)
            if closed is not None:
                return Terms(error, closed(parameters)[None]), moved
            own = hold(parameters) if bound.held else parameters
            if bound.held or drawn_at is None:
                drawn_at = each(lambda z: posterior.log_prob(z, own), latents)
            return Terms(
                error, drawn_at - each(lambda z: own_prior.log_prob(z, params, hparams), latents)
            ), moved

        apart = training and bound.objective is not None
        again = jax.random.clone(decoder_key)
        own = (draws, parameters)
        found, moved_after = cost(decoder_key, params, *(hold(own) if apart else own))
        reconstruction, kl = (jnp.mean(term, axis=0) for term in found)
        values = {
            "loss": bound.loss(found, hparams),
            "reconstruction": reconstruction,
            "kl": kl,
            "elbo": losses.elbo(-reconstruction, kl),
        }
        if apart:
            of_latents, _ = cost(again, hold(params), *own)
            values["objective"] = bound.objective(found, of_latents, hparams)
            reached = jnp.mean(of_latents.divergence, axis=0)
            # the same number, whose gradient reaches the encoder as well
            kl += reached - hold(reached)
        if regularisers:
            keys = jax.random.split(jax.random.fold_in(key, 3), len(regularisers) + 1)
            seen = Encoded(
                latent=latents[0],
                parameters=parameters,
                kl=kl,
                log_prior=own_prior.log_prob(latents[0], params, hparams),
                drawn=own_prior.sample(keys[-1], params, latents.shape[1:], hparams),
                params=params,
                posterior=posterior,
            )
            for regulariser, own in zip(regularisers, keys, strict=False):
                if training or not regulariser.whole:
                    term, figures = regulariser.of_batch(own, seen, hparams)
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
            # of its own parameters no regulariser sees anything
            parameters=posterior.read(values["outputs"], latent_size, hparams)
            if posterior.init is None
            else None,
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
    parts = (likelihood, posterior, prior, bound, *regularisers)
    numbers = joined(*parts, beta=(beta, NOT_NEGATIVE))
    return Objective(
        init,
        terms,
        **numbers,
        conclude=conclude if wholes else None,
        ranges=of_classes(model.classes),
    )
