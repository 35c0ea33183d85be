"""The general machine as a method: its step, evaluation and views against sums over all states."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax.core import InputError
from ae_jax.methods import boltzmann_machine
from ae_jax.methods.boltzmann import general
from ae_jax.methods.boltzmann.general import BoltzmannParams

V = np.array([[1.0, 0, 1], [0, 1, 1], [1, 0, 1], [0, 0, 0]])
BATCH = {"image": V.reshape(4, 3, 1, 1)}


def make(mask, scale=1.0):
    random = np.random.RandomState(0)
    weights = np.triu(scale * random.normal(size=mask.shape), 1)
    weights = (weights + weights.T) * mask
    return BoltzmannParams(weights, random.normal(size=len(mask)))


def begun(method, mask, scale=1.0):
    state = jax.jit(method.init)(jax.random.key(0), BATCH, dict(method.hparams))
    return state._replace(params=make(mask, scale)), BATCH


def masses(machines, pairs, bias):
    """exp(-energy) of each state of 3 visible and 2 hidden units, [4 of h, 8 of v]."""
    x = machines.states(len(bias))
    energy = -x @ bias
    for (i, j), weight in pairs.items():
        energy = energy - weight * x[:, i] * x[:, j]
    return (np if isinstance(energy, np.ndarray) else jnp).exp(-energy).reshape(-1, 8)


@pytest.mark.parametrize("connections", [general.full, general.semi_restricted])
def test_a_step_climbs_the_likelihood_of_its_connections(machines, connections):
    mask = connections(3, 2)
    method = boltzmann_machine(
        2, connections=connections, estimator=general.exact(), learning_rate=0.3, weight_decay=0.2
    )
    assert method.hparams == {"learning_rate": 0.3, "weight_decay": 0.2}
    state, batch = begun(method, mask)
    connected = [(i, j) for i, j in itertools.combinations(range(5), 2) if mask[i, j]]
    pairs = {pair: state.params.weights[pair] for pair in connected}

    def objective(pairs, bias, decay):
        p = masses(machines, pairs, bias).sum(axis=0)
        data = jnp.mean(jnp.log(p)[machines.number(V)]) - jnp.log(p.sum())
        return data - 0.5 * decay * sum(w**2 for w in pairs.values()), data

    @machines.whole
    def both(rate, decay):
        hparams = {"learning_rate": rate, "weight_decay": decay}
        expected = jax.grad(objective, (0, 1), has_aux=True)(pairs, state.params.bias, decay)
        return expected, method.step(jax.random.key(1), state, batch, hparams)

    for rate, decay in ((0.3, 0.2), (0.3, 0.0), (0.6, 0.2), (0.0, 0.2)):
        ((by_pairs, by_bias), data), (after, info) = both(rate, decay)
        weights = np.array(state.params.weights)
        for (i, j), slope in by_pairs.items():
            weights[i, j] += rate * slope
            weights[j, i] += rate * slope
        np.testing.assert_allclose(after.params.weights, weights, rtol=1e-9, atol=1e-12)
        bias = state.params.bias + rate * by_bias
        np.testing.assert_allclose(after.params.bias, bias, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(info["log_likelihood"], data, rtol=1e-9)
        moved = machines.flat(after.params) - machines.flat(state.params)
        np.testing.assert_allclose(info["update_norm"], np.linalg.norm(moved), atol=1e-10)


def test_a_step_follows_its_estimator_and_keeps_the_chains(machines):
    estimator, mask = general.persistent(2, 5, 3), general.full(3, 2)
    method = boltzmann_machine(2, estimator=estimator, stochastic_binarization=False)
    state, batch = begun(method, mask)
    hparams = dict(method.hparams)
    assert state.estimator.shape == (5, 5)

    def once(state, key):
        params = state.params
        gradient, carried, _ = estimator.gradient(key, params, V, state.estimator, mask)
        weights = gradient.weights - 1e-4 * params.weights
        expected = params.weights + 0.05 * weights, params.bias + 0.05 * gradient.bias, carried
        state, _ = method.step(key, state, batch, hparams)
        return state, (expected, (*state.params, state.estimator))

    @jax.jit
    def twice(state):
        state = jax.tree.map(jnp.asarray, state)
        return jax.lax.scan(once, state, jax.random.split(jax.random.key(0), 2))[1]

    for expected, found in zip(*twice(state), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_an_optimizer_gives_the_direction(machines):
    method = boltzmann_machine(
        2, estimator=general.exact(), optimizer=optax.trace(0.5), weight_decay=0.0
    )
    plain = boltzmann_machine(2, estimator=general.exact(), weight_decay=0.0, learning_rate=1.0)
    state, batch = begun(method, general.full(3, 2))
    velocity = jax.tree.map(lambda x: 0.1 * x, state.params)
    state = state._replace(optimizer=optax.TraceState(velocity))

    @machines.whole
    def both(key):
        after, _ = method.step(key, state, batch, dict(method.hparams))
        other = state._replace(optimizer=())
        return after, plain.step(key, other, batch, dict(plain.hparams))[0]

    after, other = both(jax.random.key(1))
    gradient = machines.flat(other.params) - machines.flat(state.params)
    moved = 0.5 * machines.flat(velocity) + gradient
    np.testing.assert_allclose(
        machines.flat(after.params), machines.flat(state.params) + 0.05 * moved, rtol=1e-9
    )
    np.testing.assert_allclose(machines.flat(after.optimizer.trace), moved, rtol=1e-9, atol=1e-12)


def test_evaluation_and_views_by_their_definitions(machines):
    mask = general.full(3, 2)
    method = boltzmann_machine(2, exact_likelihood=True, sample_sweeps=20)
    state, batch = begun(method, mask)
    hparams = dict(method.hparams)
    weights, bias = state.params
    pairs = {(i, j): weights[i, j] for i, j in itertools.combinations(range(5), 2)}
    joint = masses(machines, pairs, bias)
    joint = joint / joint.sum()

    @machines.whole
    def seen(state):
        keys = jax.random.split(jax.random.key(1), 4000)
        values = jax.vmap(lambda key: method.evaluate(key, state, batch, hparams))(keys)
        encoded = method.views.encode(state, batch, hparams)
        likelihood = method.views.log_likelihood(jax.random.key(0), state, batch, hparams)
        drawn = method.views.sample(jax.random.key(3), state, 8000, hparams)
        return values, encoded, likelihood, drawn

    values, encoded, likelihood, drawn = seen(state)
    # minus sum_i log p(v_i | all others), over h drawn given v
    for row, number in enumerate(machines.number(V)):
        p = joint[:, number] / joint[:, number].sum()
        x = np.concatenate([np.tile(V[row], (4, 1)), machines.states(2)], axis=1)
        logits = (x @ weights + bias)[:, :3]
        each = np.sum(np.logaddexp(0, -(2 * V[row] - 1) * logits), axis=1)
        draws = np.asarray(values["loss"])[:, row]
        assert abs(draws.mean() - p @ each) < 4.5 * draws.std() / np.sqrt(4000)
        assert np.abs(draws[:, None] - each).min(axis=1).max() < 1e-9
    np.testing.assert_array_equal(values["loss"], values["reconstruction"])
    exact = np.log(joint.sum(axis=0))[machines.number(V)]
    np.testing.assert_allclose(values["log_likelihood"][0], exact, rtol=1e-9)
    np.testing.assert_allclose(likelihood, exact, rtol=1e-9)
    means = (joint / joint.sum(axis=0)).T[machines.number(V)] @ machines.states(2)
    np.testing.assert_allclose(encoded, means, rtol=1e-9)
    assert drawn.shape == (8000, 3, 1, 1)
    p = joint.sum(axis=0)
    shares = np.bincount(machines.number(drawn.reshape(8000, 3)), minlength=8) / 8000
    assert np.all(np.abs(shares - p) < 4.5 * np.sqrt(p / 8000))
    left = method.inference(state)
    assert left.optimizer == left.estimator == ()
    machines.serves_by_inference(method, state, batch)


def test_a_machine_begins_at_the_data(machines):
    image = np.ones((4, 2, 2, 1))
    image[1:, 0, 0] = 0
    method = boltzmann_machine(300, connections=general.restricted)
    batch = {"image": image}
    state = machines.whole(method.init)(jax.random.key(0), batch, dict(method.hparams))
    # (1 + 1/2) / (4 + 1) = 0.3 and (4 + 1/2) / 5 = 0.9
    np.testing.assert_allclose(state.params.bias[:4], np.log([0.3 / 0.7, 9, 9, 9]))
    np.testing.assert_array_equal(state.params.bias[4:], np.zeros(300))
    weights = np.asarray(state.params.weights)
    np.testing.assert_array_equal(weights, weights.T)
    mask = general.restricted(4, 300)
    assert not weights[~mask].any()
    assert weights[mask].all()  # 3 and 4 are neighbours
    np.testing.assert_allclose(np.std(weights[mask]), 0.01, rtol=0.1)
    assert abs(np.mean(weights[mask])) < 1.5e-3
    np.testing.assert_allclose(state.image, np.mean(image, axis=0))
    assert state.estimator.shape == (100, 304)


def test_grey_images_are_drawn_from(machines):
    """Where they are not taken as they are."""
    image = np.full((2000, 3, 1, 1), 0.3)
    for drawn in (True, False):
        method = boltzmann_machine(
            0, exact_likelihood=True, estimator=general.exact(), stochastic_binarization=drawn
        )
        batch, hparams = {"image": image}, dict(method.hparams)

        @machines.whole
        def begun(method=method, batch=batch, hparams=hparams):
            state = method.init(jax.random.key(0), batch, hparams)
            return state, method.evaluate(jax.random.key(0), state, batch, hparams)["loss"]

        state, values = begun()
        # independent units with the marginals of what was seen
        p = machines.sigmoid(state.params.bias[0])
        assert abs(p - 0.3) < (0.05 if drawn else 1e-3)
        assert (len(np.unique(np.round(values, 2))) > 3) == drawn
        entropy = -3 * (0.3 * np.log(0.3) + 0.7 * np.log(0.7))
        np.testing.assert_allclose(np.mean(values), entropy, atol=0.05)


def test_a_likelihood_that_cannot_be_summed_is_refused_at_once():
    method = boltzmann_machine(18, exact_likelihood=True)
    with pytest.raises(InputError, match="at most 20 units"):
        jax.eval_shape(method.init, jax.random.key(0), BATCH, dict(method.hparams))


def test_codes_are_read_where_they_can_be_summed():
    assert boltzmann_machine(20).views.encode is not None
    assert boltzmann_machine(21).views.encode is None
    assert boltzmann_machine(2).views.log_likelihood is None


def test_what_is_left_out_is_what_is_documented(machines):
    found = machines.defaults(boltzmann_machine)
    assert found.pop("connections") is general.full
    assert found == {
        "estimator": None,
        "optimizer": None,
        "stochastic_binarization": True,
        "exact_likelihood": False,
        "sample_sweeps": 1000,
        "learning_rate": 0.05,
        "weight_decay": 1e-4,
    }


def test_the_least_of_everything_is_enough():
    boltzmann_machine(0, estimator=general.persistent(1, 1, 1), sample_sweeps=1)
