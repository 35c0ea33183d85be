"""Autoencoders whose latents are codes: of a learned codebook, or of levels that are given."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import optax

from ae_jax import losses
from ae_jax.core import (
    Array,
    Batch,
    HParams,
    InputError,
    Method,
    Network,
    require_kind,
    require_networks,
    shaped,
)
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import joined, require_shape
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend
from ae_jax.methods.learners.views import coded
from ae_jax.methods.parts.observations import Observation, squared_error
from ae_jax.methods.parts.quantisers import Quantiser, codebook, usage


def vq_vae(
    encoder: Network,
    decoder: Network,
    latent_shape: int | Sequence[int],
    *,
    quantiser: Quantiser | None = None,
    reconstruction: Observation | None = None,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the autoencoder that decodes what its latents are quantised to.

    It lowers the reconstruction loss, summed over an example's dimensions, plus what the quantiser
    asks of it, summed over its places: means over a batch of any size. Of images a map of latents
    is natural, a code at each place; `nets.map_encoder` and `nets.map_decoder` make such.

    Args:
      encoder: [B, ...] -> latents [B, *latent_shape].
      decoder: the same shape -> outputs [B, ...].
      latent_shape: D for a vector with one code, or (H, W, D) for a map with H W.
      quantiser: of `quantisers`; `quantisers.codebook()` where None. Its parameters are the entry
        `quantiser` beside `encoder` and `decoder`.
      reconstruction: how outputs are compared with images; squared error where None.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      The method. `encode` gives the latents that codes stand for, one after the other, [B, Z], and
      `decode` takes them; codes as whole numbers are what `quantisers.coding` gives, for a second
      stage. Evaluation, per example: `loss`, `reconstruction`, `quantisation` (what the quantiser
      adds), and `squared_error` of the reconstruction; of a whole data set `perplexity` and
      `codes_used`, as `quantisers.usage` has them, and in training those of a batch. With all
      codes alike in probability, as training has it, `sample` decodes random ones; and, where
      the reconstruction is a likelihood, `log_likelihood` is a lower bound on log p(x): that of an
      image with its own codes, log p(x | codes) - H W L log K.

    Raises:
      InputError: if a network or a part is none, or a length of a latent; when initialised, if the
        encoder does not make such latents, or the decoder no images.

    Reference:
      Van den Oord, Vinyals and Kavukcuoglu (2017), Neural Discrete Representation Learning.
    """
    require_networks(encoder=encoder, decoder=decoder)
    quantiser = codebook() if quantiser is None else quantiser
    reconstruction = squared_error() if reconstruction is None else reconstruction
    require_kind(Quantiser, "quantisers.codebook(512)", quantiser=quantiser)
    require_kind(Observation, "observations.bernoulli()", reconstruction=reconstruction)
    shape = shaped("latent_shape", latent_shape)
    nats = math.prod(shape[:-1]) * quantiser.levels * math.log(quantiser.size)

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        encoder_key, decoder_key, quantiser_key = jax.random.split(key, 3)
        x = batch["image"]
        params = {"encoder": encoder.init(encoder_key, x)}
        z = encoder.apply(params["encoder"], x)
        if z.shape[1:] != shape:
            raise InputError(
                f"the encoder must give latents [B, {', '.join(map(str, shape))}], and gives "
                f"{list(z.shape)}"
            )
        params["quantiser"] = quantiser.init(quantiser_key, z)
        params["decoder"] = decoder.init(decoder_key, z)
        outputs = jax.eval_shape(lambda: reconstruction.mean(decoder.apply(params["decoder"], z)))
        require_shape(outputs, x, "decoder")
        return params

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        encoder_key, decoder_key, quantiser_key = jax.random.split(key, 3)
        x, own, changes = batch["image"], params["quantiser"], {}
        z, changes["encoder"] = gradient.forward(
            encoder, encoder_key, params["encoder"], x, training
        )
        if training and quantiser.train is not None:
            found, changes["quantiser"] = quantiser.train(quantiser_key, own, z, hparams)
        else:
            found = quantiser.apply(own, z, hparams)
        outputs, changes["decoder"] = gradient.forward(
            decoder, decoder_key, params["decoder"], found.latent, training
        )
        error = reconstruction.loss(outputs, x, hparams)
        values = {
            "loss": error + found.loss,
            "reconstruction": error,
            "quantisation": found.loss,
            "squared_error": losses.squared_error(reconstruction.mean(outputs), x),
        }
        if training:
            return values | usage(found.codes, quantiser.size), changes
        return values | {"codes": found.codes}, {}

    def conclude(values: Mapping[str, Array], present: Array, hparams: HParams) -> dict[str, Array]:
        return usage(values["codes"], quantiser.size, present)

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        z = encoder.apply(state.params["encoder"], batch["image"])
        found = quantiser.apply(state.params["quantiser"], z, hparams).latent
        return found.reshape(len(found), -1)

    def decode(state: GradientState, latent: Array, hparams: HParams) -> Array:
        maps = latent.reshape(-1, *shape)
        return reconstruction.mean(decoder.apply(state.params["decoder"], maps))

    def sample(key: Array, state: GradientState, count: int, hparams: HParams) -> Array:
        places = (count, *shape[:-1], quantiser.levels)
        codes = jax.random.randint(key, places, 0, quantiser.size)
        return decode(state, quantiser.decode(state.params["quantiser"], codes), hparams)

    def log_likelihood(key: Array, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        values, _ = terms(key, state.params, batch, hparams, training=False)
        return -values["reconstruction"] - nats

    views = coded(
        encode,
        decode,
        sample=sample,
        log_likelihood=log_likelihood if reconstruction.sample is not None else None,
    )
    numbers = joined(reconstruction, quantiser)
    return descend(
        Objective(init, terms, **numbers, conclude=conclude),
        views,
        optimizer=optimizer,
        learning_rate=learning_rate,
    )
