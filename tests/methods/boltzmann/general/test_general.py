"""General Boltzmann machines beside enumerations in NumPy, and beside restricted ones."""

import itertools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ae_jax import methods
from ae_jax.core import InputError
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import general
from ae_jax.methods.boltzmann.general import BoltzmannParams
from tests.marks import rare

# With --full alone: they take long.
pytestmark = pytest.mark.full

ARCHITECTURES = {
    "full": general.full,
    "restricted": general.restricted,
    "semi-restricted": general.semi_restricted,
}


def make(size=5, connections=None, scale=1.0, seed=0):
    random = np.random.RandomState(seed)
    weights = np.triu(scale * random.standard_normal((size, size)), 1)
    weights = weights + weights.T
    if connections is not None:
        weights = weights * connections
    return BoltzmannParams(jnp.asarray(weights), jnp.asarray(random.standard_normal(size)))


def brute_energies(params, states):
    """By the sum over pairs, one state after the other."""
    weights, bias = (np.asarray(p) for p in params)
    pairs = list(itertools.combinations(range(len(bias)), 2))
    return np.array(
        [-sum(weights[i, j] * x[i] * x[j] for i, j in pairs) - bias @ x for x in states]
    )


propagate = jax.jit(general.propagate)


def gibbs(params, count, sweeps, mask, **options):
    """The states of chains that start with all units off."""

    @jax.jit
    def run(key, params):
        start = jnp.zeros((count, len(mask)))
        return general.gibbs(key, params, start, sweeps, general.blocks(mask), **options)

    return run(jax.random.key(1), params)


def table(machines, params):
    """p(x) of all states, [2^N]."""
    weights = np.exp(-brute_energies(params, machines.states(params.bias.size)))
    return weights / weights.sum()


@jax.jit
def exact(params, v, x):
    return (
        general.energy(params, x),
        general.free_energy(params, v),
        general.hidden_mean(params, v),
        general.log_partition_exact(params),
        general.log_likelihood_exact(params, v),
        general.probabilities(params),
    )


def test_what_is_exact_agrees_with_sums_over_all_states(machines):
    params = make(6)
    x, v, h = machines.states(6), machines.states(4), machines.states(2)
    energies = brute_energies(params, x)
    joint = np.exp(-energies).reshape(4, 16)  # of h, and of v
    expected = (
        energies,
        -np.log(joint.sum(axis=0)),
        (joint / joint.sum(axis=0)).T @ h,
        np.log(joint.sum()),
        np.log(joint.sum(axis=0) / joint.sum()),
        joint.ravel() / joint.sum(),
    )
    for found, right in zip(exact(params, v, x), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-10)


def test_a_restricted_machine_is_a_general_one_with_connections_left_out(machines):
    rbm, mask = machines.make(4, 3), general.restricted(4, 3)
    params = general.of_rbm(rbm)
    assert not np.asarray(params.weights)[~mask].any()
    v, h = machines.states(4)[[0, 5, 11]], machines.states(3)[[6, 1, 3]]
    key = jax.random.key(0)

    @jax.jit
    def of_both(v, h):
        x = jnp.concatenate([v, h], axis=1)
        gradient = boltzmann.exact().gradient(key, rbm, v, (), {}, boltzmann.BERNOULLI)[0]
        ours = *exact(params, v, x)[:4], general.exact().gradient(key, params, v, (), mask)[0]
        theirs = (
            boltzmann.energy(rbm, v, h),
            boltzmann.free_energy(rbm, v),
            jax.nn.sigmoid(boltzmann.hidden_logits(rbm, v)),
            boltzmann.log_partition_exact(rbm),
            general.of_rbm(gradient),
        )
        return ours, theirs

    chex.assert_trees_all_close(*of_both(v, h), rtol=1e-10, atol=1e-14)


def test_draws_are_as_frequent_as_probable(machines):
    params, count = make(5), 20_000
    draw = jax.jit(general.draw_exact, static_argnums=2)
    for x in (
        draw(jax.random.key(0), params, count),
        gibbs(params, count, 20, general.full(5, 0), random_order=True),
    ):
        observed = np.bincount(machines.number(x), minlength=32)
        assert stats.chisquare(observed, count * table(machines, params)).pvalue > 0.01


