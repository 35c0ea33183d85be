"""Wasserstein distances of samples: by the best matching, and along directions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.losses import transport
from ae_jax.metrics._samples import checked_samples, unless_broken


def optimal_matching(x: Array, y: Array, power: float = 2.0) -> np.ndarray:
    """Which example of one sample goes to which of another at the least cost.

    Computed by SciPy, on the host and in double precision, in time N^3.

    Args:
      x: [N, D].
      y: [N, D].
      power: p; a pair costs |x - y|^p, p at least 1.

    Returns:
      int [N], for each example of x the place of its partner in y: a permutation.

    Raises:
      InputError: if the shapes do not fit, values are not finite or p is below 1.

    Reference:
      Peyre and Cuturi, 2019, "Computational optimal transport", section 2.2.
    """
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(_costs(x, y, power))[1]


def wasserstein_distance(x: Array, y: Array, power: float = 2.0) -> float:
    """Wasserstein distance W_p of two samples of equal size, exactly.

    It is not 0 for two samples of the same distribution: show that of training from test examples
    beside it.

    Args:
      x: [N, D].
      y: [N, D].
      power: p, at least 1.

    Returns:
      The p-th root of the mean cost |x - y|^p of `optimal_matching`, in units of x.

    Raises:
      InputError: if the shapes do not fit, values are not finite or p is below 1.

    Reference:
      Peyre and Cuturi, 2019, "Computational optimal transport", section 2.4.
    """
    partners = optimal_matching(x, y, power)
    costs = _costs(x, y, power)[np.arange(len(partners)), partners]
    return float(np.mean(costs) ** (1 / power))


def _costs(x: Array, y: Array, power: float) -> np.ndarray:
    from scipy.spatial.distance import cdist

    _check_power(power)
    checked_samples(x=x, y=y)
    if len(x) != len(y):
        raise InputError(f"a matching is of equally many examples, got {len(x)} and {len(y)}")
    return cdist(np.asarray(x, np.float64), np.asarray(y, np.float64)) ** power


def sliced_wasserstein(x: Array, y: Array, directions: Array, power: float = 2.0) -> Array:
    """Sliced Wasserstein distance: W_p of projections, over directions.

    What is to be compared needs the same directions: they are given, not drawn.

    Args:
      x: [N, D].
      y: [M, D]; N and M may differ: distances are between the quantiles.
      directions: [L, D], of `losses.random_directions` for instance; their lengths do not count.
      power: p, at least 1; static.

    Returns:
      A scalar, in units of x: the p-th root of the mean over directions of W_p^p. A shift by d
      comes to |d| / D^0.5 over all directions, for p = 2.

    Raises:
      InputError: if the shapes do not fit, values are not finite, a direction is 0 or p is below 1.

    Reference:
      Bonneel et al., 2015, "Sliced and Radon Wasserstein barycenters of measures".
    """
    _check_power(power)
    x, y, directions = checked_samples(x=x, y=y, directions=directions)
    known = not isinstance(directions, jax.core.Tracer)
    if known and not np.all(np.any(np.asarray(directions) != 0, axis=1)):
        raise InputError("directions must not be 0")
    return _sliced(x, y, directions, power)


@functools.partial(jax.jit, static_argnames="power")
def _sliced(x: Array, y: Array, directions: Array, power: float) -> Array:
    # one after the other, which takes memory for one
    costs = jax.lax.map(
        lambda direction: transport.sliced_wasserstein(x, y, direction[None], power), directions
    )
    return unless_broken(jnp.mean(costs) ** (1 / power), x, y, directions)


def _check_power(power: float) -> None:
    if not 1 <= power < float("inf"):
        raise InputError(f"power must be a number of at least 1, not {power}")
