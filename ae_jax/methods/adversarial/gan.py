"""Generative adversarial networks.

Reference:
  Goodfellow et al. (2014), Generative Adversarial Nets.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import (
    COUNT,
    Array,
    Batch,
    HParams,
    Method,
    Network,
    Views,
    require,
    require_kind,
    require_networks,
)
from ae_jax.losses import adversarial
from ae_jax.losses.adversarial import Adversarial
from ae_jax.methods.adversarial.codes import drawn_from
from ae_jax.methods.adversarial.conditions import Condition, drawn_labels, given_of
from ae_jax.methods.adversarial.contest import contest, judged_by
from ae_jax.methods.adversarial.regularisers import Regulariser
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import of_classes, require_shape
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.parts.labels import beside

#: (key, shape) -> [shape]
Noise = Callable[[Array, tuple[int, int]], Array]


def gan(
    generator: Network,
    discriminator: Network,
    latent_size: int,
    *,
    objective: Adversarial | None = None,
    regularisers: Sequence[Regulariser] = (),
    condition: Condition | None = None,
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
      generator: latent [B, Z] -> [B, ...], of which `output` makes examples; with a condition of
        C classes of latents and labels, [B, Z + C].
      discriminator: [B, ...] -> logits of "real", large for real examples, [B, 1]; or [B, h, w, 1]
        of patches, whose losses are averaged; or features, where the condition makes logits of
        them.
      latent_size: Z.
      objective: what each of them lowers; `losses.adversarial.non_saturating()` where None.
      regularisers: of the discriminator, each with traced numbers of its own.
      condition: what classes there are and how the discriminator uses the batch's `label`, of
        `methods.conditions`; generated examples are of the same classes. None for a GAN that
        knows of no classes.
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
      `monitor`. A step's discriminator_loss has the regularisers in it. With a condition the view
      `generate` gives examples of a batch's labels, `sample` of classes that the condition draws,
      and `decode` takes what the generator does.

    Raises:
      InputError: if there are no latents or steps, the prior has another number of dimensions, or a
        part is of another kind; when initialised, if the generator does not make examples of the
        data's shape; when traced, if the discriminator does not give logits [B, ..., 1], or
        features where the condition needs them, if a regulariser does not hold for it, if the
        batch cannot be cut into `discriminator_steps` parts, or has no labels for a condition.

    Reference:
      Goodfellow et al. (2014), algorithm 1 and section 3; Radford et al. (2016) for
      the optimizer.
    """
    require_networks(generator=generator, discriminator=discriminator)
    require(COUNT, latent_size=latent_size, discriminator_steps=discriminator_steps)
    objective = adversarial.non_saturating() if objective is None else objective
    optimizer = optax.scale_by_adam(b1=0.5) if optimizer is None else optimizer
    condition = Condition() if condition is None else condition
    require_kind(Condition, "conditions.projection(10)", condition=condition)
    discriminator = condition.network(discriminator)
    judge = judged_by(discriminator, condition.shown, condition.verdict)
    playing = contest(judge, objective, regularisers, condition.task)
    noise = drawn_from(prior, latent_size)

    def made_of(params: Any, latent: Array) -> Array:
        return output(generator.apply(params, latent))

    def generated(
        key: Array, params: Mapping[str, Any], given: Any, count: int, training: bool
    ) -> tuple[Array, Mapping[str, Any]]:
        """Examples, and what the pass moves."""
        noise_key, pass_key = jax.random.split(key)
        latent = beside(noise(noise_key, count), given)
        made, moved = gradient.forward(generator, pass_key, params["generator"], latent, training)
        return output(made), moved

    def discriminating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        real, given, keys = batch["image"], given_of(batch, condition), jax.random.split(key)
        fake, _ = generated(keys[0], params, given, len(real), training)
        loss, moved = playing.discriminating(
            keys[1], params["discriminator"], real, fake, hparams, training, given
        )
        return {"loss": loss}, {"discriminator": moved}

    def generating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        real, given, keys = batch["image"], given_of(batch, condition), jax.random.split(key)
        fake, moved = generated(keys[0], params, given, len(real), training)
        loss = playing.deceiving(
            keys[1], params["discriminator"], real, fake, hparams, training, given
        )
        return {"loss": loss}, {"generator": moved}

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        keys = jax.random.split(key)
        x, given = batch["image"], given_of(batch, condition)
        shown = condition.shown(x, given)
        latent = beside(jnp.zeros((x.shape[0], latent_size), x.dtype), given)
        params = generator.init(keys[0], latent)
        require_shape(jax.eval_shape(made_of, params, latent), x)
        playing.regulariser.check(discriminator, shown)
        return {"generator": params, "discriminator": discriminator.init(keys[1], shown)}

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
        return made_of(state.params["generator"], latent)

    def sample(key: Array, state: GradientState, count: int, hparams: HParams) -> Array:
        if not condition.classes:
            return decode(state, noise(key, count), hparams)
        label_key, key = jax.random.split(key)
        latent = beside(noise(key, count), drawn_labels(label_key, count, condition))
        return decode(state, latent, hparams)

    def generate(key: Array, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        given = given_of(batch, condition)
        return decode(state, beside(noise(key, len(given)), given), hparams)

    def predict(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return condition.predict(discriminator.apply(state.params["discriminator"], batch["image"]))

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
        Views(
            decode=decode,
            sample=sample,
            generate=generate if condition.classes else None,
            predict=predict if condition.predict else None,
        ),
        parts=[playing.regulariser, condition],
        main="generator",
        average=["generator"] if average else (),
        ema_decay=ema_decay,
        ranges=of_classes(condition.classes),
    )
