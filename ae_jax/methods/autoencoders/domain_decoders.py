"""One encoder for several domains of images and a decoder for each: an image, made as another's.

Reference:
  Mor, Wolf, Polyak and Taigman (2019), A Universal Music Translation Network.
"""

import itertools
from collections.abc import Mapping, Sequence
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
    require_kind,
    require_networks,
    traced,
)
from ae_jax.losses import squared_error as squared
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import Numbers, joined, require_shape
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend
from ae_jax.methods.parts.discrepancies import Discrepancy, compared
from ae_jax.methods.parts.observations import Observation, squared_error
from ae_jax.methods.parts.shown import Shown, entry, entry_of


def domain_decoders(
    encoder: Network,
    decoder: Network,
    *,
    domains: Sequence[str] = ("image", "other"),
    own_encoders: bool = False,
    reconstruction: Observation | None = None,
    shown: Shown | None = None,
    matching: Discrepancy | None = None,
    matching_weight: float = 1.0,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the autoencoder of D domains without pairs, which have the encoder in common.

    Each domain is reconstructed by its own decoder; another domain's makes of the same code what
    the image would be there. Nothing asks the codes of two domains to mean the same: an encoder may
    tell them apart, and what is shown to it, and the matching of codes, are against that.

    Args:
      encoder: [B, ...] -> latent [B, Z].
      decoder: latent [B, Z] -> outputs [B, ...]; its parameters are a stack of D.
      domains: the entries of a batch that are the domains, of one shape; those of `data.unpaired`.
      own_encoders: whether there are D encoders, too: autoencoders with nothing in common.
      reconstruction: how outputs are compared with the images; squared error where None.
      shown: what the encoder sees of each domain, of a batch whose `image` it is, such as
        `shown.corrupted(corruptions.warped, 0.1)`; the images where None.
      matching: how far codes of two domains are from each other, from `methods.discrepancies`; None
        where they may differ.
      matching_weight: of the mean of that over the pairs of domains; traced.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      The method. Its `init` takes parameters to start from as a fourth argument, `encoder` or
      `decoders` or both. A training pass of the encoder sees all domains at once. Evaluation, per
      example, of images as they are and summed over their numbers: `loss`, the mean over domains;
      `squared_error` in data space, likewise; and that of each, as `image_squared_error`. With a
      matching, `discrepancy` is that of a whole data set, from at most 1000 of its examples, and is
      in its `loss`.

      Views look at the first of the domains that a batch has. `encode` and `reconstruct` are of
      that domain, `decode` is the first one's decoder, and `generate` makes an image as it would be
      in the next domain, of the last in the first: of two, the swap. It draws nothing.

    Raises:
      InputError: if a network or a part is none, there are not two domains, or two parts share a
        hyperparameter; when traced, if a batch lacks a domain, they differ in shape, or the
        decoder does not make it.

    Reference:
      Mor et al. (2019), section 3, for domains of sound: one encoder, shown distorted inputs, and
      decoders of the undistorted ones.
    """
    require_networks(encoder=encoder, decoder=decoder)
    if isinstance(domains, str):
        raise InputError(
            f"domains are {domains!r}: use a list of names, such as [{domains!r}, 'other']"
        )
    domains = tuple(domains)
    if len(set(domains)) < max(2, len(domains)):
        raise InputError(f"two domains or more, each named once, are needed, got {domains}")
    reconstruction = squared_error() if reconstruction is None else reconstruction
    require_kind(Observation, "observations.bernoulli()", reconstruction=reconstruction)
    shown = entry() if shown is None else shown
    require_kind(Shown, "shown.corrupted(corruptions.warped)", shown=shown)
    parts = [reconstruction, shown]
    if matching is not None:
        require_kind(Discrepancy, "discrepancies.moments()", matching=matching)
        parts += [matching, Numbers(**traced(matching_weight=(matching_weight, NOT_NEGATIVE)))]

    def stacked(batch: Batch) -> Array:
        """[D, B, ...]."""
        images = [entry_of(batch, name) for name in domains]
        if others := [x.shape[1:] for x in images if x.shape != images[0].shape]:
            raise InputError(
                f"domains are of one shape, got {list(images[0].shape[1:])} and {list(others[0])}: "
                "use images of one size"
            )
        return jnp.stack(images)

    def clean(x: Array, hparams: HParams) -> Array:
        return shown.apply({"image": x}, hparams)

    def encoded(
        key: Array, params: Any, x: Array, training: bool
    ) -> tuple[Array, Mapping[str, Any]]:
        """Codes [D, B, Z] of what is shown, [D, B, ...], and what the pass moves."""
        if own_encoders:
            return _passed(encoder, key, params, x, training)
        flat = x.reshape(-1, *x.shape[2:])
        latent, moved = gradient.forward(encoder, key, params, flat, training)
        return latent.reshape(*x.shape[:2], *latent.shape[1:]), moved

    def mismatch(
        key: Array, latent: Array, hparams: HParams, present: Array | None = None
    ) -> Array:
        """The mean discrepancy of codes [D, B, ...] of two domains."""
        flat = latent.reshape(*latent.shape[:2], -1)
        pairs = list(itertools.combinations(range(len(domains)), 2))
        found = [
            matching.between(own, flat[i], flat[j], hparams, present)
            for (i, j), own in zip(pairs, jax.random.split(key, len(pairs)), strict=True)
        ]
        return sum(found) / len(pairs)

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        shown_key, encoder_key, decoder_key, matching_key = jax.random.split(key, 4)
        x = stacked(batch)
        if training and shown.train is not None:
            keys = jax.random.split(shown_key, len(domains))
            seen = jax.vmap(lambda own, y: shown.train(own, {"image": y}, hparams))(keys, x)
        else:
            seen = jax.vmap(lambda y: clean(y, hparams))(x)
        latent, moved = encoded(encoder_key, params["encoder"], seen, training)
        outputs, moved_after = _passed(decoder, decoder_key, params["decoders"], latent, training)
        loss = jax.vmap(lambda made, y: reconstruction.loss(made, y, hparams))(outputs, x)
        error = jax.vmap(lambda made, y: squared(reconstruction.mean(made), y))(outputs, x)
        values = {"loss": jnp.mean(loss, axis=0), "squared_error": jnp.mean(error, axis=0)}
        values |= {f"{name}_squared_error": own for name, own in zip(domains, error, strict=True)}
        if matching is not None and training:
            values["discrepancy"] = mismatch(matching_key, latent, hparams)
            values["loss"] += hparams["matching_weight"] * values["discrepancy"]
        elif matching is not None:
            values["latent"] = jnp.moveaxis(latent, 0, 1)
        return values, {"encoder": moved, "decoders": moved_after}

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        encoder_key, decoder_key, pass_key = jax.random.split(key, 3)
        x = stacked(batch)
        seen = jax.vmap(lambda y: clean(y, hparams))(x)
        if own_encoders:
            of_encoder = jax.vmap(encoder.init)(jax.random.split(encoder_key, len(domains)), seen)
        else:
            of_encoder = encoder.init(encoder_key, seen[0])
        latent, _ = encoded(pass_key, of_encoder, seen, training=False)
        keys = jax.random.split(decoder_key, len(domains))
        of_decoders = jax.vmap(decoder.init)(keys, latent)
        made = jax.eval_shape(
            lambda: reconstruction.mean(decoder.apply(_one(of_decoders, 0), latent[0]))
        )
        require_shape(made, x[0], "decoder", "give it the domains' shape")
        return {"encoder": of_encoder, "decoders": of_decoders}

    def conclude(values: Mapping[str, Array], present: Array, hparams: HParams) -> dict[str, Array]:
        loss, rows = values["loss"], compared(values["latent"])
        mean = jnp.sum(jnp.where(present, loss, 0)) / jnp.sum(present.astype(loss.dtype))
        latent = jnp.moveaxis(values["latent"][rows], 1, 0)
        # the same directions, if any are drawn, at every evaluation
        found = mismatch(jax.random.key(0), latent, hparams, present[rows])
        return {"loss": mean + hparams["matching_weight"] * found, "discrepancy": found}

    def there(batch: Batch) -> int:
        """The place of the first domain that a batch has."""
        places = [place for place, name in enumerate(domains) if name in batch]
        return places[0] if places else 0

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        place, params = there(batch), state.params["encoder"]
        x = entry_of(batch, domains[place])
        return encoder.apply(_one(params, place) if own_encoders else params, clean(x, hparams))

    def decoded(state: GradientState, latent: Array, place: int) -> Array:
        params = _one(state.params["decoders"], place % len(domains))
        return reconstruction.mean(decoder.apply(params, latent))

    views = Views(
        encode=encode,
        decode=lambda state, latent, hparams: decoded(state, latent, 0),
        reconstruct=lambda state, batch, hparams: decoded(
            state, encode(state, batch, hparams), there(batch)
        ),
        generate=lambda key, state, batch, hparams: decoded(
            state, encode(state, batch, hparams), there(batch) + 1
        ),
    )
    objective = Objective(
        init, terms, **joined(*parts), conclude=None if matching is None else conclude
    )
    return descend(objective, views, optimizer=optimizer, learning_rate=learning_rate)


def _passed(
    network: Network, key: Array, params: Any, x: Array, training: bool
) -> tuple[Array, Mapping[str, Any]]:
    """Calls a stack of D networks, each on its own examples [D, B, ...], as `gradient.forward`."""
    keys = jax.random.split(key, len(x))
    return jax.vmap(lambda own, p, y: gradient.forward(network, own, p, y, training))(
        keys, params, x
    )


def _one(stack: Any, place: int) -> Any:
    """The parameters of one of a stack of networks."""
    return jax.tree.map(lambda leaf: leaf[place], stack)
