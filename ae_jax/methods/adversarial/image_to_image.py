"""Translation of images by pairs: an adversary and a pixel loss.

Reference:
  Isola et al. (2017), Image-to-Image Translation with Conditional Adversarial Networks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import (
    NOT_NEGATIVE,
    Array,
    Batch,
    HParams,
    InputError,
    Method,
    Network,
    Views,
    require_networks,
    traced,
)
from ae_jax.losses import absolute_error, adversarial
from ae_jax.losses.adversarial import Adversarial
from ae_jax.methods.adversarial.contest import contest, judged_by
from ae_jax.methods.adversarial.regularisers import Regulariser
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import Numbers
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.gradient import GradientState


def image_to_image(
    generator: Network,
    discriminator: Network,
    *,
    objective: Adversarial | None = None,
    regularisers: Sequence[Regulariser] = (),
    l1_weight: float = 100.0,
    adversarial_weight: float = 1.0,
    output: Callable[[Array], Array] = jax.nn.sigmoid,
    simultaneous: bool = False,
    average: bool = False,
    ema_decay: float = 0.999,
    learning_rate: float = 2e-4,
    discriminator_learning_rate: float = 2e-4,
    optimizer: optax.GradientTransformation | None = None,
    discriminator_optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns a translator of `image` to `target`; a step moves the discriminator, then it.

    The generator lowers adversarial_weight times the objective's loss, plus l1_weight times the
    mean absolute error of a target's numbers. Where one of them is 0 it is the other alone: a
    regression on the median, or a conditional GAN. The discriminator is shown a target, or what
    was made, with the image beside it, as further channels; its penalties are of slopes by the
    target. The noise is that of the generator's training pass: its dropout.

    Args:
      generator: images [B, H, W, C] -> [B, H, W, D], of which `output` makes targets.
      discriminator: [B, H, W, C + D] -> logits of "real", [B, 1] or [B, h, w, 1] of patches.
      objective: what each of them lowers; `losses.adversarial.non_saturating()` where None. The
        authors halve the discriminator's loss, which Adam does not see: give it a lower rate
        where it is to be slow.
      regularisers: of the discriminator, each with traced numbers of its own.
      l1_weight: traced.
      adversarial_weight: traced.
      output: makes targets from what the generator gives, such as pixels in [0, 1] of logits.
      simultaneous: the generator moves against the discriminator as it was before the step.
      average: whether an exponential moving average of the generator is kept over steps, which
        evaluation and views then use.
      ema_decay: the fraction of it that a step keeps; traced.
      learning_rate: the generator's; traced.
      discriminator_learning_rate: traced.
      optimizer: gives the direction for both players; Adam (0.5, 0.999) where None.
      discriminator_optimizer: for the discriminator alone.

    Returns:
      The method. Evaluation, per example, without noise: `absolute_error`, summed over a target's
      numbers, `discriminator_loss` and `adversarial_loss`, the objective's. Of its views,
      `reconstruct` translates without noise, and `generate` with it.

    Raises:
      InputError: when traced, if a batch has no targets, the networks do not fit the images,
        or a regulariser does not hold for the discriminator.

    Reference:
      Isola et al. (2017), equations 1 to 4 and section 3.3.
    """
    require_networks(generator=generator, discriminator=discriminator)
    objective = adversarial.non_saturating() if objective is None else objective
    optimizer = optax.scale_by_adam(b1=0.5) if optimizer is None else optimizer
    judge = judged_by(discriminator, lambda target, image: _beside(image, target))
    playing = contest(judge, objective, regularisers)

    def translated(
        key: Array, params: Mapping[str, Any], batch: Batch, training: bool
    ) -> tuple[Array, Mapping[str, Any]]:
        """What is made of images, and what the pass moves."""
        made, moved = gradient.forward(
            generator, key, params["generator"], batch["image"], training
        )
        return output(made), jax.lax.stop_gradient(moved)

    def discriminating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys = jax.random.split(key)
        made, _ = translated(keys[0], params, batch, training)
        loss, moved = playing.discriminating(
            keys[1],
            params["discriminator"],
            batch["target"],
            made,
            hparams,
            training,
            batch["image"],
        )
        return {"loss": loss}, {"discriminator": moved}

    def generating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys, target = jax.random.split(key), batch["target"]
        made, moved = translated(keys[0], params, batch, training)
        deceiving = playing.deceiving(
            keys[1], params["discriminator"], target, made, hparams, training, batch["image"]
        )
        error = absolute_error(made, target)
        # w_gan L_gan(G, D) + w_l1 |y - G(x)|_1 / (numbers of y)
        mean = error / (target.size // len(target))
        loss = hparams["adversarial_weight"] * deceiving + hparams["l1_weight"] * mean
        values = {"loss": loss, "adversarial_loss": deceiving, "absolute_error": error}
        return values, {"generator": moved}

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        keys = jax.random.split(key)
        x, target = _pair(batch)
        params = generator.init(keys[0], x)
        made = jax.eval_shape(generator.apply, params, x)
        if made.shape != target.shape:
            raise InputError(
                f"the generator makes {list(made.shape[1:])} of images, and targets are "
                f"{list(target.shape[1:])}: give it the outputs of a target"
            )
        shown = _beside(x, target)
        playing.regulariser.check(discriminator, shown)
        return {"generator": params, "discriminator": discriminator.init(keys[1], shown)}

    def evaluate(
        key: Array, state: GradientState, batch: Batch, hparams: HParams
    ) -> dict[str, Array]:
        keys = jax.random.split(key)
        judged, _ = discriminating(keys[0], state.params, batch, hparams, training=False)
        made, _ = generating(keys[1], state.params, batch, hparams, training=False)
        return {
            "absolute_error": made["absolute_error"],
            "adversarial_loss": made["adversarial_loss"],
            "discriminator_loss": judged["loss"],
        }

    def reconstruct(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return output(generator.apply(state.params["generator"], batch["image"]))

    def generate(key: Array, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return translated(key, state.params, batch, training=True)[0]

    moves = (
        Move(
            "discriminator",
            ("discriminator",),
            discriminating,
            optimizer if discriminator_optimizer is None else discriminator_optimizer,
            discriminator_learning_rate,
        ),
        Move("generator", ("generator",), generating, optimizer, learning_rate),
    )
    weights = traced(
        l1_weight=(l1_weight, NOT_NEGATIVE), adversarial_weight=(adversarial_weight, NOT_NEGATIVE)
    )
    return game(
        init,
        [moves] if simultaneous else [[move] for move in moves],
        evaluate,
        Views(reconstruct=reconstruct, generate=generate),
        parts=[playing.regulariser, Numbers(**weights)],
        main="generator",
        average=["generator"] if average else (),
        ema_decay=ema_decay,
    )


def _pair(batch: Batch) -> tuple[Array, Array]:
    if missing := [name for name in ("image", "target") if name not in batch]:
        raise InputError(
            f"a translation is learned from pairs, and a batch has no {missing[0]}: use a data set "
            "of pairs, such as edges:NAME, or data.paired(conditions, targets)"
        )
    image, target = batch["image"], batch["target"]
    if image.ndim != 4 or target.ndim != 4 or image.shape[:3] != target.shape[:3]:
        raise InputError(
            "an image and its target are judged side by side: they must be [H, W, C] of one "
            f"height and width, got {list(image.shape[1:])} and {list(target.shape[1:])}"
        )
    return image, target


def _beside(image: Array, target: Array) -> Array:
    return jnp.concatenate([image, target], axis=-1)
