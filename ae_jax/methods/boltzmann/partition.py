"""Partition functions by annealed importance sampling, from both ends.

Machines of inverse temperatures 0 = beta_0 < ... < beta_K = 1 lead from independent units, whose
partition function is known, to the model. Going up gives a weight whose mean is Z: by Jensen's
inequality its log is too low on average. Going down from the model gives one whose mean is 1 / Z:
too high. They are reported together, because either alone looks good when it is wrong.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import COUNT, Array, InputError, require
from ae_jax.methods.boltzmann.energy import (
    free_energy,
    hidden_logits,
    visible_field,
)
from ae_jax.methods.boltzmann.noise import uniforms
from ae_jax.methods.boltzmann.sampling import between, log_mass, visible_part
from ae_jax.methods.boltzmann.units import BERNOULLI, RBMParams, Units

#: Standard errors to either side of a mean that hold it 95 times of 100.
_NORMAL_95 = 1.959964


class PartitionEstimate(NamedTuple):
    """An estimate of log Z from N chains, nats.

    The interval is that of the weights' mean, +- 1.96 standard errors, on a logarithmic scale.
    It knows of the chains that were run and nothing of those that would have mattered: a mode
    that no chain found is in no interval. One chain has no standard error: it is infinite.
    """

    log_partition: Array
    #: -inf (for reverse AIS: `high` is inf) where the standard error is too large; both are
    #: infinite for one chain.
    low: Array
    high: Array
    effective_sample_size: Array  #: (sum w)^2 / sum w^2, from 1 to N
    log_weights: Array  #: [N]


def log_partition_ais(
    key: Array,
    params: RBMParams,
    base: RBMParams,
    *,
    chains: int = 100,
    temperatures: int = 1000,
    units: Units = BERNOULLI,
) -> PartitionEstimate:
    """Estimates log Z from below (on average) by annealed importance sampling.

    Args:
      key: PRNG key.
      params: of V visible and H hidden units.
      base: independent units to start from, `base_of` the data: uniform ones are worse.
      chains: N.
      temperatures: K, evenly spaced; twice as many halve the bias, roughly.
      units: the kinds of units.

    Raises:
      InputError: if chains or temperatures is below 1.

    Reference:
      Salakhutdinov and Murray (2008), On the Quantitative Analysis of Deep Belief Networks.
    """
    check_annealing(chains, temperatures)
    dtype = params.weights.dtype
    betas = jnp.linspace(0, 1, temperatures + 1, dtype=dtype)
    start = jnp.zeros((chains, params.visible_bias.size), dtype)  # forgotten at beta_0
    weights = log_partition_base(base, units) + _anneal(key, params, base, start, betas, units)
    return _estimate(weights, 1)


def log_partition_reverse_ais(
    key: Array,
    params: RBMParams,
    base: RBMParams,
    v: Array,
    *,
    temperatures: int = 1000,
    units: Units = BERNOULLI,
) -> PartitionEstimate:
    """Estimates log Z from above (on average), by annealing draws of the model away.

    Args:
      key: PRNG key.
      params: of V visible and H hidden units.
      base: as for `log_partition_ais`.
      v: [N, V], draws of the model. Where they come from a chain that has not mixed the
        estimate may be too low after all.
      temperatures: K, evenly spaced.
      units: the kinds of units.

    Raises:
      InputError: if there is no draw, or temperatures is below 1.

    Reference:
      Grosse, Ghahramani and Adams (2015), Sandwiching the marginal likelihood using
      bidirectional Monte Carlo.
    """
    require(COUNT, temperatures=temperatures)
    if not len(v):
        raise InputError("v holds no draw of the model: give at least one")
    betas = jnp.linspace(1, 0, temperatures + 1, dtype=params.weights.dtype)
    weights = _anneal(key, params, base, v, betas, units) - log_partition_base(base, units)
    return _estimate(weights, -1)


def log_likelihood_reverse_ais(
    key: Array,
    params: RBMParams,
    base: RBMParams,
    v: Array,
    *,
    temperatures: int = 1000,
    units: Units = BERNOULLI,
) -> Array:
    """Estimates log p(v) from below (on average), by annealing the data themselves away.

    Each example's p is estimated without bias under the model that annealing from the base
    would draw from, which K temperatures bring close to the machine.

    Args:
      key: PRNG key.
      params: of V visible and H hidden units.
      base: as for `log_partition_ais`.
      v: [B, V].
      temperatures: K, evenly spaced.
      units: the kinds of units.

    Returns:
      [B], nats.

    Raises:
      InputError: if temperatures is below 1.

    Reference:
      Burda, Grosse and Salakhutdinov (2015), Accurate and Conservative Estimates of MRF
      Log-likelihood using Reverse Annealing.
    """
    require(COUNT, temperatures=temperatures)
    betas = jnp.linspace(1, 0, temperatures + 1, dtype=params.weights.dtype)
    weights = _anneal(key, params, base, v, betas, units)
    return weights - free_energy(params, v, units) - log_partition_base(base, units)


def log_partition_base(base: RBMParams, units: Units = BERNOULLI) -> Array:
    """Log of the partition function of independent units, a scalar."""
    visible = jnp.zeros((1, base.visible_bias.size), base.visible_bias.dtype)
    hidden = jnp.zeros((1, base.hidden_bias.size), base.hidden_bias.dtype)
    return (units.visible.log_sum(base, visible) + units.hidden.log_sum(hidden))[0]


def _anneal(
    key: Array, params: RBMParams, base: RBMParams, v: Array, betas: Array, units: Units
) -> Array:
    """Takes chains through the machines at betas, each by one step of Gibbs sampling.

    Returns:
      The sum over k of log p_(k + 1)(v_k) - log p_k(v_k), unnormalised, where v_k is what the
      step at beta_k gave: [N].
    """

    def sweep(key: Array, beta: Array, logits: Array) -> Array:
        for_hidden, for_visible = uniforms(key, v.dtype, logits.shape, v.shape)
        h = units.hidden.draw(for_hidden, beta * logits)
        # as visible_field of the machine between, whose weights are never written down
        field = visible_part(params, base, beta)[None, :] * visible_field(params, h)
        return units.visible.draw(for_visible, between(params, base, beta), field)

    def step(carry: tuple[Array, Array], now: tuple) -> tuple[tuple[Array, Array], None]:
        v, total = carry
        key, beta, after = now
        logits = hidden_logits(params, v, units)  # serves both masses and the next step
        total = total + log_mass(params, base, after, v, logits, units)
        total = total - log_mass(params, base, beta, v, logits, units)
        return (sweep(key, after, logits), total), None

    with jax.default_matmul_precision("highest"):
        keys = jax.random.split(key, len(betas))
        v = sweep(keys[0], betas[0], hidden_logits(params, v, units))
        carry = (v, jnp.zeros(v.shape[0], v.dtype))
        return jax.lax.scan(step, carry, (keys[1:], betas[:-1], betas[1:]))[0][1]


def _estimate(log_weights: Array, sign: int) -> PartitionEstimate:
    """Log of the mean weight, of Z (sign 1) or of 1 / Z (sign -1)."""
    top = jnp.max(log_weights)
    weights = jnp.exp(log_weights - top)
    mean = jnp.mean(weights)
    error = standard_error(weights)
    ends = [
        jnp.log(jnp.maximum(mean + side * _NORMAL_95 * error, 0)) + top for side in (-sign, sign)
    ]
    return PartitionEstimate(
        sign * (jnp.log(mean) + top),
        sign * ends[0],
        sign * ends[1],
        jnp.sum(weights) ** 2 / jnp.sum(weights**2),
        log_weights,
    )


def standard_error(x: Array) -> Array:
    """Of the mean over [N]: infinite for one."""
    if len(x) < 2:
        return jnp.full((), jnp.inf, x.dtype)
    return jnp.std(x) / math.sqrt(len(x) - 1)


def check_annealing(chains: int, temperatures: int) -> None:
    """Raises InputError for what no annealing can use: before a training, too."""
    require(COUNT, chains=chains, temperatures=temperatures)
