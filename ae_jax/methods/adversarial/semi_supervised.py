"""Adversarial autoencoders whose codes are a class and a style, of few labels.

Reference:
  Makhzani et al. (2016), Adversarial Autoencoders, section 5.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import (
    COUNT,
    NOT_NEGATIVE,
    Array,
    Batch,
    Domain,
    HParams,
    Method,
    Network,
    require,
    require_kind,
    require_networks,
    traced,
)
from ae_jax.losses import adversarial
from ae_jax.losses.adversarial import Adversarial
from ae_jax.losses.classification import classified
from ae_jax.methods.adversarial.codes import Coder, drawn_from
from ae_jax.methods.adversarial.contest import contest, judged_by
from ae_jax.methods.adversarial.regularisers import Regulariser
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import Numbers, of_classes
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.views import coded
from ae_jax.methods.parts.labels import any_where_unknown, error_of_known, labels_of, one_hot
from ae_jax.methods.parts.observations import Observation, squared_error


def semi_supervised_adversarial_autoencoder(
    encoder: Network,
    decoder: Network,
    class_discriminator: Network,
    style_discriminator: Network,
    classes: int,
    style_size: int,
    *,
    prior: Callable[..., Array] = jax.random.normal,
    reconstruction: Observation | None = None,
    objective: Adversarial | None = None,
    regularisers: Sequence[Regulariser] = (),
    adversarial_weight: float = 1.0,
    learning_rate: float = 1e-3,
    discriminator_learning_rate: float = 1e-3,
    encoder_learning_rate: float = 1e-3,
    classifier_learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
    discriminator_optimizer: optax.GradientTransformation | None = None,
    encoder_optimizer: optax.GradientTransformation | None = None,
    classifier_optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the adversarial autoencoder whose code is a class and a style.

    Classes are to be as likely as each other and certain: to one discriminator draws of one of
    them, one-hot, are real, and the encoder's probabilities are not. To another draws of a prior
    are real, and styles are not. A step has four moves: encoder and decoder lower the
    reconstruction's loss; both discriminators learn; the encoder learns to deceive both; and it
    learns the labels that there are.

    Args:
      encoder: [B, ...] -> [B, classes + S], logits of the classes and the style side by side.
      decoder: probabilities of the classes and style [B, classes + S] -> outputs [B, ...].
      class_discriminator: [B, classes] -> logits of "one-hot", [B, 1].
      style_discriminator: [B, S] -> logits of "drawn from the prior", [B, 1].
      classes: the number of values of the batch's `label`. Labels below 0 are not known, and
        nothing is learned from them.
      style_size: S.
      prior: of styles, (key, (B, S)) -> [B, S].
      reconstruction: how outputs are compared with the data; squared error where None.
      objective: of both contests; `losses.adversarial.non_saturating()` where None.
      regularisers: of both discriminators, which share their numbers.
      adversarial_weight: of the encoder's loss in the contests; traced. Adam does not see it.
      learning_rate: of encoder and decoder; traced.
      discriminator_learning_rate: traced.
      encoder_learning_rate: of the encoder against the discriminators; traced.
      classifier_learning_rate: of the encoder on labels; traced. At 0 none is looked at, and
        classes are clusters.
      optimizer: for encoder and decoder; Adam (0.9, 0.999, 1e-8) where None.
      discriminator_optimizer: Adam (0.5, 0.999, 1e-8) where None.
      encoder_optimizer: against the discriminators; likewise.
      classifier_optimizer: on labels; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      The method. Evaluation, per example: `reconstruction`, `squared_error`, `error`, 1 where
      the most probable class is wrong and NaN where none is known, and the contests'
      `class_discriminator_loss`, `style_discriminator_loss` and `encoder_loss`; of a whole set
      `error` is the mean over labels that are known. The code of the views `encode` and
      `decode` is [B, classes + S]; `predict` gives logits of classes, `sample` draws class and
      style, `generate` a style for the batch's labels, and the class where that is not known.

    Raises:
      InputError: if there are fewer than two classes or no style, or the prior has another
        number of dimensions; when initialised, if the encoder does not give [B, classes + S], or
        the decoder examples of the data's shape; if the data have no labels.

    Reference:
      Makhzani et al. (2016), section 5, figure 8.
    """
    require_networks(
        encoder=encoder,
        decoder=decoder,
        class_discriminator=class_discriminator,
        style_discriminator=style_discriminator,
    )
    require(Domain(2, whole=True), classes=classes)
    require(COUNT, style_size=style_size)
    draw_style = drawn_from(prior, style_size)
    objective = adversarial.non_saturating() if objective is None else objective
    reconstruction = squared_error() if reconstruction is None else reconstruction
    require_kind(Observation, "observations.bernoulli()", reconstruction=reconstruction)
    coder = Coder(_with_probabilities(encoder, classes), decoder, reconstruction)
    contests = {
        "class_discriminator": contest(judged_by(class_discriminator), objective, regularisers),
        "style_discriminator": contest(judged_by(style_discriminator), objective, regularisers),
    }
    regulariser = contests["style_discriminator"].regulariser

    def drawn(key: Array, count: int) -> dict[str, Array]:
        """What each discriminator takes for real: classes one-hot, styles."""
        keys = jax.random.split(key)
        label = jax.random.randint(keys[0], (count,), 0, classes)
        style = draw_style(keys[1], count)
        return {"class_discriminator": one_hot(label, classes), "style_discriminator": style}

    def judged(latent: Array) -> dict[str, Array]:
        probabilities, style = jnp.split(latent, [classes], axis=1)
        return {"class_discriminator": probabilities, "style_discriminator": style}

    def told(
        key: Array, params: Mapping[str, Any], latent: Array, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Both discriminators' losses, and what their passes move."""
        keys = jax.random.split(key, 3)
        real, fake = drawn(keys[0], len(latent)), judged(latent)
        found = {
            name: playing.discriminating(k, params[name], real[name], fake[name], hparams, training)
            for (name, playing), k in zip(contests.items(), keys[1:], strict=True)
        }
        return {n: loss for n, (loss, _) in found.items()}, {n: m for n, (_, m) in found.items()}

    def deceived(
        key: Array, params: Mapping[str, Any], latent: Array, hparams: HParams, training: bool
    ) -> Array:
        keys = jax.random.split(key, 3)
        real, fake = drawn(keys[0], len(latent)), judged(latent)
        return sum(
            playing.deceiving(k, params[name], real[name], fake[name], hparams, training)
            for (name, playing), k in zip(contests.items(), keys[1:], strict=True)
        )

    def autoencoding(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        _, values, moved = coder.passed(key, params, batch["image"], hparams, training)
        return values, moved

    def discriminating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys = jax.random.split(key)
        latent, _ = coder.encoded(keys[0], params, batch["image"], training)
        values, moved = told(keys[1], params, latent, hparams, training)
        return {"loss": sum(values.values()), **values}, moved

    def encoding(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys = jax.random.split(key)
        latent, moved = coder.encoded(keys[0], params, batch["image"], training)
        cost = deceived(keys[1], params, latent, hparams, training)
        return {"loss": hparams["adversarial_weight"] * cost}, {"encoder": moved}

    def classifying(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        outputs, moved = gradient.forward(encoder, key, params["encoder"], batch["image"], training)
        label = labels_of(batch, classes, unknown=True)
        known = label >= 0
        nll, _ = classified(outputs[:, :classes], jnp.where(known, label, 0))
        share = jnp.maximum(jnp.mean(known.astype(nll.dtype)), 1 / len(label))
        # the mean over the batch is that over examples with labels
        return {"loss": jnp.where(known, nll, 0) / share}, {"encoder": moved}

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        keys = jax.random.split(key, 4)
        labels_of(batch, classes, unknown=True)
        params, latent = coder.init(keys[:2], batch["image"], classes + style_size)
        networks = class_discriminator, style_discriminator
        for own, network, (name, x) in zip(keys[2:], networks, judged(latent).items(), strict=True):
            regulariser.check(network, x)
            params[name] = network.init(own, x)
        return params

    def evaluate(
        key: Array, state: GradientState, batch: Batch, hparams: HParams
    ) -> dict[str, Array]:
        keys = jax.random.split(key, 3)
        params, label = state.params, labels_of(batch, classes, unknown=True)
        error = classified(predict(state, batch, hparams), label)[1]
        latent, values, _ = coder.passed(keys[0], params, batch["image"], hparams, False)
        losses_of_both, _ = told(keys[1], params, latent, hparams, False)
        return {
            "reconstruction": values["loss"],
            "squared_error": values["squared_error"],
            "error": jnp.where(label < 0, jnp.nan, error),
            **{f"{name}_loss": loss for name, loss in losses_of_both.items()},
            "encoder_loss": deceived(keys[2], params, latent, hparams, False),
        }

    def predict(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return encoder.apply(state.params["encoder"], batch["image"])[:, :classes]

    def sample(key: Array, state: GradientState, count: int, hparams: HParams) -> Array:
        latent = jnp.concatenate([*drawn(key, count).values()], axis=1)
        return coder.decode(state, latent, hparams)

    def generate(key: Array, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        label = labels_of(batch, classes, unknown=True)
        told = any_where_unknown(jax.random.fold_in(key, 0), label, classes)
        chosen = one_hot(told, classes)
        latent = jnp.concatenate([chosen, draw_style(key, len(label))], axis=1)
        return coder.decode(state, latent, hparams)

    adam = optax.scale_by_adam(b1=0.5)
    moves = (
        Move("autoencoder", ("encoder", "decoder"), autoencoding, optimizer, learning_rate),
        Move(
            "discriminator",
            tuple(contests),
            discriminating,
            discriminator_optimizer or adam,
            discriminator_learning_rate,
        ),
        Move("encoder", ("encoder",), encoding, encoder_optimizer or adam, encoder_learning_rate),
        Move(
            "classifier", ("encoder",), classifying, classifier_optimizer, classifier_learning_rate
        ),
    )
    return game(
        init,
        [[move] for move in moves],
        evaluate,
        coded(coder.encode, coder.decode, predict=predict, sample=sample, generate=generate),
        parts=[
            coder.reconstruction,
            regulariser,
            Numbers(**traced(adversarial_weight=(adversarial_weight, NOT_NEGATIVE))),
        ],
        conclude=error_of_known,
        ranges=of_classes(classes, unknown=True),
    )


def _with_probabilities(encoder: Network, classes: int) -> Network:
    """The network whose outputs are probabilities where the encoder's are logits of classes."""

    def code(outputs: Array) -> Array:
        logits, style = jnp.split(outputs, [classes], axis=1)
        return jnp.concatenate([jax.nn.softmax(logits), style], axis=1)

    def train(key: Array, params: Any, x: Array) -> tuple[Array, Mapping[str, Any]]:
        outputs, moved = gradient.forward(encoder, key, params, x, training=True)
        return code(outputs), moved

    return Network(encoder.init, lambda params, x: code(encoder.apply(params, x)), train)
