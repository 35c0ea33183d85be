"""A network of 3 pixels, 2 units and 2 units on top, whose p(v) can be summed."""

import chex
import jax
import numpy as np
import pytest

from ae_jax import nets
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import BERNOULLI, RBMParams, Units
from ae_jax.methods.boltzmann.belief import bound, draw, logits_of, params_of

LABELLED = Units(boltzmann.softmax(2), boltzmann.bernoulli_hidden())


def conditional(machines, layer, x):
    """p of each state of a layer's units given x [B, in]: [B, 2^out]."""
    p = machines.sigmoid(logits_of(layer, x))[:, None]
    outcomes = machines.states(layer.bias.size)[None]
    return np.prod(np.where(outcomes == 1, p, 1 - p), axis=2)


@pytest.mark.parametrize("classes", [0, 2])
def test_the_bound_is_its_expectation_and_below_the_likelihood(machines, classes):
    params = machines.network(classes)
    units = LABELLED if classes else BERNOULLI
    v, x = machines.states(3), machines.states(2)
    down, up = conditional(machines, params.down[0], x), conditional(machines, params.up[0], v)
    p = machines.prior(params, classes)
    # E_q[log p(v | x) + log p(x) - log q(x | v)]
    expected = (up * (np.log(down.T) + np.log(p) - np.log(up))).sum(axis=1)

    @machines.whole
    def many(key):
        keys = jax.random.split(key, 4000)
        draws = jax.vmap(lambda key: bound(key, params, v, units, classes))(keys)
        return draws - boltzmann.log_partition_exact(params.top, units)

    draws = many(jax.random.key(0))
    error = np.std(draws, axis=0) / np.sqrt(4000)
    assert np.all(np.abs(np.mean(draws, axis=0) - expected) < 4.5 * error)
    assert np.all(expected < np.log(p @ down))


def test_draws_are_those_of_the_network(machines):
    params = machines.network()
    drawn = machines.whole(draw, static_argnums=(2, 3, 4))
    means = drawn(jax.random.key(1), params, 8000, 20, BERNOULLI)
    expected = machines.prior(params, 0) @ conditional(machines, params.down[0], machines.states(2))
    expected = expected @ machines.states(3)
    error = means.std(axis=0) / np.sqrt(8000)
    assert np.all(np.abs(means.mean(axis=0) - expected) < 4.5 * error)


def test_draws_given_a_label(machines):
    params = machines.network(3)
    units = Units(boltzmann.softmax(3), boltzmann.bernoulli_hidden())
    drawn = machines.whole(draw, static_argnums=(2, 3, 4))
    for index in (0, 1):
        label = np.tile(np.eye(3)[index], (8000, 1))
        means = drawn(jax.random.key(1), params, 8000, 20, units, label)
        x = machines.states(2)
        given = np.concatenate([x, label[:4]], axis=1)
        p = np.exp(-machines.compiled.free_energy(params.top, given, units))
        expected = (p / p.sum()) @ conditional(machines, params.down[0], x) @ machines.states(3)
        error = means.std(axis=0) / np.sqrt(8000)
        assert np.all(np.abs(means.mean(axis=0) - expected) < 4.5 * error)


def test_a_bound_is_of_images_alone_unless_classes_are_given(machines):
    params, v = machines.network(), machines.states(3)
    found = jax.jit(bound, static_argnums=(3, 4))
    key = jax.random.key(0)
    np.testing.assert_array_equal(
        found(key, params, v, BERNOULLI), found(key, params, v, BERNOULLI, 0)
    )


def test_the_parts_of_a_stack_find_their_places(machines):
    """Decoders of a stack are numbered from the top down."""
    random = np.random.RandomState(0)
    shapes = [(5, 4), (4, 3), (3, 2)]
    up = [machines.directed(random, *shape) for shape in shapes]
    down = [machines.directed(random, *shape[::-1]) for shape in shapes]
    start = {
        "encoder": {str(i): nets.mlp_params(x) for i, x in enumerate(up)},
        "decoder": {str(i): nets.mlp_params(x) for i, x in enumerate(down[::-1])},
    }
    whole = params_of(start)
    chex.assert_trees_all_equal((whole.up, whole.down), (tuple(up[:2]), tuple(down[:2])))
    top = RBMParams(up[2].kernel, down[2].bias, up[2].bias)
    chex.assert_trees_all_equal(whole.top, top)
    above = params_of(start, machines.make(2, 2))
    chex.assert_trees_all_equal((above.up, above.down), (tuple(up), tuple(down)))
    chex.assert_trees_all_equal(above.top, machines.make(2, 2))
