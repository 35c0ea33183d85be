"""Generative adversarial networks.

Reference:
  Goodfellow et al. (2014), Generative Adversarial Nets.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import Array, Batch, HParams, Info, Method, Network, Views
from ae_jax.methods import gradient
from ae_jax.methods.gradient import GradientState


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
    E[log D(G(z))]. Both see fresh noise.

    Args:
      generator: latent [B, Z] -> logits of pixels in [0, 1], [B, ...].
      discriminator: [B, ...] -> logit of "real", [B, 1].
      latent_size: Z.
      learning_rate: the generator's; traced.
      discriminator_learning_rate: traced.
      optimizer: gives the direction for both players; Adam (0.5, 0.999) where None.

    Returns:
      The method. Evaluation, per example in nats: `discriminator_loss` and
      `generator_loss`, on one generated example for each real one.

    Reference:
      Goodfellow et al. (2014), algorithm 1 and section 3; Radford et al. (2016) for
      the optimizer.
    """
    optimizer = optax.scale_by_adam(b1=0.5) if optimizer is None else optimizer

    def generate(params, key: Array, count: int) -> Array:
        latent = jax.random.normal(key, (count, latent_size), jnp.result_type(float))
        return jax.nn.sigmoid(generator.apply(params, latent))

    def discriminator_losses(params, real: Array, fake: Array) -> Array:
        real_logit = discriminator.apply(params, real)[:, 0]
        fake_logit = discriminator.apply(params, fake)[:, 0]
        # -log D(x) - log(1 - D(G(z)))
        return jax.nn.softplus(-real_logit) + jax.nn.softplus(fake_logit)

    def generator_losses(params, discriminator_params, key: Array, count: int) -> Array:
        fake = generate(params, key, count)
        # -log D(G(z))
        return jax.nn.softplus(-discriminator.apply(discriminator_params, fake)[:, 0])

    def init(key: Array, batch: Batch, hparams: HParams) -> GANState:
        generator_key, discriminator_key = jax.random.split(key)
        x = batch["image"]
        latent = jnp.zeros((x.shape[0], latent_size), x.dtype)
        return GANState(
            gradient.init(optimizer, generator.init(generator_key, latent)),
            gradient.init(optimizer, discriminator.init(discriminator_key, x)),
        )

    def step(key: Array, state: GANState, batch: Batch, hparams: HParams) -> tuple[GANState, Info]:
        x = batch["image"]
        discriminator_key, generator_key = jax.random.split(key)
        fake = generate(state.generator.params, discriminator_key, x.shape[0])

        def discriminator_objective(params):
            return jnp.mean(discriminator_losses(params, x, fake)), gradient.Aux({})

        new_discriminator, d_info = gradient.step(
            optimizer,
            discriminator_objective,
            state.discriminator,
            hparams["discriminator_learning_rate"],
        )

        def generator_objective(params):
            losses = generator_losses(params, new_discriminator.params, generator_key, x.shape[0])
            return jnp.mean(losses), gradient.Aux({})

        new_generator, g_info = gradient.step(
            optimizer, generator_objective, state.generator, hparams["learning_rate"]
        )
        info = {f"discriminator_{name}": value for name, value in d_info.items()}
        info |= {f"generator_{name}": value for name, value in g_info.items()}
        return GANState(new_generator, new_discriminator), info

    def evaluate(key: Array, state: GANState, batch: Batch, hparams: HParams):
        x = batch["image"]
        first, second = jax.random.split(key)
        fake = generate(state.generator.params, first, x.shape[0])
        params = state.discriminator.params
        return {
            "discriminator_loss": discriminator_losses(params, x, fake),
            "generator_loss": generator_losses(state.generator.params, params, second, x.shape[0]),
        }

    def decode(state: GANState, latent: Array, hparams: HParams) -> Array:
        return jax.nn.sigmoid(generator.apply(state.generator.params, latent))

    return Method(
        hparams={
            "learning_rate": learning_rate,
            "discriminator_learning_rate": discriminator_learning_rate,
        },
        init=init,
        step=step,
        evaluate=evaluate,
        views=Views(
            decode=decode,
            sample=lambda key, state, count, hparams: generate(state.generator.params, key, count),
        ),
    )
