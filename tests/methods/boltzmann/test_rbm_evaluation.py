"""What is evaluated of a machine, and what of its state that needs."""

import jax
import numpy as np
import pytest

from ae_jax.methods import boltzmann, rbm


def batch():
    random = np.random.RandomState(7)
    return {
        "image": random.uniform(size=(6, 2, 2, 1)),
        "label": random.randint(0, 3, 6),
    }


def begun(method, params, images):
    """A state with given parameters."""
    state = jax.jit(method.init)(jax.random.key(0), images, dict(method.hparams))
    return state._replace(params=params)


def labelled(**options):
    """Of 4 pixels, 3 hidden units and 3 classes."""
    return rbm(3, classes=3, stochastic_binarization=False, **options)


LARGE = {"real": (4, 21), "binary": (21, 21)}


@pytest.mark.parametrize("kind", LARGE)
def test_a_likelihood_by_annealing_is_of_each_example_alone(machines, kind):
    """And close to the exact one, which is known where most hidden units are idle."""
    visible, hidden = LARGE[kind]
    real = kind == "real"
    own = {"visible": boltzmann.gaussian()} if real else {"stochastic_binarization": False}
    method = rbm(hidden, sample_steps=5, **own)
    few = machines.make(visible, 3, 0.5, gaussian=real)
    weights, bias = np.zeros((visible, hidden)), np.zeros(hidden)
    weights[:, :3], bias[:3] = few.weights, few.hidden_bias
    params = few._replace(weights=weights, hidden_bias=bias)
    units = boltzmann.Units(
        boltzmann.gaussian() if real else boltzmann.bernoulli(), boltzmann.bernoulli_hidden()
    )
    v = machines.compiled.draw_exact(jax.random.key(0), few, 6, units)
    images = {"image": v.reshape(6, visible, 1, 1)}
    state = method.inference(begun(method, params, images))
    log_z = machines.compiled.log_partition_exact(few, units) + (hidden - 3) * np.log(2)
    exact = -machines.compiled.free_energy(params, v, units) - log_z

    view = jax.jit(method.views.log_likelihood)

    def found(images):
        return view(jax.random.key(1), state, images, dict(method.hparams))

    own = found(images)
    np.testing.assert_allclose(own, exact, atol=0.15)
    others = np.concatenate([images["image"][:3], np.zeros((3, visible, 1, 1))])
    np.testing.assert_allclose(found({"image": others})[:3], own[:3], rtol=1e-12)


def test_an_example_of_a_batch_is_evaluated_alone(machines):
    method = labelled(exact_likelihood=True)
    state = begun(method, machines.make(7, 3), batch())
    padded = batch()
    for x in padded.values():
        x[3:] = x[:1]
    evaluate = jax.jit(method.evaluate)
    found, other = (
        evaluate(jax.random.key(0), state, x, dict(method.hparams)) for x in (batch(), padded)
    )
    assert found.keys() >= {"loss", "free_energy", "class_nll", "error", "log_likelihood"}
    for name, values in found.items():
        np.testing.assert_array_equal(values[:3], other[name][:3])


def test_a_state_for_inference_leaves_out_what_only_training_needs(machines):
    estimator = boltzmann.persistent(chains=4)
    method = labelled(estimator=estimator, sample_steps=5)
    state = begun(method, machines.make(7, 3), batch())
    left = method.inference(state)
    assert left.optimizer == left.estimator == left.offsets.hidden == ()
    machines.serves_by_inference(method, state, batch())


def test_labels_are_guessed_and_compared_by_free_energies(machines):
    method, params = labelled(exact_likelihood=True), machines.make(7, 3)
    state = begun(method, params, batch())
    pixels, one = batch()["image"].reshape(6, 4), np.eye(3)
    both = np.concatenate([np.repeat(pixels, 3, axis=0), np.tile(one, (6, 1))], axis=1)
    label = batch()["label"]
    v = np.concatenate([pixels, one[label]], axis=1)
    units = boltzmann.Units(boltzmann.softmax(3), boltzmann.bernoulli_hidden())

    @machines.whole
    def alone(hidden, v):
        return (
            boltzmann.free_energy(params, both),
            boltzmann.reconstruction_nll(params, v, boltzmann.visible_field(params, hidden), units),
            -boltzmann.free_energy(params, v) - boltzmann.log_partition_exact(params, units),
        )

    @machines.whole
    def viewed(state):
        views, encoded = method.views, method.views.encode(state, batch(), {})
        return (
            method.evaluate(jax.random.key(0), state, batch(), dict(method.hparams)),
            views.predict(state, {"image": batch()["image"]}, {}),
            encoded,
            views.decode(state, encoded, {}),
        )

    def hidden_of(v):
        return machines.sigmoid(v @ params.weights + params.hidden_bias)

    free, nll, exact = alone(hidden_of(v), v)
    p = np.exp(-free).reshape(6, 3)
    p = p / p.sum(axis=1, keepdims=True)
    values, predicted, encoded, decoded = viewed(state)
    np.testing.assert_allclose(values["class_nll"], -np.log(p[np.arange(6), label]), rtol=1e-9)
    np.testing.assert_array_equal(values["error"], np.argmax(p, axis=1) != label)
    np.testing.assert_allclose(values["loss"], nll, rtol=1e-9)
    np.testing.assert_allclose(values["log_likelihood"], exact, rtol=1e-9)
    predicted = np.exp(predicted) / np.exp(predicted).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(predicted, p, rtol=1e-9)
    hidden = hidden_of(np.concatenate([pixels, p], axis=1))
    np.testing.assert_allclose(encoded, hidden, rtol=1e-9)
    field = params.visible_bias + hidden @ params.weights.T
    np.testing.assert_allclose(decoded.reshape(6, 4), machines.sigmoid(field)[:, :4], rtol=1e-9)


def test_images_of_a_class_are_drawn_given_its_label(machines):
    method, params, count = labelled(sample_steps=20), machines.make(7, 3), 6000
    state = begun(method, params, batch())
    generate = jax.jit(method.views.generate)
    for label in range(3):
        given = {"label": np.full(count, label)}
        found = np.asarray(generate(jax.random.key(1), state, given, {})).reshape(count, 4)
        both = np.concatenate([machines.states(4), np.tile(np.eye(3)[label], (16, 1))], axis=1)
        p = np.exp(-machines.compiled.free_energy(params, both))
        expected = p / p.sum() @ machines.states(4)
        error = found.std(axis=0) / np.sqrt(count)
        assert np.all(np.abs(found.mean(axis=0) - expected) < 4.5 * error)
    assert rbm(3).views.predict is None
    assert rbm(3).views.generate is None
