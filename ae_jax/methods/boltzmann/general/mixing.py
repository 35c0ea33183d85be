"""How fast Gibbs chains of small machines forget where they started, without drawing."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array
from ae_jax.methods.boltzmann.general.chains import propagate
from ae_jax.methods.boltzmann.general.distribution import BoltzmannParams, probabilities


def distances_to_model(params: BoltzmannParams, v: Array, sweeps: Sequence[int]) -> np.ndarray:
    """How far chains that start at one visible state are from the model after some sweeps.

    Args:
      params: of N units; exponential in N.
      v: [V] of zeros and ones, where the visible units start; the hidden ones start at draws
        given them.
      sweeps: ascending numbers of sweeps over all units, in turn.

    Returns:
      The total variation distance of p(v), from 0 to 1, after each of these numbers, [T].

    Raises:
      InputError: if there are more than 20 units.

    Reference:
      Levin, Peres and Wilmer (2009), Markov Chains and Mixing Times, section 4.
    """
    params = jax.tree.map(jnp.asarray, params)
    place = int(np.asarray(v, int) @ 2 ** np.arange(len(v)))
    joint = probabilities(params).reshape(-1, 2 ** len(v))  # of h and v
    start = jnp.zeros_like(joint).at[:, place].set(joint[:, place] / jnp.sum(joint[:, place]))
    found, p, done = [], start.reshape(-1), 0
    for count in sweeps:
        p, done = _propagate(params, p, count - done), count
        apart = jnp.sum(p.reshape(joint.shape), axis=0) - jnp.sum(joint, axis=0)
        found.append(float(0.5 * jnp.sum(jnp.abs(apart))))
    return np.array(found)


_propagate = jax.jit(propagate)
