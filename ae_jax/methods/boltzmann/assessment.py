"""How likely data are under a trained machine, and how far that can be trusted."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.methods.boltzmann.energy import free_energy
from ae_jax.methods.boltzmann.enumeration import enumerable, log_partition_exact
from ae_jax.methods.boltzmann.partition import (
    PartitionEstimate,
    check_annealing,
    log_likelihood_reverse_ais,
    log_partition_ais,
    standard_error,
)
from ae_jax.methods.boltzmann.units import BERNOULLI, RBMParams, Units


class Assessment(NamedTuple):
    """How likely data are, and how far that can be trusted; nats per example.

    Attributes:
      exact: the mean log p(v), or NaN where no side can be enumerated.
      ais: by AIS: too high on average.
      ais_low: by the interval of log Z.
      ais_high: by the interval of log Z.
      effective_sample_size: of AIS.
      reverse_ais: by reverse AIS from the data: too low on average.
      reverse_ais_error: the standard error of that mean over examples; infinite for one.
      gap: ais - reverse_ais.
      verdict: what to make of it, a sentence.
    """

    exact: float
    ais: float
    ais_low: float
    ais_high: float
    effective_sample_size: float
    reverse_ais: float
    reverse_ais_error: float
    gap: float
    verdict: str


def assess(
    key: Array,
    params: RBMParams,
    base: RBMParams,
    v: Array,
    *,
    chains: int = 100,
    temperatures: int = 1000,
    units: Units = BERNOULLI,
) -> Assessment:
    """Says how likely data are under a trained machine, and how far to trust that.

    Args:
      key: PRNG key.
      params: of V visible and H hidden units.
      base: as for `log_partition_ais`.
      v: [B, V].
      chains: of AIS; reverse AIS has one per example.
      temperatures: of both.
      units: the kinds of units.

    Raises:
      InputError: if chains or temperatures is below 1, or there is no example.
    """
    check_annealing(chains, temperatures)
    if not len(v):
        raise InputError("there is no example whose likelihood could be measured")
    up_key, down_key = jax.random.split(key)
    up, down, free = _both_ends(up_key, down_key, params, base, v, chains, temperatures, units)
    energy = float(jnp.mean(free))
    exact = math.nan
    if enumerable(params, units):
        exact = -energy - float(_exact(params, units))
    ais = -energy - float(up.log_partition)
    below, error = float(jnp.mean(down)), float(standard_error(down))
    size = float(up.effective_sample_size)
    return Assessment(
        exact=exact,
        ais=ais,
        ais_low=-energy - float(up.high),
        ais_high=-energy - float(up.low),
        effective_sample_size=size,
        reverse_ais=below,
        reverse_ais_error=error,
        gap=ais - below,
        verdict=_verdict(exact, ais, below, size / chains, float(up.high - up.low)),
    )


def columns(found: Assessment) -> dict[str, Any]:
    """Returns an assessment as columns of a row; `exact` only where there is one."""
    known = found._asdict()
    if math.isnan(found.exact):
        del known["exact"]
    return known


def example_log_likelihoods(
    params: RBMParams, v: Array, found: Assessment, units: Units = BERNOULLI
) -> Array:
    """Returns log p(v) of each example, by one partition function for all.

    Args:
      params: of V visible and H hidden units.
      v: [B, V], the examples that were assessed.
      found: from `assess`.
      units: the kinds of units.

    Returns:
      [B], nats. Their mean is the exact one where it is known, otherwise that of reverse AIS,
      too low on average.
    """
    free = free_energy(params, v, units)
    level = found.reverse_ais if math.isnan(found.exact) else found.exact
    return level + jnp.mean(free) - free


def bounds_above(
    key: Array,
    top: RBMParams,
    base: RBMParams,
    x: Array,
    unnormalised: float,
    *,
    chains: int = 100,
    temperatures: int = 1000,
    units: Units = BERNOULLI,
) -> dict[str, float]:
    """Bounds on the log-likelihood of a deep model, with its top machine's Z from both ends.

    Args:
      key: PRNG key.
      top: the machine.
      base: as for `log_partition_ais`.
      x: [N, V], draws of what the machine sees of data, where reverse AIS starts.
      unnormalised: the bound on log p(data), mean over examples, but for log Z; nats.
      chains: of AIS; reverse AIS has N.
      temperatures: of both.
      units: the kinds of units.

    Returns:
      `bound_ais`, too high on average, as AIS underestimates Z; `bound_reverse_ais`, too low; and
      the `effective_sample_size` of AIS.

    Raises:
      InputError: as `assess`.

    Reference:
      Salakhutdinov and Murray (2008), On the Quantitative Analysis of Deep Belief Networks,
      section 4.
    """
    found = assess(key, top, base, x, chains=chains, temperatures=temperatures, units=units)
    free = float(jnp.mean(free_energy(top, x, units)))
    bound = found.ais + free + unnormalised  # ais + free = -log Z
    return {
        "bound_ais": bound,
        "bound_reverse_ais": bound - found.gap,
        "effective_sample_size": found.effective_sample_size,
    }


def _verdict(exact: float, ais: float, below: float, effective: float, width: float) -> str:
    if math.isfinite(exact):
        return f"{exact:.2f} nats, exactly: AIS says {ais:.2f}, reverse AIS {below:.2f}"
    between = f"between {below:.2f} (reverse AIS) and {ais:.2f} nats (AIS)"
    if not math.isfinite(ais - below):
        return "nothing is known: an estimate is not finite"
    if ais - below > 1:
        return (
            f"{between}: do not compare models by less than the gap of {ais - below:.1f} nats; "
            "use more temperatures"
        )
    if effective < 0.1:
        return (
            f"{between}, but {effective:.0%} of the chains carry AIS: use more temperatures or "
            "chains"
        )
    if not math.isfinite(width):
        return f"{between}, but so few chains say nothing of the error of AIS: use more chains"
    return f"{between}: to be trusted to {max(ais - below, 0):.2f} nats"


@functools.partial(jax.jit, static_argnums=(5, 6, 7))
def _both_ends(
    up_key: Array,
    down_key: Array,
    params: RBMParams,
    base: RBMParams,
    v: Array,
    chains: int,
    temperatures: int,
    units: Units,
) -> tuple[PartitionEstimate, Array, Array]:
    up = log_partition_ais(
        up_key, params, base, chains=chains, temperatures=temperatures, units=units
    )
    down = log_likelihood_reverse_ais(
        down_key, params, base, v, temperatures=temperatures, units=units
    )
    return up, down, free_energy(params, v, units)


_exact = jax.jit(log_partition_exact, static_argnums=1)
