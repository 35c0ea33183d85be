import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from ae_jax import corruptions, data, methods, nets, training
from ae_jax.core import InputError
from ae_jax.methods import boltzmann
from ae_jax.recipes import greedy
from tests.methods.drawn import drawn


def layer(size, outputs, output_activation):
    encoder = nets.mlp(size, (), output_activation="sigmoid")
    decoder = nets.mlp(outputs, (), output_activation=output_activation)
    method = methods.autoencoder(encoder, decoder, tie=nets.transposed)
    return greedy.Layer(encoder, decoder, method, lambda state: parts(state.params))


def parts(params):
    return {**params, "decoder": nets.transposed.join(params["encoder"], params["decoder"])}


def test_layers_are_trained_on_what_the_layers_below_pass_on_and_put_together(tmp_path):
    images = np.random.default_rng(0).uniform(size=(64, 8, 8, 1))
    digits = data.stored(images.astype(np.float32))
    layers = [layer(6, (8, 8, 1), "linear"), layer(3, 6, "sigmoid")]
    lanes = training.grid(learning_rate=[1e-3, 1e-2], seed=0)
    stack = greedy.train(layers, digits, lanes, 4, tmp_path, batch_size=16)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer-1", "layer-2"]
    batch = {"image": images[:5].astype(np.float32)}

    @jax.jit
    def passed_on(start, second):
        latent = stack.encoder.apply(start["encoder"], batch["image"])
        own = stack.results[1].groups[0].method.views.encode(second, batch, {})
        return latent, own, stack.decoder.apply(start["decoder"], latent)

    for index in range(2):
        _, first, _ = training.lane(stack.results[0], index)
        _, second, _ = training.lane(stack.results[1], index)
        start = stack.start[index]
        # the second layer was trained above this very first layer, and left it as it was
        chex.assert_trees_all_equal(second.frozen["encoder"]["0"], first.params["encoder"])
        chex.assert_trees_all_equal(start["encoder"]["1"], second.method.params["encoder"])
        latent, own, output = passed_on(start, second)
        chex.assert_trees_all_close(latent, own, rtol=1e-6)
        # decoders are the transposed encoders, from the top down
        up, down = nets.layers(start["encoder"]), nets.layers(start["decoder"])
        chex.assert_trees_all_equal(down[0].kernel, up[1].kernel.T)
        assert output.shape == (5, 8, 8, 1)

    whole = methods.autoencoder(stack.encoder, stack.decoder)
    tuned = training.run(whole, digits, lanes, 1, batch_size=16, start=stack.start)
    _, state, _ = training.lane(tuned, 1)
    moved = jax.tree.map(lambda a, b: np.max(np.abs(a - b)), state.params, stack.start[1])
    assert 0 < max(jax.tree.leaves(moved)) <= 1.001e-2  # one step of Adam


def test_a_stack_needs_a_layer():
    with pytest.raises(InputError, match="at least one layer"):
        greedy.train([], None, training.grid(seed=0), 1)


def in_the_middle(method, shape):
    """A state whose parameters are far from where they begin, and a batch."""
    random = np.random.RandomState(0)
    batch = {"image": jnp.asarray(random.uniform(size=(5, *shape)), jnp.float32)}
    return drawn(method, batch, scale=1.0), batch


@pytest.mark.parametrize(
    "hidden", [None, boltzmann.bernoulli_hidden(), boltzmann.gaussian_hidden()]
)
@pytest.mark.parametrize("visible", [None, boltzmann.bernoulli(), boltzmann.gaussian()])
@pytest.mark.parametrize("shape", [(2, 3, 1), (6,)])
def test_a_layer_is_its_machines_encoder_and_decoder(shape, visible, hidden):
    layer = greedy.rbm_layer(3, shape, visible=visible, hidden=hidden)
    state, batch = in_the_middle(layer.method, shape)
    views = layer.method.views

    @jax.jit
    def both(state):
        parts = layer.parts(state)
        latent = layer.encoder.apply(parts["encoder"], batch["image"])
        mean = layer.decoder.apply(parts["decoder"], latent)
        return (latent, mean), (views.encode(state, batch, {}), views.decode(state, latent, {}))

    (latent, mean), expected = both(state)
    binary = visible is None or visible.enumerable
    if binary and len(shape) == 3:  # log-odds
        mean = scipy.special.expit(np.asarray(mean))
    chex.assert_trees_all_close((latent, mean), expected, rtol=2e-5, atol=1e-6)


