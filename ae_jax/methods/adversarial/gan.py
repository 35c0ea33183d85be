"""Generative adversarial networks.

Reference:
  Goodfellow et al. (2014), Generative Adversarial Nets.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import COUNT, Array, Batch, HParams, Method, Network, Views
from ae_jax.losses import adversarial
from ae_jax.losses.adversarial import Adversarial
from ae_jax.methods.adversarial.contest import contest, judged_by
from ae_jax.methods.adversarial.regularisers import Regulariser
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import require
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.gradient import GradientState

#: (key, shape) -> [shape]
Noise = Callable[[Array, tuple[int, int]], Array]


def gan(
    generator: Network,
    discriminator: Network,
    latent_size: int,
    *,
    objective: Adversarial | None = None,
    regularisers: Sequence[Regulariser] = (),
    prior: Noise = jax.random.normal,
    output: Callable[[Array], Array] = jax.nn.sigmoid,
    simultaneous: bool = False,
    discriminator_steps: int = 1,
    average: bool = False,
    ema_decay: float = 0.999,
    learning_rate: float = 2e-4,
    discriminator_learning_rate: float = 2e-4,
    optimizer: optax.GradientTransformation | None = None,
    discriminator_optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns a GAN; a step moves the discriminator, then the generator.

    Both see fresh noise. A player's move takes training passes of both networks, over real and
    generated examples apart; what they move, such as running statistics and spectral vectors, is
    kept of the player whose move it is. With the defaults the discriminator ascends
    E[log D(x)] + E[log(1 - D(G(z)))], the generator E[log D(G(z))].

    Args:
      generator: latent [B, Z] -> [B, ...], of which `output` makes examples.
      discriminator: [B, ...] -> logits of "real", large for real examples, [B, 1]; or [B, h, w, 1]
        of patches, whose losses are averaged.
      latent_size: Z.
      objective: what each of them lowers; `losses.adversarial.non_saturating()` where None.
      regularisers: of the discriminator, each with traced numbers of its own.
      prior: (key, (B, Z)) -> latents, such as `jax.random.normal`.
      output: makes examples from what the generator gives, such as pixels in [0, 1] of logits.
      simultaneous: the generator moves against the discriminator as it was before the step.
      discriminator_steps: how often the discriminator moves in a step, each time on another part of
        the batch.
      average: whether an exponential moving average of the generator is kept over steps, which
        evaluation and views then use.
      ema_decay: the fraction of it that a step keeps; traced.
      learning_rate: the generator's; traced.
      discriminator_learning_rate: traced.
      optimizer: gives the direction for both players; Adam (0.5, 0.999) where None.
      discriminator_optimizer: for the discriminator alone.

    Returns:
      The method. Evaluation, per example: `discriminator_loss` and `generator_loss`, the
      objective's, in nats where that is of probabilities, on one generated example for each real
      one. There is no `loss`: the players' losses say how they stand to each other, not how good
      they are. So the best state is that of the last step, unless `training.run` is told what to
      `monitor`. A step's discriminator_loss has the regularisers in it.

    Raises:
      InputError: if there are no latents or steps; when traced, if the discriminator does not
        give logits [B, ..., 1], if a regulariser does not hold for it, or if the batch cannot be
        cut into `discriminator_steps` parts.

    Reference:
      Goodfellow et al. (2014), algorithm 1 and section 3; Radford et al. (2016) for
      the optimizer.
    """
    require(COUNT, latent_size=latent_size, discriminator_steps=discriminator_steps)
    objective = adversarial.non_saturating() if objective is None else objective
    optimizer = optax.scale_by_adam(b1=0.5) if optimizer is None else optimizer
    playing = contest(judged_by(discriminator), objective, regularisers)

    def noise(key: Array, count: int) -> Array:
        return prior(key, (count, latent_size)).astype(jnp.result_type(float))

    def generated(
        key: Array, params: Mapping[str, Any], count: int, training: bool
    ) -> tuple[Array, Mapping[str, Any]]:
        """Examples, and what the pass moves."""
        noise_key, pass_key = jax.random.split(key)
        made, moved = gradient.forward(
            generator, pass_key, params["generator"], noise(noise_key, count), training
        )
        return output(made), moved

    def discriminating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        real, keys = batch["image"], jax.random.split(key)
        fake, _ = generated(keys[0], params, len(real), training)
        loss, moved = playing.discriminating(
            keys[1], params["discriminator"], real, fake, hparams, training
        )
        return {"loss": loss}, {"discriminator": moved}

    def generating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        real, keys = batch["image"], jax.random.split(key)
        fake, moved = generated(keys[0], params, len(real), training)
        loss = playing.deceiving(keys[1], params["discriminator"], real, fake, hparams, training)
        return {"loss": loss}, {"generator": moved}

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        keys = jax.random.split(key)
        x = batch["image"]
        playing.regulariser.check(discriminator, x)
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
        return output(generator.apply(state.params["generator"], latent))

    def sample(key: Array, state: GradientState, count: int, hparams: HParams) -> Array:
        return decode(state, noise(key, count), hparams)

    moves = (
        Move(
            "discriminator",
            ("discriminator",),
            discriminating,
            optimizer if discriminator_optimizer is None else discriminator_optimizer,
            discriminator_learning_rate,
            discriminator_steps,
        ),
        Move("generator", ("generator",), generating, optimizer, learning_rate),
    )
    return game(
        init,
        [moves] if simultaneous else [[move] for move in moves],
        evaluate,
        Views(decode=decode, sample=sample),
        parts=[playing.regulariser],
        main="generator",
        average=["generator"] if average else (),
        ema_decay=ema_decay,
    )
