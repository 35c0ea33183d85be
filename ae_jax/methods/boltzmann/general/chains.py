"""Gibbs chains of general Boltzmann machines, and how their distribution moves."""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array
from ae_jax.methods.boltzmann.general.distribution import (
    BoltzmannParams,
    conditional_logits,
    every_state,
)
from ae_jax.methods.boltzmann.noise import uniforms
from ae_jax.methods.boltzmann.units import BERNOULLI


def start(key: Array, params: BoltzmannParams, chains: int) -> Array:
    """Draws where chains start: independent units with their biases, [chains, N]."""
    logits = jnp.broadcast_to(params.bias[None, :], (chains, params.bias.size))
    (uniform,) = uniforms(key, logits.dtype, logits.shape)
    return BERNOULLI.hidden.draw(uniform, logits)


def blocks(connections: np.ndarray, free: Sequence[int] | None = None) -> list[np.ndarray]:
    """Parts the units into blocks without connections, each of which is drawn at once.

    Each unit joins the first block that it can: N blocks of one unit if all are connected, 2 if
    only visible with hidden units are.

    Args:
      connections: bool [N, N].
      free: the units that are drawn, in this order; by default all. The others are clamped.

    Returns:
      Tables, int [blocks, units]: one for each run of blocks of one size.

    Reference:
      Gonzalez, Low, Gretton and Guestrin (2011), Parallel Gibbs Sampling: From Colored Fields to
      Thin Junction Trees: the chromatic sampler.
    """
    found: list[list[int]] = []
    for unit in range(len(connections)) if free is None else free:
        fitting = (block for block in found if not connections[unit, block].any())
        block = next(fitting, None)
        if block is None:
            found.append([unit])
        else:
            block.append(unit)
    return [np.array(list(run)) for _, run in itertools.groupby(found, len)]


def gibbs(
    key: Array,
    params: BoltzmannParams,
    x: Array,
    sweeps: int,
    blocks: Sequence[np.ndarray],
    *,
    random_order: bool = False,
) -> Array:
    """Runs Gibbs chains: block after block is drawn given all other units.

    Args:
      key: PRNG key.
      params: of N units.
      x: [B, N], where the B independent chains start.
      sweeps: over all blocks.
      blocks: from `blocks`; units that are in none stay as they are.
      random_order: whether each sweep visits the blocks of a table in an order of its own.

    Returns:
      The last states, [B, N].
    """
    if not blocks:
        return x
    sizes = [(*table.shape, x.shape[0]) for table in blocks]

    def draw(columns: Array, given: tuple) -> tuple[Array, None]:
        block, weights, bias, uniform = given
        drawn = BERNOULLI.hidden.draw(uniform, weights @ columns + bias[:, None])
        return columns.at[block].set(drawn), None

    def sweep(columns: Array, key: Array) -> tuple[Array, None]:
        order_key = None
        if random_order:
            order_key, key = jax.random.split(key)
        for place, uniform in enumerate(uniforms(key, x.dtype, *sizes)):
            table = jnp.asarray(blocks[place])
            if random_order:
                table = jax.random.permutation(jax.random.fold_in(order_key, place), table)
            given = (table, params.weights[table], params.bias[table], uniform)
            columns = jax.lax.scan(draw, columns, given)[0]
        return columns, None

    return jax.lax.scan(sweep, x.T, jax.random.split(key, sweeps))[0].T


def clamped(
    key: Array, params: BoltzmannParams, v: Array, sweeps: int, connections: np.ndarray
) -> Array:
    """Draws the hidden units while v is clamped, by Gibbs chains.

    They start at draws that leave connections among hidden units out.

    Args:
      key: PRNG key.
      params: of N units.
      v: [B, V].
      sweeps: over the hidden units.
      connections: bool [N, N].

    Returns:
      (v, h), [B, N].
    """
    first_key, key = jax.random.split(key)
    visible, size = v.shape[1], params.bias.size
    logits = v @ params.weights[:visible, visible:] + params.bias[None, visible:]
    (uniform,) = uniforms(first_key, v.dtype, logits.shape)
    x = jnp.concatenate([v, BERNOULLI.hidden.draw(uniform, logits)], axis=1)
    return gibbs(key, params, x, sweeps, blocks(connections, range(visible, size)))


def propagate(params: BoltzmannParams, start: Array, sweeps: int | Array) -> Array:
    """The distribution of a Gibbs chain's state after some sweeps, without drawing.

    Units are visited in turn, as `gibbs` does where the blocks hold them in their order: those of
    `full`, `restricted` and `semi_restricted` do.

    Args:
      params: of N units.
      start: [2^N], probabilities in the order of `probabilities`.
      sweeps: over all units; may be traced.

    Returns:
      [2^N].

    Raises:
      InputError: if there are more than 20 units.
    """
    size = params.bias.size
    every = every_state(size, params.bias.dtype)
    own = jax.nn.sigmoid((2 * every - 1) * conditional_logits(params, every))
    kept = [own[:, i].reshape(2 ** (size - 1 - i), 2, 2**i) for i in range(size)]

    def sweep(_: Array, p: Array) -> Array:
        for conditional in kept:
            either = p.reshape(conditional.shape)
            p = (either[:, :1] + either[:, 1:]) * conditional
        return p.reshape(-1)

    return jax.lax.fori_loop(0, sweeps, sweep, start)
