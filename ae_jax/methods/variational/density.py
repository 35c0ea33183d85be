"""Densities of the data themselves, or of another model's latents, by maximum likelihood."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optax

from ae_jax.core import (
    WHOLE,
    Array,
    Batch,
    HParams,
    InputError,
    Method,
    Views,
    require_kind,
    shaped,
)
from ae_jax.methods.learners.composing import joined
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend
from ae_jax.methods.parts.latents import require_size
from ae_jax.methods.parts.priors import Prior


def density_model(
    prior: Prior,
    shape: int | Sequence[int],
    *,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the method that fits a density to examples: it lowers -log p(x).

    In a `stage` it is fitted to the latents of a frozen encoder, and samples of it are decoded: so
    an autoencoder that has no prior is drawn from, or one whose latents are not as its prior.

    Args:
      prior: one that is learned, as `priors.flow(flows.masked_autoregressive())`.
      shape: of an example, or how many numbers it has.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      The method. Evaluation: `loss`, -log p(x) of each example, nats. The view `log_likelihood` is
      exact.

    Raises:
      InputError: if the prior is none, of another size, has nothing to learn or is told of more
        than examples, or a length is none; when initialised, for examples of another shape; if the
        data of a prior of codes are no whole numbers.

    Reference:
      Papamakarios, Pavlakou and Murray (2017), Masked Autoregressive Flow for Density Estimation;
      Ghosh et al. (2020), From Variational to Deterministic Autoencoders, section 4, for densities
      of latents.
    """
    require_kind(Prior, "priors.flow(flows.coupling())", prior=prior)
    shape = shaped("shape", shape)
    if prior.reads_encoder or prior.of is not None:
        raise InputError(
            "a density of examples has neither an encoder nor classes to be told, as a VampPrior "
            "and priors.by_class() need: use priors.flow(flows.coupling())"
        )
    if prior.init is None:
        raise InputError("this density has nothing to learn: use priors.flow(flows.coupling())")
    size = math.prod(shape)
    require_size("density", prior, size, "give it examples of another shape")

    def nats(params: Mapping[str, Any], x: Array, hparams: HParams) -> Array:
        return prior.log_prob(x.reshape(len(x), size), params, hparams)

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        x = batch["image"]
        if x.shape[1:] != shape:
            raise InputError(f"a density of examples {list(shape)} is shown {list(x.shape)}")
        return {"prior": prior.init(key, x, size)}

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        return {"loss": -nats(params, batch["image"], hparams)}, {}

    def sample(key: Array, state: GradientState, count: int, hparams: HParams) -> Array:
        drawn = prior.sample(key, state.params, (count, size), hparams)
        return drawn.reshape(count, *shape)

    def log_likelihood(key: Array, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return nats(state.params, batch["image"], hparams)

    views = Views(sample=sample, log_likelihood=log_likelihood)
    ranges = {"image": WHOLE} if prior.support == "codes" else {}
    objective = Objective(init, terms, **joined(prior), ranges=ranges)
    return descend(objective, views, optimizer=optimizer, learning_rate=learning_rate)
