"""Single steps of flows: known values, and determinants against those of Jacobians."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.probability import flows

pytestmark = pytest.mark.usefixtures("x64")

Z = np.array([[0.3, -0.8, 1.1], [1.5, 0.2, -0.4]])
W, U, B = np.array([0.7, -1.2, 0.5]), np.array([-1.1, 0.9, 0.4]), 0.2
CENTRE, LOG_ALPHA, RAW_BETA = np.array([0.1, -0.3, 0.2]), -0.2, 0.4


def planar(z, w=W, u=U, b=B):
    many = (jnp.broadcast_to(jnp.asarray(x), (len(z), *np.shape(x))) for x in (w, u, b))
    return flows.planar(jnp.asarray(z), *many)


def radial(z, centre=CENTRE, log_alpha=LOG_ALPHA, raw_beta=RAW_BETA):
    many = (np.broadcast_to(x, (len(z), *np.shape(x))) for x in (centre, log_alpha, raw_beta))
    return flows.radial(jnp.asarray(z), *many)


def determinants(step, z):
    jacobians = jax.vmap(jax.jacfwd(lambda one: step(one[None])[0][0]))(jnp.asarray(z))
    sign, log = np.linalg.slogdet(np.asarray(jacobians))
    assert (sign > 0).all()
    return log


def test_known_values():
    z, log_det = planar(Z)
    made = [
        [-0.499741383857, -0.373247543548, 1.6645723886],
        [0.940975711042, 0.498302668019, -0.00536032713661],
    ]
    np.testing.assert_allclose(z, made, atol=1e-11)
    np.testing.assert_allclose(log_det, [-0.0703364582733, -0.606489373604], atol=1e-11)
    z, log_det = radial(Z)
    made = [
        [0.310097188757, -0.825242971892, 1.14543734941],
        [1.55450302517, 0.21946536613, -0.423358439357],
    ]
    np.testing.assert_allclose(z, made, atol=1e-11)
    np.testing.assert_allclose(log_det, [0.120397415475, 0.0894591429667], atol=1e-11)


@pytest.mark.parametrize("step", [planar, radial])
def test_log_determinants_are_those_of_the_jacobians(step):
    z = np.random.default_rng(0).normal(size=(6, 3)) * 2
    np.testing.assert_allclose(step(z)[1], determinants(step, z), atol=1e-12)


def test_steps_are_invertible_whatever_the_parameters():
    z = np.random.default_rng(1).normal(size=(20, 3))
    for scale in (1, 10):
        # without the correction w.u = -1.65 scale^2 folds space
        _, log_det = planar(z, W * scale, U * scale)
        assert np.isfinite(log_det).all()
        np.testing.assert_allclose(
            log_det, determinants(lambda z, s=scale: planar(z, W * s, U * s), z), atol=1e-8
        )
        shown = np.tanh(z @ W * scale + B)
        assert np.min(1 + (1 - shown**2) * (W @ U) * scale**2) < 0
    _, log_det = radial(z, raw_beta=-20.0)
    assert np.isfinite(log_det).all()
    np.testing.assert_allclose(
        log_det, determinants(lambda z: radial(z, raw_beta=-20.0), z), atol=1e-7
    )


def test_a_radial_step_has_a_gradient_at_its_centre():
    def both(z):
        moved, log_det = radial(z[None])
        return jnp.sum(moved) + log_det[0]

    slope = jax.grad(both)(jnp.asarray(CENTRE))
    alpha = np.exp(LOG_ALPHA)
    beta = np.log1p(np.exp(RAW_BETA)) - alpha
    np.testing.assert_allclose(slope, 1 + beta / alpha, rtol=1e-12)


def test_in_single_precision_no_step_loses_its_density():
    w, u = np.float32([[9, -9, 9]]), np.float32([[-9, 9, -9]])
    z = np.float32([[0.05, 0.02, -0.01]])
    with jax.enable_x64(True):
        exact = flows.planar(*(jnp.asarray(x, float) for x in (z, w, u)), jnp.zeros(1))[1]
    found = flows.planar(*map(jnp.asarray, (z, w, u)), jnp.zeros(1, jnp.float32))[1]
    np.testing.assert_allclose(found, exact, rtol=1e-5)
