"""What methods share whose codes are to look like draws of a prior."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.core import Array, Batch, Domain, HParams, InputError, Network, mistaken, require
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import require_shape
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.parts.observations import Observation
from ae_jax.probability.priors import Prior


class Coder(NamedTuple):
    """An encoder and a decoder, and how what they make is compared with the data."""

    encoder: Network
    decoder: Network
    reconstruction: Observation

    def init(self, keys: Array, x: Array, latent_size: int) -> tuple[dict[str, Any], Array]:
        """The parameters of both, and codes [B, Z] of examples.

        Raises:
          InputError: if the codes are not [B, latent_size], or what is made of them is not shaped
            as the examples.
        """
        encoder = self.encoder.init(keys[0], x)
        latent = latents_of(self.encoder, encoder, x, latent_size)
        decoder = self.decoder.init(keys[1], latent)
        require_shape(jax.eval_shape(self.made_of, decoder, latent), x, "decoder")
        return {"encoder": encoder, "decoder": decoder}, latent

    def made_of(self, params: Any, latent: Array) -> Array:
        """Examples of codes, by the decoder's parameters."""
        return self.reconstruction.mean(self.decoder.apply(params, latent))

    def encoded(
        self, key: Array, params: Mapping[str, Any], x: Array, training: bool
    ) -> tuple[Array, Mapping[str, Any]]:
        """Codes, and what the pass moves of the encoder."""
        return gradient.forward(self.encoder, key, params["encoder"], x, training)

    def passed(
        self, key: Array, params: Mapping[str, Any], x: Array, hparams: HParams, training: bool
    ) -> tuple[Array, dict[str, Array], dict[str, Any]]:
        """Codes; `loss` and `squared_error` of the reconstruction; what the passes move."""
        keys = jax.random.split(key)
        latent, moved = self.encoded(keys[0], params, x, training)
        outputs, moved_after = gradient.forward(
            self.decoder, keys[1], params["decoder"], latent, training
        )
        values = {
            "loss": self.reconstruction.loss(outputs, x, hparams),
            "squared_error": losses.squared_error(self.reconstruction.mean(outputs), x),
        }
        return latent, values, {"encoder": moved, "decoder": moved_after}

    def encode(self, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        """The view."""
        return self.encoder.apply(state.params["encoder"], batch["image"])

    def decode(self, state: GradientState, latent: Array, hparams: HParams) -> Array:
        """The view."""
        return self.made_of(state.params["decoder"], latent)


def latents_of(encoder: Network, params: Any, x: Array, latent_size: int) -> Array:
    """Codes of examples, [B, latent_size].

    Raises:
      InputError: if the encoder gives something else.
    """
    latent = encoder.apply(params, x)
    if latent.shape != (len(x), latent_size):
        raise InputError(
            f"the encoder must give latents [B, {latent_size}], and gives {list(latent.shape)}"
        )
    return latent


def drawn_from(
    prior: Callable[..., Array], latent_size: int, classes: int | None = None
) -> Callable[..., Array]:
    """Returns (key, count, label) -> [count, latent_size] of a prior, after trying its shape.

    Raises:
      InputError: if the prior is a function that makes one, or has another number of dimensions,
        or of classes.
    """
    if not callable(prior) or getattr(prior, "__annotations__", {}).get("return") is Prior:
        raise mistaken("prior", prior, "priors.normal()")
    if classes is not None:
        require(Domain(2, whole=True), classes=classes)
        if (found := getattr(prior, "classes", 0)) != classes:
            raise InputError(
                f"labels of {classes} classes need a prior that has a place for each, such as "
                f"priors.ring({classes}); this one has {found or 'none'}"
            )

    def draw(key: Array, count: int, label: Array | None = None) -> Array:
        given = () if label is None else (label,)
        return prior(key, (count, latent_size), *given).astype(jnp.result_type(float))

    drawn = jax.eval_shape(lambda: draw(jax.random.key(0), 2))
    if drawn.shape != (2, latent_size):
        raise InputError(
            f"a prior must give latents [B, {latent_size}], this one gives {list(drawn.shape)}"
        )
    return draw


def deviations(values: Mapping[str, Array], present: Array, hparams: HParams) -> dict[str, Array]:
    """The least and the largest deviation of a dimension of the codes, `latent` [N, Z]."""
    latent = values["latent"]
    weights = present.astype(latent.dtype)[:, None]
    weights /= jnp.sum(weights)
    mean = jnp.sum(weights * latent, axis=0, keepdims=True)
    deviation = jnp.sqrt(jnp.sum(weights * (latent - mean) ** 2, axis=0))
    return {"least_deviation": jnp.min(deviation), "largest_deviation": jnp.max(deviation)}
