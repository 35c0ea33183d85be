"""Filling of holes in images: a squared error, and an adversary that sees the holes alone.

Reference:
  Pathak et al. (2016), Context Encoders: Feature Learning by Inpainting.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax import losses
from ae_jax.core import (
    NOT_NEGATIVE,
    Array,
    Batch,
    Domain,
    HParams,
    InputError,
    Method,
    Network,
    Views,
    require,
    require_function,
    require_kind,
    require_networks,
    traced,
)
from ae_jax.losses import adversarial
from ae_jax.losses.adversarial import Adversarial
from ae_jax.methods.adversarial.contest import contest, judged_by
from ae_jax.methods.adversarial.regularisers import Regulariser
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import Numbers, require_shape
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.parts.shown import Shown, entry_of


def context_encoder(
    generator: Network,
    discriminator: Network,
    shown: Shown,
    *,
    objective: Adversarial | None = None,
    regularisers: Sequence[Regulariser] = (),
    reconstruction_weight: float = 0.999,
    adversarial_weight: float = 0.001,
    overlap: int = 0,
    overlap_weight: float = 10.0,
    output: Callable[[Array], Array] = jax.nn.sigmoid,
    simultaneous: bool = False,
    average: bool = False,
    ema_decay: float = 0.999,
    learning_rate: float = 2e-3,
    discriminator_learning_rate: float = 2e-4,
    optimizer: optax.GradientTransformation | None = None,
    discriminator_optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns what fills holes in images; a step moves the discriminator, then it.

    The generator makes a whole image of one with holes. It lowers reconstruction_weight times the
    squared error of a number in the hole, the mean over an image's hole, plus adversarial_weight
    times the objective's loss. With an adversarial_weight of 0 it is a `restorer` whose error is
    that of the hole. The discriminator is shown images and what was made with all known pixels
    set to 0, in both: it sees nothing but the hole. Each move makes holes of its own.

    Args:
      generator: images with holes and what is known [B, H, W, C + 1] -> [B, H, W, C], of which
        `output` makes images.
      discriminator: [B, H, W, C] -> logits of "real", [B, 1] or [B, h, w, 1] of patches.
      shown: makes the holes, `methods.shown.holed(corruptions.centre)` say.
      objective: what each of them lowers; `losses.adversarial.non_saturating()` where None.
      regularisers: of the discriminator, each with traced numbers of its own.
      reconstruction_weight: traced.
      adversarial_weight: traced.
      overlap: known pixels around a hole, on each side of it, whose squared error counts too, so
        that fills meet what is known: 7 of 128 in the paper.
      overlap_weight: of such a pixel's error beside one in the hole; traced, where there are any.
      output: makes images of what the generator gives, such as pixels in [0, 1] of logits.
      simultaneous: the generator moves against the discriminator as it was before the step.
      average: whether an exponential moving average of the generator is kept over steps, which
        evaluation and views then use.
      ema_decay: the fraction of it that a step keeps; traced.
      learning_rate: the generator's; traced.
      discriminator_learning_rate: traced.
      optimizer: gives the direction for both players; Adam (0.5, 0.999) where None.
      discriminator_optimizer: for the discriminator alone.

    Returns:
      The method. Evaluation, per example, of holes as training makes them and without noise:
      `squared_error`, summed over the hole's numbers, `discriminator_loss` and `adversarial_loss`,
      the objective's. Of its views, `reconstruct` fills what a batch's `known` says is not known;
      known pixels stay as they are, bit for bit.

    Raises:
      InputError: if a network or a part is none, what is shown has no holes, or the overlap is no
        number of pixels; when traced, if the networks do not fit the images, or a
        regulariser does not hold for the discriminator.

    Reference:
      Pathak et al. (2016), equations 1 to 3 and section 5.
    """
    require_networks(generator=generator, discriminator=discriminator)
    require_kind(Shown, "shown.holed(corruptions.centre)", shown=shown)
    require_function("jax.nn.sigmoid", output=output)
    if shown.train is None:
        raise InputError(
            "a context encoder learns from images with holes, and what is shown has none: use "
            "shown.holed(corruptions.centre)"
        )
    require(Domain(0, whole=True), overlap=overlap)
    objective = adversarial.non_saturating() if objective is None else objective
    optimizer = optax.scale_by_adam(b1=0.5) if optimizer is None else optimizer
    judge = judged_by(discriminator, lambda x, known: jnp.where(known, 0, x))
    playing = contest(judge, objective, regularisers)

    def made_of(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[Array, Array, Mapping[str, Any]]:
        """Images made of images with holes, what was known, and what the pass moves."""
        hole_key, pass_key = jax.random.split(key)
        seen = shown.train(hole_key, batch, hparams)
        made, moved = gradient.forward(generator, pass_key, params["generator"], seen, training)
        return output(made), _known(seen), jax.lax.stop_gradient(moved)

    def discriminating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys = jax.random.split(key)
        made, known, _ = made_of(keys[0], params, batch, hparams, training)
        loss, moved = playing.discriminating(
            keys[1], params["discriminator"], batch["image"], made, hparams, training, known
        )
        return {"loss": loss}, {"discriminator": moved}

    def generating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys, x = jax.random.split(key), batch["image"]
        made, known, moved = made_of(keys[0], params, batch, hparams, training)
        deceiving = playing.deceiving(
            keys[1], params["discriminator"], x, made, hparams, training, known
        )
        error = losses.squared_error(jnp.where(known, x, made), x)
        weighted = error
        if overlap:
            band = known & _near(~known, overlap)
            beside = losses.squared_error(jnp.where(band, made, x), x)
            weighted = error + hparams["overlap_weight"] * beside
        numbers = jnp.sum(~known, axis=(1, 2, 3)) * x.shape[-1]
        # w_rec |M (x - G)|^2 / (numbers of M) + w_adv L_adv, M the hole
        mean = weighted / jnp.maximum(numbers, 1).astype(error.dtype)
        loss = hparams["reconstruction_weight"] * mean + hparams["adversarial_weight"] * deceiving
        values = {"loss": loss, "adversarial_loss": deceiving, "squared_error": error}
        return values, {"generator": moved}

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        discriminator_key, generator_key = jax.random.split(key)  # as a restorer's
        x = entry_of(batch, "image")
        if x.ndim != 4:
            raise InputError(f"holes are made in images [H, W, C], got {list(x.shape[1:])}")
        seen = shown.apply(batch, hparams)
        if seen.shape != (*x.shape[:3], x.shape[3] + 1):
            raise InputError(
                f"a context encoder is shown {list(x.shape[1:])} images with what is known as a "
                f"further channel, and not {list(seen.shape[1:])}: use "
                "shown.holed(corruptions.centre)"
            )
        params = generator.init(generator_key, seen)
        made = jax.eval_shape(lambda seen: output(generator.apply(params, seen)), seen)
        require_shape(made, x)
        playing.regulariser.check(discriminator, x)
        return {"generator": params, "discriminator": discriminator.init(discriminator_key, x)}

    def evaluate(
        key: Array, state: GradientState, batch: Batch, hparams: HParams
    ) -> dict[str, Array]:
        keys = jax.random.split(key)
        judged, _ = discriminating(keys[0], state.params, batch, hparams, training=False)
        made, _ = generating(keys[1], state.params, batch, hparams, training=False)
        return {
            "squared_error": made["squared_error"],
            "adversarial_loss": made["adversarial_loss"],
            "discriminator_loss": judged["loss"],
        }

    def reconstruct(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        seen = shown.apply(batch, hparams)
        made = output(generator.apply(state.params["generator"], seen))
        return jnp.where(_known(seen), batch["image"], made)

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
    weights = {
        "reconstruction_weight": (reconstruction_weight, NOT_NEGATIVE),
        "adversarial_weight": (adversarial_weight, NOT_NEGATIVE),
    }
    if overlap:
        weights["overlap_weight"] = (overlap_weight, NOT_NEGATIVE)
    return game(
        init,
        [moves] if simultaneous else [[move] for move in moves],
        evaluate,
        Views(reconstruct=reconstruct),
        parts=[playing.regulariser, shown, Numbers(**traced(**weights))],
        main="generator",
        average=["generator"] if average else (),
        ema_decay=ema_decay,
    )


def _known(seen: Array) -> Array:
    """The last channel of what is shown, as bool [B, H, W, 1]."""
    return seen[..., -1:] > 0


def _near(hole: Array, distance: int) -> Array:
    """Pixels of a hole [B, H, W, 1], and those of so many rows and columns around them."""
    window = (1, 2 * distance + 1, 2 * distance + 1, 1)
    return jax.lax.reduce_window(hole, False, jax.lax.max, window, (1, 1, 1, 1), "SAME")
