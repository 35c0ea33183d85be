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
    v = states()
    random = np.random.RandomState(3)
    size = v.shape[1]
    log_variance = random.normal(size=size) if name == "gaussian" else None
    params = RBMParams(np.zeros((size, 1)), random.normal(size=size), np.zeros(1), log_variance)
    return kind, v, measure, params, random.normal(size=(1, size))


def conditional(name):
    """p(v | h) of each state, and the log of what normalises it."""
    kind, v, measure, params, field = problem(name)
    mass = jax.jit(lambda v: kind.log_base(params, v) + (kind.signal(params, v) @ field.T)[:, 0])(v)
    mass = np.asarray(mass)
    total = np.exp(mass).sum() * measure
    return np.exp(mass) * measure / total, np.log(total)


@pytest.mark.parametrize("name", KINDS)
def test_visible_units_are_normalised(name):
    kind, _, _, params, field = problem(name)
    found = jax.jit(kind.log_sum)(params, field)
    np.testing.assert_allclose(found, conditional(name)[1], rtol=1e-10)


@pytest.mark.parametrize("name", KINDS)
def test_visible_means_are_those_of_the_conditional(name):
    kind, v, _, params, field = problem(name)
    expected = conditional(name)[0] @ v
    found = np.asarray(jax.jit(kind.mean)(params, field))
    np.testing.assert_allclose(found[0], expected, rtol=1e-10)


@pytest.mark.parametrize("name", KINDS)
def test_visible_draws_are_those_of_the_conditional(name):
    kind, v, _, params, field = problem(name)
    count = 20_000
    fields = np.broadcast_to(field, (count, field.size))

    @jax.jit
    def draw(key):
        return kind.draw(jax.random.uniform(key, fields.shape), params, fields)

    drawn, p = np.asarray(draw(jax.random.key(0))), conditional(name)[0]
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
    data = (
        random.normal([1.0, -2.0], [0.5, 3.0], (4000, 2))
        if name == "gaussian"
        else states[random.randint(0, len(states) - 1, 4000)]
    )
    size = data.shape[1]

    @jax.jit
    def fitted(data):
        bias, log_variance = kind.fit(data)
        params = RBMParams(jnp.zeros((size, 1)), bias, jnp.zeros(1), log_variance)
        return kind.mean(params, jnp.zeros((1, size)))[0], log_variance

    found, log_variance = fitted(data)
    np.testing.assert_allclose(found, data.mean(axis=0), atol=2e-4)
    if name == "gaussian":
        np.testing.assert_allclose(np.exp(log_variance), data.var(axis=0) + 0.01, rtol=1e-9)


def test_fitted_units_are_never_sure():
    v = np.array([[1.0, 0.0, 1.0, 0.0, 0.0]] * 4)
    bias = np.asarray(jax.jit(units.softmax(3).fit)(v)[0])
    # (4 + 1/3) / 5, and 1/3 / 5 twice: probabilities
    np.testing.assert_allclose(np.exp(bias[2:]), np.array([13, 1, 1]) / 15)
    # (4 + 1/2) / 5 = 0.9
    bias = np.asarray(jax.jit(units.bernoulli().fit)(v)[0])
    np.testing.assert_allclose(bias[:2], [np.log(9), -np.log(9)])


def test_hidden_units_by_sum_and_integral():
    logits = np.array([[0.3, -1.2]])
    several = np.stack([logits, 2 * logits, logits])
    binary, real = units.bernoulli_hidden(), units.gaussian_hidden()

    @jax.jit
    def found(key):
        uniform = jax.random.uniform(key, (20_000, 2))
        return (
            [
                {
                    "sums": kind.log_sum(several),
                    "alone": jnp.stack([kind.log_sum(x) for x in several]),
                    "classes": kind.log_base(np.ones((4, 5, 2))),  # those of classes, say
                    "base": kind.log_base(np.array([[1.0, 3.0], [0.0, 2.0]])),
                }
                for kind in (binary, real)
            ],
            real.mean(logits),
            real.draw(uniform, jnp.broadcast_to(logits, (20_000, 2))),
        )

    (of_binary, of_real), real_mean, drawn = jax.device_get(found(jax.random.key(0)))
    np.testing.assert_allclose(of_binary["sums"][0], np.log1p(np.exp(logits)).sum())
    for of_kind in (of_binary, of_real):
        assert of_kind["classes"].shape == (4, 5)
        np.testing.assert_allclose(of_kind["sums"], of_kind["alone"])
    np.testing.assert_array_equal(of_binary["base"], 0)
    np.testing.assert_allclose(of_real["base"], [-5, -2])
    mass = np.exp(GRID[:, None] * logits - GRID[:, None] ** 2 / 2)
    total = mass.sum(axis=0) * (GRID[1] - GRID[0])
    np.testing.assert_allclose(of_real["sums"][0], np.log(total).sum(), rtol=1e-10)
    mean = (GRID[:, None] * mass).sum(axis=0) / mass.sum(axis=0)
    np.testing.assert_allclose(real_mean[0], mean, rtol=1e-10)
    assert np.all(np.abs(drawn.mean(axis=0) - mean) < 4 / np.sqrt(20_000))
    np.testing.assert_allclose(drawn.var(axis=0), 1, atol=0.05)


def test_reconstruction_nll_is_minus_the_log_of_the_conditional():
    kind, v, measure, params, field = problem("gaussian")
    both = boltzmann.Units(kind, units.bernoulli_hidden())
    fields = np.broadcast_to(field, v.shape)
    nll = jax.jit(boltzmann.reconstruction_nll, static_argnums=3)(params, v, fields, both)
    np.testing.assert_allclose(np.exp(-np.asarray(nll)).sum() * measure, 1, rtol=1e-10)


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
    code = jax.jit(boltzmann.gaussian_hidden().draw)
    found = code(np.array([[0.025, 0.5, 0.975]]), np.ones((1, 3)))
    np.testing.assert_allclose(found, [[1 - 1.959964, 1, 1 + 1.959964]], rtol=1e-5)
    label = jax.jit(boltzmann.softmax(3).draw)
    params = RBMParams(np.zeros((3, 1)), np.zeros(3), np.zeros(1))
    for number, chosen in ((0.1, 0), (0.5, 1), (0.99, 2)):
        drawn = label(np.full((1, 3), number), params, np.zeros((1, 3)))
        np.testing.assert_array_equal(drawn, np.eye(3)[[chosen]])
