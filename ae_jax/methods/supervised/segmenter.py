"""A classifier of every pixel."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import optax

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
    require_networks,
)
from ae_jax.losses.classification import classified
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend


def segmenter(
    network: Network,
    classes: int,
    *,
    weights: Sequence[float] | None = None,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns what tells of every pixel what it is of.

    Args:
      network: [B, H, W, C] -> logits [B, H, W, classes], such as `nets.segnet` or `nets.unet`.
      classes: the number of values of the batch's `mask`, int [B, H, W]; below 0 a pixel is of no
        known class, and does not count.
      weights: of the classes in the loss, such as `metrics.median_frequency_weights`; all 1 where
        None.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      The method. Evaluation per example: `loss`, the mean over known pixels of the cross-entropy in
      nats times the weight of the pixel's class, and `error`, the share of them whose most
      probable class is wrong; both are 0 where no pixel is known. The view `predict` gives logits,
      [B, H, W, classes]; `predict_noisy` draws them, with dropout, where the network has a noisy
      pass: `metrics.monte_carlo` makes a Bayesian SegNet of it.

    Raises:
      InputError: if there are fewer than two classes, or not as many weights of 0 or more; when
        traced, if the data have no masks, or the network gives something else.

    Reference:
      Badrinarayanan, Kendall and Cipolla (2017), SegNet, section 3.1; Kendall, Badrinarayanan and
      Cipolla (2015), Bayesian SegNet, section 3.
    """
    require_networks(network=network)
    require(Domain(2, whole=True), classes=classes)
    if weights is not None:
        if len(weights) != classes:
            raise InputError(f"weights are {len(weights)} numbers for {classes} classes")
        for weight in weights:
            require(NOT_NEGATIVE, weights=float(weight))

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        if "mask" not in batch:
            raise InputError("a segmenter needs data with masks, int [N, H, W]")
        mask = batch["mask"]
        logits, moved = gradient.forward(network, key, params["network"], batch["image"], training)
        if logits.shape != (*mask.shape, classes):
            raise InputError(
                f"the network makes {list(logits.shape)} of images whose masks are "
                f"{list(mask.shape)} of {classes} classes"
            )
        known = mask >= 0
        label = jnp.where(known, mask, 0).astype(jnp.int32)
        pixels = classified(logits.reshape(-1, classes), label.reshape(-1))
        nll, wrong = (x.reshape(mask.shape) for x in pixels)
        if weights is not None:
            nll = nll * jnp.asarray(weights, logits.dtype)[label]
        count = jnp.maximum(jnp.sum(known, axis=(1, 2)), 1).astype(logits.dtype)
        counted = known.astype(logits.dtype)
        loss, error = (jnp.sum(counted * x, axis=(1, 2)) / count for x in (nll, wrong))
        return {"loss": loss, "error": error}, {"network": moved}

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        return {"network": network.init(key, batch["image"])}

    def predict(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return network.apply(state.params["network"], batch["image"])

    def predict_noisy(key: Array, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return network.noisy(key, state.params["network"], batch["image"])

    return descend(
        Objective(init, terms, ranges={"mask": Domain(high=classes - 1, whole=True)}),
        Views(predict=predict, predict_noisy=predict_noisy if network.noisy else None),
        optimizer=optimizer,
        learning_rate=learning_rate,
    )
