"""Gradients of general Boltzmann machines' log-likelihood: exact, or from persistent chains."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import COUNT, Array, require
from ae_jax.methods.boltzmann.estimators import by_name
from ae_jax.methods.boltzmann.general.chains import blocks, clamped, gibbs, start
from ae_jax.methods.boltzmann.general.distribution import (
    BoltzmannParams,
    conditional_logits,
    log_likelihood_exact,
)


class Estimator(NamedTuple):
    """How the gradient of the mean log p(v) is estimated.

    Attributes:
      init: (key, params, v [B, V]) -> what it carries from step to step.
      gradient: (key, params, v, carried, connections) -> the gradient, to be ascended; what it
        carries on; and scalars by name. The weight of a connection stands in two places, and so
        does its derivative, <x_i x_j> given the data minus <x_i x_j>.
    """

    init: Callable[[Array, BoltzmannParams, Array], Any]
    gradient: Callable[
        [Array, BoltzmannParams, Array, Any, np.ndarray],
        tuple[BoltzmannParams, Any, Mapping[str, Array]],
    ]


def exact() -> Estimator:
    """Returns the gradient itself, by enumeration.

    Raises:
      InputError: on the first step, if there are more than 20 units.
    """

    def gradient(key, params, v, carried, connections):
        def mean_log_likelihood(params):
            return jnp.mean(log_likelihood_exact(params, v))

        value, found = jax.value_and_grad(mean_log_likelihood)(params)
        return _shared(found, connections), carried, {"log_likelihood": value}

    return Estimator(lambda key, params, v: (), gradient)


def persistent(sweeps: int = 1, chains: int = 100, clamped_sweeps: int = 10) -> Estimator:
    """Returns the difference of two phases: hidden units given data, and free persistent chains.

    Args:
      sweeps: of the free chains, which go on from where the last step left them.
      chains: how many of them.
      clamped_sweeps: over the hidden units, for each example anew.

    Raises:
      InputError: if any of them is below 1.

    Reference:
      Ackley, Hinton and Sejnowski (1985): the two phases; Tieleman (2008), Training Restricted
      Boltzmann Machines using Approximations to the Likelihood Gradient: that chains persist.
    """
    require(COUNT, sweeps=sweeps, chains=chains, clamped_sweeps=clamped_sweeps)

    def gradient(key, params, v, carried, connections):
        clamped_key, key = jax.random.split(key)
        positive = clamped(clamped_key, params, v, clamped_sweeps, connections)
        negative = gibbs(key, params, carried, sweeps, blocks(connections))
        return contrast(params, positive, negative, v.shape[1], connections), negative, {}

    return Estimator(lambda key, params, v: start(key, params, chains), gradient)


def estimator(name: str, chains: int = 100, clamped_sweeps: int = 10) -> Estimator:
    """Returns an estimator by its usual name: exact, or pcd-k of k sweeps.

    Args:
      name: of the estimator.
      chains: as for `persistent`.
      clamped_sweeps: as for `persistent`.

    Raises:
      InputError: if the name is unknown, or as the estimator that it names.
    """
    return by_name(name, exact(), pcd=lambda sweeps: persistent(sweeps, chains, clamped_sweeps))


def contrast(
    params: BoltzmannParams,
    positive: Array,
    negative: Array,
    visible: int,
    connections: np.ndarray,
) -> BoltzmannParams:
    """The gradient of the mean log-likelihood where draws stand for both phases.

    Of two units the later one enters by its mean given all others, which is as right and varies
    less.

    Args:
      params: of N units.
      positive: [B, N], data and draws of the hidden units.
      negative: [C, N], draws of the model.
      visible: V.
      connections: bool [N, N].
    """

    def moments(x: Array, given: int) -> BoltzmannParams:
        means = jax.nn.sigmoid(conditional_logits(params, x))
        means = jnp.concatenate([x[:, :given], means[:, given:]], axis=1)
        return BoltzmannParams(jnp.triu(x.T @ means / x.shape[0], 1), jnp.mean(means, axis=0))

    difference = jax.tree.map(jnp.subtract, moments(positive, visible), moments(negative, 0))
    return _shared(difference, connections)


def _shared(gradient: BoltzmannParams, connections: np.ndarray) -> BoltzmannParams:
    """The derivatives by connections' weights, from those by a matrix's entries."""
    both = gradient.weights + gradient.weights.T
    return gradient._replace(weights=jnp.where(connections, both, 0))
