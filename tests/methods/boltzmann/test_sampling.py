import jax
import numpy as np
import pytest
from scipy import stats

from ae_jax.core import InputError
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import BERNOULLI, Clamp, Units
from ae_jax.methods.boltzmann.sampling import log_mass

GAUSSIAN = Units(boltzmann.gaussian(), boltzmann.bernoulli_hidden())
LABELLED = Units(boltzmann.softmax(3), boltzmann.bernoulli_hidden())


def test_the_gibbs_kernel_leaves_the_joint_distribution_invariant(machines):
    params = machines.make(3, 2)
    joint = machines.joint(params)  # [8, 4]
    up, down = machines.kernel(params)
    np.testing.assert_allclose(joint, joint.sum(axis=1)[:, None] * up, rtol=1e-10)
    # draw h from p(h | v), then v from p(v | h)
    after = np.einsum("vg,vh,hw->wh", joint, up, down)
    np.testing.assert_allclose(after, joint, rtol=1e-10)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_gibbs_follows_its_transition_matrix(machines, steps):
    params = machines.make(3, 2)
    up, down = machines.kernel(params)
    start, count = 5, 20_000
    v0 = np.repeat(machines.states(3)[start : start + 1], count, axis=0)
    v, h = machines.compiled.gibbs(jax.random.key(2), params, v0, steps, BERNOULLI)
    before = np.linalg.matrix_power(up @ down, steps - 1)[start]
    expected = np.einsum("v,vh,hw->wh", before, up, down)  # joint of the returned pair
    code = machines.number(v) + 8 * machines.number(h)
    observed = np.bincount(code, minlength=32).reshape(4, 8).T
    assert stats.chisquare(observed.ravel(), count * expected.ravel()).pvalue > 0.01


def test_a_trajectory_is_a_chain_looked_at_on_the_way(machines):
    params, key = machines.make(3, 2), jax.random.key(4)
    v0 = machines.states(3)

    @machines.whole
    def both():
        current, seen = v0, {}
        for time, own in enumerate(jax.random.split(key, 4), start=1):
            seen[time] = current, _ = boltzmann.gibbs(own, params, current, 1)
        return *boltzmann.trajectory(key, params, v0, (1, 4, 2)), seen

    v, h, seen = both()
    assert (v.shape, h.shape) == ((3, 8, 3), (3, 8, 2))
    for place, time in enumerate((1, 4, 2)):
        np.testing.assert_array_equal(v[place], seen[time][0])
        np.testing.assert_array_equal(h[place], seen[time][1])
    for times in ((), (0, 1)):
        with pytest.raises(InputError, match="from 1"):
            boltzmann.trajectory(key, params, v0, times)


def test_real_and_grouped_chains_stay_where_the_model_is(machines):
    for units, size in ((GAUSSIAN, 2), (LABELLED, 5)):
        params = machines.make(size, 3, gaussian=units is GAUSSIAN)
        start = machines.compiled.draw_exact(jax.random.key(0), params, 20_000, units)
        end = machines.compiled.gibbs(jax.random.key(1), params, start, 3, units)[0]
        fresh = machines.compiled.draw_exact(jax.random.key(2), params, 20_000, units)
        for power in (1, 2):
            difference = np.mean(end**power, axis=0) - np.mean(fresh**power, axis=0)
            error = np.std(fresh**power, axis=0) * np.sqrt(2 / 20_000)
            assert np.all(np.abs(difference) < 4 * error)


def test_a_clamped_chain_draws_the_rest_given_what_is_clamped(machines):
    params = machines.make(5, 3)
    label = np.array([0.0, 0, 0, 1, 0])
    count = 20_000
    clamp = Clamp(np.repeat(label[None], count, axis=0), np.array([False] * 2 + [True] * 3))
    v = machines.compiled.gibbs(jax.random.key(0), params, clamp.values, 30, LABELLED, clamp)[0]
    np.testing.assert_array_equal(v[:, 2:], np.repeat(label[None, 2:], count, axis=0))
    given = np.concatenate([machines.states(2), np.repeat(label[None, 2:], 4, axis=0)], axis=1)
    p = np.exp(-machines.compiled.free_energy(params, given, LABELLED))
    observed = np.bincount(machines.number(v[:, :2]), minlength=4)
    assert stats.chisquare(observed, count * p / p.sum()).pvalue > 0.01


def test_clamped_means_are_those_given_what_is_clamped(machines):
    params, count = machines.make(4, 3), 500
    given = np.concatenate([machines.states(2), np.repeat([[1.0, 0]], 4, axis=0)], axis=1)
    p = np.exp(-machines.compiled.free_energy(params, given, BERNOULLI))
    clamp = Clamp(np.repeat(given[-1:], count, axis=0), np.array([False] * 2 + [True] * 2))
    means = machines.compiled.clamped_means(jax.random.key(0), params, clamp, 60)
    np.testing.assert_array_equal(means[:, 2:], np.repeat([[1.0, 0]], count, axis=0))
    found, error = means.mean(axis=0), means.std(axis=0) / np.sqrt(count)
    assert np.all(np.abs(found - p @ given / p.sum())[:2] < 4 * error[:2])
    # what the last draws say is the same, and varies more
    drawn = machines.compiled.gibbs(jax.random.key(1), params, clamp.values, 30, BERNOULLI, clamp)
    assert np.all(means.std(axis=0)[:2] < 0.5 * drawn[0].std(axis=0)[:2])


