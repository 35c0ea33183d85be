import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.methods.boltzmann import general


def transition(weights, bias, states):
    """One sweep over all units in turn, [2^N, 2^N], from the definition of Gibbs sampling."""
    size = len(bias)
    matrix = np.eye(len(states))
    for unit in range(size):
        step = np.zeros_like(matrix)
        for row, x in enumerate(states):
            on = 1 / (1 + np.exp(-(x @ weights[:, unit] + bias[unit])))
            for value, p in ((1, on), (0, 1 - on)):
                moved = row - int(x[unit]) * 2**unit + value * 2**unit
                step[row, moved] += p
        matrix = matrix @ step
    return matrix


@pytest.mark.parametrize("v", [[0, 0, 0], [1, 0, 1]])
def test_distances_are_those_of_the_transition_matrix(machines, v):
    random = np.random.RandomState(0)
    weights = np.triu(random.standard_normal((5, 5)), 1)
    weights, bias = weights + weights.T, random.standard_normal(5)
    states = machines.states(5)
    p = np.exp(0.5 * np.sum(states @ weights * states, axis=1) + states @ bias)
    p /= p.sum()
    seen = np.all(states[:, :3] == v, axis=1)
    start = np.where(seen, p, 0) / p[seen].sum()
    matrix = transition(weights, bias, states)
    of_visible = states[:, :3] @ [1, 2, 4]
    expected = []
    for count in (1, 2, 5):
        apart = start @ np.linalg.matrix_power(matrix, count) - p
        expected.append(0.5 * np.sum(np.abs(np.bincount(of_visible.astype(int), apart))))
    params = general.BoltzmannParams(jnp.asarray(weights), jnp.asarray(bias))
    found = general.distances_to_model(params, np.array(v), (1, 2, 5))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert expected[0] > expected[1] > expected[2] > 0
    (now,) = general.distances_to_model(params, np.array(v), (0,))
    assert now == pytest.approx(1 - p[seen].sum())  # all of its mass is in one place


def test_too_many_units_are_refused():
    params = general.BoltzmannParams(jnp.zeros((21, 21)), jnp.zeros(21))
    with pytest.raises(InputError, match="at most 20"):
        general.distances_to_model(params, np.zeros(9, int), (1,))
