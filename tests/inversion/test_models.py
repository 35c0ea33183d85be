"""What trained models say of images, as objectives: their views with a state put in."""

import jax
import numpy as np
import pytest

from ae_jax import data, inversion, losses, methods, nets
from ae_jax.methods import boltzmann
from tests.methods.examples import REGISTRY

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).uniform(size=(3, 4, 4, 1)).astype(np.float32)
MASK = inversion.hole((4, 4, 1), 2)
BATCH = {"image": IMAGES, "label": np.array([0, 1, 1], np.int32)}


def of_autoencoder(method, state):
    def reconstruct(x):
        return method.views.reconstruct(state, {"image": x}, method.hparams)

    smooth = inversion.keyless(losses.total_variation)
    return inversion.weighted((inversion.reconstruction_error(reconstruct), 1.0), (smooth, 0.1))


def of_vae(method, state):
    return inversion.improbability(
        lambda key, x: -method.evaluate(key, state, {"image": x}, method.hparams)["loss"]
    )


def of_rbm(method, state):
    def energy(x):
        return boltzmann.free_energy(state.params, x.reshape(len(x), -1))

    return inversion.keyless(energy)


def of_classifier(method, state):
    def logits(x):
        return method.views.predict(state, {"image": x}, method.hparams)

    return inversion.of_class(logits, BATCH["label"])


def decoder():
    return nets.mlp((4, 4, 1), ())


MODELS = {
    "autoencoder": (lambda: methods.autoencoder(nets.mlp(2, ()), decoder()), of_autoencoder),
    "vae": (lambda: methods.vae(nets.mlp(4, ()), decoder(), 2), of_vae),
    "rbm": (lambda: methods.rbm(3), of_rbm),
    "classifier": (lambda: methods.classifier(nets.mlp(4, ()), 2), of_classifier),
}


@pytest.mark.parametrize("name", MODELS)
def test_an_image_is_filled_by_what_a_model_says_of_it(name):
    make, objective_of = MODELS[name]
    method, traces = make(), []

    @jax.jit
    def filled(state, rate):
        traces.append(rate)
        fill = inversion.inpainting(objective_of(method, state), 30)
        return fill(KEY, IMAGES, MASK, rate)

    # parameters are traced: one program fills by every lane
    for seed in (0, 1):
        state = method.init(jax.random.key(seed), BATCH, dict(method.hparams))
        found = filled(state, 0.02)
        x, known = np.asarray(found.x), np.broadcast_to(MASK, IMAGES.shape)
        np.testing.assert_array_equal(x[known], IMAGES[known])
        assert np.all((x >= 0) & (x <= 1))
        first, second = np.mean(found.trace[:15]), np.mean(found.trace[16:])
        assert second < first  # the VAE's bound draws anew at each step
    assert len(traces) == 1


def test_what_excites_units_of_a_machine_most_lies_along_their_weights():
    method = methods.rbm(3)
    state = jax.jit(method.init)(KEY, BATCH, method.hparams)
    params, hidden = state.params, nets.intermediate(method.views.encode, "hidden")
    start = np.repeat(IMAGES[:1], 3, 0)

    def driven(x):
        return hidden(state, {"image": x}, method.hparams)

    climb = inversion.descent(
        inversion.of_unit(driven, np.arange(3)),
        60,
        optimizer=inversion.normalised_gradient(),
        project=inversion.ball(0.5, start),
    )
    weights = np.asarray(params.weights)
    expected = start.reshape(3, -1) + 0.5 * (weights / np.linalg.norm(weights, axis=0)).T
    found = np.asarray(climb(KEY, start, 0.1).x).reshape(3, -1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("name", "layer"), [("rbm", "hidden"), ("autoencoder", "Dense_0")])
def test_units_of_the_registered_encoders_are_excited_most_by_their_weights(name, layer):
    method, shown = REGISTRY[name].example(), data.head(REGISTRY[name].data(), 8)
    state = jax.jit(method.init)(KEY, shown, method.hparams)
    weights = state.params.weights if name == "rbm" else state.params["encoder"][layer]["kernel"]
    slopes = np.asarray(weights).T.reshape(-1, 8, 8, 1)[:3]
    start, radius = np.repeat(np.asarray(shown["image"][:1]), 3, 0), 4.0
    hidden = nets.intermediate(method.views.encode, layer)

    @jax.jit
    def climbed(state):
        """Before an increasing activation function, and behind it."""
        before = inversion.of_unit(lambda x: hidden(state, {"image": x}, method.hparams), [0, 1, 2])
        behind = inversion.of_unit(
            lambda x: method.views.encode(state, {"image": x}, method.hparams), [0, 1, 2]
        )
        free = inversion.descent(before, 40, optimizer=inversion.normalised_gradient())
        climb = {
            which: inversion.descent(
                objective,
                40,
                optimizer=inversion.normalised_gradient(),
                project=inversion.ball(radius),
            )
            for which, objective in (("before", before), ("behind", behind))
        }
        ends = {which: one(KEY, start, 0.5).x for which, one in climb.items()}
        return {**ends, "free": free(KEY, start, 0.05).x}

    found = climbed(state)
    expected = np.asarray(inversion.most_exciting(slopes, radius))

    def cosine(x):
        x = np.asarray(x).reshape(3, -1)
        along = np.sum(x * expected.reshape(3, -1), axis=1)
        return along / np.linalg.norm(x, axis=1) / radius

    for which in ("before", "behind"):
        assert np.all(cosine(found[which]) > 0.999)
        length = np.linalg.norm(np.reshape(found[which], (3, -1)), axis=1)
        np.testing.assert_allclose(length, radius, rtol=1e-5)
    # what no ball holds keeps its start, and the first image is not along the weights
    assert np.all(cosine(found["free"]) < 0.99)
    assert np.all(cosine(start) < 0.9)


def test_a_latent_of_an_autoencoder_is_excited_by_name():
    method = methods.autoencoder(nets.mlp(2, (3,)), decoder())
    state = jax.jit(method.init)(KEY, BATCH, method.hparams)
    hidden = nets.intermediate(method.views.encode, "Dense_0")

    def features(x):
        return hidden(state, {"image": x}, method.hparams)

    unit = inversion.of_unit(features, 1)
    found = inversion.octaves(inversion.resized(unit, (4, 4)), 5, count=2)(KEY, IMAGES, 0.05)
    assert np.all(found.trace[-1, -1] < found.trace[-1, 0] - 0.1)