def test_machines_above_real_units_see_zeros_and_ones():
    layers = greedy.rbm_layers(
        (4, 3), (2, 3, 1), code=2, visible=boltzmann.gaussian(), learning_rate=0.01
    )
    assert ["variance_rate" in layer.method.hparams for layer in layers] == [True, False, False]
    assert {layer.method.hparams["learning_rate"] for layer in layers} == {0.01}
    x = jnp.zeros((5, 2, 3, 1))
    sizes = []
    for layer in layers:
        state, batch = in_the_middle(layer.method, x.shape[1:])

        @jax.jit
        def coded(state, layer=layer, batch=batch):
            parts = layer.parts(state)
            latent = layer.encoder.apply(parts["encoder"], batch["image"])
            return latent, layer.decoder.apply(parts["decoder"], latent)

        latent, output = coded(state)
        assert output.shape == x.shape
        sizes.append(latent.shape[1])
        x = jnp.zeros((5, sizes[-1]))
    assert sizes == [4, 3, 2]
    assert np.min(latent) < 0  # a code is real
    assert len(greedy.rbm_layers((4, 3), (2, 3, 1))) == 2


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("tied", [False, True])
def test_autoencoders_on_what_lies_in_0_1_are_compared_by_cross_entropy(activation, tied):
    layers = greedy.autoencoder_layers(
        (4, 3), (2, 3, 1), activation=activation, code_activation="linear", tied=tied
    )
    squash = {"sigmoid": scipy.special.expit, "tanh": np.tanh}[activation]
    for depth, (layer, shape, up, back) in enumerate(
        zip(layers, [(2, 3, 1), (4,)], [squash, lambda x: x], [lambda x: x, squash], strict=True)
    ):
        state, batch = in_the_middle(layer.method, shape)

        @jax.jit
        def found(state, layer=layer, batch=batch):
            parts, hparams = layer.parts(state), dict(layer.method.hparams)
            latent = layer.encoder.apply(parts["encoder"], batch["image"])
            values = layer.method.evaluate(jax.random.key(0), state, batch, hparams)
            return parts, latent, layer.decoder.apply(parts["decoder"], latent), values

        parts, coded, output, values = jax.device_get(found(state))
        encoder, decoder = (nets.layers(parts[name])[0] for name in ("encoder", "decoder"))
        if tied:
            np.testing.assert_array_equal(decoder.kernel, encoder.kernel.T)
        x = np.asarray(batch["image"]).reshape(5, -1)
        latent = up(x @ encoder.kernel + encoder.bias[None])
        chex.assert_trees_all_close(coded, latent, rtol=1e-5, atol=1e-6)
        logits = latent @ decoder.kernel + decoder.bias[None]
        chex.assert_trees_all_close(output.reshape(5, -1), back(logits), rtol=1e-5, atol=1e-6)
        p = scipy.special.expit(logits)
        cross_entropy = -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)
        squared = np.sum((back(logits) - x) ** 2, axis=1)
        expected = cross_entropy if depth == 0 or activation == "sigmoid" else squared
        chex.assert_trees_all_close(values["reconstruction"], expected, rtol=1e-4)


def test_autoencoders_of_a_stack_share_their_options():
    layers = greedy.autoencoder_layers(
        (4, 3),
        (2, 3, 1),
        activation="relu",
        reconstruction=methods.observations.correntropy(),
        corruption=corruptions.masking,
    )
    for layer, shape in zip(layers, [(2, 3, 1), (4,)], strict=True):
        assert {"sigma", "corruption_level"} <= set(layer.method.hparams)
        state, batch = in_the_middle(layer.method, shape)

        @jax.jit
        def both(state, layer=layer, batch=batch):
            parts = layer.parts(state)
            latent = layer.encoder.apply(parts["encoder"], batch["image"])
            seen = layer.decoder.apply(parts["decoder"], latent)
            return seen, layer.method.views.reconstruct(state, batch, {})

        seen, expected = both(state)
        chex.assert_trees_all_close(seen, expected)
        assert (np.min(seen) >= 0) == (shape == (4,))  # relu units below, or images
    assert greedy.autoencoder_layers((), (2, 3, 1)) == []


@pytest.mark.full
def test_every_layer_undoes_what_the_whole_stack_is_shown():
    """Noise that adds 2: layers learn to make latents of images from latents of images plus 2."""

    def raised(key, x, level):
        return x + level

    part = methods.shown.corrupted(raised, 1.0)
    layers = greedy.autoencoder_layers((4, 3), (2, 3, 1), activation="linear", shown=part)
    images = np.random.default_rng(0).random((40, 2, 3, 1), np.float32)
    lanes = training.grid(corruption_level=[2.0], seed=0)
    stack = greedy.train(layers, data.stored(images), lanes, 3, batch_size=8)
    method, state, hparams = training.lane(stack.results[1], 0)
    values = method.evaluate(jax.random.key(0), state, {"image": images}, hparams)
    below = stack.start[0]["encoder"]["0"]
    latent, noisy = (layers[0].encoder.apply(below, x) for x in (images, images + 2))
    params = state.method.params
    made = layers[1].decoder.apply(
        params["decoder"], layers[1].encoder.apply(params["encoder"], noisy)
    )
    np.testing.assert_allclose(
        values["squared_error"], np.sum(np.square(made - latent), axis=1), rtol=1e-5
    )


def test_what_no_layer_can_be_is_refused():
    with pytest.raises(InputError, match="leave out classes"):
        greedy.rbm_layer(3, (4,), classes=2)
    with pytest.raises(InputError, match="leave out hidden"):
        greedy.rbm_layers((3,), (2, 2, 1), hidden=boltzmann.gaussian_hidden())
    with pytest.raises(InputError, match="code is -1: use a whole number, 0 or more"):
        greedy.rbm_layers((3,), (2, 2, 1), code=-1)
