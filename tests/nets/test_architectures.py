"""Architectures: published shapes, sizes accepted, and networks as pairs of functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ae_jax import nets
from ae_jax.core import InputError, Network
from ae_jax.nets import stages


def shapes(network, x):
    params = jax.eval_shape(network.init, jax.random.key(0), x)
    output = jax.eval_shape(network.apply, params, x)
    return jax.tree.map(lambda leaf: leaf.shape, params), output.shape


def images(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.result_type(float))


def kernels(params):
    return [layer["kernel"] for _, layer in sorted(params.items(), key=lambda item: item[0])]


def test_disentanglement_64_is_the_published_network():
    params, output = shapes(nets.conv_encoder((64, 64, 1), 20), images(2, 64, 64, 1))
    assert output == (2, 20)
    assert kernels(params) == [
        *[(4, 4, 1, 32), (4, 4, 32, 32), (4, 4, 32, 64), (4, 4, 64, 64)],
        *[(1024, 256), (256, 20)],
    ]
    params, output = shapes(nets.conv_decoder((64, 64, 1), 10), images(2, 10))
    assert output == (2, 64, 64, 1)
    assert kernels(params) == [
        *[(4, 4, 64, 64), (4, 4, 64, 32), (4, 4, 32, 32), (4, 4, 32, 1)],
        *[(10, 256), (256, 1024)],
    ]


def test_disentanglement_lib_has_smaller_kernels_in_late_convolutions():
    params, _ = shapes(nets.encoder("disentanglement_lib", (64, 64, 1), 20), images(2, 64, 64, 1))
    assert kernels(params) == [
        *[(4, 4, 1, 32), (4, 4, 32, 32), (2, 2, 32, 64), (2, 2, 64, 64)],
        *[(1024, 256), (256, 20)],
    ]
    own, plain = (
        shapes(nets.decoder(name, (64, 64, 3), 10), images(2, 10))
        for name in ("disentanglement_lib", "disentanglement")
    )
    assert own == plain


def test_keras_28_is_the_published_network():
    encoder = nets.conv_encoder((28, 28, 1), 128, "keras")
    params, output = shapes(encoder, images(2, 28, 28, 1))
    assert output == (2, 128)
    assert kernels(params) == [(3, 3, 1, 16), (3, 3, 16, 8), (3, 3, 8, 8)]
    params, output = shapes(nets.conv_decoder((28, 28, 1), 128, "keras"), images(2, 128))
    assert output == (2, 28, 28, 1)
    assert kernels(params) == [(3, 3, 8, 8), (3, 3, 8, 8), (3, 3, 8, 16), (3, 3, 16, 1)]


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("mlp", [5]),
        ("conv", [8, 16, 28, 32, 64]),
        ("disentanglement", [32]),
        ("disentanglement_lib", [32, 64]),
        ("keras", [8, 28, 32]),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_encoder_and_decoder_match(name, sides, channels):
    for side in sides:
        shape = (side, side, channels)
        assert shapes(nets.encoder(name, shape, 6), images(2, *shape))[1] == (2, 6)
        assert shapes(nets.decoder(name, shape, 3), images(2, 3))[1] == (2, *shape)
    assert name in nets.architectures()


@pytest.mark.parametrize("architecture", ["disentanglement", "residual", "dcgan", "keras"])
def test_every_stage_halves_the_image(architecture):
    for side, found in stages._STAGES[architecture].items():
        assert stages.stages_of((side, side, 1), architecture) == found
        for _ in found.channels:
            side = -(-side // 2)
        assert found.side == side


def test_stages_are_the_first_of_the_published_ones():
    published = {"disentanglement": (32, 32, 64, 64), "residual": (32, 32, 64, 64)}
    published |= {"dcgan": (64, 128, 256, 512), "keras": (16, 8, 8)}
    for architecture, channels in published.items():
        for found in stages._STAGES[architecture].values():
            assert found.channels == channels[: len(found.channels)]


def test_defaults_are_the_documented_ones():
    params, _ = shapes(nets.mlp(3), images(2, 5))
    assert kernels(params) == [(5, 400), (400, 3)]
    for make in (nets.encoder, nets.decoder):
        params, _ = shapes(make("mlp", (5,), 5), images(2, 5))
        assert kernels(params) == [(5, 400), (400, 5)]


def test_sizes_of_an_mlp_may_be_1_or_none_at_all():
    assert shapes(nets.mlp(1, (1,)), images(2, 5))[1] == (2, 1)
    assert shapes(nets.mlp((), ()), images(2, 5))[1] == (2,)
    assert shapes(nets.mlp((), (3,)), images(2, 5))[1] == (2,)


def test_mlp_by_hand():
    network = nets.mlp((1, 2), widths=(2,), activation="relu", output_activation="sigmoid")
    dtype = jnp.result_type(float)
    x = np.asarray([[[1.0], [2.0]]], dtype)
    params = jax.eval_shape(network.init, jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, params) == {
        "Dense_0": {"kernel": (2, 2), "bias": (2,)},
        "Dense_1": {"kernel": (2, 2), "bias": (2,)},
    }
    params = {
        "Dense_0": {"kernel": np.eye(2, dtype=dtype), "bias": np.array([-3.0, 1.0], dtype)},
        "Dense_1": {"kernel": np.eye(2, dtype=dtype), "bias": np.zeros(2, dtype)},
    }
    # relu([1, 2] + [-3, 1]) = [0, 3]
    expected = 1 / (1 + np.exp(-np.array([[[0.0, 3.0]]])))
    np.testing.assert_allclose(jax.jit(network.apply)(params, x), expected, rtol=1e-6)


def test_initialisation_has_the_variance_of_the_fan_in():
    x = np.zeros((1, 400), jnp.result_type(float))
    params = jax.device_get(jax.jit(nets.mlp(300, widths=()).init)(jax.random.key(0), x))
    assert np.std(params["Dense_0"]["kernel"]) == pytest.approx(400**-0.5, rel=0.02)
    np.testing.assert_array_equal(params["Dense_0"]["bias"], 0)


@pytest.mark.parametrize("name", ["mlp", "conv", "keras"])
def test_float64_and_forward_mode(name):
    encoder, decoder = nets.encoder(name, (8, 8, 1), 3), nets.decoder(name, (8, 8, 1), 3)
    random = np.random.default_rng(0)

    def parameters(network, x):
        return jax.tree.map(
            lambda leaf: random.normal(0, 0.3, leaf.shape).astype(leaf.dtype),
            jax.eval_shape(network.init, jax.random.key(0), x),
        )

    @jax.jit
    def derivative(encoder_params, decoder_params, x):
        """Along x itself, forward and backward, of encoder and decoder."""

        def f(scale):
            return decoder.apply(decoder_params, encoder.apply(encoder_params, scale * x))

        one = jnp.ones((), x.dtype)
        y, tangent = jax.jvp(f, (one,), (one,))
        return y, jnp.sum(jnp.cos(y) * tangent), jax.vjp(f, one)[1](jnp.cos(y))[0]

    with jax.enable_x64(True):
        x, latent = random.uniform(size=(2, 8, 8, 1)), np.zeros((2, 3))
        y, forward, backward = derivative(parameters(encoder, x), parameters(decoder, latent), x)
        assert (y.shape, y.dtype) == (x.shape, jnp.float64)
        np.testing.assert_allclose(forward, backward, rtol=1e-10)


def test_users_own_network_is_a_pair_of_functions():
    def init(key, x):
        weights = jax.random.normal(key, (x.shape[-1], 2), x.dtype)
        return {"weights": weights, "bias": jnp.zeros(2, x.dtype)}

    def apply(params, x):
        return x @ params["weights"] + params["bias"][None, :]

    network = Network(init, apply)
    x = np.ones((3, 4), jnp.result_type(float))
    targets = np.ones((3, 2), x.dtype)
    params = jax.jit(network.init)(jax.random.key(0), x)

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        return jnp.sum((network.apply(params, x) - targets) ** 2)

    before, gradients = loss(params)
    params = jax.tree.map(lambda p, g: np.asarray(p) - 0.01 * np.asarray(g), params, gradients)
    assert float(loss(params)[0]) < float(before)


def test_flax_network_refuses_other_state():
    class Normalised(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.BatchNorm(use_running_average=False)(x)

    network = nets.flax_network(Normalised())
    with pytest.raises(InputError, match=r"Normalised has state besides parameters.*batch_stats"):
        jax.eval_shape(network.init, jax.random.key(0), images(2, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nets.encoder("vgg", (8, 8, 1), 2), "unknown architecture 'vgg'.*mlp, conv"),
        (lambda: nets.conv_encoder((8, 8, 1), 2, "mlp"), "unknown convolutional architecture"),
        (lambda: nets.encoder("conv", (20, 20, 1), 2), "8x8, 16x16, 28x28, 32x32, 64x64, not"),
        (lambda: nets.decoder("keras", (64, 64, 1), 2), "8x8, 28x28, 32x32, not"),
        (lambda: nets.decoder("conv", (32, 64, 1), 2), "not \\(32, 64, 1\\)"),
        (lambda: nets.encoder("conv", (32, 32, 1), 0), "outputs is 0: use"),
        (lambda: nets.mlp(0), "a size of outputs is 0: use a whole number, 1 or more"),
        (lambda: nets.mlp(2, (3, 0)), "a size of widths is 0: use"),
        (lambda: nets.mlp(2.5), "a size of outputs is 2.5: use"),
        (lambda: nets.mlp(None), "a size of outputs is None: use"),
        (lambda: nets.mlp(2, 64), r"widths is 64: use a list of numbers of units, as \[64, 32\]"),
        (lambda: nets.mlp(2, "64"), "widths is '64': use a list of numbers of units"),
        (lambda: nets.mlp(2, None), "widths is None: use a list of numbers of units"),
        (lambda: nets.mlp(2, (3.0,)), "a size of widths is 3.0: use"),
        (lambda: nets.encoder("conv", (32, 32, 0), 1), "not \\(32, 32, 0\\)"),
        (lambda: nets.mlp(2, activation="nope"), "unknown activation"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(InputError, match=message):
        make()
