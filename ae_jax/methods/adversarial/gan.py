"""Generative adversarial networks.

Reference:
  Goodfellow et al. (2014), Generative Adversarial Nets.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import (
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    Array,
    Batch,
    HParams,
    Info,
    InputError,
    Method,
    Network,
    Views,
)
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import joined, require
from ae_jax.methods.learners.gradient import GradientState


class GANState(NamedTuple):
    """The two players, each with its own optimizer."""

    generator: GradientState
    discriminator: GradientState


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
    numbers = joined(
        {
            "learning_rate": (learning_rate, POSITIVE),
            "discriminator_learning_rate": (discriminator_learning_rate, NOT_NEGATIVE),
        }
    )

    def noise(key: Array, count: int) -> Array:
        return jax.random.normal(key, (count, latent_size), jnp.result_type(float))

    def generated(params: Any, latent: Array, key: Array | None = None) -> tuple[Array, Mapping]:
        """Images, and what the pass moves; with a key, the pass is a training step's."""
        logits, moved = gradient.forward(generator, key, params, latent, key is not None)
        return jax.nn.sigmoid(logits), moved

    def judged(params: Any, x: Array, key: Array | None = None) -> tuple[Array, Mapping]:
        """Logits of "real", [B], and what the pass moves."""
        logits, moved = gradient.forward(discriminator, key, params, x, key is not None)
        if logits.shape != (x.shape[0], 1):
            raise InputError(
                f"the discriminator must give one logit, [B, 1], and gives {list(logits.shape)}"
            )
        return jnp.squeeze(logits, 1), jax.lax.stop_gradient(moved)

    def discriminator_losses(real_logit: Array, fake_logit: Array) -> Array:
        # -log D(x) - log(1 - D(G(z)))
        return jax.nn.softplus(-real_logit) + jax.nn.softplus(fake_logit)

    def generator_losses(fake_logit: Array) -> Array:
        # -log D(G(z))
        return jax.nn.softplus(-fake_logit)

    def discriminator_objective(keys: Array, real: Array, fake: Array):
        def objective(params):
            real_logit, moved = judged(params, real, keys[0])
            fake_logit, moved_after = judged(gradient.replaced(params, moved), fake, keys[1])
            loss = jnp.mean(discriminator_losses(real_logit, fake_logit))
            return loss, gradient.Aux({}, gradient.replaced(moved, moved_after))

        return objective

    def generator_objective(keys: Array, latent: Array, discriminator_params: Any):
        def objective(params):
            fake, moved = generated(params, latent, keys[0])
            fake_logit, _ = judged(discriminator_params, fake, keys[1])
            return jnp.mean(generator_losses(fake_logit)), gradient.Aux({}, moved)

        return objective

    def init(key: Array, batch: Batch, hparams: HParams) -> GANState:
        keys = jax.random.split(key)
        x = batch["image"]
        latent = jnp.zeros((x.shape[0], latent_size), x.dtype)
        generator_params = generator.init(keys[0], latent)
        discriminator_params = discriminator.init(keys[1], x)
        moves = generator_objective(keys, latent, discriminator_params)
        return GANState(
            gradient.init(optimizer, generator_params, moves),
            gradient.init(optimizer, discriminator_params, discriminator_objective(keys, x, x)),
        )

    def step(key: Array, state: GANState, batch: Batch, hparams: HParams) -> tuple[GANState, Info]:
        x = batch["image"]
        keys = jax.random.split(key, 7)
        latent, other_latent = (noise(k, x.shape[0]) for k in keys[:2])
        fake, _ = generated(state.generator.params, latent, keys[2])
        new_discriminator, d_info = gradient.step(
            optimizer,
            discriminator_objective(keys[3:5], x, fake),
            state.discriminator,
            hparams["discriminator_learning_rate"],
        )
        new_generator, g_info = gradient.step(
            optimizer,
            generator_objective(keys[5:], other_latent, new_discriminator.params),
            state.generator,
            hparams["learning_rate"],
        )
        info = {f"discriminator_{name}": value for name, value in d_info.items()}
        info |= {f"generator_{name}": value for name, value in g_info.items()}
        return GANState(new_generator, new_discriminator), info

    def evaluate(key: Array, state: GANState, batch: Batch, hparams: HParams):
        x = batch["image"]
        real_logit = judged(state.discriminator.params, x)[0]
        fake_logit, other_fake_logit = (
            judged(
                state.discriminator.params,
                generated(state.generator.params, noise(k, x.shape[0]))[0],
            )[0]
            for k in jax.random.split(key)
        )
        return {
            "discriminator_loss": discriminator_losses(real_logit, fake_logit),
            "generator_loss": generator_losses(other_fake_logit),
        }

    def decode(state: GANState, latent: Array, hparams: HParams) -> Array:
        return generated(state.generator.params, latent)[0]

    return Method(
        **numbers._asdict(),
        init=init,
        step=step,
        evaluate=evaluate,
        views=Views(
            decode=decode,
            sample=lambda key, state, count, hparams: decode(state, noise(key, count), hparams),
        ),
        inference=lambda state: GANState(*map(gradient.inference, state)),
    )
