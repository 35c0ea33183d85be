import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, training
from ae_jax.core import InputError
from ae_jax.methods import boltzmann, deep_belief_network
from ae_jax.methods.boltzmann import RBMParams
from ae_jax.methods.boltzmann.belief import params_of
from ae_jax.recipes import greedy

# Its tests share a greedily trained network, in one process.
pytestmark = pytest.mark.xdist_group("deep belief network")


def stripes():
    images = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]], bool)
    return data.stored(np.tile(images.reshape(4, 2, 2), (8, 1, 1)), np.tile([0, 1, 0, 0], 8))


@functools.cache
def greedily_trained():
    layers = greedy.rbm_layers((4, 3), (2, 2, 1), learning_rate=0.2)
    return greedy.train(layers, stripes(), training.grid(seed=0), 300, batch_size=32)


def params_found():
    """Those of the network, as NumPy arrays."""
    return jax.device_get(params_of(greedily_trained().start[0]))


def trained(method, state, batch, steps):
    """A method's state after some steps on one batch; traced."""

    def step(state, key):
        return method.step(key, state, batch, method.hparams)

    return jax.lax.scan(step, state, jax.random.split(jax.random.key(2), steps))[0]


@pytest.mark.full
def test_greedily_trained_machines_are_a_network(x64):
    stack, params = greedily_trained(), params_found()
    assert [layer.kernel.shape for layer in (*params.up, *params.down)] == [(4, 4), (4, 4)]
    assert params.top.weights.shape == (4, 3)
    first = training.lane(stack.results[0], 0)[1].params
    np.testing.assert_array_equal(params.up[0].kernel, first.weights)
    np.testing.assert_array_equal(params.down[0].kernel, first.weights.T)
    np.testing.assert_array_equal(params.down[0].bias, first.visible_bias)
    second = training.lane(stack.results[1], 0)[1].method.params
    np.testing.assert_array_equal(params.top.weights, second.weights)
    np.testing.assert_array_equal(params.top.hidden_bias, second.hidden_bias)


@pytest.mark.parametrize("chains", [0, 32])
def test_up_down_raises_the_bound_of_greedy_training(chains, x64):
    params = params_found()
    method = deep_belief_network((4, 3), chains=chains, learning_rate=0.02)
    images = stripes()
    batch = images.fetch(images.arrays, np.arange(32))

    def mean_bound(state):
        found = jax.vmap(
            lambda key: method.evaluate(key, state, batch, method.hparams)["unnormalised_nll"]
        )(jax.random.split(jax.random.key(1), 200))
        return -jnp.mean(found) - boltzmann.log_partition_exact(state.params.top)

    @jax.jit
    def bounds():
        start = method.init(jax.random.key(0), batch, method.hparams, {"params": params})
        both = start, trained(method, start, batch, 1500)
        return jax.lax.map(mean_bound, jax.tree.map(lambda *x: jnp.stack(x), *both))

    before, after = bounds()
    # 1/2, 1/4, 1/4: the best is minus their entropy, -1.04
    assert before + 0.02 < after < -1.04


def test_persistent_chains_come_to_the_top_machine(machines, x64):
    """They go on from step to step: at a rate of 0 they are draws of it, whatever the data are."""
    params = machines.network(2)
    method = deep_belief_network((2, 2), classes=2, gibbs_steps=1, chains=4000, learning_rate=0.0)
    batch = {"image": np.ones((8, 3, 1, 1)), "label": np.zeros(8, int)}
    given = {"params": params, "chains": np.tile([1.0, 1.0, 1.0, 0.0], (4000, 1))}

    @machines.whole
    def both():
        state = method.init(jax.random.key(0), batch, method.hparams, given)
        return state, trained(method, state, batch, 50)

    state, after = both()
    np.testing.assert_array_equal(state.chains, given["chains"])
    jax.tree.map(np.testing.assert_array_equal, after.params, params)
    number = after.chains[:, :2] @ [1, 2]
    found = np.bincount(number.astype(int), minlength=4) / 4000
    expected = machines.prior(params, 2)[np.argsort(machines.states(2) @ [1, 2])]
    assert np.all(np.abs(found - expected) < 4.5 * np.sqrt(expected / 4000))


def test_classes_are_recognised(x64):
    method = deep_belief_network((4, 3), classes=2, learning_rate=0.05)
    images = stripes()
    batch = images.fetch(images.arrays, np.arange(32))
    start = params_found()
    weights = np.concatenate([start.top.weights, np.zeros((2, 3), start.top.weights.dtype)])
    bias = np.concatenate([start.top.visible_bias, np.zeros(2, start.top.weights.dtype)])
    top = RBMParams(weights, bias, start.top.hidden_bias)
    given = {"params": start._replace(top=top)}

    @jax.jit
    def evaluated():
        state = method.init(jax.random.key(0), batch, method.hparams, given)
        state = trained(method, state, batch, 2000)
        values = method.evaluate(jax.random.key(0), state, batch, method.hparams)
        return values["error"], method.views.reconstruct(state, batch, method.hparams)

    error, again = evaluated()
    assert np.asarray(error).mean() < 0.1
    assert again.shape == (32, 2, 2, 1)


def test_what_a_network_cannot_be_is_refused(x64):
    with pytest.raises(InputError, match="at least two layers"):
        deep_belief_network((3,))
    with pytest.raises(InputError, match="gibbs_steps is 0"):
        deep_belief_network((3, 2), gibbs_steps=0)
    with pytest.raises(InputError, match="chains is -1"):
        deep_belief_network((3, 2), chains=-1)
    method = deep_belief_network((3, 2), classes=2)
    batch = {"image": np.ones((4, 2, 2, 1))}
    state = jax.jit(method.init)(jax.random.key(0), batch, method.hparams)
    with pytest.raises(InputError, match="needs data with labels"):
        jax.eval_shape(method.step, jax.random.key(1), state, batch, method.hparams)