def test_gibbs_needs_a_step(machines):
    with pytest.raises(InputError, match="steps is 0"):
        boltzmann.gibbs(jax.random.key(0), machines.make(), np.zeros((1, 3)), 0)
    with pytest.raises(InputError, match="sweeps is 0"):
        boltzmann.clamped_means(
            jax.random.key(0), machines.make(), Clamp(np.zeros((1, 3)), None), 0
        )


@pytest.mark.parametrize("units", [BERNOULLI, GAUSSIAN])
def test_machines_between_two_mix_their_energies(machines, units):
    params = machines.make(2, 3, gaussian=units is GAUSSIAN)
    data = np.random.RandomState(0).uniform(size=(50, 2))
    v, h = machines.states(2), machines.states(3)[[6, 1, 3, 5]]

    @machines.whole
    def both(beta):
        base = boltzmann.base_of(params, data, units)
        machine = boltzmann.between(params, base, beta)
        mixed = (1 - beta) * boltzmann.energy(base, v, h, units)
        mixed = mixed + beta * boltzmann.energy(params, v, h, units)
        logits = boltzmann.hidden_logits(params, v, units)
        mass = log_mass(params, base, beta, v, logits, units)
        free = boltzmann.free_energy(machine, v, units)
        return boltzmann.energy(machine, v, h, units) - mixed, mass, free

    for beta in (0.0, 0.3, 1.0):
        difference, mass, free = both(np.asarray(beta))
        np.testing.assert_allclose(difference, difference[0], atol=1e-12)
        np.testing.assert_allclose(mass, -free, rtol=1e-12)


def test_swaps_leave_the_product_of_tempered_distributions_invariant(machines):
    params, count = machines.make(2, 2, 2.0), 20_000
    base = machines.compiled.base_of(params, np.array([[0.0, 1], [1, 1], [0, 0]]))
    betas = np.array([0.0, 0.5, 1.0])
    ladder = [machines.compiled.between(params, base, beta) for beta in betas]
    start = np.stack(
        [machines.compiled.draw_exact(jax.random.key(i), m, count) for i, m in enumerate(ladder)]
    )
    p = np.stack([machines.joint(machine).sum(axis=1) for machine in ladder])  # [3, 4]
    product = np.einsum("a,b,c->abc", *p)
    for odd in (0, 1):
        v, rates = machines.compiled.swap(
            jax.random.key(9), params, base, betas, start, np.asarray(odd)
        )
        code = machines.number(v)
        observed = np.bincount(16 * code[0] + 4 * code[1] + code[2], minlength=64)
        assert stats.chisquare(observed, count * product.ravel()).pvalue > 0.01
        # E min(1, p_t(b) p_(t+1)(a) / (p_t(a) p_(t+1)(b))) over the product
        own = np.einsum("a,b->ab", p[odd], p[odd + 1])
        expected = np.minimum(own, own.T).sum()
        error = np.sqrt(expected * (1 - expected) / count)
        assert abs(rates[odd] - expected) < 4 * error
        assert np.isnan(rates[1 - odd])
        assert np.mean(v[odd] != start[odd]) > 0.01
        untouched = 2 if odd == 0 else 0
        np.testing.assert_array_equal(v[untouched], start[untouched])


def test_precisions_between_two_machines_add_up(machines, x64):
    params = machines.make(2, 3, gaussian=True)._replace(log_variance=np.log(np.full(2, 2.0)))
    base = machines.make(2, 3, gaussian=True)._replace(log_variance=np.log(np.full(2, 0.5)))
    between = machines.compiled.between(params, base, np.asarray(0.25))
    # 1 / sigma^2 = 0.25 / 2 + 0.75 / 0.5
    np.testing.assert_allclose(np.exp(-between.log_variance), np.full(2, 1.625), rtol=1e-12)


@pytest.mark.parametrize("odd", [0, 1])
def test_neighbours_take_turns_to_swap(machines, odd):
    """At equal temperatures every swap is accepted: 0-1 and 2-3, or 1-2 alone."""
    params = machines.make(3, 2)
    v = np.random.RandomState(0).randint(0, 2, (4, 5, 3)).astype(float)
    betas = np.full(4, 0.5)
    base = machines.compiled.base_of(params, v[0])
    swapped, share = machines.compiled.swap(jax.random.key(0), params, base, betas, v, odd)
    order = [1, 0, 3, 2] if odd == 0 else [0, 2, 1, 3]
    np.testing.assert_array_equal(swapped, v[order])
    np.testing.assert_array_equal(share, [1, np.nan, 1] if odd == 0 else [np.nan, 1, np.nan])
