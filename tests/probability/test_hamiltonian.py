"""Leapfrog steps and their tempering: exact values, volumes, and the way back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.probability import hamiltonian

pytestmark = pytest.mark.usefixtures("x64")

STEP = 0.3
MATRIX = [[0.955, 0.3], [-0.29325, 0.955]]
PATH = [[1.0, 0.5], [1.105, 0.18425], [1.11055, -0.1480825], [1.0161505, -0.467087575]]


def curved(z):
    """A density whose dimensions depend on each other, [B, 2] -> [B], up to a constant."""
    return -0.25 * jnp.sum(z**4, axis=1) + jnp.sin(z[:, 0] * z[:, 1])


def slope(z):
    return jax.grad(lambda z: jnp.sum(curved(z)))(z)


def test_on_a_parabola_a_step_is_a_shear_of_determinant_one():
    first, second = jnp.array([[1.0], [0.0], [1.0]]), jnp.array([[0.0], [1.0], [0.5]])
    moved = [(first, second)]
    for steps in (1, 2, 3):
        scales = jnp.ones(steps)
        moved.append(hamiltonian.leapfrog(jnp.negative, first, second, STEP, scales))
    columns = np.stack([np.asarray(moved[1][i])[:2, 0] for i in (0, 1)])
    np.testing.assert_allclose(columns, MATRIX, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(columns), 1, atol=1e-12)
    path = [[z[2, 0], rho[2, 0]] for z, rho in moved]
    np.testing.assert_allclose(path, PATH, atol=1e-12)
    # with the old momentum in the step of the position, as widely copied, volumes change
    half, moved = np.array([-STEP / 2, 1.0]), np.array([1.0, STEP])
    popular = np.stack([moved, half - STEP / 2 * moved])
    assert abs(np.linalg.det(popular) - 1) > 0.01


def test_tempering_rises_to_one_and_multiplies_to_the_root_of_where_it_starts():
    scales = hamiltonian.quadratic_tempering(0.3, 3)
    roots = [0.547722557505, 0.576703675673, 0.685520548898, 1.0]
    np.testing.assert_allclose(scales, np.divide(roots[:-1], roots[1:]), atol=1e-11)
    np.testing.assert_allclose(np.prod(scales), np.sqrt(0.3), rtol=1e-12)
    np.testing.assert_array_equal(hamiltonian.quadratic_tempering(1.0, 4), np.ones(4))
    assert hamiltonian.quadratic_tempering(0.3, 0).shape == (0,)
    with pytest.raises(InputError, match="steps is -1"):
        hamiltonian.quadratic_tempering(0.3, -1)


def test_volumes_change_by_the_tempering_alone_and_the_way_back_is_the_same():
    z, rho = jnp.array([[0.7, -0.4], [-1.1, 0.2]]), jnp.array([[0.3, 1.2], [-0.8, 0.5]])
    size, beta, ones = jnp.array([[0.2, 0.35]]), 0.3, jnp.ones(3)

    @jax.jit
    def found(z, rho):
        tempered = hamiltonian.quadratic_tempering(beta, 3)

        def both(joint, scales):
            z, rho = jnp.split(joint[None], 2, axis=1)
            return jnp.concatenate(hamiltonian.leapfrog(slope, z, rho, size, scales), axis=1)[0]

        joint = jnp.concatenate([z, rho], axis=1)
        jacobian = jax.vmap(jax.jacfwd(both), (0, None))
        there = hamiltonian.leapfrog(slope, z, rho, size, ones)
        back = hamiltonian.leapfrog(slope, there[0], -there[1], size, ones)
        return jacobian(joint, ones), jacobian(joint, tempered), there, back

    plain, tempered, there, back = found(z, rho)
    np.testing.assert_allclose(np.linalg.slogdet(plain)[1], 0, atol=1e-12)
    # Z / 2 log beta_0, for Z = 2
    np.testing.assert_allclose(np.linalg.slogdet(tempered)[1], np.log(beta), rtol=1e-11)
    np.testing.assert_allclose(back[0], z, atol=1e-12)
    np.testing.assert_allclose(back[1], -rho, atol=1e-12)
    assert np.abs(there[0] - z).min() > 0.01
