"""The semi-supervised VAE: classes are latents that are known of some examples.

Reference:
  Kingma, Rezende, Mohamed and Welling (2014), Semi-supervised Learning with Deep Generative Models.
"""

import math
from collections.abc import Mapping
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
    Method,
    Network,
    Views,
    require,
    require_networks,
)
from ae_jax.losses.classification import classified
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import joined, of_classes, require_shape
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend
from ae_jax.methods.parts.labels import any_where_unknown, error_of_known, labels_of
from ae_jax.methods.parts.observations import Observation
from ae_jax.methods.parts.posteriors import Posterior
from ae_jax.methods.parts.priors import Prior
from ae_jax.methods.variational.bounds import Bound
from ae_jax.methods.variational.model import latent_model
from ae_jax.methods.variational.objective import vae_objective
from ae_jax.methods.variational.views import vae_views


def semi_supervised_vae(
    encoder: Network,
    decoder: Network,
    classifier: Network,
    latent_size: int,
    classes: int,
    *,
    likelihood: Observation | None = None,
    posterior: Posterior | None = None,
    prior: Prior | None = None,
    bound: Bound | None = None,
    classification_weight: float = 0.1,
    beta: float = 1.0,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
    importance_samples: int = 100,
) -> Method:
    """Returns the VAE of a class and a style (M2), classes being known of some examples.

    Of an example with a label it raises the bound on log p(x, y), and log q(y | x) beside it; of
    one without the bound on log p(x), whose class is summed over: encoder and decoder are passed
    once for every class. Classes are as likely as each other.

    Args:
      encoder: [B, ...] beside labels one-hot, as `vae` of `classes` shows them -> the posterior's
        outputs.
      decoder: style and labels [B, Z + C] -> the likelihood's outputs.
      classifier: [B, ...] -> logits of q(y | x), [B, C].
      latent_size: Z, of the style.
      classes: C, values of the batch's `label`; labels below 0 are not known.
      likelihood: as for `vae`.
      posterior: as for `vae`.
      prior: of styles, as for `vae`.
      bound: as for `vae`.
      classification_weight: of the mean of -log q(y | x) over the examples of a batch that have
        labels, beside the mean bound over all of them; traced. It is the paper's alpha / N, there
        0.1.
      beta: as for `vae`.
      learning_rate: as for `vae`.
      optimizer: as for `vae`.
      importance_samples: of the `log_likelihood` view, for each class.

    Returns:
      The method. Evaluation, per example: `loss`, minus the bound that its label allows, plus the
      weighted classification; `bound`, minus the bound on log p(x) alone, which looks at no label;
      `error`, 1 where the most probable class is wrong and NaN where none is known, of a whole set
      the mean over labels that are known. The code of the views `encode` and `decode` is
      a style with the likeliest class one-hot behind, [B, Z + C]; `generate` draws a style for the
      batch's labels, and the class where that is not known, `sample` both; `predict` gives logits;
      `log_likelihood` looks at no label.

    Raises:
      InputError: as `vae`; if there are fewer than two classes; when initialised, if the classifier
        does not give [B, C]; if the data have no labels.

    Reference:
      Kingma et al. (2014), equations 6 to 9.
    """
    require_networks(classifier=classifier)
    require(Domain(2, whole=True), classes=classes)
    model = latent_model(
        encoder,
        decoder,
        latent_size,
        likelihood=likelihood,
        posterior=posterior,
        prior=prior,
        classes=classes,
    )
    of_pairs = vae_objective(model, bound=bound, beta=beta)
    log_classes = math.log(classes)

    def labelled(batch: Batch, label: Array | int) -> Batch:
        return {**batch, "label": jnp.broadcast_to(label, (len(batch["image"]),))}

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        labels_of(batch, classes, unknown=True)
        x = batch["image"]
        params = dict(of_pairs.init(key, labelled(batch, 0), hparams))
        params["classifier"] = classifier.init(jax.random.fold_in(key, 5), x)
        logits = jax.eval_shape(classifier.apply, params["classifier"], x)
        wanted = jax.ShapeDtypeStruct((len(x), classes), x.dtype)
        require_shape(logits, wanted, "classifier", f"give it {classes} outputs")
        return params

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        pair_key, classifier_key = jax.random.split(key)
        label = labels_of(batch, classes, unknown=True)
        logits, moved = gradient.forward(
            classifier, classifier_key, params["classifier"], batch["image"], training
        )

        def of_class(y: Array) -> tuple[Mapping[str, Array], Mapping[str, Any]]:
            return of_pairs.terms(pair_key, params, labelled(batch, y), hparams, training)

        values, moves = jax.vmap(of_class)(jnp.arange(classes))
        # what passes move, such as running statistics, they move together
        changes = jax.tree.map(lambda own: jnp.mean(own, axis=0).astype(own.dtype), moves)
        known, place = label >= 0, jnp.maximum(label, 0)
        nll, wrong = classified(logits, place)
        nll = jnp.where(known, nll, 0)

        def by_label(name: str, constant: float) -> tuple[Array, Array]:
            """Of the class that is known, and of the classes that may be."""
            each = values[name].T + constant
            own = jnp.take_along_axis(each, place[:, None], axis=1)[:, 0]
            return own, losses.class_marginal(each, logits)

        share = jnp.maximum(jnp.mean(known.astype(nll.dtype)), 1 / len(label)) if training else 1
        told = hparams["classification_weight"] * nll / share
        found = {}
        for name in ("loss", "objective"):
            if name in values:
                own, summed = by_label(name, log_classes)
                found[name] = jnp.where(known, own, summed) + told
        if not training:
            found["bound"] = by_label("loss", log_classes)[1]
            found["error"] = jnp.where(known, wrong, jnp.nan)
        return found, {**changes, "classifier": moved}

    views = vae_views(model, importance_samples)

    def predict(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return classifier.apply(state.params["classifier"], batch["image"])

    def thought(state: GradientState, batch: Batch, hparams: HParams) -> Batch:
        return labelled(batch, jnp.argmax(predict(state, batch, hparams), axis=1))

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return views.encode(state, thought(state, batch, hparams), hparams)

    def reconstruct(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return views.reconstruct(state, thought(state, batch, hparams), hparams)

    def generate(key: Array, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        label = labels_of(batch, classes, unknown=True)
        told = labelled(batch, any_where_unknown(jax.random.fold_in(key, 0), label, classes))
        return views.generate(key, state, told, hparams)

    def log_likelihood(key: Array, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        # log p(x) = log (1/C) sum_y p(x | y)
        def of_class(given: tuple[Array, Array]) -> Array:
            own, y = given
            return views.log_likelihood(own, state, labelled(batch, y), hparams)

        found = jax.lax.map(of_class, (jax.random.split(key, classes), jnp.arange(classes)))
        return jax.nn.logsumexp(found, axis=0) - log_classes

    return descend(
        Objective(
            init,
            terms,
            **joined(of_pairs, classification_weight=(classification_weight, NOT_NEGATIVE)),
            conclude=error_of_known,
            ranges=of_classes(classes, unknown=True),
        ),
        Views(
            encode=encode,
            decode=views.decode,
            reconstruct=reconstruct,
            predict=predict,
            sample=views.sample,
            generate=generate,
            log_likelihood=log_likelihood,
        ),
        optimizer=optimizer,
        learning_rate=learning_rate,
    )
