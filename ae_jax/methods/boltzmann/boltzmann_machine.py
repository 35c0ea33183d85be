"""The general Boltzmann machine as a learning method."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax import nets
from ae_jax.core import (
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    Array,
    Batch,
    Domain,
    HParams,
    Info,
    InputError,
    Method,
    Views,
    require,
    traced,
)
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import general
from ae_jax.methods.boltzmann.enumeration import MOST_ENUMERATED
from ae_jax.methods.boltzmann.general import BoltzmannParams
from ae_jax.methods.boltzmann.visible import pixels, visible_units
from ae_jax.probability import bernoulli

#: Sweeps over the hidden units, given data, in an evaluation.
_CLAMPED_SWEEPS = 10


class BoltzmannState(NamedTuple):
    """What the training of a machine carries from step to step."""

    params: BoltzmannParams
    optimizer: optax.OptState
    estimator: Any  #: chains, which go on where they were
    image: Array  #: the first batch's mean image, [...]: shapes what is sampled


def boltzmann_machine(
    hidden_size: int,
    *,
    connections: general.Connections = general.full,
    estimator: general.Estimator | None = None,
    optimizer: optax.GradientTransformation | None = None,
    stochastic_binarization: bool = True,
    exact_likelihood: bool = False,
    sample_sweeps: int = 1000,
    learning_rate: float = 0.05,
    weight_decay: float = 1e-4,
) -> Method:
    """Returns a general Boltzmann machine of zeros and ones.

    Args:
      hidden_size: H; 0 for a machine of visible units alone.
      connections: which units are connected: `boltzmann.general.full`, `semi_restricted`,
        `restricted`, or a function of one's own.
      estimator: of the log-likelihood's gradient: `boltzmann.general.persistent()` by default, or
        `exact()`, for at most 20 units in all.
      optimizer: of the direction; by default the gradient itself.
      stochastic_binarization: draw zeros and ones from the images at every step and evaluation;
        see `rbm`.
      exact_likelihood: evaluate log p(v) too, and offer it as a view, for at most 20 units in all.
      sample_sweeps: the chains' length in the `sample` view, which draws zeros and ones.
      learning_rate: traced.
      weight_decay: traced; of the weights alone.

    Returns:
      The method. Evaluation, per example, nats: `loss` = `reconstruction`, minus the sum over
      visible units of log p(v_i | all other units) at hidden units drawn given v; with
      exact_likelihood `log_likelihood`. It encodes, by E[h | v], where H is at most 20.

    Raises:
      InputError: if hidden_size is below 0 or sample_sweeps below 1; on the first batch if
        connections are not a symmetric boolean matrix over all units, or too many units are to be
        enumerated.

    Reference:
      Ackley, Hinton and Sejnowski (1985), A Learning Algorithm for Boltzmann Machines.
    """
    require(Domain(0, whole=True), hidden_size=hidden_size)
    require(COUNT, sample_sweeps=sample_sweeps)
    estimator = estimator or general.persistent()
    optimizer = optimizer or optax.identity()

    def visible_of(key: Array, batch: Batch) -> tuple[Array, Array]:
        return visible_units(key, batch, stochastic_binarization)

    def mask_of(visible: int) -> np.ndarray:
        found = np.asarray(connections(visible, hidden_size))
        size = visible + hidden_size
        if found.dtype != bool or found.shape != (size, size):
            raise InputError(
                f"connections must be bool {[size, size]}, got {found.dtype} {list(found.shape)}"
            )
        if (found != found.T).any() or found.diagonal().any():
            raise InputError("connections must be symmetric, and none of a unit with itself")
        return found

    def init(key: Array, batch: Batch, hparams: HParams) -> BoltzmannState:
        v, key = visible_of(key, batch)
        weight_key, chain_key = jax.random.split(key)
        mask = mask_of(v.shape[1])
        weights = 0.01 * jnp.triu(jax.random.normal(weight_key, mask.shape, v.dtype), 1)
        bias, _ = boltzmann.BERNOULLI.visible.fit(v)
        params = BoltzmannParams(
            jnp.where(mask, weights + weights.T, 0),
            jnp.concatenate([bias, jnp.zeros((hidden_size,), v.dtype)]),
        )
        if exact_likelihood:  # refused now, not when a trained machine is evaluated
            jax.eval_shape(general.log_partition_exact, params)
        return BoltzmannState(
            params,
            optimizer.init(params),
            estimator.init(chain_key, params, v),
            jnp.mean(batch["image"], axis=0),
        )

    def step(
        key: Array, state: BoltzmannState, batch: Batch, hparams: HParams
    ) -> tuple[BoltzmannState, Info]:
        params = state.params
        v, key = visible_of(key, batch)
        gradient, carried, reported = estimator.gradient(
            key, params, v, state.estimator, mask_of(v.shape[1])
        )
        rate, decay = (
            jnp.asarray(hparams[name], v.dtype) for name in ("learning_rate", "weight_decay")
        )
        gradient = gradient._replace(weights=gradient.weights - decay * params.weights)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes counts with floats
            direction, moved = optimizer.update(gradient, state.optimizer, params)
        update = jax.tree.map(lambda d: rate * d, direction)
        info = {**reported, "update_norm": optax.tree.norm(update)}
        params = jax.tree.map(jnp.add, params, update)
        return BoltzmannState(params, moved, carried, state.image), info

    def evaluate(
        key: Array, state: BoltzmannState, batch: Batch, hparams: HParams
    ) -> Mapping[str, Array]:
        params = state.params
        v, key = visible_of(key, batch)
        visible = v.shape[1]
        x = general.clamped(key, params, v, _CLAMPED_SWEEPS, mask_of(visible))
        logits = general.conditional_logits(params, x)[:, :visible]
        reconstruction = -bernoulli.log_prob(v, logits)
        values = {"loss": reconstruction, "reconstruction": reconstruction}
        if exact_likelihood:
            values["log_likelihood"] = general.log_likelihood_exact(params, v)
        return values

    def encode(state: BoltzmannState, batch: Batch, hparams: HParams) -> Array:
        return nets.named("hidden", general.hidden_mean(state.params, pixels(batch)))

    def sample(key: Array, state: BoltzmannState, count: int, hparams: HParams) -> Array:
        start_key, key = jax.random.split(key)
        visible = state.image.size
        start = general.start(start_key, state.params, count)
        schedule = general.blocks(mask_of(visible))
        x = general.gibbs(key, state.params, start, sample_sweeps, schedule)
        return x[:, :visible].reshape(count, *state.image.shape)

    def log_likelihood(key: Array, state: BoltzmannState, batch: Batch, hparams: HParams) -> Array:
        return general.log_likelihood_exact(state.params, visible_of(key, batch)[0])

    return Method(
        **traced(
            learning_rate=(learning_rate, POSITIVE), weight_decay=(weight_decay, NOT_NEGATIVE)
        ),
        init=init,
        step=step,
        evaluate=evaluate,
        views=Views(
            encode=encode if hidden_size <= MOST_ENUMERATED else None,
            sample=sample,
            log_likelihood=log_likelihood if exact_likelihood else None,
        ),
        inference=lambda state: state._replace(optimizer=(), estimator=()),
    )
