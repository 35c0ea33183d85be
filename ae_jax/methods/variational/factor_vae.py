"""A VAE whose total correlation a discriminator tells.

Reference:
  Kim and Mnih (2018), Disentangling by Factorising.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ae_jax import losses
from ae_jax.core import (
    Array,
    Batch,
    HParams,
    InputError,
    Method,
    Network,
    require_each,
    require_networks,
)
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.parts.latent_regularisers import LatentRegulariser, density_ratio, one_logit
from ae_jax.methods.parts.observations import Observation
from ae_jax.methods.parts.posteriors import Posterior
from ae_jax.methods.parts.priors import Prior
from ae_jax.methods.variational.bounds import Bound
from ae_jax.methods.variational.model import latent_model
from ae_jax.methods.variational.objective import vae_objective
from ae_jax.methods.variational.views import vae_views


def factor_vae(
    encoder: Network,
    decoder: Network,
    discriminator: Network,
    latent_size: int,
    *,
    likelihood: Observation | None = None,
    posterior: Posterior | None = None,
    prior: Prior | None = None,
    regularisers: Sequence[LatentRegulariser] = (),
    bound: Bound | None = None,
    beta: float = 1.0,
    tc_weight: float = 10.0,
    learning_rate: float = 1e-3,
    discriminator_learning_rate: float = 1e-4,
    optimizer: optax.GradientTransformation | None = None,
    discriminator_optimizer: optax.GradientTransformation | None = None,
    importance_samples: int = 100,
) -> Method:
    """Returns the FactorVAE: a VAE's objective plus tc_weight times a discriminator's logit.

    A step has two simultaneous moves. Encoder and decoder lower the VAE's loss and the mean logit
    of their latents, which estimates the total correlation. The discriminator learns to tell
    latents of one half of the batch from those of the other half, each of whose dimensions is
    permuted on its own; no gradient of its loss reaches the encoder.

    Args:
      encoder: as for `vae`.
      decoder: as for `vae`.
      discriminator: [B, Z] -> logits of "drawn jointly", [B, 1]; the paper's two logits by their
        difference.
      latent_size: as for `vae`.
      likelihood: as for `vae`.
      posterior: as for `vae`.
      prior: as for `vae`.
      regularisers: as for `vae`, beside the discriminator's term.
      bound: as for `vae`.
      beta: as for `vae`.
      tc_weight: gamma; traced.
      learning_rate: of encoder and decoder; traced.
      discriminator_learning_rate: traced.
      optimizer: of encoder and decoder; Adam (0.9, 0.999, 1e-8) where None.
      discriminator_optimizer: Adam (0.5, 0.9, 1e-8) where None.
      importance_samples: as for `vae`.

    Returns:
      The method. Evaluation is that of `vae`, with `total_correlation`, the discriminator's logit,
      of which `loss` has its part.

    Raises:
      InputError: as `vae`; when traced, for a batch below 4, or a discriminator of other outputs.

    Reference:
      Kim and Mnih (2018), algorithm 2.
    """
    require_networks(discriminator=discriminator)
    require_each(LatentRegulariser, "latent_regularisers.dip()", regularisers=regularisers)
    model = latent_model(
        encoder, decoder, latent_size, likelihood=likelihood, posterior=posterior, prior=prior
    )
    objective = vae_objective(
        model,
        regularisers=[*regularisers, density_ratio(discriminator, tc_weight)],
        bound=bound,
        beta=beta,
    )

    def telling(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys, x = jax.random.split(key, 4), batch["image"]
        half = len(x) // 2
        if half < 2:  # a permutation of one example changes nothing
            raise InputError(
                "a FactorVAE permutes one half of a batch, of 2 examples at least: use a batch of "
                "4 or more"
            )
        outputs, _ = gradient.forward(encoder, keys[0], params["encoder"], x, training)
        parameters = model.parameters(outputs, params, batch, hparams)
        latent = model.posterior.sample(keys[1], parameters)
        permuted = losses.permuted_dimensions(keys[2], latent[half : 2 * half])
        shown = jax.lax.stop_gradient(jnp.concatenate([latent[:half], permuted]))
        logits, moved = gradient.forward(
            discriminator, keys[3], params["discriminator"], shown, training
        )
        loss = losses.density_ratio_loss(*jnp.split(one_logit(logits), 2))
        return {"loss": loss}, {"discriminator": moved}

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        own, rest = jax.random.split(key)
        latent = jnp.zeros((len(batch["image"]), latent_size), batch["image"].dtype)
        params = objective.init(rest, batch, hparams)
        return {**params, "discriminator": discriminator.init(own, latent)}

    def evaluate(
        key: Array, state: GradientState, batch: Batch, hparams: HParams
    ) -> Mapping[str, Array]:
        return objective.terms(key, state.params, batch, hparams, False)[0]

    own = {"prior": model.prior, "posterior": model.posterior}
    learned = ("encoder", "decoder", *(name for name, part in own.items() if part.init is not None))
    coding = Move("vae", learned, objective.terms, optimizer, learning_rate)
    told = Move(
        "discriminator",
        ("discriminator",),
        telling,
        discriminator_optimizer or optax.scale_by_adam(b1=0.5, b2=0.9),
        discriminator_learning_rate,
    )
    views = vae_views(model, importance_samples)
    return game(
        init, [[coding, told]], evaluate, views, parts=[objective], conclude=objective.conclude
    )
