"""Autoencoders whose codes a discriminator cannot tell from draws of a prior.

Reference:
  Makhzani et al. (2016), Adversarial Autoencoders; Tolstikhin et al. (2018), Wasserstein
  Auto-Encoders.
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
from ae_jax.methods.adversarial.codes import Coder, deviations, drawn_from
from ae_jax.methods.adversarial.contest import contest, judged_by
from ae_jax.methods.adversarial.regularisers import Regulariser
from ae_jax.methods.learners.composing import Numbers, of_classes
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.views import coded
from ae_jax.methods.parts.labels import labels_of, one_hot
from ae_jax.methods.parts.observations import Observation, squared_error


def adversarial_autoencoder(
    encoder: Network,
    decoder: Network,
    discriminator: Network,
    latent_size: int,
    *,
    prior: Callable[..., Array] = jax.random.normal,
    classes: int | None = None,
    merged: bool = False,
    reconstruction: Observation | None = None,
    objective: Adversarial | None = None,
    regularisers: Sequence[Regulariser] = (),
    adversarial_weight: float = 1.0,
    learning_rate: float = 1e-3,
    discriminator_learning_rate: float = 1e-3,
    encoder_learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
    discriminator_optimizer: optax.GradientTransformation | None = None,
    encoder_optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the adversarial autoencoder; to its discriminator the prior is what is real.

    A step has three moves: encoder and decoder lower the reconstruction's loss; the discriminator
    learns to tell draws of the prior from codes; the encoder learns to deceive it. `merged`, it
    has two, as a Wasserstein autoencoder has: the discriminator's, and that of encoder and
    decoder, which lower the sum of both losses.

    Args:
      encoder: [B, ...] -> latent [B, Z].
      decoder: latent [B, Z] -> outputs [B, ...].
      discriminator: latent -> logits of "drawn from the prior", [B, 1]. With `classes` it is
        given latent and label side by side, [B, Z + classes + 1].
      latent_size: Z.
      prior: (key, (B, Z)) -> latents, such as those of `probability.priors`.
      classes: the number of values of the batch's `label`, which the discriminator then sees
        one-hot beside a code and beside a draw of the prior at that label: each class gets a place
        of its own. Labels below 0 are not known; they have a column of their own, and stand beside
        draws at any label. None: labels are not looked at.
      merged: whether encoder and decoder make one move.
      reconstruction: how outputs are compared with the data; squared error where None.
      objective: of the contest; `losses.adversarial.non_saturating()` where None.
      regularisers: of the discriminator, each with traced numbers of its own.
      adversarial_weight: of the encoder's loss in the contest, lambda; traced. Adam does not see
        it in a move of its own.
      learning_rate: of encoder and decoder; traced.
      discriminator_learning_rate: traced.
      encoder_learning_rate: of the encoder's own move; traced.
      optimizer: for encoder and decoder; Adam (0.9, 0.999, 1e-8) where None.
      discriminator_optimizer: Adam (0.5, 0.999, 1e-8) where None.
      encoder_optimizer: for the encoder's own move; likewise.

    Returns:
      The method. Evaluation, per example: `reconstruction`, `squared_error`, and the contest's
      `discriminator_loss` and `encoder_loss` without weight and regularisers; of a whole set also
      `least_deviation` and `largest_deviation` of a dimension of the codes. There is no `loss`:
      that of the reconstruction alone is best where codes are least like the prior. The view
      `sample` decodes draws of the prior; with classes `generate` does so at the batch's labels.

    Raises:
      InputError: if there are no latents, or the prior has another number of dimensions or of
        classes; when initialised, if the encoder does not give latents [B, Z], or the decoder
        examples of the data's shape; with classes, if the data have no labels.

    Reference:
      Makhzani et al. (2016), sections 2 and 2.3; Tolstikhin et al. (2018), algorithm 1, for the
      merged one.
    """
    require_networks(encoder=encoder, decoder=decoder, discriminator=discriminator)
    require(COUNT, latent_size=latent_size)
    draw = drawn_from(prior, latent_size, classes)
    objective = adversarial.non_saturating() if objective is None else objective
    reconstruction = squared_error() if reconstruction is None else reconstruction
    require_kind(Observation, "observations.bernoulli()", reconstruction=reconstruction)
    coder = Coder(encoder, decoder, reconstruction)
    alone = judged_by(discriminator)
    none_or_one = 0 if classes is None else classes + 1

    def judge(
        key: Array, params: Any, x: Array, given: Array, training: bool
    ) -> tuple[Array, Mapping[str, Any]]:
        return alone(key, params, jnp.concatenate([x, given], axis=1), (), training)

    playing = contest(judge, objective, regularisers)

    def labels(batch: Batch) -> Array:
        return labels_of(batch, classes, ", or leave out classes", unknown=True)

    def prior_and_labels(key: Array, batch: Batch) -> tuple[Array, Array]:
        """Draws of the prior, and what they and the codes are judged beside: [B, 0] or labels."""
        count = len(batch["image"])
        if classes is None:
            real = draw(key, count)
            return real, jnp.zeros((count, 0), real.dtype)
        label = labels(batch)
        column = jnp.where(label < classes, label, none_or_one)  # what is no class has none
        return draw(key, count, label), one_hot(jnp.where(label < 0, classes, column), none_or_one)

    def deceived(
        key: Array, params: Mapping[str, Any], latent: Array, batch: Batch, hparams: HParams
    ) -> Array:
        keys = jax.random.split(key)
        real, given = prior_and_labels(keys[0], batch)
        return playing.deceiving(
            keys[1], params["discriminator"], real, latent, hparams, True, given
        )

    def autoencoding(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys = jax.random.split(key)
        latent, values, moved = coder.passed(keys[0], params, batch["image"], hparams, training)
        if merged:
            cost = deceived(keys[1], params, latent, batch, hparams)
            values |= {"loss": values["loss"] + hparams["adversarial_weight"] * cost}
        return values, moved

    def discriminating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys = jax.random.split(key, 3)
        latent, _ = coder.encoded(keys[0], params, batch["image"], training)
        real, given = prior_and_labels(keys[1], batch)
        loss, moved = playing.discriminating(
            keys[2], params["discriminator"], real, latent, hparams, training, given
        )
        return {"loss": loss}, {"discriminator": moved}

    def encoding(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys = jax.random.split(key)
        latent, moved = coder.encoded(keys[0], params, batch["image"], training)
        cost = deceived(keys[1], params, latent, batch, hparams)
        return {"loss": hparams["adversarial_weight"] * cost}, {"encoder": moved}

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        keys = jax.random.split(key, 3)
        if classes is not None:
            labels(batch)
        params, latent = coder.init(keys[:2], batch["image"], latent_size)
        judged = jnp.zeros((len(latent), latent_size + none_or_one), latent.dtype)
        playing.regulariser.check(discriminator, judged)
        return {**params, "discriminator": discriminator.init(keys[2], judged)}

    def evaluate(
        key: Array, state: GradientState, batch: Batch, hparams: HParams
    ) -> dict[str, Array]:
        keys = jax.random.split(key, 4)
        params = state.params
        latent, values, _ = coder.passed(keys[0], params, batch["image"], hparams, False)
        real, given = prior_and_labels(keys[1], batch)
        judged = params["discriminator"], real, latent, hparams, False, given
        return {
            "reconstruction": values["loss"],
            "squared_error": values["squared_error"],
            "discriminator_loss": playing.discriminating(keys[2], *judged)[0],
            "encoder_loss": playing.deceiving(keys[3], *judged),
            "latent": latent,
        }

    def sample(key: Array, state: GradientState, count: int, hparams: HParams) -> Array:
        return coder.decode(state, draw(key, count), hparams)

    def generate(key: Array, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return coder.decode(state, prior_and_labels(key, batch)[0], hparams)

    adam = optax.scale_by_adam(b1=0.5)
    coding = Move(
        "autoencoder",
        ("encoder", "decoder"),
        autoencoding,
        optimizer,
        learning_rate,
    )
    telling = Move(
        "discriminator",
        ("discriminator",),
        discriminating,
        discriminator_optimizer or adam,
        discriminator_learning_rate,
    )
    deceiving = Move(
        "encoder", ("encoder",), encoding, encoder_optimizer or adam, encoder_learning_rate
    )
    return game(
        init,
        [[telling], [coding]] if merged else [[coding], [telling], [deceiving]],
        evaluate,
        coded(
            coder.encode,
            coder.decode,
            sample=sample,
            generate=None if classes is None else generate,
        ),
        parts=[
            coder.reconstruction,
            playing.regulariser,
            Numbers(**traced(adversarial_weight=(adversarial_weight, NOT_NEGATIVE))),
        ],
        main="autoencoder",
        conclude=deviations,
        ranges=of_classes(classes, unknown=True),
    )