def test_a_sweep_leaves_the_distribution_invariant(machines):
    params = make(5)
    p, states = table(machines, params), machines.states(5)
    on = machines.sigmoid(jax.jit(general.conditional_logits)(params, states))
    sweep = np.eye(32)
    for unit in range(5):
        kernel = np.zeros((32, 32))
        for number in range(32):
            off = number & ~(1 << unit)
            kernel[number, off | 1 << unit] = on[number, unit]
            kernel[number, off] = 1 - on[number, unit]
        np.testing.assert_allclose(p[:, None] * kernel, (p[:, None] * kernel).T, atol=1e-15)
        sweep = sweep @ kernel
    np.testing.assert_allclose(p @ sweep, p, rtol=1e-12)
    start = np.random.RandomState(1).dirichlet(np.ones(32))
    np.testing.assert_allclose(
        propagate(params, start, 3),
        start @ np.linalg.matrix_power(sweep, 3),
        rtol=1e-10,
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_chain_follows_the_distribution_that_is_propagated(machines, name):
    mask = ARCHITECTURES[name](3, 2)
    params, count = make(5, mask), 20_000
    x = gibbs(params, count, 2, mask)
    expected = propagate(params, np.eye(32)[0], 2)
    observed = np.bincount(machines.number(x), minlength=32)
    assert stats.chisquare(observed, count * np.asarray(expected)).pvalue > 0.01


def test_blocks_have_no_connections_within():
    for name, count in {"full": 8, "restricted": 2, "semi-restricted": 6}.items():
        found = [block for table in general.blocks(ARCHITECTURES[name](5, 3)) for block in table]
        assert len(found) == count
        np.testing.assert_array_equal(np.concatenate(found), np.arange(8))
    ring = np.roll(np.eye(7, dtype=bool), 1, axis=1)
    ring = ring | ring.T
    found = [block for table in general.blocks(ring) for block in table]
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(7))
    assert not any(ring[np.ix_(units, units)].any() for units in found)
    assert general.blocks(ring, []) == []
    assert [table.tolist() for table in general.blocks(ring, [2, 4, 3])] == [[[2, 4]], [[3]]]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_clamped_units_stay_and_the_others_follow_their_posterior(machines, name):
    mask = ARCHITECTURES[name](3, 2)
    params, count = make(5, mask), 20_000
    v = np.repeat([[1.0, 0, 1]], count, axis=0)
    x = jax.jit(lambda v: general.clamped(jax.random.key(0), params, v, 15, mask))(v)
    np.testing.assert_array_equal(x[:, :3], v)
    p = table(machines, params).reshape(4, 8)[:, 5]  # of h where v is number 5
    observed = np.bincount(machines.number(x[:, 3:]), minlength=4)
    assert stats.chisquare(observed, count * p / p.sum()).pvalue > 0.01


def test_the_exact_gradient_is_that_by_connections_weights(machines):
    params, v = make(5), machines.states(3)[[1, 4, 6]]
    value = machines.whole(lambda params: jnp.mean(general.log_likelihood_exact(params, v)))
    found = jax.jit(lambda p: general.exact().gradient(jax.random.key(0), p, v, (), full)[::2])
    full, step = general.full(3, 2), 1e-5
    gradient, info = found(params)
    np.testing.assert_allclose(info["log_likelihood"], value(params), rtol=1e-12)

    def slope(weights, bias):
        ends = [
            value(BoltzmannParams(params.weights + s * weights, params.bias + s * bias))
            for s in (step, -step)
        ]
        return (ends[0] - ends[1]) / (2 * step)

    one = np.eye(5)
    weights, bias = (np.asarray(g) for g in gradient)
    for i, j in itertools.combinations(range(5), 2):
        both = np.outer(one[i], one[j]) + np.outer(one[j], one[i])
        np.testing.assert_allclose(weights[i, j], slope(both, 0 * bias), atol=1e-8)
    for i in range(5):
        np.testing.assert_allclose(bias[i], slope(0 * weights, one[i]), atol=1e-8)
    np.testing.assert_array_equal(weights, weights.T)
    assert not weights.diagonal().any()


@pytest.mark.parametrize("name", ["full", "restricted"])
def test_long_chains_give_the_exact_gradient(machines, name):
    mask = ARCHITECTURES[name](4, 2)
    params, key = make(6, mask, scale=0.7), jax.random.key(0)
    v = machines.states(4)[[3, 5, 10, 15]]
    estimator = general.persistent(sweeps=10, chains=10, clamped_sweeps=5)

    def run(key):
        start_key, key = jax.random.split(key)
        start = estimator.init(start_key, params, v)
        return estimator.gradient(key, params, v, start, mask)[0]

    @machines.whole
    def both():
        draws = jax.vmap(run)(jax.random.split(jax.random.key(2), 1000))
        return draws, general.exact().gradient(key, params, v, (), mask)[0]

    draws, expected = both()
    for found, exact in zip(draws, expected, strict=True):
        error = np.std(found, axis=0) / math.sqrt(len(found))
        assert np.all(np.abs(np.mean(found, axis=0) - exact) <= 4.5 * error)
        assert error.max() < 0.02
    assert not draws.weights[:, ~mask].any()


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(
    ("estimator", "learning_rate"),
    [(general.exact(), 0.3), rare(general.persistent(1, 50, 2), 0.05)],
)
def test_training_climbs_and_keeps_the_connections(machines, name, estimator, learning_rate):
    method = methods.boltzmann_machine(
        2,
        connections=ARCHITECTURES[name],
        estimator=estimator,
        exact_likelihood=True,
        learning_rate=learning_rate,
    )
    image = machines.states(4)[[0, 0, 0, 15] * 8].reshape(32, 2, 2, 1)
    batch, hparams = {"image": image}, dict(method.hparams)

    def step(state, key):
        return method.step(key, state, batch, hparams)[0], None

    def likelihood(state):
        return jnp.mean(method.views.log_likelihood(jax.random.key(2), state, batch, hparams))

    @machines.whole
    def train():
        first = method.init(jax.random.key(0), batch, hparams)
        last = jax.lax.scan(step, first, jax.random.split(jax.random.key(1), 3000))[0]
        return last, jax.lax.map(likelihood, jax.tree.map(lambda *x: jnp.stack(x), first, last))

    state, (before, after) = train()
    weights = state.params.weights
    np.testing.assert_array_equal(weights, weights.T)
    mask = ARCHITECTURES[name](4, 2)
    assert not weights[~mask].any()
    assert weights[mask].all()
    assert before + 1 < after < 0.25 * math.log(0.25) + 0.75 * math.log(0.75)


