"""Named activations against the same layers called by hand, and against the whole network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ae_jax import methods, nets
from ae_jax.core import InputError, Network
from ae_jax.nets import Conv

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).uniform(size=(2, 8, 8, 1)).astype(np.float32)
NETWORKS = {
    "mlp": nets.mlp(3, (5, 4)),
    "conv": nets.encoder("conv", (8, 8, 1), 3),
    "keras": nets.encoder("keras", (8, 8, 1), 3),
    "residual": nets.encoder("residual", (8, 8, 1), 3),
    "residual_batchnorm": nets.encoder("residual_batchnorm", (8, 8, 1), 3),
    "segnet": nets.segnet(3, (4,), kernel=3),
    "unet": nets.unet(1, (4, 4)),
    "hourglass": nets.hourglass(1, (4,)),
    "patch": nets.patch(4, 1),
    "spectral": nets.spectral(nets.mlp(3, (5,))),
}
LAYERS = {
    "mlp": ["Dense_0", "Dense_1", "Dense_2", "output"],
    "conv": ["Conv_0", "Dense_0", "Dense_1", "output"],
    "segnet": [
        *("Conv_0", "BatchNorm_0", "Dropout_0"),
        *("Conv_1", "BatchNorm_1", "Dropout_1", "Conv_2", "output"),
    ],
    "unet": ["Conv_0", "Conv_1", "ConvTranspose_0", "Dropout_0", "ConvTranspose_1", "output"],
}


def started(network, x=IMAGES):
    return jax.jit(network.init)(KEY, x)


RARE = {"hourglass", "patch", "residual_batchnorm", "spectral"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.full) if n in RARE else n for n in NETWORKS]
)
def test_the_last_layer_is_what_the_network_gives_bit_for_bit(name):
    network, names = NETWORKS[name], []

    @jax.jit
    def passed(params, x):
        found = nets.intermediates(network.apply, params, x)
        names.extend(found)
        middle = names[len(names) // 2]
        one = nets.intermediate(network.apply, middle)(params, x)
        return found["output"], network.apply(params, x), found[middle], one

    output, applied, middle, one = passed(started(network), IMAGES)
    assert names[-1] == "output"
    if name in LAYERS:
        assert names == LAYERS[name]
    np.testing.assert_array_equal(output, applied)
    np.testing.assert_array_equal(middle, one)


def test_layers_are_what_they_give_when_called_by_hand():
    network = NETWORKS["conv"]
    params = started(network)
    found = jax.jit(functools.partial(nets.intermediates, network.apply))(params, IMAGES)
    conv = Conv(32, (4, 4), (2, 2)).apply({"params": params["Conv_0"]}, IMAGES)
    # before the activation function
    np.testing.assert_allclose(found["Conv_0"], conv, rtol=1e-6, atol=1e-6)
    flat = np.maximum(np.asarray(conv), 0).reshape(2, -1)
    dense = flat @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None]
    np.testing.assert_allclose(found["Dense_0"], dense, atol=1e-5)


def test_a_layer_before_dense_ones_sees_images_of_any_size():
    network = NETWORKS["conv"]
    params = started(network)
    larger = jnp.ones((1, 14, 20, 1))
    features = nets.intermediate(network.apply, "Conv_0")
    assert jax.eval_shape(features, params, larger).shape == (1, 7, 10, 32)
    with pytest.raises(InputError, match="inputs of another shape than it was made for"):
        jax.eval_shape(network.apply, params, larger)


class Twice(nn.Module):
    @nn.compact
    def __call__(self, x):
        layer = nn.Dense(3)
        x, _ = Pair(name="pair")(layer(layer(x)))
        looped = {"kernel": jnp.eye(3), "bias": jnp.ones(3)}
        rows = lambda _, row: (None, nn.Dense(3).apply({"params": looped}, row[None])[0])  # noqa: E731
        return jax.lax.scan(rows, None, x)[1]


class Pair(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x, nn.Dense(2, name="inner")(x)


def test_what_runs_again_is_numbered_and_what_runs_in_a_loop_is_left_out():
    network = nets.flax_network(Twice())
    x = jnp.ones((2, 3))
    params = started(network, x)
    # a value of the loop's own could not leave the program
    found = jax.jit(functools.partial(nets.intermediates, network.apply))(params, x)
    assert set(found) == {"Dense_0", "Dense_0:1", "pair/inner", "output"}
    dense = params["Dense_0"]
    again = found["Dense_0"] @ dense["kernel"] + dense["bias"][None]
    np.testing.assert_allclose(found["Dense_0:1"], again, rtol=1e-5)


def test_of_several_modules_all_but_the_first_have_their_number():
    method = methods.classifier(nets.chain(nets.noise(0.1), nets.mlp(3, (4,))), 2)
    batch = {"image": IMAGES, "label": np.array([0, 1], np.int32)}

    @jax.jit
    def passed():
        arguments = method.init(KEY, batch, method.hparams), batch, method.hparams
        found = nets.intermediates(method.views.predict, *arguments)
        assert list(found) == ["Dense_0", "Dense_1", "output", "1/Dense_0", "1/output"]
        views = method.views.encode(*arguments), method.views.predict(*arguments)
        return (found["output"], found["1/output"]), views

    for layer, view in zip(*passed(), strict=True):
        np.testing.assert_array_equal(layer, view)


def test_layers_of_what_is_no_module_have_names_of_their_own():
    def apply(params, x):
        x = nets.named("first", x + 1)
        jax.lax.scan(lambda _, row: (None, nets.named("looped", row)), None, x)
        x = nets.flax_network(nn.Dense(2)).apply(params, x)
        return nets.named("first", 3 * x)

    x = jnp.ones((2, 3))
    params = {"kernel": jnp.ones((3, 2)), "bias": jnp.zeros(2)}
    found = nets.intermediates(apply, params, x)
    assert list(found) == ["first", "output", "first:1"]
    for name, value in zip(found, (2, 6, 18), strict=True):
        np.testing.assert_array_equal(found[name], np.full(found[name].shape, value))
        np.testing.assert_array_equal(nets.intermediate(apply, name)(params, x), found[name])
    assert nets.named("first", x) is x  # nobody looks on any more


@pytest.mark.parametrize("reverse", [False, True])
def test_layers_of_a_recurrent_encoder_are_its_outputs_at_every_element(reverse):
    network = nets.recurrent_encoder(2, 3, cell="gru", layers=2, reverse=reverse)
    sequence = np.random.default_rng(1).normal(size=(2, 4, 5)).astype(np.float32)
    length = np.array([4, 2], np.int32)

    @jax.jit
    def passed(sequence):
        params = network.init(KEY, sequence)
        found = nets.intermediates(network.apply, params, sequence, length)
        return params, found, network.apply(params, sequence, length)

    params, found, latent = jax.tree.map(np.asarray, passed(sequence))
    assert list(found) == ["latent", "layer_0", "layer_1"]  # sorted on the way out
    np.testing.assert_array_equal(found["latent"], latent)
    read = [sequence[0, ::-1], sequence[1, 1::-1]] if reverse else [sequence[0], sequence[1, :2]]
    for row, elements in enumerate(read):
        for name, below in (("layer_0", elements), ("layer_1", found["layer_0"][row])):
            state = np.zeros(3)
            for step, x in enumerate(below[: len(elements)]):
                state = gru(params["layers"][name], x, state)
                np.testing.assert_allclose(found[name][row, step], state, atol=1e-6)
        top = params["latent"]
        expected = state @ top["kernel"] + top["bias"]
        np.testing.assert_allclose(found["latent"][row], expected, atol=1e-6)


def gru(layer, x, state):
    """Cho et al. (2014), reset after the product."""
    given = np.split(x @ layer["input_kernel"] + layer["bias"], 3)
    before = np.split(state @ layer["recurrent_kernel"], 3)
    reset, update = (1 / (1 + np.exp(-(a + b))) for a, b in zip(given[:2], before[:2], strict=True))
    new = np.tanh(given[2] + reset * (before[2] + layer["extra"]["recurrent_bias"]))
    return (1 - update) * new + update * state


def test_gradients_and_compiled_programs_pass_through():
    network = NETWORKS["mlp"]
    params = started(network)
    features = nets.intermediate(network.apply, "Dense_0")
    kernel = params["Dense_0"]["kernel"]
    slope = jax.jit(jax.grad(lambda x: jnp.sum(features(params, x)[:, 1])))(IMAGES)
    expected = np.broadcast_to(kernel[:, 1], (2, 64))
    np.testing.assert_allclose(slope.reshape(2, -1), expected, rtol=1e-6)
    many = jax.vmap(lambda x: features(params, x[None])[0])(IMAGES)
    np.testing.assert_allclose(many, features(params, IMAGES), rtol=1e-5, atol=1e-6)


def test_an_unknown_layer_and_a_function_without_layers_are_refused():
    network = NETWORKS["mlp"]
    params = started(network)
    listed = "there is no layer 'Conv_7'; use one of: Dense_0, Dense_1, Dense_2, output"
    with pytest.raises(InputError, match=listed):
        nets.intermediate(network.apply, "Conv_7")(params, IMAGES)
    plain = Network(lambda key, x: {}, lambda params, x: 2 * x)
    with pytest.raises(InputError, match="nothing that was run has layers"):
        nets.intermediates(plain.apply, {}, IMAGES)
    with pytest.raises(InputError, match="'a'; use a function whose layers have names"):
        nets.intermediate(plain.apply, "a")({}, IMAGES)
    network.apply(params, IMAGES)  # nothing is left behind
