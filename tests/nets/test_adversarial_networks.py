"""Generators and discriminators: published shapes, what is normalised, derivatives, a game."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from ae_jax import methods, nets
from ae_jax.core import InputError
from ae_jax.methods import regularisers
from ae_jax.nets import convolution
from ae_jax.nets.adversarial import LayerNorm

KEY = jax.eval_shape(lambda: jax.random.key(0))
SIDES = (8, 16, 28, 32, 64)
SMALL = (8, 8, 1)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(jnp.result_type(float))


def floats(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.result_type(float))


def shapes(network, x):
    params = jax.eval_shape(network.init, KEY, x)
    output = jax.eval_shape(network.apply, params, x).shape
    params = params["params"] if "batch_stats" in params else params
    return jax.tree.map(jnp.shape, params), output


def random_parameters(network, x, seed=0):
    """Not near any initialisation, so that no term is small."""
    random = np.random.default_rng(seed)
    abstract = jax.eval_shape(network.init, KEY, x)
    return jax.tree.map(lambda a: random.normal(0, 0.5, a.shape).astype(a.dtype), abstract)


@pytest.mark.parametrize(
    ("generator", "discriminator"),
    [
        (nets.dcgan_generator, nets.dcgan_discriminator),
        (nets.residual_generator, nets.residual_critic),
    ],
)
def test_images_of_every_size_are_made_and_judged(generator, discriminator):
    for side, channels in zip(SIDES, (1, 3, 1, 3, 1), strict=True):
        shape = (side, side, channels)
        assert shapes(generator(shape, 4), floats(2, 5))[1] == (2, *shape)
        assert shapes(discriminator(shape, 4), floats(2, *shape))[1] == (2, 1)


def test_residual_networks_have_a_block_for_each_halving_and_as_many_channels_everywhere():
    for side, stages in ((64, 4), (28, 2)):
        critic, _ = shapes(nets.residual_critic((side, side, 3)), floats(2, side, side, 3))
        assert sorted(critic) == ["Dense_0"] + [
            f"PreactivationBlock_{i}" for i in range(stages + 1)
        ]
        assert critic["PreactivationBlock_0"]["Conv_0"]["kernel"] == (3, 3, 3, 128)
        # the last one keeps what it is given, and needs no convolution for that
        last = critic[f"PreactivationBlock_{stages}"]
        assert {name: layer["kernel"] for name, layer in last.items()} == {
            "Conv_0": (3, 3, 128, 128),
            "Conv_1": (3, 3, 128, 128),
        }
        generator, _ = shapes(nets.residual_generator((side, side, 3)), floats(2, 9))
        assert generator["Dense_0"]["kernel"] == (9, (side >> stages) ** 2 * 128)
        assert generator["Conv_0"]["kernel"] == (3, 3, 128, 3)
        assert generator[f"PreactivationBlock_{stages - 1}"]["BatchNorm_1"]["scale"] == (128,)
        assert f"PreactivationBlock_{stages}" not in generator


def test_dcgan_64_is_the_published_network():
    layers, _ = shapes(nets.dcgan_generator((64, 64, 3)), floats(2, 100))
    assert layers["ConvTranspose_3"]["kernel"] == (4, 4, 64, 3)
    layers, _ = shapes(nets.dcgan_generator((64, 64, 3), 128), floats(2, 100))
    convolutions = [(1024, 512), (512, 256), (256, 128), (128, 3)]
    assert [layers[f"ConvTranspose_{i}"]["kernel"] for i in range(4)] == [
        (4, 4, *channels) for channels in convolutions
    ]
    assert layers["Dense_0"] == {"kernel": (100, 4 * 4 * 1024)}
    # normalised but at the output, and no bias before a normalisation
    assert [layers[f"BatchNorm_{i}"]["bias"] for i in range(4)] == [
        (channels,) for channels, _ in convolutions
    ]
    assert "BatchNorm_4" not in layers
    assert ["bias" in layers[f"ConvTranspose_{i}"] for i in range(4)] == [False] * 3 + [True]

    layers, _ = shapes(nets.dcgan_discriminator((64, 64, 3)), floats(2, 64, 64, 3))
    convolutions = [(3, 64), (64, 128), (128, 256), (256, 512)]
    assert [layers[f"Conv_{i}"]["kernel"] for i in range(4)] == [
        (4, 4, *channels) for channels in convolutions
    ]
    assert layers["Dense_0"] == {"kernel": (4 * 4 * 512, 1), "bias": (1,)}
    # normalised but at the input
    assert [layers[f"BatchNorm_{i}"]["bias"] for i in range(3)] == [(128,), (256,), (512,)]
    assert "BatchNorm_3" not in layers
    assert ["bias" in layers[f"Conv_{i}"] for i in range(4)] == [True] + [False] * 3


def test_initialisation_is_narrow_where_batches_are_normalised_and_keeps_the_scale_elsewhere():
    shape = (16, 16, 1)
    small, flat = jnp.zeros((1, *shape)), jnp.zeros((1, 100))

    @functools.partial(jax.jit, static_argnums=0)
    def kernels(normalization, key):
        judged = nets.dcgan_discriminator(shape, 32, normalization).init(key, small)
        made = nets.dcgan_generator(shape, 32, normalization).init(key, flat)
        judged, made = (params.get("params", params) for params in (judged, made))
        dense = judged["Conv_1"], judged["Dense_0"], made["Dense_0"], made["ConvTranspose_0"]
        return [layer["kernel"] for layer in dense]

    for kernel in kernels("batch", jax.random.key(0)):
        assert np.std(kernel) == pytest.approx(0.02, rel=0.06)
    # fan-in: 4 x 4 x 32, 4 x 4 x 64, 100, and those 4 taps of 64 channels that meet a pixel
    found = kernels("none", jax.random.key(0))
    for kernel, fan_in in zip(found, (512, 1024, 100, 256), strict=True):
        assert np.std(kernel) == pytest.approx((2 / fan_in) ** 0.5, rel=0.06)
    critic = nets.residual_critic(shape, 32)
    block = jax.jit(critic.init)(jax.random.key(0), small)["PreactivationBlock_1"]
    for layer, fan_in in (("Conv_0", 288), ("Conv_1", 288), ("Conv_2", 32)):
        assert np.std(block[layer]["kernel"]) == pytest.approx((2 / fan_in) ** 0.5, rel=0.06)


def biased(y, layer):
    return y + layer["bias"] if "bias" in layer else y


def conv(x, layer, stride=1):
    dimensions = ("NHWC", "HWIO", "NHWC")
    y = lax.conv_general_dilated(
        x, layer["kernel"], (stride, stride), "SAME", None, None, dimensions
    )
    return biased(y, layer)


def transposed(x, layer):
    return biased(lax.conv_transpose(x, layer["kernel"], (2, 2), "SAME"), layer)


def dense(x, layer):
    return biased(x @ layer["kernel"], layer)


def of_batch(x, layer):
    """Batch normalisation of a training pass."""
    x = (x - x.mean((0, 1, 2))) / jnp.sqrt(x.var((0, 1, 2)) + 1e-5)
    return x * layer["scale"] + layer["bias"]


def leaky(x):
    return jnp.where(x > 0, x, 0.2 * x)


def relu(x):
    return jnp.maximum(x, 0)


def halved(x):
    return x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).mean((2, 4))


def doubled(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def dcgan_discriminator(layers, x):
    x = leaky(conv(x, layers["Conv_0"], 2))
    x = leaky(of_batch(conv(x, layers["Conv_1"], 2), layers["BatchNorm_0"]))
    return dense(x.reshape(len(x), -1), layers["Dense_0"])


def dcgan_generator(layers, x):
    x = dense(x, layers["Dense_0"]).reshape(len(x), 2, 2, -1)
    x = transposed(relu(of_batch(x, layers["BatchNorm_0"])), layers["ConvTranspose_0"])
    return transposed(relu(of_batch(x, layers["BatchNorm_1"])), layers["ConvTranspose_1"])


def residual_critic(layers, x):
    first, last = (layers[f"PreactivationBlock_{i}"] for i in range(2))
    # the published order: pixels are averaged before the shortcut of the first block
    y = conv(relu(conv(x, first["Conv_0"])), first["Conv_1"])
    x = halved(y) + conv(halved(x), first["Conv_2"])
    x = x + conv(relu(conv(relu(x), last["Conv_0"])), last["Conv_1"])
    return dense(relu(x).sum((1, 2)), layers["Dense_0"])


def residual_generator(layers, x):
    x, block = dense(x, layers["Dense_0"]).reshape(len(x), 4, 4, -1), layers["PreactivationBlock_0"]
    y = conv(doubled(relu(of_batch(x, block["BatchNorm_0"]))), block["Conv_0"])
    y = conv(relu(of_batch(y, block["BatchNorm_1"])), block["Conv_1"])
    x = y + conv(doubled(x), block["Conv_2"])
    return conv(relu(of_batch(x, layers["BatchNorm_0"])), layers["Conv_0"])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "reference", [dcgan_discriminator, dcgan_generator, residual_critic, residual_generator]
)
def test_a_pass_is_that_of_the_layers_one_by_one(reference):
    network = getattr(nets, reference.__name__)(SMALL, 2)
    x = normal(1, 3, 5) if "generator" in reference.__name__ else normal(1, 3, *SMALL)
    params = random_parameters(network, x)

    @jax.jit
    def both(params, x):
        layers = params.get("params", params)
        train = network.train or (lambda key, params, x: (network.apply(params, x), {}))
        with jax.numpy_rank_promotion("allow"):
            return train(jax.random.key(0), params, x)[0], reference(layers, x)

    ours, expected = both(params, x)
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_layer_normalisation_is_of_each_example():
    x, scale, bias = normal(0, 2, 3, 3, 2), np.array([2.0, 3.0]), np.array([0.5, 0.0])
    found = LayerNorm().apply({"params": {"scale": scale, "bias": bias}}, x)
    for image, made in zip(x, found, strict=True):
        expected = (image - image.mean()) / np.sqrt(image.var() + 1e-5) * scale + bias
        np.testing.assert_allclose(made, expected, rtol=1e-10)
    network = nets.dcgan_discriminator(SMALL, 2, "layer")
    layers, _ = shapes(network, floats(2, *SMALL))
    assert layers["LayerNorm_0"] == {"scale": (4,), "bias": (4,)}
    regularisers.gradient_penalty().check(network, floats(2, *SMALL))


def test_what_is_judged_by_batches_is_not_penalised_and_what_is_spectral_may_be():
    with pytest.raises(InputError, match="without batch normalisation"):
        regularisers.r1().check(nets.dcgan_discriminator(SMALL, 2), floats(2, *SMALL))
    for critic in (nets.dcgan_discriminator(SMALL, 2, "none"), nets.residual_critic(SMALL, 2)):
        regularisers.r1().check(nets.spectral(critic), floats(2, *SMALL))


@pytest.mark.usefixtures("x64")
def test_a_spectral_critic_has_kernels_of_norm_1():
    critic = nets.residual_critic(SMALL, 2)
    network, x = nets.spectral(critic, iterations=30), normal(2, 3, *SMALL)
    params = {"params": random_parameters(critic, x), "spectral": None}

    @jax.jit
    def judged(key, own, x):
        params = {**network.init(key, x), "params": own}
        _, moved = network.train(key, params, x)
        return network.apply(params | moved, x), moved

    logits, moved = judged(jax.random.key(0), params["params"], x)
    assert set(moved) == {"spectral"}

    def divided(leaf):
        matrix = leaf.reshape(-1, leaf.shape[-1])
        return leaf / np.linalg.norm(matrix, 2) if leaf.ndim > 1 else leaf

    with jax.numpy_rank_promotion("allow"):
        expected = jax.jit(residual_critic)(jax.tree.map(divided, params["params"]), x)
    np.testing.assert_allclose(logits, expected, rtol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "critic", [nets.dcgan_discriminator(SMALL, 2, "layer"), nets.residual_critic(SMALL, 2)]
)
def test_a_penalty_of_slopes_has_the_same_gradient_in_both_implementations(critic, monkeypatch):
    x = normal(3, 2, *SMALL)
    params = random_parameters(critic, x)
    r1 = regularisers.r1(2.0)

    def penalty(impl, params, x):
        monkeypatch.setattr(convolution, "default_impl", lambda: impl)
        judge = functools.partial(critic.apply, params)
        return jnp.mean(r1.penalty(jax.random.key(0), judge, x, x, r1.hparams))

    gradients = jax.jit(
        lambda params, x: [
            jax.grad(functools.partial(penalty, impl))(params, x) for impl in ("matmul", "lax")
        ]
    )
    for ours, xla in zip(*map(jax.tree.leaves, gradients(params, x)), strict=True):
        np.testing.assert_allclose(ours, xla, rtol=1e-9, atol=1e-12)


def test_statistics_move_with_their_own_player_alone():
    """Both players' rates are 0, and what is made is grey: only statistics move."""
    generator, discriminator = nets.dcgan_generator(SMALL, 2), nets.dcgan_discriminator(SMALL, 2)
    method = methods.gan(
        generator,
        discriminator,
        3,
        output=lambda x: 0 * x + 0.5,
        optimizer=optax.identity(),
        learning_rate=0.0,
        discriminator_learning_rate=0.0,
    )
    x = normal(4, 6, *SMALL)

    @jax.jit
    def step(key, x):
        state = method.init(key, {"image": x}, method.hparams)
        after, _ = method.step(key, state, {"image": x}, method.hparams)
        before = state.params["discriminator"]
        _, of_real = discriminator.train(key, before, x)
        _, of_made = discriminator.train(key, before, jnp.full_like(x, 0.5))
        mean = jax.tree.map(lambda *both: sum(both) / 2, of_real, of_made)
        return state.params, after.params, mean["batch_stats"]

    before, after, expected = step(jax.random.key(0), x)
    # the mean of those of real examples and of made ones; and not of the generator's move
    found = after["discriminator"]["batch_stats"]
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), found, expected)
    made = before["generator"]["batch_stats"], after["generator"]["batch_stats"]
    # the generator's are those of one pass: 0.9 of what they were, and a tenth of the batch's
    variance = made[1]["BatchNorm_0"]["var"]
    assert np.all((variance > 0.9 * made[0]["BatchNorm_0"]["var"]) & (variance < 1))
    for player in ("generator", "discriminator"):
        jax.tree.map(np.testing.assert_array_equal, *(p[player]["params"] for p in (before, after)))


