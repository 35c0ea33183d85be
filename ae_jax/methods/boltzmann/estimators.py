"""Estimators of the log-likelihood's gradient: exact, or by chains that stand for the model.

d log p(v) / d theta = -dF(v) / d theta + sum_v' p(v') dF(v') / d theta
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import (
    BELOW_ONE,
    COUNT,
    NOT_NEGATIVE,
    Array,
    Domain,
    HParams,
    InputError,
    require,
    traced,
)
from ae_jax.methods.boltzmann.energy import (
    energy,
    free_energy,
    hidden_logits,
)
from ae_jax.methods.boltzmann.enumeration import log_partition_exact
from ae_jax.methods.boltzmann.noise import uniforms
from ae_jax.methods.boltzmann.sampling import base_of, between, gibbs, swap
from ae_jax.methods.boltzmann.units import RBMParams, Units

Info = Mapping[str, Array]


class Estimator(NamedTuple):
    """How the gradient of the mean log p(v) is estimated.

    Attributes:
      init: (key, params, v [B, V], units) -> what it carries from step to step.
      gradient: (key, params, v, carried, hparams, units) -> the gradient, to be ascended; what
        it carries on; and scalars by name.
      hparams: traced numbers of its own, and their defaults.
      domains: the values that each of them may take.
    """

    init: Callable[[Array, RBMParams, Array, Units], Any]
    gradient: Callable[[Array, RBMParams, Array, Any, HParams, Units], tuple[RBMParams, Any, Info]]
    hparams: Mapping[str, float] = {}
    domains: Mapping[str, Domain] = {}


class Fast(NamedTuple):
    """What fast persistent contrastive divergence carries."""

    chains: Array  #: [N, V]
    weights: RBMParams  #: what is added to the parameters


class Tempered(NamedTuple):
    """What parallel tempering carries."""

    chains: Array  #: [T, N, V], from inverse temperature 0 to 1
    base: RBMParams  #: the machine at 0
    #: [T - 1], how often neighbours have swapped of late
    swap_rates: Array
    odd: Array  #: which neighbours swap next


def exact() -> Estimator:
    """Returns the gradient itself, by enumeration.

    Raises:
      InputError: on the first step, if no side has at most 20 units of zeros and ones.
    """

    def gradient(key, params, v, carried, hparams, units):
        def mean_log_likelihood(params):
            return -jnp.mean(free_energy(params, v, units)) - log_partition_exact(params, units)

        value, found = jax.value_and_grad(mean_log_likelihood)(params)
        return found, carried, {"log_likelihood": value}

    return Estimator(lambda key, params, v, units: (), gradient)


def contrastive_divergence(steps: int = 1, *, statistics: str = "mean") -> Estimator:
    """Returns CD-k: chains of k steps that start at the data.

    Args:
      steps: k, at least 1.
      statistics: of the hidden units: their `mean` given the visible ones, or a `sample`.

    Raises:
      InputError: if steps is below 1, or statistics unknown.

    Reference:
      Hinton (2002), Training Products of Experts by Minimizing Contrastive Divergence.
    """
    check(steps, statistics=statistics)

    def gradient(key, params, v, carried, hparams, units):
        chain_key, key = jax.random.split(key)
        end = gibbs(chain_key, params, v, steps, units)[0]
        return contrast(key, params, v, end, units, statistics), carried, {}

    return Estimator(lambda key, params, v, units: (), gradient)


def persistent(steps: int = 1, chains: int = 100, *, statistics: str = "mean") -> Estimator:
    """Returns PCD: chains that go on from where the last step left them.

    Args:
      steps: of the chains for each of the parameters'.
      chains: how many.
      statistics: as for `contrastive_divergence`.

    Raises:
      InputError: if steps or chains is below 1, or statistics unknown.

    Reference:
      Tieleman (2008), Training Restricted Boltzmann Machines using Approximations to the
      Likelihood Gradient.
    """
    check(steps, chains, statistics)

    def gradient(key, params, v, carried, hparams, units):
        chain_key, key = jax.random.split(key)
        end = gibbs(chain_key, params, carried, steps, units)[0]
        return contrast(key, params, v, end, units, statistics), end, {}

    return Estimator(lambda *args: start(*args, chains), gradient)


def fast_persistent(
    steps: int = 1,
    chains: int = 100,
    *,
    statistics: str = "mean",
    decay: float = 0.95,
    learning_rate: float = 0.05,
) -> Estimator:
    """Returns FPCD: persistent chains of a machine that flees from where they are.

    Args:
      steps: of the chains for each of the parameters'.
      chains: how many.
      statistics: as for `contrastive_divergence`.
      decay: of the fast weights: what is kept of them in a step.
      learning_rate: of the fast weights, the traced hyperparameter `fast_learning_rate`.

    Raises:
      InputError: if steps or chains is below 1, decay outside 0 to 1, or statistics unknown.

    Reference:
      Tieleman and Hinton (2009), Using Fast Weights to Improve Persistent Contrastive
      Divergence.
    """
    check(steps, chains, statistics)
    require(BELOW_ONE, decay=decay)

    def init(key: Array, params: RBMParams, v: Array, units: Units) -> Fast:
        return Fast(start(key, params, v, units, chains), jax.tree.map(jnp.zeros_like, params))

    def gradient(key, params, v, carried, hparams, units):
        chain_key, key = jax.random.split(key)
        moved = jax.tree.map(jnp.add, params, carried.weights)
        end = gibbs(chain_key, moved, carried.chains, steps, units)[0]
        found = contrast(key, params, v, end, units, statistics)
        fast = jax.tree.map(
            lambda w, g: decay * w + jnp.asarray(hparams["fast_learning_rate"], g.dtype) * g,
            carried.weights,
            found,
        )
        return found, Fast(end, fast), {}

    return Estimator(init, gradient, **traced(fast_learning_rate=(learning_rate, NOT_NEGATIVE)))


def parallel_tempering(
    steps: int = 1, chains: int = 20, temperatures: int = 10, *, statistics: str = "mean"
) -> Estimator:
    """Returns PT: persistent chains at several temperatures that swap their states.

    The hottest machine has independent units with the marginals of the first batch, the coldest
    is the model. After `steps` of Gibbs at each temperature neighbours swap, even and odd pairs
    by turns; the share that does is reported as `swap_rate`, that of the worst pair as
    `least_swap_rate`.

    Args:
      steps: of the chains for each of the parameters'.
      chains: at each temperature.
      temperatures: how many, evenly spaced in 1 / temperature.
      statistics: as for `contrastive_divergence`.

    Raises:
      InputError: if steps or chains is below 1, temperatures below 2, or statistics unknown.

    Reference:
      Desjardins et al. (2010), Parallel Tempering for Training of Restricted Boltzmann
      Machines; Cho, Raiko and Ilin (2010), Parallel Tempering is Efficient for Learning
      Restricted Boltzmann Machines.
    """
    check(steps, chains, statistics)
    require(Domain(2, whole=True), temperatures=temperatures)

    def init(key: Array, params: RBMParams, v: Array, units: Units) -> Tempered:
        drawn = start(key, params, v, units, temperatures * chains)
        ladder = drawn.reshape(temperatures, chains, -1)
        rates = jnp.ones(temperatures - 1, v.dtype)
        return Tempered(ladder, base_of(params, v, units), rates, jnp.zeros((), int))

    def gradient(key, params, v, carried, hparams, units):
        gibbs_key, swap_key, key = jax.random.split(key, 3)
        betas = jnp.linspace(0, 1, temperatures, dtype=v.dtype)
        machines = jax.vmap(between, (None, None, 0))(params, carried.base, betas)
        moved = jax.vmap(lambda key, machine, v: gibbs(key, machine, v, steps, units)[0])(
            jax.random.split(gibbs_key, temperatures), machines, carried.chains
        )
        ladder, rates = swap(swap_key, params, carried.base, betas, moved, carried.odd, units)
        of_late = jnp.where(
            jnp.isnan(rates), carried.swap_rates, 0.99 * carried.swap_rates + 0.01 * rates
        )
        info = {"swap_rate": jnp.mean(of_late), "least_swap_rate": jnp.min(of_late)}
        found = contrast(key, params, v, ladder[-1], units, statistics)
        return found, Tempered(ladder, carried.base, of_late, 1 - carried.odd), info

    return Estimator(init, gradient)


def estimator(name: str, chains: int = 100, temperatures: int = 10) -> Estimator:
    """Returns an estimator by its usual name: exact, or cd-k, pcd-k, fpcd-k, pt-k of k steps.

    Args:
      name: of the estimator.
      chains: of pcd and fpcd; those of pt are divided among its temperatures, one each at least.
      temperatures: of pt.

    Raises:
      InputError: if the name is unknown, or as the estimator that it names.
    """
    each = min(chains, max(1, chains // max(1, temperatures)))
    return by_name(
        name,
        exact(),
        cd=contrastive_divergence,
        pcd=lambda steps: persistent(steps, chains),
        fpcd=lambda steps: fast_persistent(steps, chains),
        pt=lambda steps: parallel_tempering(steps, each, temperatures),
    )


def by_name(name: str, exact: Any, **of_chains: Callable[[int], Any]) -> Any:
    """Returns the estimator of a name, `exact` or a kind of chains with -k for k steps.

    Raises:
      InputError: if there is no such kind, no step, or more than can be counted.
    """
    kind, _, steps = name.partition("-")
    if name == "exact":
        return exact
    if kind in of_chains and re.fullmatch("[1-9][0-9]{0,8}", steps):
        return of_chains[kind](int(steps))
    others = ", ".join(f"{kind}-1" for kind in of_chains)
    raise InputError(
        f"unknown estimator {name!r}: use exact, or {others} with any number of steps "
        "from 1 to 999999999"
    )


def contrast(
    key: Array,
    params: RBMParams,
    positive: Array,
    negative: Array,
    units: Units,
    statistics: str = "mean",
) -> RBMParams:
    """The gradient of the mean log-likelihood where `negative` stands for the model.

    Args:
      key: PRNG key, used for sample statistics.
      params: of V visible and H hidden units.
      positive: [B, V], data.
      negative: [N, V], draws of the model.
      units: the kinds of units.
      statistics: of the hidden units: their `mean` given the visible ones, or a `sample`.

    Returns:
      The gradient of mean F(negative) - mean F(positive).
    """
    if statistics == "sample":
        both = [hidden_logits(params, v, units) for v in (positive, negative)]
        noise = uniforms(key, both[0].dtype, *(logits.shape for logits in both))
        hidden = [units.hidden.draw(*pair) for pair in zip(noise, both, strict=True)]

        def mean_energy(params: RBMParams, v: Array, h: Array) -> Array:
            return jnp.mean(energy(params, v, h, units, precision=None))

        return jax.grad(
            lambda p: mean_energy(p, negative, hidden[1]) - mean_energy(p, positive, hidden[0])
        )(params)

    def mean_free_energy(params: RBMParams, v: Array) -> Array:
        return jnp.mean(free_energy(params, v, units, precision=None))

    return jax.grad(lambda p: mean_free_energy(p, negative) - mean_free_energy(p, positive))(params)


def start(key: Array, params: RBMParams, v: Array, units: Units, chains: int) -> Array:
    """Draws where persistent chains start: independent units with their biases, [N, V]."""
    nothing = jnp.zeros((chains, params.visible_bias.size), v.dtype)
    return units.visible.draw(*uniforms(key, v.dtype, nothing.shape), params, nothing)


def check(steps: int, chains: int = 1, statistics: str = "mean") -> None:
    """Raises InputError for what no estimator can use."""
    require(COUNT, steps=steps, chains=chains)
    if statistics not in ("mean", "sample"):
        raise InputError(f"unknown statistics {statistics!r}: use mean or sample")
