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
        "image": random.uniform(size=(count, 2, 2, 1)),
        "label": random.randint(0, 3, count),
    }


def begun(method, params=None, images=None):
    """A state, with given parameters."""
    state = method.init(jax.random.key(0), images or batch(), method.hparams)
    return state if params is None else state._replace(params=params)


def test_the_visible_bias_starts_at_the_log_odds_of_the_pixels(x64):
    method, image = compiled(3), np.ones((4, 2, 2, 1))
    image[1:, 0, 0] = 0
    state = jax.device_get(begun(method, images={"image": image}))
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
    gradient, _, _ = machines.whole(estimator.gradient, static_argnums=5)(
        jax.random.key(1), params, v, (), {}, BERNOULLI
    )
    hidden = machines.sigmoid(machines.compiled.hidden_logits(params, v))
    visible, idle = (np.asarray(x) for x in state.offsets)
    offsets = Offsets(
        0.99 * visible + 0.01 * v.mean(axis=0), 0.99 * idle + 0.01 * hidden.mean(axis=0)
    )
    lack = 0.5 * (0.2 - offsets.hidden)
    gradient = gradient._replace(
        weights=gradient.weights - 0.1 * params.weights + np.outer(v.mean(axis=0), lack),
        hidden_bias=gradient.hidden_bias + lack,
    )
    own = params
    if centering:
        m, c = offsets
        weights = gradient.weights - np.outer(m, gradient.hidden_bias)
        weights = weights - np.outer(gradient.visible_bias, c)
        gradient = gradient._replace(weights=weights)
        own = machines.whole(centered, static_argnums=2)(params, offsets, BERNOULLI)
    moved = 0.6 * machines.flat(velocity) + machines.flat(gradient)
    np.testing.assert_allclose(machines.flat(after.optimizer.trace), moved, rtol=1e-10)
    own = jax.tree.map(lambda p, u, g: p + 0.3 * (0.6 * u + g), own, velocity, gradient)
    expected = own
    if centering:
        expected = machines.whole(uncentered, static_argnums=2)(own, offsets, BERNOULLI)
    np.testing.assert_allclose(
        machines.flat(after.params), machines.flat(expected), rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(info["update_norm"], np.linalg.norm(0.3 * moved), rtol=1e-10)
    np.testing.assert_allclose(machines.flat(after.offsets), machines.flat(offsets), rtol=1e-10)
    free = machines.compiled.free_energy(params, v).mean()
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


def test_info_turns_non_finite_with_the_state(x64):
    method = compiled(3)
    state = begun(method)
    for broken in ("learning_rate", "momentum", "weight_decay"):
        hparams = {**method.hparams, broken: np.nan}
        after, info = method.step(jax.random.key(1), state, batch(), hparams)
        assert not np.isfinite(np.asarray(after.params.weights)).all(), broken
        assert not np.isfinite(np.asarray(info["update_norm"])), broken


def trained(method, images, steps, found):
    """What is found of a machine before and after steps whose learning rate falls to 0."""

    def step(state, now):
        key, left = now
        hparams = {**method.hparams}
        hparams["learning_rate"] = hparams["learning_rate"] * left
        return method.step(key, state, images, hparams)

    @jax.jit
    def both():
        first = begun(method, images=images)
        keys = jax.random.split(jax.random.key(1), steps)
        last, info = jax.lax.scan(step, first, (keys, jnp.linspace(1, 0, steps)))
        states = jax.tree.map(lambda *x: jnp.stack(x), first, last)
        return jax.lax.map(found, states), last, info

    return jax.device_get(both())


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
    images = {"image": np.asarray(STRIPES * 16).reshape(32, 2, 2, 1)}

    def likelihood(state):
        values = method.evaluate(jax.random.key(0), state, images, method.hparams)
        return jnp.mean(values["log_likelihood"])

    (before, after), _, _ = trained(method, images, 1000, likelihood)
    # the best is two equally probable images: -log 2 = -0.693; independent pixels: -4 log 2
    np.testing.assert_allclose(before, -4 * np.log(2), atol=0.05)
    assert -1.3 < after < -np.log(2)


def test_real_data_are_learned_with_their_variances(x64):
    """Two clusters with different noise in either dimension."""
    random = np.random.RandomState(0)
    centres = np.repeat([[0.2, 0.8], [0.8, 0.2]], 200, axis=0)
    noisy = centres + random.normal(size=(400, 2)) * [0.05, 0.15]
    images = {"image": noisy.reshape(400, 2, 1, 1)}
    method = compiled(
        1,
        estimator=boltzmann.exact(),
        visible=boltzmann.gaussian(),
        learning_rate=0.02,
        weight_decay=0.0,
        variance_rate=1.0,
        optimizer=optax.scale_by_adam(),
    )

    def likelihood(state):
        found = method.views.log_likelihood(jax.random.key(0), state, images, method.hparams)
        return jnp.mean(found)

    found, state, info = trained(method, images, 2000, likelihood)
    np.testing.assert_allclose(np.exp(0.5 * state.params.log_variance), [0.05, 0.15], rtol=0.05)
    # two equal clusters of Gaussians that hardly overlap: minus their entropy
    best = -np.log(2) - 2 * 0.5 * np.log(2 * np.pi * np.e) - np.log(0.05 * 0.15)
    assert best - 0.05 < info["log_likelihood"][-1] < best + 0.05
    np.testing.assert_allclose(found[1], info["log_likelihood"][-1], atol=0.01)


def test_evaluation_by_its_definitions(machines):
    method, params = compiled(3), machines.make(4, 3)
    state = begun(method, params)
    values = method.evaluate(jax.random.key(0), state, batch(), method.hparams)
    v = batch()["image"].reshape(6, 4)
    free = machines.compiled.free_energy(params, v)
    np.testing.assert_allclose(values["free_energy"], free)
    hidden = machines.sigmoid(v @ params.weights + params.hidden_bias)
    p = machines.sigmoid(hidden @ params.weights.T + params.visible_bias)
    expected = -np.sum(v * np.log(p) + (1 - v) * np.log(1 - p), axis=1)
    np.testing.assert_allclose(values["loss"], expected, rtol=1e-10)
    again = method.views.reconstruct(state, batch(), method.hparams)
    np.testing.assert_allclose(again.reshape(6, 4), p, rtol=1e-12)
    found = method.views.log_likelihood(jax.random.key(0), state, batch(), method.hparams)
    exact = -free - machines.compiled.log_partition_exact(params)
    np.testing.assert_allclose(found, exact, rtol=1e-10)


def test_pseudo_log_likelihood_is_unbiased(machines):
    method, params = compiled(3), machines.make(4, 3)
    state = begun(method, params)
    images = {"image": machines.states(4)[[3, 9]].reshape(2, 2, 2, 1)}

    def evaluate(key):
        return method.evaluate(key, state, images, method.hparams)["pseudo_log_likelihood"]

    draws = machines.whole(lambda key: jax.vmap(evaluate)(jax.random.split(key, 4000)))(
        jax.random.key(0)
    )
    # sum_i log p(v_i | the others), from the enumerated p(v)
    p = machines.joint(params).sum(axis=1)
    for index, number in enumerate((3, 9)):
        exact = sum(np.log(p[number] / (p[number] + p[number ^ 1 << i])) for i in range(4))
        error = np.std(draws[:, index]) / np.sqrt(4000)
        assert abs(np.mean(draws[:, index]) - exact) < 4 * error
        assert error < 0.05 * abs(exact)


def test_binarization_draws_the_pixels(machines):
    grey = {"image": np.full((500, 2, 2, 1), 0.3)}
    method, params = compiled(3, stochastic_binarization=None), machines.make(4, 3)
    state = begun(method, params)
    values = method.evaluate(jax.random.key(0), state, grey, method.hparams)["free_energy"]
    values = np.asarray(values)
    possible = machines.compiled.free_energy(params, machines.states(4))
    gap = np.abs(values[:, None] - possible).min(axis=1)
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
    means = machines.sigmoid(params.visible_bias + h @ params.weights.T)
    images = {"image": np.tile(means, (20, 1)).reshape(-1, 2, 2, 1)}
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
    growth = np.sum((np.asarray(learned.weights) - params.weights) * params.weights)
    assert abs(growth) < 0.01 if drawn else growth < -0.03


def test_samples_follow_the_model(machines):
    method, params = compiled(2, sample_steps=20), machines.make(4, 2)
    state = begun(method, params)
    images = np.asarray(method.views.sample(jax.random.key(3), state, 4000, method.hparams))
    assert images.shape == (4000, 2, 2, 1)
    # probabilities given h have the visible marginals as their mean
    marginals = machines.joint(params).sum(axis=1) @ machines.states(4)
    error = np.std(images.reshape(4000, 4), axis=0) / np.sqrt(4000)
    assert np.all(np.abs(np.mean(images.reshape(4000, 4), axis=0) - marginals) < 4 * error)


def test_classes_are_learned_with_the_images(x64):
    method = compiled(
        8, classes=2, estimator=boltzmann.exact(), learning_rate=0.3, exact_likelihood=True
    )
    images = {"image": np.asarray(STRIPES * 8).reshape(16, 2, 2, 1), "label": np.array([0, 1] * 8)}
    flipped, unlabelled = {**images, "label": 1 - images["label"]}, {"image": images["image"]}

    def found(state):
        key, hparams, views = jax.random.key(0), method.hparams, method.views
        return (
            method.evaluate(key, state, images, hparams),
            method.evaluate(key, state, flipped, hparams)["error"],
            views.reconstruct(state, unlabelled, hparams),
            views.sample(key, state, 5, hparams),
        )

    every, _, _ = trained(method, images, 800, found)
    values, wrong, again, drawn = jax.tree.map(lambda x: x[1], every)
    assert np.all(values["error"] == 0)
    assert np.all(values["class_nll"] < 0.1)
    assert np.mean(values["log_likelihood"]) > -1.0  # log p(image, label): the best is -log 2
    np.testing.assert_allclose(again, images["image"], atol=0.3)
    assert drawn.shape == (5, 2, 2, 1)
    assert np.all(wrong == 1)


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
        begun(compiled(21, exact_likelihood=True), images={"image": np.zeros((2, 7, 3, 1))})
    method = compiled(3, classes=2)
    with pytest.raises(InputError, match="needs data with labels"):
        method.init(jax.random.key(0), {"image": batch()["image"]}, method.hparams)
