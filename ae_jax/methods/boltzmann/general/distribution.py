"""General Boltzmann machines, whose units may all be connected: p(x) = exp(-E(x)) / Z.

E(x) = -x.W.x / 2 - b.x over zeros and ones, with W symmetric and zero on its diagonal. The visible
units come first: x = (v, h). What is exact visits every state.

Reference: Ackley, Hinton and Sejnowski (1985), A Learning Algorithm for Boltzmann Machines.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.methods.boltzmann.enumeration import MOST_ENUMERATED, states_of
from ae_jax.methods.boltzmann.units import RBMParams


class BoltzmannParams(NamedTuple):
    """Parameters of the energy of N units."""

    weights: Array  #: [N, N], symmetric, 0 on the diagonal
    bias: Array  #: [N]


#: (V, H) -> bool [V + H, V + H], symmetric: which units are connected.
Connections = Callable[[int, int], np.ndarray]


def full(visible: int, hidden: int) -> np.ndarray:
    """Connects every unit with every other."""
    return ~np.eye(visible + hidden, dtype=bool)


def restricted(visible: int, hidden: int) -> np.ndarray:
    """Connects visible with hidden units alone."""
    side = np.arange(visible + hidden) < visible
    return side[:, None] != side[None, :]


def semi_restricted(visible: int, hidden: int) -> np.ndarray:
    """Connects all but hidden with hidden units.

    Reference:
      Osindero and Hinton (2008), Modeling Image Patches with a Directed Hierarchy of Markov Random
      Fields.
    """
    side = np.arange(visible + hidden) < visible
    return full(visible, hidden) & (side[:, None] | side[None, :])


def of_rbm(params: RBMParams) -> BoltzmannParams:
    """Returns the restricted machine of zeros and ones as a general one."""
    (visible, hidden), dtype = params.weights.shape, params.weights.dtype
    weights = jnp.block(
        [
            [jnp.zeros((visible, visible), dtype), params.weights],
            [params.weights.T, jnp.zeros((hidden, hidden), dtype)],
        ]
    )
    return BoltzmannParams(weights, jnp.concatenate([params.visible_bias, params.hidden_bias]))


def energy(params: BoltzmannParams, x: Array) -> Array:
    """Energy of states of all units: [B, N] -> [B], nats."""
    with jax.default_matmul_precision("highest"):
        return -0.5 * jnp.sum(x @ params.weights * x, axis=-1) - x @ params.bias


def conditional_logits(params: BoltzmannParams, x: Array) -> Array:
    """Log-odds of each unit given all others: [B, N] -> [B, N]."""
    return x @ params.weights + params.bias[None, :]


def free_energy(params: BoltzmannParams, v: Array) -> Array:
    """Minus log of the sum of exp(-energy) over all hidden states: [B, V] -> [B], nats.

    Raises:
      InputError: if there are more than 20 hidden units.
    """
    return -jax.nn.logsumexp(_log_masses(params, v)[1], axis=1)


def hidden_mean(params: BoltzmannParams, v: Array) -> Array:
    """E[h | v]: [B, V] -> [B, H].

    Raises:
      InputError: if there are more than 20 hidden units.
    """
    h, masses = _log_masses(params, v)
    return jax.nn.softmax(masses, axis=1) @ h


def log_partition_exact(params: BoltzmannParams) -> Array:
    """Log of the partition function, a scalar, nats; differentiable.

    Raises:
      InputError: if there are more than 20 units.
    """
    return jax.nn.logsumexp(-free_energy(params, _half(params)))


def log_likelihood_exact(params: BoltzmannParams, v: Array) -> Array:
    """Log p(v): [B, V] -> [B], nats.

    Raises:
      InputError: if there are more than 20 units.
    """
    return -free_energy(params, v) - log_partition_exact(params)


def draw_exact(key: Array, params: BoltzmannParams, count: int) -> Array:
    """Independent draws of p(x), [count, N]: first of half of the units, then of the rest.

    Raises:
      InputError: if there are more than 20 units.
    """
    first_key, key = jax.random.split(key)
    half = _half(params)
    drawn = jax.random.categorical(first_key, -free_energy(params, half), shape=(count,))
    first = half[drawn]
    rest, masses = _log_masses(params, first)
    return jnp.concatenate([first, rest[jax.random.categorical(key, masses)]], axis=1)


def probabilities(params: BoltzmannParams) -> Array:
    """p(x) of all states, [2^N]: unit i of a state is the i-th binary digit of its number.

    Raises:
      InputError: if there are more than 20 units.
    """
    return jax.nn.softmax(-energy(params, every_state(params.bias.size, params.bias.dtype)))


def every_state(units: int, dtype: jnp.dtype) -> Array:
    """All states of some units, [2^units, units]."""
    if units > MOST_ENUMERATED:
        raise InputError(f"at most {MOST_ENUMERATED} units can be enumerated, got {units}")
    return states_of(jnp.arange(2**units, dtype=jnp.uint32), units, dtype)


def _half(params: BoltzmannParams) -> Array:
    """All states of the first half of the units."""
    if params.bias.size > MOST_ENUMERATED:
        raise InputError(
            f"a general Boltzmann machine of at most {MOST_ENUMERATED} units has an exact "
            f"partition function, got {params.bias.size}"
        )
    return every_state(params.bias.size // 2, params.bias.dtype)


def _log_masses(params: BoltzmannParams, first: Array) -> tuple[Array, Array]:
    """All states of the units after the first ones, [2^R, R], and minus energies [B, 2^R]."""
    count, size = first.shape[1], params.bias.size
    rest = every_state(size - count, params.bias.dtype)
    weights, bias = params
    of_first = energy(BoltzmannParams(weights[:count, :count], bias[:count]), first)
    of_rest = energy(BoltzmannParams(weights[count:, count:], bias[count:]), rest)
    with jax.default_matmul_precision("highest"):
        between = first @ weights[:count, count:] @ rest.T
    return rest, between - of_first[:, None] - of_rest[None, :]
