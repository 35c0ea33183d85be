"""Autoencoders by composition: what is shown, how it is compared, what is penalised."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax import corruptions, losses
from ae_jax.core import (
    NOT_NEGATIVE,
    Array,
    Batch,
    HParams,
    Method,
    Network,
    require_each,
    require_kind,
    require_networks,
)
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import joined
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend
from ae_jax.methods.learners.views import coded
from ae_jax.methods.parts.bottlenecks import Bottleneck
from ae_jax.methods.parts.observations import Observation, squared_error
from ae_jax.methods.parts.penalties import Pass, Penalty
from ae_jax.nets.combine import Tie


def autoencoder(
    encoder: Network,
    decoder: Network,
    *,
    reconstruction: Observation | None = None,
    penalties: Sequence[Penalty] = (),
    corruption: Callable[[Array, Array, Array], Array] | None = None,
    corruption_level: float = 0.3,
    bottlenecks: Sequence[Bottleneck] = (),
    tie: Tie | None = None,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the autoencoder that minimises reconstruction loss plus penalties.

    All parts combine: a tied, contractive, denoising, sparse autoencoder is one call.

    Args:
      encoder: [B, ...] -> latent [B, Z].
      decoder: latent [B, Z] -> outputs [B, ...].
      reconstruction: how outputs are compared with the data; squared error where None.
      penalties: terms to add; each brings its own traced weight.
      corruption: (key, x, level) -> x, such as those of `ae_jax.corruptions`: the
        encoder is trained on corrupted examples, the loss compares with the clean ones.
        Evaluation and views show clean ones.
      corruption_level: traced.
      bottlenecks: maps of the latent, in order, each with its own traced numbers.
      tie: takes part of the decoder's parameters from the encoder, as `nets.transposed`.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      The method. Its `init` takes parameters to start from as a fourth argument, `encoder`
      or `decoder` or both. Evaluation, per example and summed over its dimensions: `loss`,
      `reconstruction`, and `squared_error` of the reconstruction in data space. A penalty of
      means over examples is in the `loss` of a whole data set alone, of which it takes the
      mean; `latent` [B, Z] is what it is concluded from.

    Raises:
      InputError: if a network or a part is none, or two parts share a hyperparameter; when
        initialised, if a penalty does not hold for the encoder.

    Reference:
      Hinton and Salakhutdinov (2006), Reducing the Dimensionality of Data with Neural
      Networks; Vincent et al. (2008), Extracting and Composing Robust Features with
      Denoising Autoencoders, for corruption.
    """
    require_networks(encoder=encoder, decoder=decoder)
    reconstruction = squared_error() if reconstruction is None else reconstruction
    require_kind(Observation, "observations.bernoulli()", reconstruction=reconstruction)
    require_each(Penalty, "penalties.l1()", penalties=penalties)
    require_each(Bottleneck, "bottlenecks.dropout()", bottlenecks=bottlenecks)
    own = {}
    if corruption is not None:
        levels = corruptions.LEVELS.get(corruption, NOT_NEGATIVE)
        own["corruption_level"] = (corruption_level, levels)
    numbers = joined(reconstruction, *penalties, *bottlenecks, **own)
    wholes = [penalty.over for penalty in penalties if penalty.over is not None]

    def code(latent: Array, hparams: HParams, keys: Array | None = None) -> Array:
        """What reaches the decoder; with keys, as in a training step."""
        for i, bottleneck in enumerate(bottlenecks):
            if keys is None:
                latent = bottleneck.apply(latent, hparams)
            else:
                latent = bottleneck.train(keys[i], latent, hparams)
        return latent

    def encode_one(params: Mapping[str, Any]) -> Callable[[Array], Array]:
        return lambda example: encoder.apply(params["encoder"], example[None])[0]

    def decoder_params(params: Mapping[str, Any]) -> Any:
        return tie.join(params["encoder"], params["decoder"]) if tie else params["decoder"]

    def penalized(
        key: Array, seen: Pass, running: Mapping[str, Any], hparams: HParams, training: bool
    ):
        total = 0.0
        for i, penalty in enumerate(penalties):
            if penalty.over is not None and not training:
                continue
            of_this = seen._replace(running=running.get(str(i)))
            total = total + penalty.apply(jax.random.fold_in(key, i), of_this, hparams)
        return total

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys = jax.random.split(key, 4 + len(bottlenecks))
        x = shown = batch["image"]
        if training and corruption is not None:
            shown = corruption(keys[0], x, hparams["corruption_level"])
        latent, moved = gradient.forward(encoder, keys[1], params["encoder"], shown, training)
        outputs, moved_after = gradient.forward(
            decoder,
            keys[2],
            decoder_params(params),
            code(latent, hparams, keys[4:] if training else None),
            training,
        )
        error = reconstruction.loss(outputs, x, hparams)
        networks = {name: params[name] for name in ("encoder", "decoder")}
        seen = Pass(networks, encode_one(params), x, latent)
        running = params.get("penalties", {})
        if training:
            running = _run(penalties, seen, running, hparams)
        values = {
            "loss": error + penalized(keys[3], seen, running, hparams, training),
            "reconstruction": error,
            "squared_error": losses.squared_error(reconstruction.mean(outputs), x),
        }
        if wholes and not training:
            values["latent"] = latent
        changes = {"encoder": moved, "decoder": moved_after}
        return values, changes | ({"penalties": running} if running else {})

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        encoder_key, decoder_key = jax.random.split(key)
        x = batch["image"]
        for penalty in penalties:
            if penalty.check is not None:
                penalty.check(encoder, x)
        params = {"encoder": encoder.init(encoder_key, x)}
        latent = encoder.apply(params["encoder"], x)
        full = decoder.init(decoder_key, latent)
        params["decoder"] = tie.own(full) if tie else full
        return params

    def running(params: Mapping[str, Any], batch: Batch, hparams: HParams) -> dict[str, Any]:
        x = batch["image"]
        latent = encoder.apply(params["encoder"], x)
        first = _run(penalties, Pass(params, encode_one(params), x, latent), {}, hparams)
        return {"penalties": first} if first else {}

    def conclude(values: Mapping[str, Array], present: Array, hparams: HParams) -> dict[str, Array]:
        loss = values["loss"]
        mean = jnp.sum(jnp.where(present, loss, 0)) / jnp.sum(present.astype(loss.dtype))
        return {"loss": mean + sum(over(values["latent"], present, hparams) for over in wholes)}

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return code(encoder.apply(state.params["encoder"], batch["image"]), hparams)

    def decode(state: GradientState, latent: Array, hparams: HParams) -> Array:
        return reconstruction.mean(decoder.apply(decoder_params(state.params), latent))

    objective = Objective(
        init, terms, **numbers, running=running, conclude=conclude if wholes else None
    )
    return descend(
        objective, coded(encode, decode), optimizer=optimizer, learning_rate=learning_rate
    )


def _run(
    penalties: Sequence[Penalty], seen: Pass, running: Mapping[str, Any], hparams: HParams
) -> dict[str, Any]:
    """The penalties' running statistics after a pass, by the penalty's number."""
    return {
        str(i): jax.lax.stop_gradient(
            penalty.run(seen._replace(running=running.get(str(i))), hparams)
        )
        for i, penalty in enumerate(penalties)
        if penalty.run is not None
    }
