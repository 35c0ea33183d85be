"""Generative adversarial networks.

Reference:
  Goodfellow et al. (2014), Generative Adversarial Nets.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import COUNT, Array, Batch, HParams, InputError, Method, Network, Views
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import require
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.gradient import GradientState


def gan(
    generator: Network,
    discriminator: Network,
    latent_size: int,
    *,
    learning_rate: float = 2e-4,
    discriminator_learning_rate: float = 2e-4,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the non-saturating GAN; a step moves the discriminator, then the generator.

    The discriminator ascends E[log D(x)] + E[log(1 - D(G(z)))], the generator
    E[log D(G(z))]. Both see fresh noise. A player's move takes training passes of both
    networks, over real and generated examples apart; what they move, such as running
    statistics, is kept of the player whose move it is.

    Args:
      generator: latent [B, Z] -> logits of pixels in [0, 1], [B, ...].
      discriminator: [B, ...] -> logit of "real", [B, 1].
      latent_size: Z.
      learning_rate: the generator's; traced.
      discriminator_learning_rate: traced.
      optimizer: gives the direction for both players; Adam (0.5, 0.999) where None.

    Returns:
      The method. Evaluation, per example in nats: `discriminator_loss` and
      `generator_loss`, on one generated example for each real one. There is no `loss`: the
      players' losses say how they stand to each other, not how good they are. So the best
      state is that of the last step, unless `training.run` is told what to `monitor`.

    Raises:
      InputError: if there are no latents; when traced, if the discriminator's outputs are not
        [B, 1].

    Reference:
      Goodfellow et al. (2014), algorithm 1 and section 3; Radford et al. (2016) for
      the optimizer.
    """
    require(COUNT, latent_size=latent_size)
    optimizer = optax.scale_by_adam(b1=0.5) if optimizer is None else optimizer

    def noise(key: Array, count: int) -> Array:
        return jax.random.normal(key, (count, latent_size), jnp.result_type(float))

    def generated(
        key: Array, params: Mapping[str, Any], latent: Array, training: bool
    ) -> tuple[Array, Mapping]:
        """Images, and what the pass moves."""
        logits, moved = gradient.forward(generator, key, params["generator"], latent, training)
        return jax.nn.sigmoid(logits), moved

    def judged(key: Array, params: Any, x: Array, training: bool) -> tuple[Array, Mapping]:
        """Logits of "real", [B], and what the pass moves."""
        logits, moved = gradient.forward(discriminator, key, params, x, training)
        if logits.shape != (x.shape[0], 1):
            raise InputError(
                f"the discriminator must give one logit, [B, 1], and gives {list(logits.shape)}"
            )
        return jnp.squeeze(logits, 1), jax.lax.stop_gradient(moved)

    def discriminating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        x, own = batch["image"], params["discriminator"]
        keys = jax.random.split(key, 4)
        fake, _ = generated(keys[1], params, noise(keys[0], x.shape[0]), training)
        real_logit, moved = judged(keys[2], own, x, training)
        fake_logit, moved_after = judged(keys[3], gradient.replaced(own, moved), fake, training)
        # -log D(x) - log(1 - D(G(z)))
        loss = jax.nn.softplus(-real_logit) + jax.nn.softplus(fake_logit)
        return {"loss": loss}, {"discriminator": gradient.replaced(moved, moved_after)}

    def generating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys = jax.random.split(key, 3)
        latent = noise(keys[0], batch["image"].shape[0])
        fake, moved = generated(keys[1], params, latent, training)
        fake_logit, _ = judged(keys[2], params["discriminator"], fake, training)
        # -log D(G(z))
        return {"loss": jax.nn.softplus(-fake_logit)}, {"generator": moved}

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        keys = jax.random.split(key)
        x = batch["image"]
        latent = jnp.zeros((x.shape[0], latent_size), x.dtype)
        return {
            "generator": generator.init(keys[0], latent),
            "discriminator": discriminator.init(keys[1], x),
        }

    def evaluate(
        key: Array, state: GradientState, batch: Batch, hparams: HParams
    ) -> dict[str, Array]:
        return {
            f"{move.name}_loss": move.terms(k, state.params, batch, hparams, training=False)[0][
                "loss"
            ]
            for move, k in zip(moves, jax.random.split(key), strict=True)
        }

    def decode(state: GradientState, latent: Array, hparams: HParams) -> Array:
        return jax.nn.sigmoid(generator.apply(state.params["generator"], latent))

    def sample(key: Array, state: GradientState, count: int, hparams: HParams) -> Array:
        return decode(state, noise(key, count), hparams)

    moves = (
        Move(
            "discriminator",
            ("discriminator",),
            discriminating,
            optimizer,
            discriminator_learning_rate,
        ),
        Move("generator", ("generator",), generating, optimizer, learning_rate),
    )
    return game(
        init,
        [[move] for move in moves],
        evaluate,
        Views(decode=decode, sample=sample),
        main="generator",
    )