@pytest.mark.parametrize("make", [nets.dcgan_discriminator, nets.residual_critic])
def test_a_discriminator_is_shown_images_of_its_size(make):
    network = make((8, 8, 1), 2)
    jax.eval_shape(network.init, KEY, floats(2, 8, 8, 4))  # labels stand behind the channels
    for shape in ((16, 16, 1), (8, 16, 1), (64,)):
        with pytest.raises(InputError, match=rf"images of 8x8, and is shown \[{shape[0]}.*: build"):
            jax.eval_shape(network.init, KEY, floats(2, *shape))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nets.dcgan_generator((27, 27, 1)),
            "dcgan .* 8x8, 16x16, 28x28, 32x32, 64x64, not",
        ),
        (lambda: nets.dcgan_discriminator((32, 64, 1)), r"not \(32, 64, 1\)"),
        (lambda: nets.residual_generator((4, 4, 1)), "residual .* 8x8, 16x16"),
        (lambda: nets.residual_critic((8, 8)), r"not \(8, 8\)"),
        (lambda: nets.dcgan_generator(SMALL, 0), "channels is 0: use"),
        (lambda: nets.dcgan_generator(SMALL, 1.5), "channels is 1.5: use a whole number"),
        (lambda: nets.residual_critic(SMALL, -1), "channels is -1: use"),
        (lambda: nets.dcgan_discriminator(SMALL, 2, "group"), "'group'; use batch, layer or none"),
        (lambda: nets.residual_generator(SMALL, 2, "spectral"), "unknown normalization"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(InputError, match=message):
        make()
