"""Soft assignments and targets, against NumPy, closed-form gradients and their fixed points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import losses
from ae_jax.core import InputError

pytestmark = pytest.mark.usefixtures("x64")

DRAWN = np.random.default_rng(0)
LATENT, CENTRES, NU = DRAWN.normal(size=(12, 3)), DRAWN.normal(size=(4, 3)), 2.5


def assignments(latent, centres, nu):
    """Equation 1, as it is printed."""
    squared = np.sum((latent[:, None] - centres[None]) ** 2, axis=2)
    kernel = (1 + squared / nu) ** (-(nu + 1) / 2)
    return kernel / kernel.sum(axis=1, keepdims=True)


def targets(q):
    """Equation 3, of all examples."""
    weighed = q**2 / q.sum(axis=0)
    return weighed / weighed.sum(axis=1, keepdims=True)


Q = assignments(LATENT, CENTRES, NU)
P = targets(Q)


def ours(q):
    log_q = jnp.log(q)
    return np.exp(losses.log_targets(log_q, losses.log_frequencies(log_q)))


def lowered(latent, centres):
    log_q = losses.log_assignments(latent, centres, NU)
    return jnp.sum(losses.assignment_divergence(jnp.log(P), log_q))


def test_values_are_those_of_the_equations():
    log_q = losses.log_assignments(LATENT, CENTRES, NU)
    np.testing.assert_allclose(np.exp(log_q), Q, rtol=1e-12)
    np.testing.assert_allclose(losses.log_frequencies(log_q), np.log(Q.sum(axis=0)), rtol=1e-12)
    np.testing.assert_allclose(ours(Q), P, rtol=1e-12)
    found = losses.assignment_divergence(jnp.log(P), log_q)
    np.testing.assert_allclose(found, np.sum(P * np.log(P / Q), axis=1), rtol=1e-10)
    for probabilities in (np.exp(log_q), ours(Q)):
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-14)


def test_gradients_are_those_in_closed_form():
    # dL/dz_i = (nu + 1) / nu sum_j (1 + |z_i - mu_j|^2 / nu)^-1 (p_ij - q_ij) (z_i - mu_j)
    away = LATENT[:, None] - CENTRES[None]
    pull = (P - Q) / (1 + np.sum(away**2, axis=2) / NU)
    each = (NU + 1) / NU * pull[:, :, None] * away
    of_latent, of_centres = jax.grad(lowered, argnums=(0, 1))(LATENT, CENTRES)
    np.testing.assert_allclose(of_latent, each.sum(axis=1), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(of_centres, -each.sum(axis=0), rtol=1e-10, atol=1e-12)
    # DEC's equation 4 has (nu + 1) / nu; without it, as for nu = 1 and a factor of 2 forgotten
    assert not np.allclose(of_latent, (pull[:, :, None] * away).sum(axis=1))


def test_targets_stay_where_assignments_are_certain_or_all_the_same():
    certain = np.eye(4)[DRAWN.integers(4, size=12)] * (1 - 4e-300) + 1e-300
    np.testing.assert_allclose(ours(certain), certain, atol=1e-12)
    np.testing.assert_allclose(ours(np.full((12, 4), 0.25)), 0.25, rtol=1e-12)
    assert np.abs(ours(Q) - Q).max() > 0.01
    # of two examples and two clusters it moves by hand: q^2 / f = .64/1.2, .04/.8; .16/1.2, .36/.8
    moved = ours(np.array([[0.8, 0.2], [0.4, 0.6]]))
    np.testing.assert_allclose(moved[:, 0], [0.64 / 0.70, 0.16 / 0.70], rtol=1e-12)


def test_a_batch_that_is_taken_for_the_whole_has_other_targets():
    log_q = jnp.log(Q)
    whole = losses.log_frequencies(log_q)
    np.testing.assert_allclose(np.exp(losses.log_targets(log_q[:5], whole)), P[:5], rtol=1e-12)
    wrong = np.exp(losses.log_targets(log_q[:5], losses.log_frequencies(log_q[:5])))
    assert np.abs(wrong - P[:5]).max() > 0.02


def test_turning_and_moving_everything_changes_nothing():
    turn = np.linalg.qr(DRAWN.normal(size=(3, 3)))[0]
    moved = losses.log_assignments(LATENT @ turn + 5, CENTRES @ turn + 5, NU)
    np.testing.assert_allclose(moved, np.log(Q), rtol=1e-10)


def test_an_impossible_target_counts_for_nothing():
    log_p = jnp.array([[0.0, -jnp.inf]])
    log_q = jnp.log(jnp.array([[0.25, 0.75]]))
    np.testing.assert_allclose(losses.assignment_divergence(log_p, log_q), [np.log(4)])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: losses.log_assignments(LATENT, CENTRES[:, :2]), r"latents are \[B, Z\]"),
        (lambda: losses.log_targets(jnp.log(Q), jnp.zeros(3)), "as many frequencies"),
        (lambda: losses.assignment_divergence(jnp.log(P), jnp.log(Q)[:5]), "shapes must be equal"),
    ],
)
def test_shapes_that_do_not_fit(call, words):
    with pytest.raises(InputError, match=words):
        call()
