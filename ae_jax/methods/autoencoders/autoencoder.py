"""Autoencoders by composition: what is shown, how it is compared, what is penalised."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from ae_jax import losses
from ae_jax.core import (
    Array,
    Batch,
    HParams,
    InputError,
    Method,
    Network,
    require_each,
    require_function,
    require_kind,
    require_networks,
)
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import joined, require_shape
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend
from ae_jax.methods.learners.views import coded
from ae_jax.methods.parts.bottlenecks import Bottleneck
from ae_jax.methods.parts.observations import Observation, squared_error
from ae_jax.methods.parts.penalties import Pass, Penalty
from ae_jax.methods.parts.shown import Shown, corrupted, entry, entry_of
from ae_jax.nets.combine import Tie


def autoencoder(
    encoder: Network,
    decoder: Network,
    *,
    reconstruction: Observation | None = None,
    penalties: Sequence[Penalty] = (),
    corruption: Callable[[Array, Array, Array], Array] | None = None,
    corruption_level: float = 0.3,
    shown: Shown | None = None,
    target: Callable[[Batch], Array] | None = None,
    evaluated: Literal["clean", "shown"] = "clean",
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
        encoder is trained on corrupted examples, the loss compares with the clean ones: short for
        `shown.corrupted(corruption, corruption_level)`.
      corruption_level: traced.
      shown: what the encoder sees of a batch, from `methods.shown`; its images where None. Views
        show a batch as it is.
      target: batch -> what outputs are compared with, [B, ...]; its `image` where None.
      evaluated: whether evaluation's `loss` is of a batch as it is, or as training shows it.
      bottlenecks: maps of the latent, in order, each with its own traced numbers.
      tie: takes part of the decoder's parameters from the encoder, as `nets.transposed`.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      The method. Its `init` takes parameters to start from as a fourth argument, `encoder`
      or `decoder` or both. Evaluation, per example and summed over its dimensions: `loss`,
      `reconstruction`, and `squared_error` of the reconstruction in data space. Where training
      shows something else than what is there, the last two are reported of the other kind too, as
      `shown_squared_error`, or `clean_squared_error` where the shown is `evaluated`. A penalty of
      means over examples is in the `loss` of a whole data set alone, of which it takes the
      mean; `latent` [B, Z] is what it is concluded from.

    Raises:
      InputError: if a network or a part is none, two parts share a hyperparameter, or what is shown
        is told twice; when initialised, if a penalty does not hold for the encoder, or the decoder
        does not make a target.

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
    if corruption is not None:
        if shown is not None:
            raise InputError("what is shown is told twice: leave out corruption, or shown")
        shown = corrupted(corruption, corruption_level)
    shown = entry() if shown is None else shown
    require_kind(Shown, "shown.corrupted(corruptions.masking)", shown=shown)
    if evaluated not in ("clean", "shown"):
        raise InputError(f"unknown kind {evaluated!r} of evaluation: use clean or shown")
    if target is not None:
        require_function('lambda batch: batch["target"]', target=target)

    def wanted(batch: Batch) -> Array:
        y = entry_of(batch, "image") if target is None else target(batch)
        if not hasattr(y, "shape"):
            raise InputError(f"target gives a {type(y).__name__}: return an array [B, ...]")
        return y

    numbers = joined(reconstruction, *penalties, *bottlenecks, shown)
    wholes = [penalty.over for penalty in penalties if penalty.over is not None]

    def code(latent: Array, hparams: HParams, keys: Sequence[Array] | None = None) -> Array:
        """What reaches the decoder; with keys, as in a training step."""
        for i, bottleneck in enumerate(bottlenecks):
            if keys is None:
                latent = bottleneck.apply(latent, hparams)
            else:
                latent = bottleneck.train(keys[i], latent, hparams)
        return latent

    def encode_one(params: Mapping[str, Any]) -> Callable[[Array], Array]:
        return lambda example: encoder.apply(params["encoder"], example[None])[0]

    def decode_one(params: Mapping[str, Any], hparams: HParams) -> Callable[[Array], Array]:
        own = decoder_params(params)

        def decode(latent: Array) -> Array:
            return reconstruction.mean(decoder.apply(own, code(latent[None], hparams)))[0]

        return decode

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
        spoil_key, encoder_key, decoder_key, penalty_key, *rest = jax.random.split(
            key, 4 + len(bottlenecks)
        )
        clean, y = shown.apply(batch, hparams), wanted(batch)

        def spoiled() -> Array:
            return shown.train(spoil_key, batch, hparams)

        def passed(x: Array) -> tuple[Array, dict[str, Array], dict[str, Any]]:
            """Latents of what the encoder sees, how they are decoded, and what the pass moves."""
            latent, moved = gradient.forward(encoder, encoder_key, params["encoder"], x, training)
            outputs, moved_after = gradient.forward(
                decoder,
                decoder_key,
                decoder_params(params),
                code(latent, hparams, rest if training else None),
                training,
            )
            errors = {
                "reconstruction": reconstruction.loss(outputs, y, hparams),
                "squared_error": losses.squared_error(reconstruction.mean(outputs), y),
            }
            return latent, errors, {"encoder": moved, "decoder": moved_after}

        differ, of_shown = shown.train is not None, training or evaluated == "shown"
        latent, errors, changes = passed(spoiled() if differ and of_shown else clean)
        networks = {name: params[name] for name in ("encoder", "decoder")}
        seen = Pass(networks, encode_one(params), clean, latent, decode=decode_one(params, hparams))
        running = params.get("penalties", {})
        if training:
            running = _run(penalties, seen, running, hparams)
        penalty = penalized(penalty_key, seen, running, hparams, training)
        values = {"loss": errors["reconstruction"] + penalty, **errors}
        if not training:
            if differ:
                name, x = ("clean", clean) if of_shown else ("shown", spoiled())
                values |= {f"{name}_{error}": value for error, value in passed(x)[1].items()}
            if wholes:
                values["latent"] = latent
        return values, changes | ({"penalties": running} if running else {})

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        encoder_key, decoder_key = jax.random.split(key)
        x, y = shown.apply(batch, hparams), wanted(batch)
        for penalty in penalties:
            if penalty.check is not None:
                penalty.check(encoder, x)
        params = {"encoder": encoder.init(encoder_key, x)}
        latent = code(encoder.apply(params["encoder"], x), hparams)
        full = decoder.init(decoder_key, latent)
        params["decoder"] = tie.own(full) if tie else full
        outputs = jax.eval_shape(lambda: reconstruction.mean(decoder.apply(full, latent)))
        require_shape(outputs, y, "decoder", "give it a target's shape")
        return params

    def running(params: Mapping[str, Any], batch: Batch, hparams: HParams) -> dict[str, Any]:
        x = shown.apply(batch, hparams)
        latent = encoder.apply(params["encoder"], x)
        seen = Pass(params, encode_one(params), x, latent, decode=decode_one(params, hparams))
        first = _run(penalties, seen, {}, hparams)
        return {"penalties": first} if first else {}

    def conclude(values: Mapping[str, Array], present: Array, hparams: HParams) -> dict[str, Array]:
        loss = values["loss"]
        mean = jnp.sum(jnp.where(present, loss, 0)) / jnp.sum(present.astype(loss.dtype))
        return {"loss": mean + sum(over(values["latent"], present, hparams) for over in wholes)}

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return code(encoder.apply(state.params["encoder"], shown.apply(batch, hparams)), hparams)

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
