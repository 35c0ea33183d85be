"""A VAE whose reconstructions are compared in the features of a discriminator.

Reference:
  Larsen et al. (2016), Autoencoding beyond pixels using a learned similarity metric.
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
    Method,
    Network,
    require,
    require_networks,
    traced,
)
from ae_jax.losses import adversarial
from ae_jax.losses.adversarial import Adversarial
from ae_jax.methods.adversarial.contest import contest, one_logit
from ae_jax.methods.adversarial.regularisers import Regulariser
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import Numbers, require_shape
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.views import coded
from ae_jax.methods.parts import posteriors
from ae_jax.nets.combine import chain
from ae_jax.probability import gaussian


def vae_gan(
    encoder: Network,
    decoder: Network,
    features: Network,
    head: Network,
    latent_size: int,
    *,
    objective: Adversarial | None = None,
    regularisers: Sequence[Regulariser] = (),
    output: Callable[[Array], Array] = jax.nn.sigmoid,
    log_var_bound: float | None = None,
    beta: float = 1.0,
    feature_weight: float = 1.0,
    adversarial_weight: float = 1.0,
    learning_rate: float = 3e-4,
    encoder_learning_rate: float = 3e-4,
    discriminator_learning_rate: float = 3e-4,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the VAE-GAN; its three moves are simultaneous.

    With the discriminator's features l, a reconstruction x' and E = |l(x) - l(x')|^2 / 2, minus a
    Gaussian log-likelihood but for a constant, the encoder lowers E + beta KL, the decoder
    feature_weight E + adversarial_weight times its loss in the contest. The discriminator,
    features and head, moves by the contest alone, in which reconstructions and decoded draws of
    the standard Gaussian prior are what is generated.

    Args:
      encoder: [B, ...] -> [B, 2 Z], the posterior's mean and log-variance side by side.
      decoder: latent [B, Z] -> [B, ...], of which `output` makes examples.
      features: examples [B, ...] -> l [B, ...].
      head: features -> logits of "real", [B, 1].
      latent_size: Z.
      objective: of the contest; `losses.adversarial.non_saturating()` where None.
      regularisers: of the discriminator, each with traced numbers of its own.
      output: makes examples from what the decoder gives, such as pixels in [0, 1] of logits.
      log_var_bound: as for `posteriors.gaussian`.
      beta: weight of the KL divergence; traced.
      feature_weight: of the features' error to the decoder, the paper's gamma; traced.
      adversarial_weight: of the contest to the decoder; traced.
      learning_rate: the decoder's; traced.
      encoder_learning_rate: traced.
      discriminator_learning_rate: traced.
      optimizer: gives the direction for each; RMSProp (0.9, 1e-8) where None.

    Returns:
      The method. Evaluation, per example: `feature_error` E and `kl`, nats; `squared_error` of the
      reconstruction of the posterior's mean; the contest's `discriminator_loss` and
      `decoder_loss`. There is no `loss`, as there is none of `gan`. The contest's losses are means
      over the two kinds of generated examples, so that real and generated ones count alike; the
      paper adds up the two kinds.

    Raises:
      InputError: if there are no latents or the bound is not positive; when traced, if the
        encoder's outputs are not 2 Z, the head does not give logits [B, ..., 1], or a regulariser
        does not hold for the discriminator.

    Reference:
      Larsen et al. (2016), algorithm 1.
    """
    require_networks(encoder=encoder, decoder=decoder, features=features, head=head)
    require(COUNT, latent_size=latent_size)
    objective = adversarial.non_saturating() if objective is None else objective
    optimizer = optax.scale_by_rms(0.9, 1e-8) if optimizer is None else optimizer
    posterior = posteriors.gaussian(log_var_bound)

    def halves(outputs: Array) -> posteriors.Gaussian:
        return posterior.read(outputs, latent_size, {})

    def judge(
        key: Array, params: Any, x: Array, given: Any, training: bool
    ) -> tuple[Array, Mapping[str, Any]]:
        keys = jax.random.split(key)
        seen, moved = gradient.forward(features, keys[0], params["features"], x, training)
        logits, moved_after = gradient.forward(head, keys[1], params["head"], seen, training)
        changes = {"features": moved, "head": moved_after}
        return one_logit(logits, len(x)), jax.lax.stop_gradient(changes)

    playing = contest(judge, objective, regularisers)

    def reconstructed(
        key: Array, params: Mapping[str, Any], x: Array, training: bool
    ) -> tuple[Array, Array, dict[str, Any]]:
        """Of a draw of the posterior; the KL divergence [B]; and what the passes move."""
        keys = jax.random.split(key, 3)
        outputs, moved = gradient.forward(encoder, keys[0], params["encoder"], x, training)
        mean, log_var = halves(outputs)
        latent = gaussian.sample(keys[1], mean, log_var)
        made, moved_after = gradient.forward(decoder, keys[2], params["decoder"], latent, training)
        kl = gaussian.kl_standard(mean, log_var)
        return output(made), kl, {"encoder": moved, "decoder": moved_after}

    def drawn(key: Array, count: int) -> Array:
        return jax.random.normal(key, (count, latent_size), jnp.result_type(float))

    def made_of(params: Any, latent: Array) -> Array:
        return output(decoder.apply(params, latent))

    def sampled(key: Array, params: Mapping[str, Any], count: int, training: bool) -> Array:
        """Decoded draws of the prior."""
        keys = jax.random.split(key)
        latent = drawn(keys[0], count)
        return output(gradient.forward(decoder, keys[1], params["decoder"], latent, training)[0])

    def feature_error(
        key: Array, params: Mapping[str, Any], x: Array, made: Array, training: bool
    ) -> Array:
        """Half the squared distance of features, of passes with the same noise."""
        seen, other = (
            gradient.forward(features, jax.random.clone(key), params["features"], shown, training)[
                0
            ]
            for shown in (x, made)
        )
        return 0.5 * losses.squared_error(other, seen)

    def contending(
        key: Array, params: Mapping[str, Any], x: Array, made: Array, training: bool
    ) -> tuple[Any, Array, Array]:
        """The discriminator, and twice the real examples beside both kinds of generated ones."""
        samples = sampled(key, params, len(x), training)
        discriminator = {name: params[name] for name in ("features", "head")}
        return discriminator, jnp.concatenate([x, x]), jnp.concatenate([made, samples])

    def mean_of_kinds(loss: Array) -> Array:
        return jnp.mean(jnp.reshape(loss, (2, -1)), axis=0)

    def encoding(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys, x = jax.random.split(key), batch["image"]
        made, kl, moved = reconstructed(keys[0], params, x, training)
        error = feature_error(keys[1], params, x, made, training)
        return {"loss": error + hparams["beta"] * kl, "kl": kl}, moved

    def decoding(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys, x = jax.random.split(key, 4), batch["image"]
        made, _, moved = reconstructed(keys[0], params, x, training)
        error = feature_error(keys[1], params, x, made, training)
        judged = contending(keys[2], params, x, made, training)
        cost = mean_of_kinds(playing.deceiving(keys[3], *judged, hparams, training))
        loss = hparams["feature_weight"] * error + hparams["adversarial_weight"] * cost
        return {"loss": loss, "feature_error": error}, moved

    def discriminating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys, x = jax.random.split(key, 3), batch["image"]
        made, _, _ = reconstructed(keys[0], params, x, training)
        judged = contending(keys[1], params, x, made, training)
        loss, moved = playing.discriminating(keys[2], *judged, hparams, training)
        return {"loss": mean_of_kinds(loss)}, dict(moved)

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        keys, x = jax.random.split(key, 4), batch["image"]
        latent = jnp.zeros((len(x), latent_size), x.dtype)
        params = {
            "encoder": encoder.init(keys[0], x),
            "decoder": decoder.init(keys[1], latent),
        }
        require_shape(jax.eval_shape(made_of, params["decoder"], latent), x, "decoder")
        playing.regulariser.check(chain(features, head), x)
        params["features"] = features.init(keys[2], x)
        seen = features.apply(params["features"], x)
        return {**params, "head": head.init(keys[3], seen)}

    def evaluate(
        key: Array, state: GradientState, batch: Batch, hparams: HParams
    ) -> dict[str, Array]:
        keys, params, x = jax.random.split(key, 5), state.params, batch["image"]
        made, kl, _ = reconstructed(keys[0], params, x, False)
        judged = contending(keys[1], params, x, made, False)
        told, _ = playing.discriminating(keys[2], *judged, hparams, False)
        deceived = playing.deceiving(keys[3], *judged, hparams, False)
        mean_made = decode(state, encode(state, batch, hparams), hparams)
        return {
            "feature_error": feature_error(keys[4], params, x, made, False),
            "kl": kl,
            "squared_error": losses.squared_error(mean_made, x),
            "discriminator_loss": mean_of_kinds(told),
            "decoder_loss": mean_of_kinds(deceived),
        }

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return halves(encoder.apply(state.params["encoder"], batch["image"]))[0]

    def decode(state: GradientState, latent: Array, hparams: HParams) -> Array:
        return made_of(state.params["decoder"], latent)

    def sample(key: Array, state: GradientState, count: int, hparams: HParams) -> Array:
        return decode(state, drawn(key, count), hparams)

    moves = (
        Move("encoder", ("encoder",), encoding, optimizer, encoder_learning_rate),
        Move("decoder", ("decoder",), decoding, optimizer, learning_rate),
        Move(
            "discriminator",
            ("features", "head"),
            discriminating,
            optimizer,
            discriminator_learning_rate,
        ),
    )
    weights = traced(
        beta=(beta, NOT_NEGATIVE),
        feature_weight=(feature_weight, NOT_NEGATIVE),
        adversarial_weight=(adversarial_weight, NOT_NEGATIVE),
    )
    return game(
        init,
        [moves],
        evaluate,
        coded(encode, decode, sample=sample),
        parts=[playing.regulariser, Numbers(**weights)],
        main="decoder",
    )
