"""A network of 3 pixels, 2 units and 2 units on top, whose p(v) can be summed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, nets, training
from ae_jax.core import InputError
from ae_jax.methods import boltzmann, deep_belief_network
from ae_jax.methods.boltzmann import BERNOULLI, RBMParams, Units
from ae_jax.methods.boltzmann.deep_belief_network import (
    DBNParams,
    bound,
    draw,
    logits_of,
    params_of,
)
from ae_jax.recipes import greedy

# Its tests share a greedily trained network, in one process.
pytestmark = pytest.mark.xdist_group("deep belief network")
LABELLED = Units(boltzmann.softmax(2), boltzmann.bernoulli_hidden())


def network(machines, classes=0):
    random = np.random.RandomState(5)

    def directed(*shape):
        return nets.Affine(
            jnp.asarray(random.normal(size=shape)), jnp.asarray(random.normal(size=shape[1]))
        )

    return DBNParams((directed(3, 2),), (directed(2, 3),), machines.make(2 + classes, 2, key=6))


def conditional(machines, layer, x):
    """p of each state of a layer's units given x [B, in]: [B, 2^out]."""
    p = np.asarray(jax.nn.sigmoid(logits_of(layer, jnp.asarray(x))))[:, None]
    outcomes = machines.states(layer.bias.size)[None]
    return np.prod(np.where(outcomes == 1, p, 1 - p), axis=2)


def prior(machines, params, classes):
    """p of each state of the units that the top machine stands on, [4]."""
    x = machines.states(2)
    if not classes:
        return machines.joint(params.top).sum(axis=1)
    both = np.concatenate([np.repeat(x, 2, axis=0), np.tile(np.eye(2), (4, 1))], axis=1)
    p = np.exp(-np.asarray(boltzmann.free_energy(params.top, jnp.asarray(both), LABELLED)))
    return p.reshape(4, 2).sum(axis=1) / p.sum()


@pytest.mark.parametrize("classes", [0, 2])
def test_the_bound_is_its_expectation_and_below_the_likelihood(machines, classes):
    params = network(machines, classes)
    units = LABELLED if classes else BERNOULLI
    v, x = machines.states(3), machines.states(2)
    down, up = conditional(machines, params.down[0], x), conditional(machines, params.up[0], v)
    p = prior(machines, params, classes)
    # E_q[log p(v | x) + log p(x) - log q(x | v)]
    expected = (up * (np.log(down.T) + np.log(p) - np.log(up))).sum(axis=1)
    log_z = boltzmann.log_partition_exact(params.top, units)
    draws = jax.jit(
        jax.vmap(lambda key: bound(key, params, jnp.asarray(v), units, classes) - log_z)
    )(jax.random.split(jax.random.key(0), 4000))
    error = np.std(draws, axis=0) / np.sqrt(4000)
    assert np.all(np.abs(np.mean(draws, axis=0) - expected) < 4.5 * error)
    assert np.all(expected < np.log(p @ down))


def test_draws_are_those_of_the_network(machines):
    params = network(machines)
    means = np.asarray(
        jax.jit(draw, static_argnums=(2, 3, 4))(jax.random.key(1), params, 8000, 20, BERNOULLI)
    )
    expected = prior(machines, params, 0) @ conditional(
        machines, params.down[0], machines.states(2)
    )
    expected = expected @ machines.states(3)
    error = means.std(axis=0) / np.sqrt(8000)
    assert np.all(np.abs(means.mean(axis=0) - expected) < 4.5 * error)


def test_draws_given_a_label(machines):
    params = network(machines, 3)
    units = Units(boltzmann.softmax(3), boltzmann.bernoulli_hidden())
    label = jnp.tile(jnp.array([[0.0, 1.0, 0.0]]), (8000, 1))
    means = np.asarray(
        jax.jit(draw, static_argnums=(2, 3, 4))(jax.random.key(1), params, 8000, 20, units, label)
    )
    x = machines.states(2)
    given = np.concatenate([x, label[:4]], axis=1)
    p = np.exp(-np.asarray(boltzmann.free_energy(params.top, jnp.asarray(given), units)))
    expected = (p / p.sum()) @ conditional(machines, params.down[0], x) @ machines.states(3)
    error = means.std(axis=0) / np.sqrt(8000)
    assert np.all(np.abs(means.mean(axis=0) - expected) < 4.5 * error)


def stripes():
    images = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]], bool)
    return data.stored(np.tile(images.reshape(4, 2, 2), (8, 1, 1)), np.tile([0, 1, 0, 0], 8))


