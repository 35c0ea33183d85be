"""Parametric t-SNE: an encoder whose latents have the neighbours that the data have."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax

from ae_jax import losses
from ae_jax.core import (
    COUNT,
    POSITIVE,
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
    traced,
)
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend
from ae_jax.methods.matching.blocks import mean_over_blocks

_PERPLEXITY = Domain(low=1, low_open=True)


def parametric_tsne(
    encoder: Network,
    latent_size: int = 2,
    *,
    perplexity: float = 30.0,
    degrees: float | None = None,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the encoder that lowers t-SNE's divergence, within each batch.

    Other than t-SNE it maps what it has not seen. Neighbours are those in the batch: large batches
    tell more of them, and a perplexity is of a share of what a batch has.

    Args:
      encoder: [B, ...] -> latent [B, Z].
      latent_size: Z.
      perplexity: traced: the effective number of neighbours, in a batch.
      degrees: traced: of freedom of Student's t on the map; Z - 1 where None, but at least 1.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      The method. Its `init` takes parameters to start from as a fourth argument, `encoder`. Of a
      whole data set evaluation gives `loss`, the divergence in nats, in blocks of 1000 examples:
      those of fewer have nearer neighbours, and another loss.

    Raises:
      InputError: if there are no latents; when traced, if the encoder does not make [B, Z].

    Reference:
      Van der Maaten (2009), Learning a Parametric Embedding by Preserving Local Structure, without
      its pre-training by RBMs.
    """
    require_networks(encoder=encoder)
    require(COUNT, latent_size=latent_size)
    degrees = float(max(latent_size - 1, 1)) if degrees is None else degrees

    def divergence(x: Array, latent: Array, hparams: HParams, present: Array | None) -> Array:
        p = losses.joint_neighbours(x, hparams["perplexity"], present)
        return losses.neighbour_divergence(p, latent, hparams["degrees"], present)

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        x = batch["image"].reshape(len(batch["image"]), -1)
        latent, moved = gradient.forward(encoder, key, params["encoder"], batch["image"], training)
        if latent.shape != (len(x), latent_size):
            raise InputError(
                f"the encoder makes {list(latent.shape)} of a batch of {len(x)}: give it "
                f"{latent_size} outputs, or change latent_size"
            )
        if not training:
            return {"data": x, "latent": latent}, {}
        loss = divergence(x, latent, hparams, None)
        return {"loss": jnp.broadcast_to(loss, len(x))}, {"encoder": moved}

    def conclude(values: Mapping[str, Array], present: Array, hparams: HParams) -> dict[str, Array]:
        def compare(x: Array, latent: Array, present: Array) -> Array:
            return divergence(x, latent, hparams, present)

        return {"loss": mean_over_blocks(compare, present, values["data"], values["latent"])}

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        return {"encoder": encoder.init(key, batch["image"])}

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return encoder.apply(state.params["encoder"], batch["image"])

    return descend(
        Objective(
            init,
            terms,
            **traced(perplexity=(perplexity, _PERPLEXITY), degrees=(degrees, POSITIVE)),
            conclude=conclude,
        ),
        Views(encode=encode),
        optimizer=optimizer,
        learning_rate=learning_rate,
    )
