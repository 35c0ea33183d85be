import numpy as np
import pytest

from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import RBMParams, Units

GAUSSIAN = Units(boltzmann.gaussian(), boltzmann.bernoulli_hidden())
CODE = Units(boltzmann.bernoulli(), boltzmann.gaussian_hidden())
LABELLED = Units(boltzmann.softmax(3), boltzmann.bernoulli_hidden())
GRID = np.linspace(-25, 25, 2001)


def test_energy_by_hand(machines):
    # v = (1, 1), h = (0, 1): v.W.h = 2 + 4 = 6, b.v = 0.5 + 1 = 1.5, c.h = -3: -(6 + 1.5 - 3)
    params = RBMParams(
        np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, 1.0]), np.array([9.0, -3.0])
    )
    v, h = np.array([[1.0, 1.0]]), np.array([[0.0, 1.0]])
    np.testing.assert_allclose(machines.compiled.energy(params, v, h), [-4.5])
    # v = (1, 3), sigma^2 = (1, 4): (0.5^2 / 2 + 2^2 / 8) - (2 * 1 + 4 * 3 / 4) + 3
    real = params._replace(log_variance=np.log(np.array([1.0, 4.0])))
    v = np.array([[1.0, 3.0]])
    np.testing.assert_allclose(
        machines.compiled.energy(real, v, h, units=GAUSSIAN), [0.125 + 0.5 - 5 + 3]
    )
    # h = (0.5, 2): -(v.W.h) - b.v - c.h + h^2 / 2
    h = np.array([[0.5, 2.0]])
    np.testing.assert_allclose(
        machines.compiled.energy(params, np.ones((1, 2)), h, units=CODE),
        [-(2 + 12) - 1.5 - (4.5 - 6) + 2.125],
    )


def test_free_energies_sum_the_states_of_the_other_side(machines):
    params = machines.make(4, 3)
    weights = np.exp(-machines.energies(params))
    v, h = machines.states(4), machines.states(3)
    np.testing.assert_allclose(
        machines.compiled.free_energy(params, v), -np.log(weights.sum(axis=1))
    )
    np.testing.assert_allclose(
        machines.compiled.hidden_free_energy(params, h), -np.log(weights.sum(axis=0))
    )


def test_free_energy_does_not_overflow(machines):
    params = RBMParams(np.full((2, 1), 1e4), np.zeros(2), np.zeros(1))
    np.testing.assert_allclose(machines.compiled.free_energy(params, np.ones((1, 2))), [-2e4])


@pytest.mark.parametrize("visible", [1, 2])
def test_gaussian_free_energy_by_quadrature(machines, visible):
    """log Z from the hidden side is the integral of exp(-F) over the visible one."""
    params = machines.make(visible, 3, gaussian=True)
    axes = np.meshgrid(*[GRID] * visible, indexing="ij")
    v = np.stack(axes, axis=-1).reshape(-1, visible)
    mass = np.exp(-np.asarray(machines.compiled.free_energy(params, v, units=GAUSSIAN)))
    integral = mass.sum() * (GRID[1] - GRID[0]) ** visible
    by_hidden = machines.compiled.log_partition_exact(params, units=GAUSSIAN)
    np.testing.assert_allclose(by_hidden, np.log(integral), rtol=1e-10)


def test_free_energy_of_a_code_by_quadrature(machines):
    params = machines.make(3, 1)
    v, h = machines.states(3), GRID[:, None]
    pairs = np.repeat(v, len(GRID), axis=0), np.tile(h, (8, 1))
    mass = np.exp(-np.asarray(machines.compiled.energy(params, *pairs, units=CODE))).reshape(8, -1)
    expected = -np.log(mass.sum(axis=1) * (GRID[1] - GRID[0]))
    np.testing.assert_allclose(
        machines.compiled.free_energy(params, v, units=CODE), expected, rtol=1e-10
    )
    # and the other way round, of each h
    few = slice(900, 1100, 40)
    inward = machines.compiled.hidden_free_energy(params, h[few], units=CODE)
    of_h = (
        np.exp(-np.asarray(machines.compiled.energy(params, *pairs, units=CODE)))
        .reshape(8, -1)
        .sum(axis=0)
    )
    np.testing.assert_allclose(inward, -np.log(of_h[few]), rtol=1e-10)
    by_visible = machines.compiled.log_partition_exact(params, units=CODE)
    np.testing.assert_allclose(by_visible, np.log(np.exp(-expected).sum()), rtol=1e-10)


def test_class_logits_compare_free_energies(machines):
    params = machines.make(5, 3)
    v = machines.labelled_states()
    p = np.exp(-np.asarray(machines.compiled.free_energy(params, v, units=LABELLED))).reshape(4, 3)
    given = v[::3].copy()
    given[:, 2:] = 0.7  # the label is not looked at
    found = np.exp(machines.compiled.class_logits(params, given, 3, LABELLED))
    found = found / found.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, p / p.sum(axis=1, keepdims=True), rtol=1e-12)


def test_conditional_logits_are_differences_of_free_energies(machines):
    params = machines.make(4, 3)
    v = machines.states(4)
    for unit in range(4):
        off, on = v.copy(), v.copy()
        off[:, unit], on[:, unit] = 0, 1
        expected = machines.compiled.free_energy(params, off) - machines.compiled.free_energy(
            params, on
        )
        value = machines.compiled.conditional_logits(params, v, np.full(16, unit))
        np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_reconstruction_is_minus_the_log_of_the_conditional(machines):
    """Of p(v | h) = exp(-E(v, h)) / sum_v exp(-E(v, h))."""
    params, h = machines.make(4, 3), machines.states(3)
    p = np.exp(-machines.energies(params))
    p = p / p.sum(axis=0)
    for row, one in enumerate(h):
        field = np.tile(one @ params.weights.T, (16, 1))
        found = machines.compiled.reconstruction_nll(params, machines.states(4), field)
        np.testing.assert_allclose(found, -np.log(p[:, row]), rtol=1e-10)
