"""Bidirectional GANs: what is told apart are pairs of an example and its latent.

Reference:
  Donahue, Kraehenbuehl and Darrell (2017), Adversarial Feature Learning; Dumoulin et al. (2017),
  Adversarially Learned Inference.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax import losses
from ae_jax.core import (
    COUNT,
    Array,
    Batch,
    HParams,
    InputError,
    Method,
    Network,
    require,
    require_kind,
    require_networks,
)
from ae_jax.losses import adversarial
from ae_jax.losses.adversarial import Adversarial
from ae_jax.methods.adversarial.codes import drawn_from, latents_of
from ae_jax.methods.adversarial.contest import contest, one_logit
from ae_jax.methods.adversarial.regularisers import Regulariser
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import require_shape
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.views import coded


def bigan(
    encoder: Network,
    generator: Network,
    discriminator: Network,
    latent_size: int,
    *,
    features: Network | None = None,
    objective: Adversarial | None = None,
    regularisers: Sequence[Regulariser] = (),
    prior: Callable[[Array, tuple[int, int]], Array] = jax.random.normal,
    output: Callable[[Array], Array] = jax.nn.sigmoid,
    learning_rate: float = 2e-4,
    discriminator_learning_rate: float = 2e-4,
    optimizer: optax.GradientTransformation | None = None,
    discriminator_optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the BiGAN; a step moves the discriminator, then encoder and generator together.

    Real pairs are (x, E(x)), generated ones (G(z), z). Encoder and generator lower the
    discriminator's loss with the two exchanged. Where the best discriminator cannot tell them
    apart, at a loss of log 4, E and G are each other's inverse.

    Args:
      encoder: [B, ...] -> latent [B, Z].
      generator: latent [B, Z] -> [B, ...], of which `output` makes examples.
      discriminator: features and latent side by side, [B, F + Z] -> logits of "a real pair",
        [B, 1].
      latent_size: Z.
      features: of examples, [B, ...] -> [B, F], part of the discriminator; their pixels where
        None.
      objective: whose discriminator's loss it is; `losses.adversarial.non_saturating()` where None.
      regularisers: of the discriminator, over pairs, flat [B, P + Z]; each with traced numbers of
        its own.
      prior: (key, (B, Z)) -> latents.
      output: makes examples from what the generator gives, such as pixels in [0, 1] of logits.
      learning_rate: encoder's and generator's; traced.
      discriminator_learning_rate: traced.
      optimizer: gives the direction for both players; Adam (0.5, 0.999) where None.
      discriminator_optimizer: for the discriminator alone.

    Returns:
      The method. Evaluation, per example: `discriminator_loss`, `encoder_generator_loss`, and
      `squared_error` of G(E(x)). There is no `loss`, as there is none of `gan`.

    Raises:
      InputError: if there are no latents, or the prior has another number of dimensions; when
        initialised, if the encoder does not give latents [B, Z], or the generator examples of the
        data's shape, or the features are not [B, F]; when traced, if the discriminator does not
        give logits [B, 1], or a regulariser does not hold for it.

    Reference:
      Donahue, Kraehenbuehl and Darrell (2017), section 3.
    """
    require_networks(encoder=encoder, generator=generator, discriminator=discriminator)
    if features is not None:
        require_networks(features=features)
    require(COUNT, latent_size=latent_size)
    objective = adversarial.non_saturating() if objective is None else objective
    optimizer = optax.scale_by_adam(b1=0.5) if optimizer is None else optimizer
    require_kind(Adversarial, "losses.adversarial.hinge()", objective=objective)
    draw = drawn_from(prior, latent_size)
    own = ("discriminator",) if features is None else ("features", "discriminator")

    def judge(
        key: Array, params: Any, pair: Array, shape: Sequence[int], training: bool
    ) -> tuple[Array, Mapping[str, Any]]:
        """How pairs of examples [*shape] and latents are judged, [B, P + Z]."""
        keys, moved = jax.random.split(key), {}
        seen, latent = jnp.split(pair, [math.prod(shape)], axis=1)
        if features is not None:
            seen, moved["features"] = gradient.forward(
                features, keys[0], params["features"], jnp.reshape(seen, (-1, *shape)), training
            )
        logits, moved["discriminator"] = gradient.forward(
            discriminator,
            keys[1],
            params["discriminator"],
            jnp.concatenate([seen, latent], axis=1),
            training,
        )
        return one_logit(logits, len(pair)), jax.lax.stop_gradient(moved)

    def exchanged(real: Array | None, fake: Array) -> Array:
        return objective.discriminator(fake, real)

    # called relativistic, so that encoder and generator are shown the logits of both kinds
    playing = contest(judge, Adversarial(objective.discriminator, exchanged, True), regularisers)

    def made_of(params: Any, latent: Array) -> Array:
        return output(generator.apply(params, latent))

    def pairs(
        key: Array, params: Mapping[str, Any], x: Array, training: bool
    ) -> tuple[Array, Array, dict[str, Any]]:
        """Real and generated ones, flat, [B, P + Z], and what the passes move."""
        keys = jax.random.split(key, 3)
        latent, moved = gradient.forward(encoder, keys[0], params["encoder"], x, training)
        z = draw(keys[1], len(x))
        made, moved_after = gradient.forward(generator, keys[2], params["generator"], z, training)
        changes = {"encoder": moved, "generator": moved_after}
        return _flat(x, latent), _flat(output(made), z), changes

    def judged(params: Mapping[str, Any]) -> dict[str, Any]:
        return {name: params[name] for name in own}

    def discriminating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys, x = jax.random.split(key), batch["image"]
        real, fake, _ = pairs(keys[0], params, x, training)
        loss, moved = playing.discriminating(
            keys[1], judged(params), real, fake, hparams, training, x.shape[1:]
        )
        return {"loss": loss}, dict(moved)

    def inverting(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys, x = jax.random.split(key), batch["image"]
        real, fake, moved = pairs(keys[0], params, x, training)
        loss = playing.deceiving(
            keys[1], judged(params), real, fake, hparams, training, x.shape[1:]
        )
        return {"loss": loss}, moved

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        keys, x = jax.random.split(key, 4), batch["image"]
        params = {"encoder": encoder.init(keys[0], x)}
        latent = latents_of(encoder, params["encoder"], x, latent_size)
        params["generator"] = generator.init(keys[1], latent)
        require_shape(jax.eval_shape(made_of, params["generator"], latent), x)
        seen = jnp.reshape(x, (len(x), -1))
        if features is not None:
            playing.regulariser.check(features, x)
            params["features"] = features.init(keys[2], x)
            seen = features.apply(params["features"], x)
            if seen.ndim != 2:
                raise InputError(
                    "features stand beside latents: they must be [B, F], and are "
                    f"{list(seen.shape)}; use a network that ends in vectors"
                )
        pair = _flat(seen, latent)
        playing.regulariser.check(discriminator, pair)
        return {**params, "discriminator": discriminator.init(keys[3], pair)}

    def evaluate(
        key: Array, state: GradientState, batch: Batch, hparams: HParams
    ) -> dict[str, Array]:
        keys, params = jax.random.split(key), state.params
        told, _ = discriminating(keys[0], params, batch, hparams, False)
        deceived, _ = inverting(keys[1], params, batch, hparams, False)
        made = decode(state, encode(state, batch, hparams), hparams)
        return {
            "discriminator_loss": told["loss"],
            "encoder_generator_loss": deceived["loss"],
            "squared_error": losses.squared_error(made, batch["image"]),
        }

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return encoder.apply(state.params["encoder"], batch["image"])

    def decode(state: GradientState, latent: Array, hparams: HParams) -> Array:
        return made_of(state.params["generator"], latent)

    def sample(key: Array, state: GradientState, count: int, hparams: HParams) -> Array:
        return decode(state, draw(key, count), hparams)

    telling = Move(
        "discriminator",
        own,
        discriminating,
        optimizer if discriminator_optimizer is None else discriminator_optimizer,
        discriminator_learning_rate,
    )
    joint = Move("encoder_generator", ("encoder", "generator"), inverting, optimizer, learning_rate)
    return game(
        init,
        [[telling], [joint]],
        evaluate,
        coded(encode, decode, sample=sample),
        parts=[playing.regulariser],
        main="encoder_generator",
    )


def _flat(x: Array, latent: Array) -> Array:
    return jnp.concatenate([jnp.reshape(x, (len(x), -1)), latent], axis=1)
