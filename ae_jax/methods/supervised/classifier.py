"""A classifier on an encoder: what pre-training is for."""

from collections.abc import Mapping
from typing import Any

import jax
import optax

from ae_jax.core import (
    Array,
    Batch,
    Domain,
    HParams,
    InputError,
    Method,
    Network,
    Views,
    require,
    require_networks,
)
from ae_jax.losses.classification import classified
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import of_classes
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend
from ae_jax.nets import mlp


def classifier(
    encoder: Network,
    classes: int,
    *,
    train_encoder: bool = True,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the classifier that puts a linear output layer on an encoder.

    Args:
      encoder: [B, ...] -> latent [B, Z].
      classes: the number of values of the batch's `label`.
      train_encoder: whether to fine-tune the encoder; otherwise only the output layer learns.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      The method. Its `init` takes parameters to start from as a fourth argument, such as
      the `encoder` of a trained autoencoder. Evaluation per example: `loss`, the
      cross-entropy in nats, and `error`, 1 where the most probable class is wrong. The view
      `predict` gives logits of the classes, [B, classes].

    Raises:
      InputError: if there are fewer than two classes; when traced, if the data have no labels.

    Reference:
      Erhan et al. (2010), Why Does Unsupervised Pre-training Help Deep Learning?, section 3.
    """
    require_networks(encoder=encoder)
    require(Domain(2, whole=True), classes=classes)
    head = mlp(classes, ())

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        if "label" not in batch:
            raise InputError("a classifier needs data with labels")
        latent, moved = gradient.forward(
            encoder, key, params["encoder"], batch["image"], training and train_encoder
        )
        logits = head.apply(params["head"], latent)
        loss, error = classified(logits, batch["label"])
        # an encoder that is frozen is held as it is: no optimizer may move it
        return {"loss": loss, "error": error}, {
            "encoder": moved if train_encoder else params["encoder"]
        }

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        encoder_key, head_key = jax.random.split(key)
        x = batch["image"]
        params = {"encoder": encoder.init(encoder_key, x)}
        latent = encoder.apply(params["encoder"], x)
        return {**params, "head": head.init(head_key, latent)}

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return encoder.apply(state.params["encoder"], batch["image"])

    def predict(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return head.apply(state.params["head"], encode(state, batch, hparams))

    return descend(
        Objective(init, terms, ranges=of_classes(classes)),
        Views(encode=encode, predict=predict),
        optimizer=optimizer,
        learning_rate=learning_rate,
    )
