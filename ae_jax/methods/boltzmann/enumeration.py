"""What is exact of a restricted machine, by visiting every state of its smaller side."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.methods.boltzmann.energy import free_energy, hidden_free_energy, visible_field
from ae_jax.methods.boltzmann.noise import uniforms
from ae_jax.methods.boltzmann.units import BERNOULLI, RBMParams, Units

#: The most units whose 2^n states are visited.
MOST_ENUMERATED = 20


class Enumeration(NamedTuple):
    """All states of one side, in blocks."""

    visible: bool  #: whether they are those of the visible side
    blocks: int
    size: int  #: of a block
    units: int


def enumerable(params: RBMParams, units: Units = BERNOULLI) -> bool:
    """Whether the partition function can be had exactly."""
    return _smaller(params, units) is not None


def log_partition_exact(params: RBMParams, units: Units = BERNOULLI) -> Array:
    """Log of the partition function, by visiting every state of the smaller side.

    Args:
      params: of which one side has at most 20 units, zeros and ones.
      units: the kinds of units.

    Returns:
      A scalar, nats; differentiable.

    Raises:
      InputError: if no side can be enumerated.
    """
    plan = _plan(params, units)

    def log_sum(block: Array) -> Array:
        return jax.nn.logsumexp(_log_masses(params, units, plan, block)[1])

    return jax.nn.logsumexp(jax.lax.map(log_sum, jnp.arange(plan.blocks, dtype=jnp.uint32)))


def draw_exact(key: Array, params: RBMParams, count: int, units: Units = BERNOULLI) -> Array:
    """Independent draws of p(v), by visiting every state of the smaller side.

    Args:
      key: PRNG key.
      params: of which one side has at most 20 units, zeros and ones.
      count: how many.
      units: the kinds of units.

    Returns:
      [count, V].

    Raises:
      InputError: if no side can be enumerated.
    """
    plan = _plan(params, units)
    blocks = jnp.arange(plan.blocks, dtype=jnp.uint32)
    masses = jax.lax.map(lambda block: _log_masses(params, units, plan, block)[1], blocks)
    state_key, visible_key = jax.random.split(key)
    drawn = jax.random.categorical(state_key, masses.reshape(-1), shape=(count,))
    states = states_of(drawn.astype(jnp.uint32), plan.units, params.weights.dtype)
    if plan.visible:
        return states
    field = visible_field(params, states)
    (uniform,) = uniforms(visible_key, field.dtype, field.shape)
    return units.visible.draw(uniform, params, field)


def _plan(params: RBMParams, units: Units) -> Enumeration:
    plan = _smaller(params, units)
    if plan is None:
        visible, hidden = params.weights.shape
        raise InputError(
            f"an exact partition function needs a side of at most {MOST_ENUMERATED} Bernoulli "
            f"units, got {visible} visible and {hidden} hidden ones"
        )
    return plan


def _smaller(params: RBMParams, units: Units) -> Enumeration | None:
    visible, hidden = params.weights.shape
    sides = [(visible, True)] * units.visible.enumerable + [(hidden, False)] * (
        units.hidden.enumerable
    )
    size, side = min(sides, default=(MOST_ENUMERATED + 1, True))
    if size > MOST_ENUMERATED:
        return None
    block = min(size, 10)
    return Enumeration(side, 2 ** (size - block), 2**block, size)


def _log_masses(
    params: RBMParams, units: Units, plan: Enumeration, block: Array
) -> tuple[Array, Array]:
    """The states of one block, and the logs of their unnormalised probabilities."""
    numbers = block * jnp.uint32(plan.size) + jnp.arange(plan.size, dtype=jnp.uint32)
    states = states_of(numbers, plan.units, params.weights.dtype)
    other = free_energy if plan.visible else hidden_free_energy
    return states, -other(params, states, units)


def states_of(numbers: Array, units: int, dtype: jnp.dtype) -> Array:
    """Returns the states of some numbers, unit i as the i-th binary digit: [B] -> [B, units]."""
    digits = jnp.arange(units, dtype=jnp.uint32)
    return (numbers[:, None] >> digits[None, :] & jnp.uint32(1)).astype(dtype)
