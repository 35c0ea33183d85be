"""Autoencoders by composition: encoder + decoder + reconstruction + penalties."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ae_jax import losses
from ae_jax.core import Array, Batch, HParams, Info, InputError, Method, Network, Views
from ae_jax.methods import gradient
from ae_jax.methods.gradient import GradientState
from ae_jax.methods.observation import Observation, squared_error


class Penalty(NamedTuple):
    """A term added to the reconstruction loss.

    Attributes:
      hparams: its traced hyperparameters and their defaults, the weight among them.
      apply: (encode, x [B, ...], latent [B, Z], hparams) -> [B], weighted; `encode` maps
        one example [...] to its latent [Z].
    """

    hparams: Mapping[str, float]
    apply: Callable[[Callable[[Array], Array], Array, Array, HParams], Array]


def contractive(weight: float = 1.0) -> Penalty:
    """Squared Frobenius norm of the encoder's Jacobian, swept as `contractive_weight`.

    Reference:
      Rifai et al. (2011), Contractive Auto-Encoders, equation 1.
    """
    return Penalty(
        {"contractive_weight": weight},
        lambda encode, x, latent, hparams: (
            hparams["contractive_weight"] * losses.contractive_penalty(encode, x)
        ),
    )


def sparsity(weight: float = 1.0, target: float = 0.05) -> Penalty:
    """KL divergence of mean activations, in (0, 1), from a target.

    Swept as `sparsity_weight` and `sparsity_target`.

    Reference:
      Ng (2011), Sparse autoencoder, section 3.
    """

    def apply(encode, x: Array, latent: Array, hparams: HParams) -> Array:
        penalty = losses.kl_sparsity(latent, hparams["sparsity_target"])
        return jnp.broadcast_to(hparams["sparsity_weight"] * penalty, latent.shape[:1])

    return Penalty({"sparsity_weight": weight, "sparsity_target": target}, apply)


def autoencoder(
    encoder: Network,
    decoder: Network,
    *,
    reconstruction: Observation | None = None,
    penalties: Sequence[Penalty] = (),
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the autoencoder that minimises reconstruction loss plus penalties.

    Args:
      encoder: [B, ...] -> latent [B, Z].
      decoder: latent [B, Z] -> outputs [B, ...].
      reconstruction: how outputs are compared with the data; squared error where None.
      penalties: terms to add; each brings its own traced weight.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      The method. Evaluation, per example and summed over its dimensions: `loss`,
      `reconstruction`, and `squared_error` of the reconstruction in data space.

    Raises:
      InputError: if two penalties share a hyperparameter.

    Reference:
      Hinton and Salakhutdinov (2006), Reducing the Dimensionality of Data with Neural
      Networks.
    """
    reconstruction = squared_error() if reconstruction is None else reconstruction
    optimizer = optax.scale_by_adam() if optimizer is None else optimizer
    hparams = {"learning_rate": learning_rate, **reconstruction.hparams}
    for penalty in penalties:
        if shared := hparams.keys() & penalty.hparams.keys():
            raise InputError(f"two terms share the hyperparameter {', '.join(sorted(shared))}")
        hparams |= penalty.hparams

    def terms(params, x: Array, hparams: HParams) -> dict[str, Array]:
        latent = encoder.apply(params["encoder"], x)
        outputs = decoder.apply(params["decoder"], latent)
        error = reconstruction.loss(outputs, x, hparams)

        def encode_one(example):
            return encoder.apply(params["encoder"], example[None])[0]

        loss = error
        for penalty in penalties:
            loss = loss + penalty.apply(encode_one, x, latent, hparams)
        return {
            "loss": loss,
            "reconstruction": error,
            "squared_error": losses.squared_error(reconstruction.mean(outputs), x),
        }

    def init(key: Array, batch: Batch, hparams: HParams) -> GradientState:
        encoder_key, decoder_key = jax.random.split(key)
        x = batch["image"]
        params = {"encoder": encoder.init(encoder_key, x)}
        latent = encoder.apply(params["encoder"], x)
        params["decoder"] = decoder.init(decoder_key, latent)
        return gradient.init(optimizer, params)

    def step(
        key: Array, state: GradientState, batch: Batch, hparams: HParams
    ) -> tuple[GradientState, Info]:
        def objective(params):
            means = jax.tree.map(jnp.mean, terms(params, batch["image"], hparams))
            return means.pop("loss"), means

        return gradient.step(optimizer, objective, state, hparams["learning_rate"])

    def evaluate(key: Array, state: GradientState, batch: Batch, hparams: HParams):
        return terms(state.params, batch["image"], hparams)

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return encoder.apply(state.params["encoder"], batch["image"])

    def decode(state: GradientState, latent: Array, hparams: HParams) -> Array:
        return reconstruction.mean(decoder.apply(state.params["decoder"], latent))

    return Method(
        hparams=hparams,
        init=init,
        step=step,
        evaluate=evaluate,
        views=Views(
            encode=encode,
            decode=decode,
            reconstruct=lambda state, batch, hparams: decode(
                state, encode(state, batch, hparams), hparams
            ),
        ),
    )