def test_a_machine_without_hidden_units_learns_pairs(machines):
    method = methods.boltzmann_machine(
        0, estimator=general.exact(), learning_rate=0.5, weight_decay=0.0
    )
    v = machines.states(3)[[0, 0, 3, 3, 7, 2, 5, 4, 6, 1]]
    batch, hparams = {"image": v.reshape(10, 3, 1, 1)}, dict(method.hparams)

    @machines.whole
    def train():
        state = method.init(jax.random.key(0), batch, hparams)
        keys = jax.random.split(jax.random.key(1), 2000)
        return jax.lax.scan(lambda s, k: (method.step(k, s, batch, hparams)[0], None), state, keys)

    p = table(machines, train()[0].params)
    states = machines.states(3)
    pairs = states.T @ (p[:, None] * states)
    np.testing.assert_allclose(pairs, v.T @ v / len(v), atol=1e-5)


def test_estimators_by_name(machines):
    """The same chains, and the same gradient."""
    mask, key = general.full(2, 2), jax.random.key(0)
    params, v = make(4, mask), machines.states(2)
    pairs = [
        (general.estimator("exact"), general.exact()),
        (general.estimator("pcd-2", 5, 3), general.persistent(2, 5, 3)),
    ]

    @jax.jit
    def both():
        started = [[each.init(key, params, v) for each in pair] for pair in pairs]
        return started, [
            [each.gradient(key, params, v, begun, mask) for each, begun in zip(*both, strict=True)]
            for both in zip(pairs, started, strict=True)
        ]

    for found, expected in (pair for pairs in both() for pair in pairs):
        chex.assert_trees_all_equal(found, expected)
    assert machines.defaults(general.estimator) == {"chains": 100, "clamped_sweeps": 10}


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: methods.boltzmann_machine(-1), "hidden_size is -1: use a whole number, 0 or more"),
        (lambda: methods.boltzmann_machine(2, sample_sweeps=0), "sample_sweeps is 0"),
        (lambda: general.persistent(sweeps=0), "sweeps is 0"),
        (lambda: general.estimator("pcd-0"), "unknown estimator 'pcd-0'"),
        (lambda: general.estimator("cd-1"), "unknown estimator 'cd-1': use exact, or pcd-1 with"),
        (lambda: general.log_partition_exact(make(21)), "at most 20 units"),
        (lambda: general.draw_exact(jax.random.key(0), make(21), 2), "at most 20 units"),
        (lambda: general.probabilities(make(21)), "at most 20 units"),
        (lambda: general.free_energy(make(22), np.zeros((1, 1))), "at most 20 units"),
        (lambda: start(lambda v, h: np.ones((v + h, v + h), bool)), "none of a unit with itself"),
        (lambda: start(lambda v, h: np.tri(v + h, k=-1, dtype=bool)), "must be symmetric"),
        (lambda: start(lambda v, h: general.full(v, h).astype(float)), "must be bool"),
        (lambda: start(lambda v, h: general.full(v, 0)), "must be bool"),
    ],
)
def test_bad_input_is_refused(machines, make_it, message):
    with pytest.raises(InputError, match=message) as caught:
        make_it()
    assert "\n" not in str(caught.value)


def start(connections):
    method = methods.boltzmann_machine(2, connections=connections)
    return method.init(jax.random.key(0), {"image": np.zeros((2, 2, 1, 1))}, {})


def test_what_is_left_out_is_what_is_documented(machines):
    found = machines.defaults(general.persistent)
    assert found == {"sweeps": 1, "chains": 100, "clamped_sweeps": 10}
    for wrong in found:
        with pytest.raises(InputError, match=f"{wrong} is 0"):
            general.persistent(**{wrong: 0})


def test_the_least_of_everything_is_enough():
    general.persistent(1, 1, 1)


def test_clamped_chains_start_at_units_of_their_own_biases():
    connections = general.full(2, 2)
    bias = np.array([0.0, 0.0, 50.0, -50.0], np.float32)
    params = BoltzmannParams(jnp.asarray(np.zeros((4, 4), np.float32)), jnp.asarray(bias))
    v = np.ones((3, 2), np.float32)
    x = jax.jit(lambda key: general.clamped(key, params, v, 0, connections))(jax.random.key(0))
    np.testing.assert_array_equal(x, np.tile([1, 1, 1, 0], (3, 1)))
