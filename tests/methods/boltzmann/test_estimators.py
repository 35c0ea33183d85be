"""Estimates of the log-likelihood's gradient beside the gradient itself, by enumeration."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import NOT_NEGATIVE, InputError
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import BERNOULLI, Units, estimators

GAUSSIAN = Units(boltzmann.gaussian(), boltzmann.bernoulli_hidden())
CASES = [3, 5, 10, 15]


def mean_log_likelihood(params, v, units=BERNOULLI):
    free = boltzmann.free_energy(params, v, units)
    return -jnp.mean(free) - boltzmann.log_partition_exact(params, units)


def problem(machines, scale=1.5):
    """Parameters of 4 visible and 3 hidden units, and four examples."""
    params = machines.make(4, 3, scale)
    return params, machines.states(4)[CASES]


def exact_gradient(machines, params, v):
    return machines.flat(machines.whole(jax.grad(mean_log_likelihood))(params, v))


def repeated(machines, estimator, params, v, calls, seeds=100, **hparams):
    """Gradients at fixed parameters, [seeds, calls, P]: the chains go on from call to call."""

    @jax.jit
    @jax.vmap
    def run(key):
        start_key, key = jax.random.split(key)

        def call(carried, key):
            gradient, carried, _ = estimator.gradient(key, params, v, carried, hparams, BERNOULLI)
            return carried, jnp.concatenate([x.reshape(-1) for x in jax.tree.leaves(gradient)])

        start = estimator.init(start_key, params, v, BERNOULLI)
        return jax.lax.scan(call, start, jax.random.split(key, calls))[1]

    return np.asarray(run(jax.random.split(jax.random.key(7), seeds)))


def within(draws, expected, errors=4.5):
    """Whether the mean over the first axis is the expected one, and how sure that is."""
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - expected) < errors * error)
    return error.max()


@pytest.mark.parametrize("units", [BERNOULLI, GAUSSIAN])
def test_the_exact_gradient_is_that_of_the_log_likelihood(machines, units):
    params = machines.make(3, 2, gaussian=units is GAUSSIAN)
    v = np.random.RandomState(1).normal(size=(4, 3))
    estimator = boltzmann.exact()
    gradient, _, info = machines.whole(estimator.gradient, static_argnums=5)(
        jax.random.key(0), params, v, (), {}, units
    )
    value = machines.whole(mean_log_likelihood, static_argnums=2)
    np.testing.assert_allclose(info["log_likelihood"], value(params, v, units), rtol=1e-12)
    leaves, structure = jax.tree.flatten(params)
    for place, leaf in enumerate(leaves):
        for index in np.ndindex(leaf.shape):
            ends = []
            for change in (-1e-5, 1e-5):
                moved = leaf.copy()
                moved[index] += change
                moved = [moved if i == place else x for i, x in enumerate(leaves)]
                ends.append(value(structure.unflatten(moved), v, units))
            slope = (ends[1] - ends[0]) / 2e-5
            assert abs(jax.tree.leaves(gradient)[place][index] - slope) < 1e-7


def expected_cd(machines, params, *numbers):
    """The mean of CD's estimate after numbers of steps, from the transition matrix."""
    up, down = machines.kernel(params)
    start = np.bincount(CASES, minlength=16) / 4
    v = machines.states(4)

    @machines.whole
    @jax.grad
    def contrast(params, change):
        return change @ boltzmann.free_energy(params, v)

    ends = [start @ np.linalg.matrix_power(up @ down, steps) for steps in numbers]
    return [machines.flat(contrast(params, end - start)) for end in ends]


def test_expected_contrastive_divergence_tends_to_the_exact_gradient(machines):
    params, v = problem(machines)
    exact = exact_gradient(machines, params, v)
    expected = expected_cd(machines, params, 1, 2, 5, 500)
    errors = [np.abs(found - exact).max() for found in expected]
    assert all(np.diff(errors) < 0)
    assert errors[0] > 0.01
    assert errors[-1] < 1e-9


@pytest.mark.parametrize("statistics", ["mean", "sample"])
@pytest.mark.parametrize("steps", [1, 15])
def test_contrastive_divergence_is_unbiased_for_its_expectation(machines, steps, statistics):
    params, v = problem(machines)
    estimator = boltzmann.contrastive_divergence(steps, statistics=statistics)
    draws = repeated(machines, estimator, params, v, 1, 4000)[:, 0]
    assert within(draws, *expected_cd(machines, params, steps)) < 0.02


