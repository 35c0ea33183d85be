"""The centered machine: the same distribution, whose gradient is better conditioned."""

from typing import NamedTuple

from ae_jax.core import Array
from ae_jax.methods.boltzmann.units import RBMParams, Units


class Offsets(NamedTuple):
    """Running means over the data, which the centered gradient subtracts."""

    visible: Array  #: [V]
    hidden: Array  #: [H], of the hidden units' means


def centered(params: RBMParams, offsets: Offsets, units: Units) -> RBMParams:
    """Returns the parameters of the centered machine that is the same distribution.

    E(v, h) = -A(v) - (s(v) - s(m)).W.(h - l) - c.h, with b + W l for b and c + s(m) W for c: at
    the offsets m and l of the data its gradient is better conditioned.

    Args:
      params: of V visible and H hidden units.
      offsets: m and l.
      units: the kinds of units.

    Reference:
      Melchior, Fischer and Wiskott (2016), How to Center Deep Boltzmann Machines.
    """
    return _moved(params, offsets, units, 1)


def uncentered(params: RBMParams, offsets: Offsets, units: Units) -> RBMParams:
    """Returns the parameters whose centered ones are given: the inverse of `centered`."""
    return _moved(params, offsets, units, -1)


def _moved(params: RBMParams, offsets: Offsets, units: Units, sign: int) -> RBMParams:
    signal = units.visible.signal(params, offsets.visible[None, :])[0]
    return params._replace(
        visible_bias=params.visible_bias + sign * (params.weights @ offsets.hidden),
        hidden_bias=params.hidden_bias + sign * (signal @ params.weights),
    )
