"""A stage of greedy training: a method that learns from the latents of a frozen encoder."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import (
    Array,
    Batch,
    HParams,
    Info,
    InputError,
    Method,
    Network,
    State,
    Views,
    require_kind,
    require_networks,
)
from ae_jax.methods.learners.composing import joined, started
from ae_jax.methods.parts.observations import Observation
from ae_jax.methods.parts.shown import Shown


class StageState(NamedTuple):
    """The frozen parameters of earlier stages and the state of what learns on them."""

    frozen: Mapping[str, Any]
    method: State


def stage(
    encoder: Network,
    method: Method,
    decoder: Network | None = None,
    *,
    shown: Shown | None = None,
    noisy: bool | Literal["training"] = False,
    likelihood: Observation | None = None,
) -> Method:
    """Returns a method that sees latents in the place of images.

    Args:
      encoder: frozen, [B, ...] -> latent [B, Z].
      method: learns from batches whose `image` is the latent.
      decoder: frozen, [B, Z] -> [B, ...], to bring the method's reconstructions back to
        data space; without it the method has no such views.
      shown: what training and evaluation show the encoder, from `methods.shown`: the method's
        batches then have its latent as their entry `shown`, beside the `image` of what is there,
        so that `autoencoder(shown=shown.entry("shown"))` learns to undo what was done. What is
        there is a batch as it is, with its mask, say, of what is all known; or its images, of what
        training does not spoil. Views show a batch as it is.
      noisy: whether training and evaluation see the encoder's noisy pass: with
        `posteriors.encoding`, draws of a VAE's posteriors in the place of their means. Means have
        less variance than what the decoder has learned to decode. Where it is `training`, what is
        evaluated are means, as of a classifier on latents. Views see the plain pass.
      likelihood: what the decoder's outputs say of images, where latents are codes, whole numbers;
        the outputs are data themselves where None. The view `log_likelihood` is then a lower bound
        on log p(x), with the log-likelihood that the method gives codes: of all the codes that an
        image might have, log p(x) = log sum_c p(c) p(x | c), it counts the encoder's own c alone,
        log p(c) + log p(x | c). Of latents that are no codes that would be none.

    Returns:
      The method. Its `init` takes the earlier stages' parameters, `encoder` (and
      `decoder`), as a fourth argument; without them they are random. Evaluation is the
      method's own, on latents.

    Raises:
      InputError: if the method and what is shown or the likelihood share a hyperparameter, the
        encoder has no noisy pass that could be seen, noisy is another word, or a likelihood is
        none, or has no decoder;
        when initialised, if it is of latents that are no codes.

    Reference:
      Bengio et al. (2007), Greedy Layer-Wise Training of Deep Networks, section 3; Xie, Xu and
      Chen (2012), Image Denoising and Inpainting with Deep Neural Networks, section 2.3, for
      what is shown; Dai and Wipf (2019), Diagnosing and Enhancing VAE Models, section 4, for draws;
      Kingma et al. (2014), Semi-supervised Learning with Deep Generative Models, M1 + M2, for those
      of training.
    """
    require_kind(Method, "methods.vae(encoder, decoder, 2)", method=method)
    require_networks(encoder=encoder)
    if decoder is not None:
        require_networks(decoder=decoder)
    if noisy not in (False, True, "training"):
        raise InputError(f"noisy is {noisy!r}: use training, or True for evaluation as well")
    if noisy and (encoder.noisy is None or shown is not None):
        raise InputError(
            "draws of latents need an encoder with a noisy pass and images as they are: use "
            "posteriors.encoding(encoder, latent_size), and no shown"
        )
    if likelihood is not None:
        require_kind(Observation, "observations.bernoulli()", likelihood=likelihood)
        if likelihood.sample is None or decoder is None:
            raise InputError(
                "a likelihood is what a decoder's outputs say of images: give both, "
                "observations.bernoulli() for one"
            )

    def there(batch: Batch, hparams: HParams) -> Array:
        spoils = shown is not None and shown.train is not None
        return shown.apply(batch, hparams) if spoils else batch["image"]

    def seen(
        frozen: Mapping[str, Any], batch: Batch, hparams: HParams, key: Array | None = None
    ) -> Batch:
        """Latents; with a key of what training shows."""
        latents = {"image": encoder.apply(frozen["encoder"], there(batch, hparams))}
        if shown is not None:
            spoiled = key is not None and shown.train is not None
            x = shown.train(key, batch, hparams) if spoiled else shown.apply(batch, hparams)
            latents["shown"] = encoder.apply(frozen["encoder"], x)
        return {**batch, **latents}

    def spoiled(
        key: Array, frozen: Mapping[str, Any], batch: Batch, hparams: HParams, draws: bool
    ) -> tuple[Array, Batch]:
        """The method's key, and what it sees by another."""
        if shown is None and not draws:
            return key, seen(frozen, batch, hparams)
        own, drawing = jax.random.split(key)
        if draws:
            drawn = encoder.noisy(drawing, frozen["encoder"], batch["image"])
            return own, {**batch, "image": drawn}
        return own, seen(frozen, batch, hparams, drawing)

    def init(
        key: Array, batch: Batch, hparams: HParams, start: Mapping[str, Any] | None = None
    ) -> StageState:
        encoder_key, decoder_key, method_key = jax.random.split(key, 3)
        x = there(batch, hparams)
        frozen = {"encoder": encoder.init(encoder_key, x)}
        if decoder is not None:
            latent = encoder.apply(frozen["encoder"], x)
            frozen["decoder"] = decoder.init(decoder_key, latent)
        frozen = started(frozen, start)
        latents = seen(frozen, batch, hparams)
        if likelihood is not None and not jnp.issubdtype(latents["image"].dtype, jnp.integer):
            raise InputError(
                "with a likelihood the latents of a stage are codes, whole numbers: use the "
                "networks of quantisers.coding, or leave it out"
            )
        return StageState(frozen, method.init(method_key, latents, hparams))

    def step(
        key: Array, state: StageState, batch: Batch, hparams: HParams
    ) -> tuple[StageState, Info]:
        own, latents = spoiled(key, state.frozen, batch, hparams, draws=bool(noisy))
        learned, info = method.step(own, state.method, latents, hparams)
        return state._replace(method=learned), info

    def evaluate(key: Array, state: StageState, batch: Batch, hparams: HParams):
        own, latents = spoiled(key, state.frozen, batch, hparams, draws=noisy is True)
        return method.evaluate(own, state.method, latents, hparams)

    def back(state: StageState, below: Array) -> Array:
        outputs = decoder.apply(state.frozen["decoder"], below)
        return outputs if likelihood is None else likelihood.mean(outputs)

    def encode(state: StageState, batch: Batch, hparams: HParams) -> Array:
        return method.views.encode(state.method, seen(state.frozen, batch, hparams), hparams)

    def decode(state: StageState, latent: Array, hparams: HParams) -> Array:
        return back(state, method.views.decode(state.method, latent, hparams))

    def reconstruct(state: StageState, batch: Batch, hparams: HParams) -> Array:
        below = method.views.reconstruct(state.method, seen(state.frozen, batch, hparams), hparams)
        return back(state, below)

    def predict(state: StageState, batch: Batch, hparams: HParams) -> Array:
        return method.views.predict(state.method, seen(state.frozen, batch, hparams), hparams)

    def sample(key: Array, state: StageState, count: int, hparams: HParams) -> Array:
        return back(state, method.views.sample(key, state.method, count, hparams))

    def log_likelihood(key: Array, state: StageState, batch: Batch, hparams: HParams) -> Array:
        codes = seen(state.frozen, batch, hparams)
        outputs = decoder.apply(state.frozen["decoder"], codes["image"])
        nats = method.views.log_likelihood(key, state.method, codes, hparams)
        return nats - likelihood.loss(outputs, there(batch, hparams), hparams)

    inner, has_back = method.views, decoder is not None
    return Method(
        **joined(method, *filter(None, (shown, likelihood))),
        init=init,
        step=step,
        evaluate=evaluate,
        views=Views(
            encode=encode if inner.encode else None,
            decode=decode if has_back and inner.decode else None,
            reconstruct=reconstruct if has_back and inner.reconstruct else None,
            predict=predict if inner.predict else None,
            sample=sample if has_back and inner.sample else None,
            log_likelihood=log_likelihood if likelihood and inner.log_likelihood else None,
        ),
        conclude=method.conclude,
        inference=lambda state: state._replace(method=method.inference(state.method)),
        ranges={name: method.ranges[name] for name in method.ranges.keys() - {"image"}},
    )
