"""The machine as a learning method."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from ae_jax.core import InputError
from ae_jax.methods import boltzmann, rbm
from ae_jax.methods.boltzmann import BERNOULLI
from ae_jax.methods.boltzmann.centering import Offsets, centered, uncentered


def compiled(*arguments, **options):
    """A method and its hyperparameters; images are taken as they are."""
    method = rbm(*arguments, **{"stochastic_binarization": False} | options)
    views = method.views._replace(
        encode=jax.jit(method.views.encode),
        reconstruct=jax.jit(method.views.reconstruct),
        sample=jax.jit(method.views.sample, static_argnums=2),
        log_likelihood=jax.jit(method.views.log_likelihood),
    )
    functions = {name: jax.jit(getattr(method, name)) for name in ("init", "step", "evaluate")}
    return method._replace(**functions, views=views, hparams=dict(method.hparams))


def batch(count=6, key=7):
    random = np.random.RandomState(key)
    return {
        "image": jnp.asarray(random.uniform(size=(count, 2, 2, 1))),
        "label": jnp.asarray(random.randint(0, 3, count)),
    }


def begun(method, params=None, images=None):
    """A state, with given parameters."""
    state = method.init(jax.random.key(0), images or batch(), method.hparams)
    return state if params is None else state._replace(params=params)


def test_the_visible_bias_starts_at_the_log_odds_of_the_pixels(x64):
    method, images = compiled(3), {"image": jnp.ones((4, 2, 2, 1)).at[1:, 0, 0].set(0)}
    state = begun(method, images=images)
    # (1 + 1/2) / (4 + 1) = 0.3 and (4 + 1/2) / 5 = 0.9
    expected = np.log([0.3 / 0.7, 9, 9, 9])
    np.testing.assert_allclose(state.params.visible_bias, expected, rtol=1e-12)
    np.testing.assert_allclose(state.offsets.visible, [0.25, 1, 1, 1])
    assert state.params.weights.shape == (4, 3)
    assert 0 < np.std(state.params.weights) < 0.03


@pytest.mark.parametrize("centering", [False, True])
def test_a_step_by_its_definition(machines, centering):
    estimator = boltzmann.contrastive_divergence(2)
    method = compiled(3, estimator=estimator, centering=centering)
    hparams = {
        "learning_rate": 0.3,
        "momentum": 0.6,
        "weight_decay": 0.1,
        "sparsity_weight": 0.5,
        "sparsity_target": 0.2,
    }
    assert hparams.keys() == method.hparams.keys()
    params = machines.make(4, 3)
    state = begun(method, params)
    velocity = jax.tree.map(lambda p: 0.01 * p, params)
    state = state._replace(optimizer=optax.TraceState(velocity))
    after, info = method.step(jax.random.key(1), state, batch(), hparams)
    v = batch()["image"].reshape(6, 4)
    gradient, _, _ = jax.jit(estimator.gradient, static_argnums=5)(
        jax.random.key(1), params, v, (), {}, BERNOULLI
    )
    hidden = jax.nn.sigmoid(boltzmann.hidden_logits(params, v))
    offsets = Offsets(
        0.99 * state.offsets.visible + 0.01 * v.mean(axis=0),
        0.99 * state.offsets.hidden + 0.01 * hidden.mean(axis=0),
    )
    lack = 0.5 * (0.2 - offsets.hidden)
    gradient = gradient._replace(
        weights=gradient.weights - 0.1 * params.weights + jnp.outer(v.mean(axis=0), lack),
        hidden_bias=gradient.hidden_bias + lack,
    )
    own = params
    if centering:
        m, c = offsets
        weights = gradient.weights - jnp.outer(m, gradient.hidden_bias)
        weights = weights - jnp.outer(gradient.visible_bias, c)
        gradient = gradient._replace(weights=weights)
        own = centered(params, offsets, BERNOULLI)
    moved = 0.6 * machines.flat(velocity) + machines.flat(gradient)
    np.testing.assert_allclose(machines.flat(after.optimizer.trace), moved, rtol=1e-10)
    own = jax.tree.map(lambda p, u, g: p + 0.3 * (0.6 * u + g), own, velocity, gradient)
    expected = uncentered(own, offsets, BERNOULLI) if centering else own
    np.testing.assert_allclose(
        machines.flat(after.params), machines.flat(expected), rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(info["update_norm"], np.linalg.norm(0.3 * moved), rtol=1e-10)
    np.testing.assert_allclose(machines.flat(after.offsets), machines.flat(offsets), rtol=1e-10)
    free = np.mean(boltzmann.free_energy(params, v))
    np.testing.assert_allclose(info["free_energy"], free, rtol=1e-10)


def test_an_optimizer_gives_the_direction(machines):
    method = compiled(
        3, estimator=boltzmann.exact(), optimizer=optax.scale_by_sign(), centering=False
    )
    assert "momentum" not in method.hparams
    state = begun(method)
    hparams = {**method.hparams, "learning_rate": 0.25}
    after, _ = method.step(jax.random.key(1), state, batch(), hparams)
    moved = np.abs(machines.flat(after.params) - machines.flat(state.params))
    np.testing.assert_allclose(moved, 0.25, rtol=1e-9)


@pytest.mark.parametrize("broken", ["learning_rate", "momentum", "weight_decay"])
def test_info_turns_non_finite_with_the_state(x64, broken):
    method = compiled(3)
    state = begun(method)
    hparams = {**method.hparams, broken: jnp.nan}
    after, info = method.step(jax.random.key(1), state, batch(), hparams)
    assert not np.all(np.isfinite(after.params.weights))
    assert not np.isfinite(info["update_norm"])


def trained(method, images, steps):
    """The state after steps whose learning rate falls to 0, and what they reported."""
    state = begun(method, images=images)

    @jax.jit
    def train(state):
        def step(state, now):
            key, left = now
            hparams = {**method.hparams}
            hparams["learning_rate"] = hparams["learning_rate"] * left
            return method.step(key, state, images, hparams)

        keys = jax.random.split(jax.random.key(1), steps)
        return jax.lax.scan(step, state, (keys, jnp.linspace(1, 0, steps)))

    return train(state)


STRIPES = [[1.0, 1, 0, 0], [0, 0, 1, 1]]


@pytest.mark.parametrize(
    "estimator",
    [
        boltzmann.contrastive_divergence(),
        boltzmann.persistent(chains=32),
        boltzmann.fast_persistent(chains=32),
        boltzmann.parallel_tempering(chains=16, temperatures=4),
        boltzmann.exact(),
    ],
    ids=["CD", "PCD", "FPCD", "PT", "exact"],
)
def test_learning_raises_the_exact_likelihood(x64, estimator):
    method = compiled(4, estimator=estimator, learning_rate=0.1, exact_likelihood=True)
    images = {"image": jnp.asarray(STRIPES * 16).reshape(32, 2, 2, 1)}
    state, _ = trained(method, images, 1000)
    evaluate = jax.jit(method.evaluate)
    before, after = (
        np.mean(evaluate(jax.random.key(0), s, images, method.hparams)["log_likelihood"])
        for s in (begun(method, images=images), state)
    )
    # the best is two equally probable images: -log 2 = -0.693; independent pixels: -4 log 2
    np.testing.assert_allclose(before, -4 * np.log(2), atol=0.05)
    assert -1.3 < after < -np.log(2)


def test_real_data_are_learned_with_their_variances(x64):
    """Two clusters with different noise in either dimension."""
    random = np.random.RandomState(0)
    centres = np.repeat([[0.2, 0.8], [0.8, 0.2]], 200, axis=0)
    noisy = centres + random.normal(size=(400, 2)) * [0.05, 0.15]
    images = {"image": jnp.asarray(noisy).reshape(400, 2, 1, 1)}
    method = compiled(
        1,
        estimator=boltzmann.exact(),
        visible=boltzmann.gaussian(),
        learning_rate=0.02,
        weight_decay=0.0,
        variance_rate=1.0,
        optimizer=optax.scale_by_adam(),
    )
    state, info = trained(method, images, 2000)
    np.testing.assert_allclose(np.exp(0.5 * state.params.log_variance), [0.05, 0.15], rtol=0.05)
    # two equal clusters of Gaussians that hardly overlap: minus their entropy
    best = -np.log(2) - 2 * 0.5 * np.log(2 * np.pi * np.e) - np.log(0.05 * 0.15)
    assert best - 0.05 < info["log_likelihood"][-1] < best + 0.05
    found = method.views.log_likelihood(jax.random.key(0), state, images, method.hparams)
    np.testing.assert_allclose(np.mean(found), info["log_likelihood"][-1], atol=0.01)


def test_evaluation_by_its_definitions(machines):
    method, params = compiled(3), machines.make(4, 3)
    state = begun(method, params)
    values = method.evaluate(jax.random.key(0), state, batch(), method.hparams)
    v = batch()["image"].reshape(6, 4)
    np.testing.assert_allclose(values["free_energy"], boltzmann.free_energy(params, v))
    hidden = jax.nn.sigmoid(boltzmann.hidden_logits(params, v))
    p = jax.nn.sigmoid(params.visible_bias[None] + boltzmann.visible_field(params, hidden))
    expected = -np.sum(v * np.log(p) + (1 - v) * np.log(1 - p), axis=1)
    np.testing.assert_allclose(values["loss"], expected, rtol=1e-10)
    again = method.views.reconstruct(state, batch(), method.hparams)
    np.testing.assert_allclose(again.reshape(6, 4), p, rtol=1e-12)
    found = method.views.log_likelihood(jax.random.key(0), state, batch(), method.hparams)
    exact = -boltzmann.free_energy(params, v) - boltzmann.log_partition_exact(params)
    np.testing.assert_allclose(found, exact, rtol=1e-10)


def test_pseudo_log_likelihood_is_unbiased(machines):
    method, params = compiled(3), machines.make(4, 3)
    state = begun(method, params)
    images = {"image": jnp.asarray(machines.states(4)[[3, 9]]).reshape(2, 2, 2, 1)}

    def evaluate(key):
        return method.evaluate(key, state, images, method.hparams)

    keys = jax.random.split(jax.random.key(0), 4000)
    draws = jax.jit(jax.vmap(evaluate))(keys)["pseudo_log_likelihood"]
    # sum_i log p(v_i | the others), from the enumerated p(v)
    p = machines.joint(params).sum(axis=1)
    for index, number in enumerate((3, 9)):
        exact = sum(np.log(p[number] / (p[number] + p[number ^ 1 << i])) for i in range(4))
        error = np.std(draws[:, index]) / np.sqrt(4000)
        assert abs(np.mean(draws[:, index]) - exact) < 4 * error
        assert error < 0.05 * abs(exact)


def test_binarization_draws_the_pixels(machines):
    grey = {"image": jnp.full((500, 2, 2, 1), 0.3)}
    method, params = compiled(3, stochastic_binarization=None), machines.make(4, 3)
    state = begun(method, params)
    values = method.evaluate(jax.random.key(0), state, grey, method.hparams)["free_energy"]
    possible = boltzmann.free_energy(params, jnp.asarray(machines.states(4)))
    gap = np.abs(np.asarray(values)[:, None] - np.asarray(possible)[None]).min(axis=1)
    assert gap.max() < 1e-12
    p = stats.binom(4, 0.3).pmf(0)  # all pixels off
    zeros = np.mean(np.abs(values - possible[0]) < 1e-12)
    assert abs(zeros - p) < 4 * np.sqrt(p * (1 - p) / 500)


@pytest.mark.parametrize("drawn", [True, False])
def test_grey_levels_taken_for_states_shrink_the_weights(machines, drawn):
    # images are the pixels' probabilities given hidden states that the machine drew: zeros and
    # ones drawn from them follow the machine, so that it has nothing to learn
    params = machines.make(4, 2)
    shares = 1000 * machines.joint(params).sum(axis=0)
    h = np.repeat(machines.states(2), np.round(shares).astype(int), axis=0)
    means = 1 / (1 + np.exp(-(np.asarray(params.visible_bias) + h @ np.asarray(params.weights).T)))
    images = {"image": jnp.asarray(np.tile(means, (20, 1)).reshape(-1, 2, 2, 1))}
    method = compiled(
        2,
        stochastic_binarization=drawn,
        estimator=boltzmann.exact(),
        centering=False,
        learning_rate=1.0,
        momentum=0.0,
        weight_decay=0.0,
    )
    state = begun(method, params, images)
    learned = method.step(jax.random.key(1), state, images, method.hparams)[0].params
    growth = np.sum((learned.weights - params.weights) * params.weights)
    assert abs(growth) < 0.01 if drawn else growth < -0.03


def test_samples_follow_the_model(machines):
    method, params = compiled(2, sample_steps=20), machines.make(4, 2)
    state = begun(method, params)
    images = method.views.sample(jax.random.key(3), state, 4000, method.hparams)
    assert images.shape == (4000, 2, 2, 1)
    # probabilities given h have the visible marginals as their mean
    marginals = machines.joint(params).sum(axis=1) @ machines.states(4)
    error = np.std(images.reshape(4000, 4), axis=0) / np.sqrt(4000)
    assert np.all(np.abs(np.mean(images.reshape(4000, 4), axis=0) - marginals) < 4 * error)


def test_classes_are_learned_with_the_images(x64):
    method = compiled(
        8, classes=2, estimator=boltzmann.exact(), learning_rate=0.3, exact_likelihood=True
    )
    images = {
        "image": jnp.asarray(STRIPES * 8).reshape(16, 2, 2, 1),
        "label": jnp.asarray([0, 1] * 8),
    }
    state, _ = trained(method, images, 800)
    values = method.evaluate(jax.random.key(0), state, images, method.hparams)
    assert np.all(values["error"] == 0)
    assert np.all(values["class_nll"] < 0.1)
    assert np.mean(values["log_likelihood"]) > -1.0  # log p(image, label): the best is -log 2
    unlabelled = {"image": images["image"]}
    found = method.views.reconstruct(state, unlabelled, method.hparams)
    np.testing.assert_allclose(found, images["image"], atol=0.3)
    assert method.views.sample(jax.random.key(0), state, 5, method.hparams).shape == (5, 2, 2, 1)
    flipped = {**images, "label": 1 - images["label"]}
    wrong = method.evaluate(jax.random.key(0), state, flipped, method.hparams)
    assert np.all(wrong["error"] == 1)


def test_what_a_machine_cannot_be_is_refused(x64):
    with pytest.raises(InputError, match="sample_steps is 0"):
        rbm(3, sample_steps=0)
    with pytest.raises(InputError, match="hidden_size is 0: use a whole number, 1 or more"):
        rbm(0, sample_steps=1)
    with pytest.raises(
        InputError, match="classes is 1000000000: use a whole number, from 2 to 65536"
    ):
        rbm(3, classes=10**9)
    with pytest.raises(InputError, match="leave out visible"):
        rbm(3, classes=2, visible=boltzmann.gaussian())
    with pytest.raises(InputError, match="no stochastic_binarization"):
        rbm(3, visible=boltzmann.gaussian(), stochastic_binarization=True)
    with pytest.raises(InputError, match="at most 20 Bernoulli units"):
        begun(rbm(21, exact_likelihood=True), images={"image": jnp.zeros((2, 7, 3, 1))})
    method = rbm(3, classes=2)
    with pytest.raises(InputError, match="needs data with labels"):
        method.init(jax.random.key(0), {"image": batch()["image"]}, method.hparams)
