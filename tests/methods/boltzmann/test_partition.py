import math

import jax
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import BERNOULLI, Units
from ae_jax.methods.boltzmann.partition import _estimate

GAUSSIAN = Units(boltzmann.gaussian(), boltzmann.bernoulli_hidden())
LABELLED = Units(boltzmann.softmax(3), boltzmann.bernoulli_hidden())
KINDS = {"bernoulli": BERNOULLI, "gaussian": GAUSSIAN, "labelled": LABELLED}


def problem(machines, kind="bernoulli", scale=1.0):
    params = machines.make(5, 3, scale, gaussian=kind == "gaussian")
    random = np.random.RandomState(2)
    v = random.randint(0, 2, (40, 5)).astype(float)
    if kind != "bernoulli":  # far from data weights would have no variance to speak of
        v = machines.compiled.draw_exact(jax.random.key(1), params, 40, KINDS[kind])
    return params, machines.compiled.base_of(params, v, KINDS[kind]), v


@pytest.mark.parametrize("kind", KINDS)
def test_the_base_has_its_partition_function(machines, kind):
    _, base, _ = problem(machines, kind)
    units = KINDS[kind]
    by_hidden = machines.compiled.log_partition_exact(base, units)
    found = jax.jit(lambda base: boltzmann.log_partition_base(base, units))(base)
    np.testing.assert_allclose(found, by_hidden, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_have_the_partition_function_as_their_mean(machines, kind):
    """E[w] = Z going up and 1 / Z going down from exact draws, however few the temperatures."""
    params, base, _ = problem(machines, kind)
    units = KINDS[kind]
    exact = machines.compiled.log_partition_exact(params, units)
    count = 20_000

    @machines.whole
    def both(key):
        up_key, draw_key, down_key = jax.random.split(key, 3)
        options = {"temperatures": 4, "units": units}
        up = boltzmann.log_partition_ais(up_key, params, base, chains=count, **options)
        v = boltzmann.draw_exact(draw_key, params, count, units)
        return up, boltzmann.log_partition_reverse_ais(down_key, params, base, v, **options)

    up, down = both(jax.random.key(0))
    for estimate, sign in ((up, 1), (down, -1)):
        weights = np.exp(sign * (estimate.log_weights * sign - exact))
        assert abs(weights.mean() - 1) < 4 * weights.std() / np.sqrt(count)
        assert weights.std() > 0.05
        assert estimate.low < estimate.log_partition < estimate.high
        assert estimate.low - 0.02 < exact < estimate.high + 0.02


def test_intervals_hold_the_partition_function_19_times_of_20(machines):
    params, base, _ = problem(machines)
    exact = machines.compiled.log_partition_exact(params)
    estimate = machines.whole(
        jax.vmap(
            lambda key: boltzmann.log_partition_ais(key, params, base, chains=200, temperatures=20)
        )
    )(jax.random.split(jax.random.key(0), 300))
    held = np.mean((estimate.low < exact) & (exact < estimate.high))
    assert 0.91 < held < 0.98


def test_estimates_lie_on_either_side(machines):
    """On a machine with strong weights and few temperatures, on average over repetitions."""
    params, base, _ = problem(machines, scale=3.0)
    exact = machines.compiled.log_partition_exact(params)

    @machines.whole
    @jax.vmap
    def both(key):
        up_key, draw_key, down_key = jax.random.split(key, 3)
        up = boltzmann.log_partition_ais(up_key, params, base, chains=5, temperatures=5)
        v = boltzmann.draw_exact(draw_key, params, 5)
        down = boltzmann.log_partition_reverse_ais(down_key, params, base, v, temperatures=5)
        return up.log_partition, down.log_partition

    up, down = both(jax.random.split(jax.random.key(0), 400))
    assert np.mean(up) + 3 * np.std(up) / 20 < exact
    assert np.mean(down) - 3 * np.std(down) / 20 > exact


def test_reverse_ais_of_data_underestimates_their_likelihood(machines):
    params, base, v = problem(machines, scale=2.0)
    of = machines.compiled
    exact = -of.free_energy(params, v) - of.log_partition_exact(params)
    keys = jax.random.split(jax.random.key(0), 300)
    for temperatures, most in ((3, math.inf), (100, 0.1)):
        draw = machines.whole(
            jax.vmap(
                lambda key, temperatures=temperatures: boltzmann.log_likelihood_reverse_ais(
                    key, params, base, v, temperatures=temperatures
                )
            )
        )
        gap = exact - draw(keys)  # [300, 40]
        mean = np.mean(gap, axis=1)
        assert np.mean(mean) + 4 * np.std(mean) / np.sqrt(300) > 0
        assert np.mean(mean) < most


def test_the_effective_sample_size_counts_the_weights_that_matter(machines):
    estimate = machines.whole(_estimate, static_argnums=1)
    even = estimate(np.full(50, 700.0), 1)  # exp(700) overflows when squared
    np.testing.assert_allclose(even.effective_sample_size, 50)
    np.testing.assert_allclose([even.low, even.log_partition, even.high], 700)
    few = np.asarray([0.0] + [-800.0] * 49)
    one = estimate(few, 1)
    np.testing.assert_allclose(one.effective_sample_size, 1)
    np.testing.assert_allclose(one.log_partition, -np.log(50))
    assert one.low == -np.inf
    assert estimate(few, -1).high == np.inf


def test_one_sample_has_no_standard_error(machines):
    params, base, v = problem(machines)

    @machines.whole
    def found(key):
        up = [
            boltzmann.log_partition_ais(key, params, base, chains=chains, temperatures=3)
            for chains in (1, 2)
        ]
        return *up, boltzmann.log_partition_reverse_ais(key, params, base, v[:1], temperatures=3)

    up, two, down = found(jax.random.key(0))
    for estimate in (up, down):
        assert np.isfinite(estimate.log_partition)
        assert (estimate.low, estimate.high) == (-np.inf, np.inf)
    w = np.exp(two.log_weights)
    high = np.log(w.mean() + 1.959964 * w.std(ddof=1) / np.sqrt(2))
    np.testing.assert_allclose(two.high, high, rtol=1e-9)


def test_annealing_needs_temperatures(machines):
    params, base, _ = problem(machines)
    with pytest.raises(InputError, match="temperatures is 0"):
        boltzmann.log_partition_ais(jax.random.key(0), params, base, temperatures=0)
    with pytest.raises(InputError, match="chains is 0"):
        boltzmann.log_partition_ais(jax.random.key(0), params, base, chains=0)
    for chains, temperatures in ((0, 1), (1, 0)):
        with pytest.raises(InputError, match=" is 0: use a whole number, 1 or more"):
            boltzmann.check_annealing(chains, temperatures)
    boltzmann.check_annealing(1, 1)
    nothing = np.zeros((0, 5))
    with pytest.raises(InputError, match="v holds no draw"):
        boltzmann.log_partition_reverse_ais(jax.random.key(0), params, base, nothing)
    for reverse in (boltzmann.log_partition_reverse_ais, boltzmann.log_likelihood_reverse_ais):
        with pytest.raises(InputError, match="temperatures is 0"):
            reverse(jax.random.key(0), params, base, np.ones((1, 5)), temperatures=0)


def test_what_is_left_out_is_what_is_documented(machines):
    more = {"temperatures": 1000, "units": BERNOULLI}
    assert machines.defaults(boltzmann.log_partition_ais) == more | {"chains": 100}
    for function in (boltzmann.log_partition_reverse_ais, boltzmann.log_likelihood_reverse_ais):
        assert machines.defaults(function) == more


def test_annealing_in_one_step_compares_two_masses(machines):
    """With one temperature a weight is p of the model over p of the base, or one over that."""
    params, base, v = problem(machines)
    key, one = jax.random.key(0), {"temperatures": 1}

    @machines.whole
    def found(every):
        log_base = -boltzmann.free_energy(base, every) - boltzmann.log_partition_base(base)
        up = boltzmann.log_partition_ais(key, params, base, chains=50, **one).log_weights
        down = boltzmann.log_partition_reverse_ais(key, params, base, v, **one).log_weights
        likelihood = boltzmann.log_likelihood_reverse_ais(key, params, base, v, **one)
        free = boltzmann.free_energy(params, v)
        ratio = -boltzmann.free_energy(params, every) - log_base
        return ratio, up, down, likelihood + free

    ratio, up, down, likelihood = found(machines.states(5))
    for weights, possible in ((up, ratio), (down, -ratio), (likelihood, -ratio)):
        gap = np.abs(weights[:, None] - possible)
        assert gap.min(axis=1).max() < 1e-9
        assert len(np.unique(gap.argmin(axis=1))) > 5
