import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import RBMParams, Units

# Compiled: one operation at a time, most of the time would go into dispatch.
energy, free_energy, hidden_free_energy = (
    jax.jit(function, static_argnames="units")
    for function in (boltzmann.energy, boltzmann.free_energy, boltzmann.hidden_free_energy)
)
log_partition_exact = jax.jit(boltzmann.log_partition_exact, static_argnames="units")

GAUSSIAN = Units(boltzmann.gaussian(), boltzmann.bernoulli_hidden())
CODE = Units(boltzmann.bernoulli(), boltzmann.gaussian_hidden())
LABELLED = Units(boltzmann.softmax(3), boltzmann.bernoulli_hidden())
GRID = np.linspace(-25, 25, 2001)


def test_energy_by_hand(x64):
    # v = (1, 1), h = (0, 1): v.W.h = 2 + 4 = 6, b.v = 0.5 + 1 = 1.5, c.h = -3: -(6 + 1.5 - 3)
    params = RBMParams(
        jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([0.5, 1.0]), jnp.array([9.0, -3.0])
    )
    v, h = jnp.array([[1.0, 1.0]]), jnp.array([[0.0, 1.0]])
    np.testing.assert_allclose(energy(params, v, h), [-4.5])
    # v = (1, 3), sigma^2 = (1, 4): (0.5^2 / 2 + 2^2 / 8) - (2 * 1 + 4 * 3 / 4) + 3
    real = params._replace(log_variance=jnp.log(jnp.array([1.0, 4.0])))
    v = jnp.array([[1.0, 3.0]])
    np.testing.assert_allclose(energy(real, v, h, units=GAUSSIAN), [0.125 + 0.5 - 5 + 3])
    # h = (0.5, 2): -(v.W.h) - b.v - c.h + h^2 / 2
    h = jnp.array([[0.5, 2.0]])
    np.testing.assert_allclose(
        energy(params, jnp.ones((1, 2)), h, units=CODE), [-(2 + 12) - 1.5 - (4.5 - 6) + 2.125]
    )


def test_free_energies_sum_the_states_of_the_other_side(machines):
    params = machines.make(4, 3)
    weights = np.exp(-machines.energies(params))
    v, h = jnp.asarray(machines.states(4)), jnp.asarray(machines.states(3))
    np.testing.assert_allclose(free_energy(params, v), -np.log(weights.sum(axis=1)))
    np.testing.assert_allclose(hidden_free_energy(params, h), -np.log(weights.sum(axis=0)))


def test_free_energy_does_not_overflow(x64):
    params = RBMParams(jnp.full((2, 1), 1e4), jnp.zeros(2), jnp.zeros(1))
    np.testing.assert_allclose(free_energy(params, jnp.ones((1, 2))), [-2e4])


@pytest.mark.parametrize("visible", [1, 2])
def test_gaussian_free_energy_by_quadrature(machines, visible):
    """log Z from the hidden side is the integral of exp(-F) over the visible one."""
    params = machines.make(visible, 3, gaussian=True)
    axes = np.meshgrid(*[GRID] * visible, indexing="ij")
    v = jnp.asarray(np.stack(axes, axis=-1).reshape(-1, visible))
    mass = np.exp(-np.asarray(free_energy(params, v, units=GAUSSIAN)))
    integral = mass.sum() * (GRID[1] - GRID[0]) ** visible
    by_hidden = log_partition_exact(params, units=GAUSSIAN)
    np.testing.assert_allclose(by_hidden, np.log(integral), rtol=1e-10)


def test_free_energy_of_a_code_by_quadrature(machines):
    params = machines.make(3, 1)
    v, h = jnp.asarray(machines.states(3)), jnp.asarray(GRID[:, None])
    pairs = jnp.repeat(v, len(GRID), axis=0), jnp.tile(h, (8, 1))
    mass = np.exp(-np.asarray(energy(params, *pairs, units=CODE))).reshape(8, -1)
    expected = -np.log(mass.sum(axis=1) * (GRID[1] - GRID[0]))
    np.testing.assert_allclose(free_energy(params, v, units=CODE), expected, rtol=1e-10)
    # and the other way round, of each h
    few = slice(900, 1100, 40)
    inward = hidden_free_energy(params, h[few], units=CODE)
    of_h = np.exp(-np.asarray(energy(params, *pairs, units=CODE))).reshape(8, -1).sum(axis=0)
    np.testing.assert_allclose(inward, -np.log(of_h[few]), rtol=1e-10)
    by_visible = log_partition_exact(params, units=CODE)
    np.testing.assert_allclose(by_visible, np.log(np.exp(-expected).sum()), rtol=1e-10)


def test_class_logits_compare_free_energies(machines):
    params = machines.make(5, 3)
    v = machines.labelled_states()
    p = np.exp(-np.asarray(free_energy(params, jnp.asarray(v), units=LABELLED))).reshape(4, 3)
    given = jnp.asarray(v[::3]).at[:, 2:].set(0.7)  # the label is not looked at
    found = jax.nn.softmax(boltzmann.class_logits(params, given, 3, LABELLED))
    np.testing.assert_allclose(found, p / p.sum(axis=1, keepdims=True), rtol=1e-12)


def test_conditional_logits_are_differences_of_free_energies(machines):
    params = machines.make(4, 3)
    v = jnp.asarray(machines.states(4))
    for unit in range(4):
        off, on = v.at[:, unit].set(0), v.at[:, unit].set(1)
        expected = free_energy(params, off) - free_energy(params, on)
        value = boltzmann.conditional_logits(params, v, jnp.full(16, unit))
        np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_reconstruction_is_minus_the_log_of_the_conditional(machines):
    """Of p(v | h) = exp(-E(v, h)) / sum_v exp(-E(v, h))."""
    params, h = machines.make(4, 3), machines.states(3)
    p = np.exp(-machines.energies(params))
    p = p / p.sum(axis=0)
    for row, one in enumerate(h):
        field = jnp.asarray(np.tile(one @ np.asarray(params.weights).T, (16, 1)))
        found = boltzmann.reconstruction_nll(params, jnp.asarray(machines.states(4)), field)
        np.testing.assert_allclose(found, -np.log(p[:, row]), rtol=1e-10)
