"""Markov chains of restricted Boltzmann machines: block Gibbs, and machines between two."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import COUNT, Array, InputError, require
from ae_jax.methods.boltzmann.energy import hidden_logits, visible_field
from ae_jax.methods.boltzmann.noise import uniforms
from ae_jax.methods.boltzmann.units import BERNOULLI, RBMParams, Units


class Clamp(NamedTuple):
    """Visible units that a chain leaves as they are."""

    values: Array  #: [B, V]
    where: Array  #: bool [V]


def gibbs(
    key: Array,
    params: RBMParams,
    v: Array,
    steps: int,
    units: Units = BERNOULLI,
    clamp: Clamp | None = None,
) -> tuple[Array, Array]:
    """Runs block Gibbs chains: `steps` times h ~ p(h | v), then v ~ p(v | h).

    Args:
      key: PRNG key.
      params: of V visible and H hidden units.
      v: [B, V], where the B independent chains start; values between 0 and 1 stand for
        probabilities.
      steps: at least 1.
      units: the kinds of units.
      clamp: what is given of v, for draws of the rest; the labels of images, say.

    Returns:
      The last v [B, V] and the h [B, H] it was drawn from. The pair is a draw of p(v, h) if
      v was one of p(v).

    Raises:
      InputError: if steps is below 1.
    """
    require(COUNT, steps=steps)
    if clamp is not None:
        v = jnp.where(clamp.where[None, :], clamp.values, v)
    if steps == 1:
        return _sweep(key, params, v, units, clamp)

    def step(pair: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], None]:
        return _sweep(key, params, pair[0], units, clamp), None

    h = jnp.zeros((v.shape[0], params.hidden_bias.size), v.dtype)
    return jax.lax.scan(step, (v, h), jax.random.split(key, steps))[0]


def clamped_means(
    key: Array, params: RBMParams, clamp: Clamp, sweeps: int, units: Units = BERNOULLI
) -> Array:
    """Means of visible units given some of them, by Gibbs sampling.

    Means given the hidden units vary less than draws; those of a chain's second half are averaged.

    Args:
      key: PRNG key.
      params: of V visible and H hidden units.
      clamp: what is given.
      sweeps: of the chains, which start from the means when all hidden units are off.
      units: the kinds of units.

    Returns:
      [B, V], those that are given as they are.

    Raises:
      InputError: if sweeps is below 1.
    """
    require(COUNT, sweeps=sweeps)

    def sweep(v: Array, key: Array) -> tuple[Array, Array]:
        v, h = _sweep(key, params, v, units, clamp)
        return v, units.visible.mean(params, visible_field(params, h))

    off = jnp.zeros((len(clamp.values), params.hidden_bias.size), clamp.values.dtype)
    start = units.visible.mean(params, visible_field(params, off))
    start = jnp.where(clamp.where[None, :], clamp.values, start)
    _, means = jax.lax.scan(sweep, start, jax.random.split(key, sweeps))
    found = jnp.mean(means[sweeps // 2 :], axis=0)
    return jnp.where(clamp.where[None, :], clamp.values, found)


def trajectory(
    key: Array, params: RBMParams, v: Array, times: Sequence[int], units: Units = BERNOULLI
) -> tuple[Array, Array]:
    """Runs block Gibbs chains and looks at them on the way.

    Args:
      key: PRNG key.
      params: of V visible and H hidden units.
      v: [B, V], where the B independent chains start.
      times: the numbers of steps, from 1, after which to look.
      units: the kinds of units.

    Returns:
      At each time v [T, B, V] and the h [T, B, H] it was drawn from.

    Raises:
      InputError: if there is no time, or one is below 1.
    """
    if not len(times) or min(times) < 1:
        raise InputError(f"times must be numbers of steps from 1, got {list(times)}")

    def step(v: Array, key: Array) -> tuple[Array, tuple[Array, Array]]:
        pair = _sweep(key, params, v, units, None)
        return pair[0], pair

    pairs = jax.lax.scan(step, v, jax.random.split(key, max(times)))[1]
    return jax.tree.map(lambda x: x[jnp.asarray(times) - 1], pairs)


def _sweep(
    key: Array, params: RBMParams, v: Array, units: Units, clamp: Clamp | None
) -> tuple[Array, Array]:
    logits = hidden_logits(params, v, units)
    for_hidden, for_visible = uniforms(key, v.dtype, logits.shape, v.shape)
    h = units.hidden.draw(for_hidden, logits)
    v = units.visible.draw(for_visible, params, visible_field(params, h))
    if clamp is not None:
        v = jnp.where(clamp.where[None, :], clamp.values, v)
    return v, h


def base_of(params: RBMParams, v: Array, units: Units = BERNOULLI) -> RBMParams:
    """Returns the machine of independent units that has the data's marginals.

    Args:
      params: whose shape it has.
      v: [B, V], data.
      units: the kinds of units.

    Reference:
      Salakhutdinov and Murray (2008), On the Quantitative Analysis of Deep Belief Networks:
      the base-rate model.
    """
    bias, log_variance = units.visible.fit(v)
    return RBMParams(
        jnp.zeros_like(params.weights), bias, jnp.zeros_like(params.hidden_bias), log_variance
    )


def between(params: RBMParams, base: RBMParams, beta: Array) -> RBMParams:
    """Returns the machine of the energy (1 - beta) E_base + beta E, up to a constant.

    Args:
      params: of V visible and H hidden units.
      base: independent units, from `base_of`.
      beta: scalar in [0, 1], the inverse temperature.
    """
    part = visible_part(params, base, beta)
    log_variance = None
    if params.log_variance is not None:  # precisions add up
        own, other = (jnp.exp(-machine.log_variance) for machine in (params, base))
        log_variance = -jnp.log(beta * own + (1 - beta) * other)
    return RBMParams(
        part[:, None] * params.weights,
        part * params.visible_bias + (1 - part) * base.visible_bias,
        beta * params.hidden_bias,
        log_variance,
    )


def visible_part(params: RBMParams, base: RBMParams, beta: Array) -> Array:
    """Returns what part of each visible unit's field comes from `params` in the machine between.

    Returns:
      [V]: beta, or for Gaussian units that part of the precision.
    """
    if params.log_variance is None:
        return jnp.broadcast_to(beta, params.visible_bias.shape)
    own = beta * jnp.exp(-params.log_variance)
    return own / (own + (1 - beta) * jnp.exp(-base.log_variance))


def log_mass(
    params: RBMParams,
    base: RBMParams,
    beta: Array,
    v: Array,
    logits: Array,
    units: Units = BERNOULLI,
) -> Array:
    """Log of the unnormalised p(v) of the machine between two, without a matrix product.

    Args:
      params: of V visible and H hidden units.
      base: as for `between`.
      beta: scalar in [0, 1].
      v: [B, V].
      logits: `hidden_logits(params, v, units)`, [B, H].
      units: the kinds of units.

    Returns:
      [B], nats: minus the free energy of v in `between(params, base, beta)`.
    """
    return units.visible.log_base(between(params, base, beta), v) + units.hidden.log_sum(
        beta * logits
    )


def swap(
    key: Array,
    params: RBMParams,
    base: RBMParams,
    betas: Array,
    v: Array,
    odd: Array,
    units: Units = BERNOULLI,
) -> tuple[Array, Array]:
    """Lets machines at neighbouring temperatures swap states: t with t + 1, for even or odd t.

    With probability min(1, p_t(v_(t+1)) p_(t+1)(v_t) / (p_t(v_t) p_(t+1)(v_(t+1)))), which
    leaves the product of their distributions as it is.

    Args:
      key: PRNG key.
      params: of V visible and H hidden units.
      base: as for `between`.
      betas: [T], the inverse temperatures.
      v: [T, N, V], a state at each temperature for each of N ladders.
      odd: 0 or 1: whether t is even or odd.
      units: the kinds of units.

    Returns:
      [T, N, V], and the share of ladders that swapped, [T - 1]; NaN where it was not their turn.
    """
    count, ladders = v.shape[:2]
    logits = jax.vmap(lambda v: hidden_logits(params, v, units))(v)
    mass = jax.vmap(lambda beta, v, logits: log_mass(params, base, beta, v, logits, units))
    gain = (
        mass(betas[:-1], v[1:], logits[1:])
        + mass(betas[1:], v[:-1], logits[:-1])
        - mass(betas[:-1], v[:-1], logits[:-1])
        - mass(betas[1:], v[1:], logits[1:])
    )  # [T - 1, N]
    turn = jnp.arange(count - 1) % 2 == odd
    uniform = jax.random.uniform(key, (count - 1, ladders), v.dtype)
    accepted = (jnp.log(uniform) < gain) & turn[:, None]
    none = jnp.zeros((1, ladders), bool)
    takes_next = jnp.concatenate([accepted, none])[..., None]
    takes_last = jnp.concatenate([none, accepted])[..., None]
    swapped = jnp.where(takes_next, jnp.roll(v, -1, axis=0), v)
    swapped = jnp.where(takes_last, jnp.roll(v, 1, axis=0), swapped)
    return swapped, jnp.where(turn, jnp.mean(accepted, axis=1, dtype=v.dtype), jnp.nan)