@functools.cache
def greedily_trained():
    layers = greedy.rbm_layers((4, 3), (2, 2, 1), learning_rate=0.2)
    return greedy.train(layers, stripes(), training.grid(seed=0), 300, batch_size=32)


def trained(method, state, batch, steps):
    """A method's state after some steps on one batch."""

    def step(state, key):
        return method.step(key, state, batch, method.hparams)

    keys = jax.random.split(jax.random.key(2), steps)
    return jax.jit(lambda state: jax.lax.scan(step, state, keys)[0])(state)


def test_greedily_trained_machines_are_a_network(x64):
    stack = greedily_trained()
    params = params_of(stack.start[0])
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
    params = params_of(greedily_trained().start[0])
    method = deep_belief_network((4, 3), chains=chains, learning_rate=0.02)
    images = stripes()
    batch = images.fetch(images.arrays, np.arange(32))
    start = method.init(jax.random.key(0), batch, method.hparams, {"params": params})

    @jax.jit
    def mean_bound(state):
        found = jax.vmap(
            lambda key: method.evaluate(key, state, batch, method.hparams)["unnormalised_nll"]
        )(jax.random.split(jax.random.key(1), 200))
        return -jnp.mean(found) - boltzmann.log_partition_exact(state.params.top)

    before, after = mean_bound(start), mean_bound(trained(method, start, batch, 1500))
    # 1/2, 1/4, 1/4: the best is minus their entropy, -1.04
    assert before + 0.02 < after < -1.04


def test_persistent_chains_come_to_the_top_machine(machines, x64):
    """They go on from step to step: at a rate of 0 they are draws of it, whatever the data are."""
    params = network(machines, 2)
    method = deep_belief_network((2, 2), classes=2, gibbs_steps=1, chains=4000, learning_rate=0.0)
    batch = {"image": jnp.ones((8, 3, 1, 1)), "label": jnp.zeros(8, int)}
    given = {"params": params, "chains": jnp.tile(jnp.array([1.0, 1.0, 1.0, 0.0]), (4000, 1))}
    state = method.init(jax.random.key(0), batch, method.hparams, given)
    np.testing.assert_array_equal(state.chains, given["chains"])

    after = trained(method, state, batch, 50)
    jax.tree.map(np.testing.assert_array_equal, after.params, params)
    number = np.asarray(after.chains[:, :2]) @ [1, 2]
    found = np.bincount(number.astype(int), minlength=4) / 4000
    expected = prior(machines, params, 2)[np.argsort(machines.states(2) @ [1, 2])]
    assert np.all(np.abs(found - expected) < 4.5 * np.sqrt(expected / 4000))


def test_classes_are_recognised(x64):
    method = deep_belief_network((4, 3), classes=2, learning_rate=0.05)
    images = stripes()
    batch = images.fetch(images.arrays, np.arange(32))
    start = params_of(greedily_trained().start[0])
    weights = jnp.concatenate([start.top.weights, jnp.zeros((2, 3), start.top.weights.dtype)])
    bias = jnp.concatenate([start.top.visible_bias, jnp.zeros(2, start.top.weights.dtype)])
    top = RBMParams(weights, bias, start.top.hidden_bias)
    given = {"params": start._replace(top=top)}
    state = method.init(jax.random.key(0), batch, method.hparams, given)

    state = trained(method, state, batch, 2000)
    values = method.evaluate(jax.random.key(0), state, batch, method.hparams)
    assert np.mean(values["error"]) < 0.1
    assert method.views.reconstruct(state, batch, method.hparams).shape == (32, 2, 2, 1)


def test_what_a_network_cannot_be_is_refused(x64):
    with pytest.raises(InputError, match="at least two layers"):
        deep_belief_network((3,))
    with pytest.raises(InputError, match="gibbs_steps=0"):
        deep_belief_network((3, 2), gibbs_steps=0)
    with pytest.raises(InputError, match="chains must be at least 0"):
        deep_belief_network((3, 2), chains=-1)
    method = deep_belief_network((3, 2), classes=2)
    batch = {"image": jnp.ones((4, 2, 2, 1))}
    state = method.init(jax.random.key(0), batch, method.hparams)
    with pytest.raises(InputError, match="needs data with labels"):
        method.step(jax.random.key(1), state, batch, method.hparams)


def test_a_bound_is_of_images_alone_unless_classes_are_given(machines):
    params, v = network(machines), jnp.asarray(machines.states(3))
    found = bound(jax.random.key(0), params, v, BERNOULLI)
    np.testing.assert_array_equal(found, bound(jax.random.key(0), params, v, BERNOULLI, 0))
