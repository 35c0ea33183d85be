"""Clusters and the latents that they are found in, learned together."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax import losses
from ae_jax.core import (
    COUNT,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    Array,
    Batch,
    Dataset,
    HParams,
    Info,
    InputError,
    Method,
    Network,
    require,
    require_kind,
    require_networks,
)
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import joined, require_shape
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend
from ae_jax.methods.learners.occasional import occasionally
from ae_jax.methods.learners.views import coded
from ae_jax.methods.parts.observations import Observation, squared_error
from ae_jax.methods.parts.shown import Shown, entry, entry_of

#: So many examples are encoded at a time where all of them are.
_ROWS = 1024


def deep_clustering(
    encoder: Network,
    decoder: Network,
    clusters: int,
    dataset: Dataset,
    *,
    clustering_weight: float = 0.1,
    reconstruction_weight: float = 1.0,
    degrees: float = 1.0,
    refresh_every: int = 140,
    tolerance: float = 0.001,
    reconstruction: Observation | None = None,
    shown: Shown | None = None,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the autoencoder whose latents are drawn to the centres of clusters, which it learns.

    An example's soft assignment is drawn to a target, which is surer of itself. Targets are of a
    copy of encoder and centres, as they were at the last refresh, and of the frequencies of
    clusters among all examples, as they were then. They are computed where they are needed, so
    that a batch has the targets of the whole data set, and of the clean examples, whatever is shown
    of them.

    Numbers alone tell the published methods apart: DEC has a `reconstruction_weight` of 0 and a
    `clustering_weight` of 1, IDEC and, by convolutions, DCEC 1 and 0.1. Their authors' code
    averages the squared error over pixels: 1 over their number is the weight of one that is summed.

    Args:
      encoder: [B, ...] -> latent [B, Z].
      decoder: latent [B, Z] -> outputs [B, ...].
      clusters: how many; of one nothing is learned but the autoencoder.
      dataset: all that is clustered; labels are not looked at.
      clustering_weight: of the divergence; traced.
      reconstruction_weight: traced.
      degrees: of freedom of the assignments; traced.
      refresh_every: steps between refreshes; traced.
      tolerance: when fewer than this share of the examples change their cluster between two
        refreshes, the method stops: further steps change nothing. Traced; 0 never stops it.
      reconstruction: how outputs are compared with the images; squared error where None.
      shown: what training shows the encoder, from `methods.shown`, such as
        `shown.corrupted(corruptions.warped, 0.2)`; the images where None.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      The method. Its `init` takes parameters to start from as a fourth argument, of `encoder`,
      `decoder` and `centres` [K, Z], such as `recipes.clustering.begun` finds; without centres they
      are latents of examples drawn at random. A step's Info has the share of examples that
      `changed` at the last refresh, 1 at first. Evaluation, per example: `loss`, `divergence`
      (nats) of a clean example from its target, `reconstruction` and `squared_error`. The view
      `predict` gives log-probabilities of the clusters, [B, K].

    Raises:
      InputError: if a network or a part is none, there is no cluster or there are more than
        examples, or two parts share a hyperparameter; when initialised, if the decoder does not
        make an image.

    Reference:
      Xie, Girshick and Farhadi (2016), Unsupervised Deep Embedding for Clustering Analysis (DEC);
      Guo, Gao, Liu and Yin (2017), Improved Deep Embedded Clustering with Local Structure
      Preservation, equation 8 (IDEC); Guo, Liu, Zhu and Yin (2017), Deep Clustering with
      Convolutional Autoencoders (DCEC); Guo, Zhu, Liu and Yin (2018), Deep Embedded Clustering with
      Data Augmentation, for what is shown.
    """
    require_networks(encoder=encoder, decoder=decoder)
    require_kind(Dataset, 'data.load("digits")', dataset=dataset)
    require(COUNT, clusters=clusters)
    if clusters > dataset.size:
        raise InputError(f"{clusters} clusters need as many examples, got {dataset.size}")
    reconstruction = squared_error() if reconstruction is None else reconstruction
    require_kind(Observation, "observations.bernoulli()", reconstruction=reconstruction)
    shown = entry() if shown is None else shown
    require_kind(Shown, "shown.corrupted(corruptions.warped)", shown=shown)

    def rows_of(rows: Array, hparams: HParams) -> Array:
        return shown.apply(dataset.fetch(dataset.arrays, rows), hparams)

    def assigned(params: Mapping[str, Any], latent: Array, hparams: HParams) -> Array:
        return losses.log_assignments(latent, params["centres"], hparams["degrees"])

    def refreshed(
        running: Mapping[str, Any], params: Mapping[str, Any], hparams: HParams
    ) -> dict[str, Any]:
        """What targets are made of, and the clusters of all examples."""
        size = min(_ROWS, dataset.size)
        blocks = jnp.arange(-(-dataset.size // size) * size).reshape(-1, size)

        def block(rows: Array) -> Array:
            x = rows_of(jnp.minimum(rows, dataset.size - 1), hparams)
            return assigned(params, encoder.apply(params["encoder"], x), hparams)

        log_q = jax.lax.map(block, blocks).reshape(-1, clusters)[: dataset.size]
        labels = jnp.argmax(log_q, axis=1)
        changed = labels != running["labels"]
        share = jnp.mean(changed.astype(log_q.dtype))
        return {
            **running,
            "snapshot": {name: params[name] for name in ("encoder", "centres")},
            "log_frequencies": losses.log_frequencies(log_q),
            "labels": labels,
            # all of them are 1, whatever 1 / N is rounded to
            "changed": jnp.where(jnp.all(changed), jnp.ones_like(share), share),
        }

    def first(params: Mapping[str, Any], batch: Batch, hparams: HParams) -> dict[str, Any]:
        unknown = {"steps": jnp.zeros((), int), "labels": jnp.full(dataset.size, -1)}
        return refreshed(unknown, params, hparams)

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        spoil_key, encoder_key, decoder_key = jax.random.split(key, 3)
        clean, y = shown.apply(batch, hparams), entry_of(batch, "image")
        spoils = training and shown.train is not None
        x = shown.train(spoil_key, batch, hparams) if spoils else clean
        latent, moved = gradient.forward(encoder, encoder_key, params["encoder"], x, training)
        outputs, moved_after = gradient.forward(
            decoder, decoder_key, params["decoder"], latent, training
        )
        before = params["snapshot"]
        target = losses.log_targets(
            assigned(before, encoder.apply(before["encoder"], clean), hparams),
            params["log_frequencies"],
        )
        divergence = losses.assignment_divergence(target, assigned(params, latent, hparams))
        error = reconstruction.loss(outputs, y, hparams)
        return {
            "loss": hparams["reconstruction_weight"] * error
            + hparams["clustering_weight"] * divergence,
            "divergence": divergence,
            "reconstruction": error,
            "squared_error": losses.squared_error(reconstruction.mean(outputs), y),
        }, {"encoder": moved, "decoder": moved_after}

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        encoder_key, decoder_key, centres_key = jax.random.split(key, 3)
        x = shown.apply(batch, hparams)
        params = {"encoder": encoder.init(encoder_key, x)}
        latent = encoder.apply(params["encoder"], x)
        params["decoder"] = decoder.init(decoder_key, latent)
        outputs = jax.eval_shape(
            lambda: reconstruction.mean(decoder.apply(params["decoder"], latent))
        )
        require_shape(outputs, entry_of(batch, "image"), "decoder", "give it an image's shape")
        chosen = jax.random.choice(centres_key, dataset.size, (clusters,), replace=False)
        params["centres"] = encoder.apply(params["encoder"], rows_of(chosen, hparams))
        return params

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return encoder.apply(state.params["encoder"], shown.apply(batch, hparams))

    def decode(state: GradientState, latent: Array, hparams: HParams) -> Array:
        return reconstruction.mean(decoder.apply(state.params["decoder"], latent))

    def predict(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return assigned(state.params, encode(state, batch, hparams), hparams)

    numbers = joined(
        reconstruction,
        shown,
        clustering_weight=(clustering_weight, NOT_NEGATIVE),
        reconstruction_weight=(reconstruction_weight, NOT_NEGATIVE),
        degrees=(degrees, POSITIVE),
        refresh_every=(refresh_every, COUNT),
        tolerance=(tolerance, FRACTION),
    )
    learner = descend(
        Objective(init, terms, **numbers, running=first),
        coded(encode, decode, predict=predict),
        optimizer=optimizer,
        learning_rate=learning_rate,
    )

    def step(
        key: Array, state: GradientState, batch: Batch, hparams: HParams
    ) -> tuple[GradientState, Info]:
        def stopped(running: Mapping[str, Any]) -> Array:
            return running["changed"] < hparams["tolerance"]

        steps = state.running["steps"]
        due = (steps > 0) & (steps % jnp.asarray(hparams["refresh_every"]).astype(int) == 0)
        running = occasionally(
            due & ~stopped(state.running), refreshed, state.running, state.params, dict(hparams)
        )
        state = state._replace(running=running)
        after, info = learner.step(key, state, batch, hparams)
        after = after._replace(running={**running, "steps": steps + 1})
        after = jax.lax.cond(stopped(running), lambda: state, lambda: after)
        return after, {**info, "changed": running["changed"]}

    return learner._replace(step=step)