def test_means_of_hidden_units_vary_less_than_samples(machines):
    params, v = problem(machines)
    spread = [
        repeated(machines, boltzmann.persistent(statistics=kind), params, v, 5, 50).std(axis=0)
        for kind in ("mean", "sample")
    ]
    assert np.mean(spread[0]) < np.mean(spread[1])


@pytest.mark.parametrize(
    "estimator",
    [
        boltzmann.persistent(chains=50),
        boltzmann.parallel_tempering(chains=20, temperatures=4),
    ],
    ids=["persistent", "parallel tempering"],
)
def test_persistent_chains_come_to_the_exact_gradient(machines, estimator):
    params, v = problem(machines)
    draws = repeated(machines, estimator, params, v, 200)[:, 100:].mean(axis=1)
    assert within(draws, exact_gradient(machines, params, v)) < 0.01


@pytest.mark.full
def test_tempering_crosses_where_persistent_chains_stay(machines):
    """Two modes, all on and all off, between which Gibbs sampling hardly ever moves."""
    bias = np.array([0.3, 0, 0, 0]) - 9
    params = boltzmann.RBMParams(np.full((4, 3), 6.0), bias, np.full(3, -12.0))
    v = machines.states(4)[[0, 15]]
    exact = exact_gradient(machines, params, v)
    errors = {}
    for name, estimator in (
        ("persistent", boltzmann.persistent(chains=20)),
        ("tempered", boltzmann.parallel_tempering(chains=20, temperatures=8)),
    ):
        draws = repeated(machines, estimator, params, v, 300, 20)[:, 150:].mean(axis=1)
        errors[name] = np.abs(draws.mean(axis=0) - exact).max()
    assert errors["tempered"] < 0.02
    assert errors["persistent"] > 5 * errors["tempered"]


def test_tempering_reports_how_often_neighbours_swap(machines):
    params, v = problem(machines)
    estimator = boltzmann.parallel_tempering(chains=200, temperatures=3)
    carried = machines.whole(lambda key: estimator.init(key, params, v, BERNOULLI))(
        jax.random.key(0)
    )
    step = machines.whole(
        lambda key, carried: estimator.gradient(key, params, v, carried, {}, BERNOULLI)
    )
    np.testing.assert_array_equal(carried.swap_rates, [1, 1])
    for seed in range(6):  # even pairs, then odd ones
        before = carried.swap_rates
        _, carried, info = step(jax.random.key(seed), carried)
        pair = seed % 2
        assert carried.swap_rates[1 - pair] == before[1 - pair]
        # of 200 ladders
        swapped = 200 * (carried.swap_rates[pair] - 0.99 * before[pair]) / 0.01
        assert 0 < swapped < 200
        np.testing.assert_allclose(swapped, np.round(swapped), atol=1e-8)
    np.testing.assert_allclose(info["swap_rate"], np.mean(carried.swap_rates))
    np.testing.assert_allclose(info["least_swap_rate"], np.min(carried.swap_rates))


def test_fast_weights_decay_and_follow_the_gradient(machines):
    params, v = problem(machines)
    fast = boltzmann.fast_persistent(chains=6, decay=0.9)
    plain = boltzmann.persistent(chains=6)
    hparams = {"fast_learning_rate": 0.2}

    @machines.whole
    def found(key):
        carried = fast.init(key, params, v, BERNOULLI)
        first, after, _ = fast.gradient(key, params, v, carried, hparams, BERNOULLI)
        second, last, _ = fast.gradient(key, params, v, after, hparams, BERNOULLI)
        expected, chains, _ = plain.gradient(key, params, v, carried.chains, {}, BERNOULLI)
        return first, after, second, last, expected, chains

    first, after, second, last, expected, chains = found(jax.random.key(3))
    # without fast weights yet it is PCD
    np.testing.assert_array_equal(machines.flat(first), machines.flat(expected))
    np.testing.assert_array_equal(after.chains, chains)
    np.testing.assert_allclose(machines.flat(after.weights), 0.2 * machines.flat(first))
    np.testing.assert_allclose(
        machines.flat(last.weights),
        0.9 * machines.flat(after.weights) + 0.2 * machines.flat(second),
    )


def test_grey_levels_stand_for_probabilities(machines):
    params, _ = problem(machines)
    grey = np.random.RandomState(5).uniform(size=(3, 4))
    gradient, _, _ = machines.whole(boltzmann.contrastive_divergence().gradient, static_argnums=5)(
        jax.random.key(6), params, grey, (), {}, BERNOULLI
    )
    # the visible bias: the data's mean minus that of a chain of zeros and ones
    chain = np.mean(grey, axis=0) - gradient.visible_bias
    np.testing.assert_allclose(3 * chain, np.round(3 * chain), atol=1e-12)


