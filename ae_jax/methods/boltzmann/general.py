"""General Boltzmann machines, whose units may all be connected: p(x) = exp(-E(x)) / Z.

E(x) = -x.W.x / 2 - b.x over zeros and ones, with W symmetric and zero on its diagonal. The visible
units come first: x = (v, h). What is exact visits every state.

Reference: Ackley, Hinton and Sejnowski (1985), A Learning Algorithm for Boltzmann Machines.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.methods.boltzmann.energy import MOST_ENUMERATED, states_of
from ae_jax.methods.boltzmann.noise import uniforms
from ae_jax.methods.boltzmann.units import BERNOULLI, RBMParams


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
    return jax.nn.softmax(-energy(params, _every(params.bias.size, params.bias.dtype)))


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
    every = _every(size, params.bias.dtype)
    own = jax.nn.sigmoid((2 * every - 1) * conditional_logits(params, every))
    kept = [own[:, i].reshape(2 ** (size - 1 - i), 2, 2**i) for i in range(size)]

    def sweep(_: Array, p: Array) -> Array:
        for conditional in kept:
            either = p.reshape(conditional.shape)
            p = (either[:, :1] + either[:, 1:]) * conditional
        return p.reshape(-1)

    return jax.lax.fori_loop(0, sweeps, sweep, start)


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
    if min(sweeps, chains, clamped_sweeps) < 1:
        raise InputError(
            f"chains need a sweep: sweeps={sweeps}, chains={chains}, "
            f"clamped_sweeps={clamped_sweeps}"
        )

    def gradient(key, params, v, carried, connections):
        clamped_key, key = jax.random.split(key)
        positive = clamped(clamped_key, params, v, clamped_sweeps, connections)
        negative = gibbs(key, params, carried, sweeps, blocks(connections))
        return contrast(params, positive, negative, v.shape[1], connections), negative, {}

    return Estimator(lambda key, params, v: start(key, params, chains), gradient)


def start(key: Array, params: BoltzmannParams, chains: int) -> Array:
    """Draws where chains start: independent units with their biases, [chains, N]."""
    logits = jnp.broadcast_to(params.bias[None, :], (chains, params.bias.size))
    (uniform,) = uniforms(key, logits.dtype, logits.shape)
    return BERNOULLI.hidden.draw(uniform, logits)


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


def _every(units: int, dtype: jnp.dtype) -> Array:
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
    return _every(params.bias.size // 2, params.bias.dtype)


def _log_masses(params: BoltzmannParams, first: Array) -> tuple[Array, Array]:
    """All states of the units after the first ones, [2^R, R], and minus energies [B, 2^R]."""
    count, size = first.shape[1], params.bias.size
    rest = _every(size - count, params.bias.dtype)
    weights, bias = params
    of_first = energy(BoltzmannParams(weights[:count, :count], bias[:count]), first)
    of_rest = energy(BoltzmannParams(weights[count:, count:], bias[count:]), rest)
    with jax.default_matmul_precision("highest"):
        between = first @ weights[:count, count:] @ rest.T
    return rest, between - of_first[:, None] - of_rest[None, :]
