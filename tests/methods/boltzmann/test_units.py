"""Each kind of units against sums over its states, or integrals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.methods import boltzmann
from ae_jax.methods.boltzmann import RBMParams, units

pytestmark = pytest.mark.usefixtures("x64")
#: A grid that holds all of a Gaussian unit's mass.
GRID = np.linspace(-30, 30, 20_001)


def softmax_states():
    """The 12 states of two Bernoulli units and a group of three."""
    pairs = [(a, b) for a in (0, 1) for b in (0, 1)]
    return np.array([[*pair, *row] for pair in pairs for row in np.eye(3)])


KINDS = {
    "bernoulli": (units.bernoulli(), lambda: np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]]), 1.0),
    "softmax": (units.softmax(3), softmax_states, 1.0),
    "gaussian": (units.gaussian(), lambda: GRID[:, None], GRID[1] - GRID[0]),
}


def problem(name):
    """A kind, its states, the measure of each, parameters, and what hidden units send."""
    kind, states, measure = KINDS[name]
    v = jnp.asarray(states())
    random = np.random.RandomState(3)
    size = v.shape[1]
    log_variance = jnp.asarray(random.normal(size=size)) if name == "gaussian" else None
    params = RBMParams(
        jnp.zeros((size, 1)), jnp.asarray(random.normal(size=size)), jnp.zeros(1), log_variance
    )
    return kind, v, measure, params, jnp.asarray(random.normal(size=(1, size)))


def conditional(name):
    """p(v | h) of each state, and the log of what normalises it."""
    kind, v, measure, params, field = problem(name)
    mass = np.asarray(kind.log_base(params, v) + (kind.signal(params, v) @ field.T)[:, 0])
    total = np.exp(mass).sum() * measure
    return np.exp(mass) * measure / total, np.log(total)


@pytest.mark.parametrize("name", KINDS)
def test_visible_units_are_normalised(name):
    kind, _, _, params, field = problem(name)
    np.testing.assert_allclose(kind.log_sum(params, field), conditional(name)[1], rtol=1e-10)


@pytest.mark.parametrize("name", KINDS)
def test_visible_means_are_those_of_the_conditional(name):
    kind, v, _, params, field = problem(name)
    expected = conditional(name)[0] @ np.asarray(v)
    np.testing.assert_allclose(kind.mean(params, field)[0], expected, rtol=1e-10)


@pytest.mark.parametrize("name", KINDS)
def test_visible_draws_are_those_of_the_conditional(name):
    kind, v, _, params, field = problem(name)
    count = 20_000
    fields = jnp.broadcast_to(field, (count, field.size))
    uniform = jax.random.uniform(jax.random.key(0), fields.shape)
    drawn = np.asarray(jax.jit(kind.draw)(uniform, params, fields))
    p, v = conditional(name)[0], np.asarray(v)
    for power in (1, 2):
        moment, fourth = p @ v**power, p @ v ** (2 * power)
        error = np.sqrt((fourth - moment**2) / count)
        assert np.all(np.abs((drawn**power).mean(axis=0) - moment) < 4 * error)
    if name == "softmax":
        np.testing.assert_array_equal(drawn[:, 2:].sum(axis=1), 1)


@pytest.mark.parametrize("name", KINDS)
def test_fitted_units_have_the_marginals_of_data(name):
    kind, states, _ = KINDS[name]
    states = states()
    random = np.random.RandomState(0)
    data = jnp.asarray(
        random.normal([1.0, -2.0], [0.5, 3.0], (4000, 2))
        if name == "gaussian"
        else states[random.randint(0, len(states) - 1, 4000)]
    )
    size = data.shape[1]
    bias, log_variance = kind.fit(data)
    params = RBMParams(jnp.zeros((size, 1)), bias, jnp.zeros(1), log_variance)
    found = kind.mean(params, jnp.zeros((1, size)))[0]
    np.testing.assert_allclose(found, data.mean(axis=0), atol=2e-4)
    if name == "gaussian":
        np.testing.assert_allclose(np.exp(log_variance), data.var(axis=0) + 0.01, rtol=1e-9)


def test_fitted_units_are_never_sure():
    v = jnp.array([[1.0, 0.0, 1.0, 0.0, 0.0]] * 4)
    bias = units.softmax(3).fit(v)[0]
    # (4 + 1/3) / 5, and 1/3 / 5 twice: probabilities
    np.testing.assert_allclose(np.exp(bias[2:]), np.array([13, 1, 1]) / 15)
    # (4 + 1/2) / 5 = 0.9
    np.testing.assert_allclose(units.bernoulli().fit(v)[0][:2], [np.log(9), -np.log(9)])


def test_hidden_units_by_sum_and_integral():
    logits = jnp.array([[0.3, -1.2]])
    binary, real = units.bernoulli_hidden(), units.gaussian_hidden()
    np.testing.assert_allclose(binary.log_sum(logits), np.log1p(np.exp(logits)).sum())
    for kind in (binary, real):
        assert kind.log_base(jnp.ones((4, 5, 2))).shape == (4, 5)  # those of classes, say
        several = kind.log_sum(jnp.stack([logits, 2 * logits, logits]))
        np.testing.assert_allclose(
            several[:2, 0], [kind.log_sum(x)[0] for x in (logits, 2 * logits)]
        )
    np.testing.assert_array_equal(binary.log_base(jnp.ones((5, 2))), 0)
    np.testing.assert_allclose(real.log_base(jnp.array([[1.0, 3.0], [0.0, 2.0]])), [-5, -2])
    mass = np.exp(GRID[:, None] * np.asarray(logits) - GRID[:, None] ** 2 / 2)
    total = mass.sum(axis=0) * (GRID[1] - GRID[0])
    np.testing.assert_allclose(real.log_sum(logits)[0], np.log(total).sum(), rtol=1e-10)
    mean = (GRID[:, None] * mass).sum(axis=0) / mass.sum(axis=0)
    np.testing.assert_allclose(real.mean(logits)[0], mean, rtol=1e-10)
    uniform = jax.random.uniform(jax.random.key(0), (20_000, 2))
    drawn = real.draw(uniform, jnp.broadcast_to(logits, (20_000, 2)))
    assert np.all(np.abs(np.mean(drawn, axis=0) - mean) < 4 / np.sqrt(20_000))
    np.testing.assert_allclose(np.var(drawn, axis=0), 1, atol=0.05)


def test_reconstruction_nll_is_minus_the_log_of_the_conditional():
    kind, v, measure, params, field = problem("gaussian")
    both = boltzmann.Units(kind, units.bernoulli_hidden())
    fields = jnp.broadcast_to(field, v.shape)
    nll = boltzmann.reconstruction_nll(params, v, fields, both)
    np.testing.assert_allclose(np.exp(-nll).sum() * measure, 1, rtol=1e-10)


@pytest.mark.parametrize("sizes", [(), (1,), (3, 1)])
def test_groups_have_two_units_at_least(sizes):
    with pytest.raises(InputError, match="at least two units"):
        units.softmax(*sizes)


def test_labels_that_no_memory_holds_are_refused():
    units.softmax(2, 2**16)
    for size in (2**16 + 1, 10**9):
        with pytest.raises(InputError, match="number the classes from 0"):
            units.softmax(2, size)


def test_draws_are_quantiles():
    """A draw is the inverse of the distribution function at a uniform number."""
    code = boltzmann.gaussian_hidden().draw(jnp.asarray([[0.025, 0.5, 0.975]]), jnp.ones((1, 3)))
    np.testing.assert_allclose(code, [[1 - 1.959964, 1, 1 + 1.959964]], rtol=1e-5)
    label = boltzmann.softmax(3)
    params = RBMParams(jnp.zeros((3, 1)), jnp.zeros(3), jnp.zeros(1))
    for number, chosen in ((0.1, 0), (0.5, 1), (0.99, 2)):
        drawn = label.draw(jnp.full((1, 3), number), params, jnp.zeros((1, 3)))
        np.testing.assert_array_equal(drawn, np.eye(3)[[chosen]])
