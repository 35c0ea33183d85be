"""A stage of greedy training: a method that learns from the latents of a frozen encoder."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from ae_jax.core import (
    Array,
    Batch,
    HParams,
    Info,
    Method,
    Network,
    State,
    Views,
    require_kind,
    require_networks,
)
from ae_jax.methods.learners.composing import started


class StageState(NamedTuple):
    """The frozen parameters of earlier stages and the state of what learns on them."""

    frozen: Mapping[str, Any]
    method: State


def stage(encoder: Network, method: Method, decoder: Network | None = None) -> Method:
    """Returns a method that sees latents in the place of images.

    Args:
      encoder: frozen, [B, ...] -> latent [B, Z].
      method: learns from batches whose `image` is the latent.
      decoder: frozen, [B, Z] -> [B, ...], to bring the method's reconstructions back to
        data space; without it the method has no such views.

    Returns:
      The method. Its `init` takes the earlier stages' parameters, `encoder` (and
      `decoder`), as a fourth argument; without them they are random. Evaluation is the
      method's own, on latents.

    Reference:
      Bengio et al. (2007), Greedy Layer-Wise Training of Deep Networks, section 3.
    """
    require_kind(Method, "methods.vae(encoder, decoder, 2)", method=method)
    require_networks(encoder=encoder)
    if decoder is not None:
        require_networks(decoder=decoder)

    def seen(frozen: Mapping[str, Any], batch: Batch) -> Batch:
        return {**batch, "image": encoder.apply(frozen["encoder"], batch["image"])}

    def init(
        key: Array, batch: Batch, hparams: HParams, start: Mapping[str, Any] | None = None
    ) -> StageState:
        encoder_key, decoder_key, method_key = jax.random.split(key, 3)
        frozen = {"encoder": encoder.init(encoder_key, batch["image"])}
        if decoder is not None:
            latent = encoder.apply(frozen["encoder"], batch["image"])
            frozen["decoder"] = decoder.init(decoder_key, latent)
        frozen = started(frozen, start)
        return StageState(frozen, method.init(method_key, seen(frozen, batch), hparams))

    def step(
        key: Array, state: StageState, batch: Batch, hparams: HParams
    ) -> tuple[StageState, Info]:
        learned, info = method.step(key, state.method, seen(state.frozen, batch), hparams)
        return state._replace(method=learned), info

    def evaluate(key: Array, state: StageState, batch: Batch, hparams: HParams):
        return method.evaluate(key, state.method, seen(state.frozen, batch), hparams)

    def encode(state: StageState, batch: Batch, hparams: HParams) -> Array:
        return method.views.encode(state.method, seen(state.frozen, batch), hparams)

    def decode(state: StageState, latent: Array, hparams: HParams) -> Array:
        below = method.views.decode(state.method, latent, hparams)
        return decoder.apply(state.frozen["decoder"], below)

    def reconstruct(state: StageState, batch: Batch, hparams: HParams) -> Array:
        below = method.views.reconstruct(state.method, seen(state.frozen, batch), hparams)
        return decoder.apply(state.frozen["decoder"], below)

    def predict(state: StageState, batch: Batch, hparams: HParams) -> Array:
        return method.views.predict(state.method, seen(state.frozen, batch), hparams)

    def sample(key: Array, state: StageState, count: int, hparams: HParams) -> Array:
        return decoder.apply(
            state.frozen["decoder"], method.views.sample(key, state.method, count, hparams)
        )

    back = decoder is not None
    inner = method.views
    return Method(
        hparams=method.hparams,
        domains=method.domains,
        init=init,
        step=step,
        evaluate=evaluate,
        views=Views(
            encode=encode if inner.encode else None,
            decode=decode if back and inner.decode else None,
            reconstruct=reconstruct if back and inner.reconstruct else None,
            predict=predict if inner.predict else None,
            sample=sample if back and inner.sample else None,
        ),
        conclude=method.conclude,
        inference=lambda state: state._replace(method=method.inference(state.method)),
        ranges={name: method.ranges[name] for name in method.ranges.keys() - {"image"}},
    )