def test_estimators_by_name(machines):
    """The same chains, and the same gradient."""
    params, v = problem(machines)
    named = {
        "cd-3": boltzmann.contrastive_divergence(3),
        "pcd-2": boltzmann.persistent(2, 12),
        "fpcd-2": boltzmann.fast_persistent(2, 12),
        "pt-2": boltzmann.parallel_tempering(2, 3, 4),
        "exact": boltzmann.exact(),
    }
    pairs = {text: (boltzmann.estimator(text, 12, 4), expected) for text, expected in named.items()}

    def begun(estimator):
        start = estimator.init(jax.random.key(0), params, v, BERNOULLI)
        key, hparams = jax.random.key(1), estimator.hparams
        return start, estimator.gradient(key, params, v, start, hparams, BERNOULLI)[0]

    found = machines.whole(lambda: {text: [*map(begun, pair)] for text, pair in pairs.items()})()
    for text, pair in pairs.items():
        assert pair[0].hparams == pair[1].hparams
        chex.assert_trees_all_equal(*found[text])


def test_fewer_chains_than_temperatures_are_one_at_each(machines):
    params, v = problem(machines)
    tempering = boltzmann.estimator("pt-1", 3, 4)
    carried = jax.eval_shape(
        lambda key: tempering.init(key, params, v, BERNOULLI), jax.random.key(0)
    )
    assert carried.chains.shape == (4, 1, 4)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (lambda: boltzmann.contrastive_divergence(0), "steps is 0"),
        (lambda: boltzmann.estimator("cd-0"), "unknown estimator 'cd-0'"),
        (
            lambda: boltzmann.estimator("pt-1", 100, 0),
            "temperatures is 0: use a whole number, 2 or more",
        ),
        (
            lambda: boltzmann.estimator("pt-1", 100, 1),
            "temperatures is 1: use a whole number, 2 or more",
        ),
        (lambda: boltzmann.estimator("pt-1", 0, 10), "chains is 0"),
        (lambda: boltzmann.estimator("pcd-1", 0), "chains is 0"),
        (lambda: boltzmann.estimator("fpcd-1", -1), "chains is -1"),
        (lambda: boltzmann.estimator("cd-\N{SUPERSCRIPT TWO}"), "unknown estimator"),
        (
            lambda: boltzmann.estimator("bp-1"),
            "use exact, or cd-1, pcd-1, fpcd-1, pt-1 with any number",
        ),
        (lambda: boltzmann.estimator("exact-1"), "unknown estimator"),
        (lambda: boltzmann.estimator("pcd"), "unknown estimator"),
        (lambda: boltzmann.persistent(chains=0), "chains is 0"),
        (
            lambda: boltzmann.parallel_tempering(temperatures=1),
            "temperatures is 1: use a whole number, 2 or more",
        ),
        (
            lambda: boltzmann.fast_persistent(decay=1.0),
            "decay is 1.0: use 0 or more and less than 1",
        ),
        (lambda: estimators.fast_persistent(statistics="most"), "unknown statistics 'most'"),
    ],
)
def test_what_no_estimator_can_use_is_refused(wrong, match):
    with pytest.raises(InputError, match=match):
        wrong()


def test_what_is_left_out_is_what_is_documented(machines):
    one = {"steps": 1, "statistics": "mean"}
    assert machines.defaults(boltzmann.contrastive_divergence) == one
    assert machines.defaults(boltzmann.persistent) == one | {"chains": 100}
    fast = one | {"chains": 100, "decay": 0.95, "learning_rate": 0.05}
    assert machines.defaults(boltzmann.fast_persistent) == fast
    fast = boltzmann.fast_persistent()
    assert fast.hparams == {"fast_learning_rate": 0.05}
    assert fast.domains == {"fast_learning_rate": NOT_NEGATIVE}  # at 0 it is PCD
    tempered = one | {"chains": 20, "temperatures": 10}
    assert machines.defaults(boltzmann.parallel_tempering) == tempered
    assert machines.defaults(boltzmann.estimator) == {"chains": 100, "temperatures": 10}


def test_the_least_of_everything_is_enough():
    boltzmann.contrastive_divergence(1)
    boltzmann.fast_persistent(1, 1)
    boltzmann.parallel_tempering(1, 1, 2)
