import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import BERNOULLI
from ae_jax.methods.boltzmann.centering import Offsets, centered, uncentered

OFFSETS = Offsets(np.array([0.2, 0.9, 0.5]), np.array([0.4, 0.1]))


def moved(machines, function, params):
    return machines.whole(lambda params: function(params, OFFSETS, BERNOULLI))(params)


def test_a_centered_machine_is_the_same_distribution(machines):
    params = machines.make(3, 2)
    own = moved(machines, centered, params)
    v, h = machines.states(3) - OFFSETS.visible, machines.states(2) - OFFSETS.hidden
    weights, visible, hidden = (np.asarray(p) for p in own[:3])
    energies = -(v @ weights @ h.T) - (v @ visible)[:, None] - (h @ hidden)[None]
    p = np.exp(-energies) / np.exp(-energies).sum()
    np.testing.assert_allclose(p, machines.joint(params), rtol=1e-12)
    again = moved(machines, uncentered, own)
    np.testing.assert_allclose(machines.flat(again), machines.flat(params), rtol=1e-12)


def test_the_centered_gradient_is_the_covariance_about_the_offsets(machines):
    """<(v - m)(h - l)> of the data less that of the model, and the biases' as they were."""
    params = machines.make(3, 2)
    data = np.random.RandomState(0).uniform(size=(5, 3))

    def mean_log_likelihood(own):
        params = uncentered(own, OFFSETS, BERNOULLI)
        free = boltzmann.free_energy(params, data)
        return -jnp.mean(free) - boltzmann.log_partition_exact(params)

    @machines.whole
    def both(params):
        found = jax.grad(mean_log_likelihood)(centered(params, OFFSETS, BERNOULLI))
        return found, jax.grad(lambda p: mean_log_likelihood(centered(p, OFFSETS, BERNOULLI)))(
            params
        )

    found, plain = both(params)
    v, h = machines.states(3), machines.states(2)
    joint = machines.joint(params)
    given = machines.sigmoid(machines.compiled.hidden_logits(params, data))
    m, c = OFFSETS
    expected = (data - m).T @ (given - c) / 5 - (v - m).T @ joint @ (h - c)
    np.testing.assert_allclose(found.weights, expected, rtol=1e-10)
    # the same from the plain gradient: dW - m dc^T - db l^T
    related = plain.weights - np.outer(m, plain.hidden_bias) - np.outer(plain.visible_bias, c)
    np.testing.assert_allclose(found.weights, related, rtol=1e-9)
    np.testing.assert_allclose(found.visible_bias, plain.visible_bias, rtol=1e-12)
    np.testing.assert_allclose(found.hidden_bias, plain.hidden_bias, rtol=1e-12)
