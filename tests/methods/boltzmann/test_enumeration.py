import jax
import numpy as np
import pytest
from scipy import special, stats

from ae_jax.core import InputError
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import RBMParams, Units

GAUSSIAN = Units(boltzmann.gaussian(), boltzmann.bernoulli_hidden())
LABELLED = Units(boltzmann.softmax(3), boltzmann.bernoulli_hidden())


def test_partition_function_with_a_softmax_group(machines):
    params = machines.make(5, 3)
    free = machines.compiled.free_energy(params, machines.labelled_states(), units=LABELLED)
    expected = np.log(np.exp(-free).sum())
    np.testing.assert_allclose(
        machines.compiled.log_partition_exact(params, units=LABELLED), expected, rtol=1e-12
    )


@pytest.mark.parametrize(("visible", "hidden"), [(5, 3), (3, 5), (4, 4)])
def test_log_partition_by_enumerating_everything(machines, visible, hidden):
    params = machines.make(visible, hidden)
    expected = np.log(np.exp(-machines.energies(params)).sum())
    np.testing.assert_allclose(machines.compiled.log_partition_exact(params), expected, rtol=1e-12)


def test_log_partition_agrees_on_either_side_in_blocks(machines):
    # 12 units are more than a block of 2^10 states
    params = machines.make(12, 13, 0.5)
    by_visible = machines.compiled.log_partition_exact(params)
    by_hidden = special.logsumexp(
        -machines.compiled.hidden_free_energy(params, machines.states(13))
    )
    np.testing.assert_allclose(by_visible, by_hidden, rtol=1e-10)


def test_log_partition_of_independent_units(machines):
    # W = 0: Z = prod_i (1 + e^b_i) prod_j (1 + e^c_j)
    params = RBMParams(np.zeros((30, 2)), np.full(30, 0.3), np.array([1.0, -1.0]))
    expected = 30 * np.log1p(np.exp(0.3)) + np.log1p(np.e) + np.log1p(1 / np.e)
    np.testing.assert_allclose(machines.compiled.log_partition_exact(params), expected, rtol=1e-12)


def test_log_partition_of_a_large_machine_is_refused(machines):
    with pytest.raises(InputError, match="at most 20 Bernoulli units, got 21 visible and 22 hid"):
        boltzmann.log_partition_exact(machines.make(21, 22))
    assert not boltzmann.enumerable(machines.make(2, 21), LABELLED)
    assert boltzmann.enumerable(machines.make(21, 20), GAUSSIAN)


def test_exact_draws_follow_the_model(machines):
    # 3 visible units are visited themselves, 5 through the 3 hidden ones
    for params, drawn in ((machines.make(3, 5), 3), (machines.make(5, 3), 5)):
        v = machines.compiled.draw_exact(jax.random.key(1), params, 20_000, boltzmann.BERNOULLI)
        observed = np.bincount(machines.number(v), minlength=2**drawn)
        expected = 20_000 * machines.joint(params).sum(axis=1)
        assert stats.chisquare(observed, expected).pvalue > 0.01


def test_exact_draws_of_real_units_have_the_models_moments(machines):
    params = machines.make(2, 3, gaussian=True)
    v = np.asarray(machines.compiled.draw_exact(jax.random.key(0), params, 20_000, GAUSSIAN))
    h = machines.states(3)
    p = np.exp(-np.asarray(machines.compiled.hidden_free_energy(params, h, units=GAUSSIAN)))
    means = params.visible_bias + machines.compiled.visible_field(params, h)
    expected = p @ means / p.sum()
    assert np.all(np.abs(v.mean(axis=0) - expected) < 4 * v.std(axis=0) / np.sqrt(20_000))


def test_a_machine_of_real_units_alone_is_not_enumerable(machines):
    units = Units(boltzmann.gaussian(), boltzmann.gaussian_hidden())
    assert not boltzmann.enumerable(machines.make(2, 2, gaussian=True), units)
