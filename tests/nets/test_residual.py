"""Residual networks: shapes, initialisation, and batch statistics by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ae_jax import nets
from ae_jax.core import InputError
from ae_jax.nets.residual import BatchNorm, BatchNormBlock, FixupBlock

SIDES = (8, 28, 32, 64)
KEY = jax.eval_shape(lambda: jax.random.key(0))


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(jnp.result_type(float))


@pytest.mark.parametrize("name", ["residual", "residual_batchnorm"])
def test_encoder_and_decoder_match(name):
    for side in SIDES:
        x = jax.ShapeDtypeStruct((2, side, side, 3), jnp.result_type(float))
        encoder, decoder = nets.encoder(name, x.shape[1:], 6), nets.decoder(name, x.shape[1:], 6)
        latent = jax.eval_shape(lambda key, x, e=encoder: e.apply(e.init(key, x), x), KEY, x)
        y = jax.eval_shape(lambda key, z, d=decoder: d.apply(d.init(key, z), z), KEY, latent)
        assert (latent.shape, y.shape) == ((2, 6), x.shape)
    assert name in nets.architectures()


def test_fixup_block_begins_as_the_identity():
    x = np.abs(normal(0, 2, 4, 4, 3))
    block = FixupBlock(3, branches=7)

    @jax.jit
    def outputs(key, x):
        y, variables = block.init_with_output(key, x)
        gradient = jax.grad(lambda v: jnp.sum(block.apply(v, x) ** 2))(variables)["params"]
        variables["params"]["Conv_1"]["kernel"] += 1
        return y, gradient["Conv_1"]["kernel"], block.apply(variables, x)

    y, gradient, trained = jax.device_get(outputs(jax.random.key(1), x))
    np.testing.assert_array_equal(y, x)
    # but for its second kernel, which receives a gradient, it is not
    assert np.linalg.norm(gradient) > 0
    assert np.max(np.abs(trained - x)) > 0.1


def test_fixup_scales_by_the_number_of_branches():
    x = normal(0, 1, 4, 4, 64)
    for branches in (1, 9):
        init = jax.jit(FixupBlock(128, 2, branches).init)
        params = jax.device_get(init(jax.random.key(1), x))["params"]
        # std sqrt(2 / fan-in) L^(-1/2), and He et al.'s for the shortcut
        expected = np.sqrt(2 / (9 * 64) / branches)
        np.testing.assert_allclose(np.std(params["Conv_0"]["kernel"]), expected, rtol=0.02)
        np.testing.assert_allclose(np.std(params["Conv_2"]["kernel"]), np.sqrt(2 / 64), rtol=0.02)
        np.testing.assert_array_equal(params["Conv_1"]["kernel"], 0)


def randomised(tree):
    leaves, structure = jax.tree.flatten(tree)
    drawn = [0.3 * normal(seed, *leaf.shape) for seed, leaf in enumerate(leaves, 5)]
    return jax.tree.unflatten(structure, drawn)


def convolved(x, kernel, stride=1):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@jax.jit
def fixup(params, x):
    """The block from its definition; its stride is that of the shortcut, or 1."""
    b = [params[f"bias_{i}"] for i in range(4)]
    kernels = [params[f"Conv_{i}"]["kernel"] for i in range(len(params) - 5)]
    stride = 2 if len(kernels) == 3 else 1
    y = jax.nn.relu(convolved(x + b[0], kernels[0], stride) + b[1])
    y = params["multiplier"] * convolved(y + b[2], kernels[1]) + b[3]
    return jax.nn.relu(y + (convolved(x + b[0], kernels[2], stride) if stride == 2 else x))


@jax.jit
def batch_norm_block(variables, x):
    params, stats = variables["params"], variables["batch_stats"]
    stride = 2 if "Conv_2" in params else 1

    def conv(i, x, stride):
        y, p, s = (
            convolved(x, params[f"Conv_{i}"]["kernel"], stride),
            *(tree[f"BatchNorm_{i}"] for tree in (params, stats)),
        )
        row = jax.tree.map(lambda leaf: leaf[None, None, None], p | s)
        return (y - row["mean"]) / jnp.sqrt(row["var"] + 1e-5) * row["scale"] + row["bias"]

    y = conv(1, jax.nn.relu(conv(0, x, stride)), 1)
    return jax.nn.relu(y + (conv(2, x, 2) if stride == 2 else x))


@pytest.mark.parametrize(("channels", "stride"), [(3, 1), (5, 2)])
def test_blocks_are_what_their_papers_define(channels, stride):
    x = normal(0, 2, 6, 6, 3)
    sides = [3, 3] + [1] * (stride - 1)
    block = FixupBlock(channels, stride, branches=2)
    params = randomised(jax.eval_shape(block.init, KEY, x)["params"])
    assert [params[f"Conv_{i}"]["kernel"].shape[:2] for i in range(stride + 1)] == [
        (side, side) for side in sides
    ]
    y = jax.jit(block.apply)({"params": params}, x)
    np.testing.assert_allclose(y, fixup(params, x), atol=1e-5)

    block = BatchNormBlock(channels, stride)
    variables = randomised(jax.eval_shape(block.init, KEY, x))
    assert [variables["params"][f"Conv_{i}"]["kernel"].shape[:2] for i in range(stride + 1)] == [
        (side, side) for side in sides
    ]
    for stats in variables["batch_stats"].values():
        stats["var"] = np.abs(stats["var"]) + 0.1
    y = jax.jit(block.apply)(variables, x)
    np.testing.assert_allclose(y, batch_norm_block(variables, x), atol=1e-4)


def test_networks_are_their_blocks_in_a_row():
    encoder, decoder = nets.residual_encoder((16, 16, 1), 6), nets.residual_decoder((16, 16, 1), 3)
    x, latent = normal(0, 2, 16, 16, 1), normal(1, 2, 3)

    params = randomised(jax.eval_shape(encoder.init, KEY, x))
    dense, first = params["Dense_0"], params["Conv_0"]
    y = np.maximum(np.asarray(convolved(x, first["kernel"], 2)) + first["bias"], 0)
    for i, stride in enumerate((1, 1, 2, 1)):
        block = jax.jit(FixupBlock(32, stride).apply)
        y = block({"params": params[f"FixupBlock_{i}"]}, y)
    y = np.asarray(y)
    assert y.shape == (2, 4, 4, 32)
    expected = y.reshape(2, -1) @ dense["kernel"] + dense["bias"]
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(jax.jit(encoder.apply)(params, x), expected, atol=1e-5 * scale)

    params = randomised(jax.eval_shape(decoder.init, KEY, latent))
    dense, last = params["Dense_0"], params["ConvTranspose_0"]
    y = np.maximum(latent @ dense["kernel"] + dense["bias"], 0).reshape(2, 4, 4, 32)
    for i in range(4):
        y = np.asarray(fixup(params[f"FixupBlock_{i}"], y))
        if i == 1:
            y = np.repeat(np.repeat(y, 2, 1), 2, 2)
    assert last["kernel"].shape[:2] == (4, 4)
    dimensions = ("NHWC", "HWIO", "NHWC")
    y = jax.lax.conv_transpose(y, last["kernel"], (2, 2), "SAME", dimension_numbers=dimensions)
    expected = np.asarray(y) + last["bias"]
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(jax.jit(decoder.apply)(params, latent), expected, atol=1e-5 * scale)


@pytest.mark.parametrize("make", [nets.residual_encoder, nets.residual_decoder])
def test_a_network_s_blocks_know_how_many_they_are(make):
    shape = (2, 16, 16, 1) if make is nets.residual_encoder else (2, 3)
    init = jax.jit(make((16, 16, 1), 3, blocks=3).init)
    params = jax.device_get(init(jax.random.key(1), normal(0, *shape)))
    assert sum("FixupBlock" in name for name in params) == 6
    for i in range(6):
        kernel = params[f"FixupBlock_{i}"]["Conv_0"]["kernel"]
        np.testing.assert_allclose(np.std(kernel), np.sqrt(2 / (9 * 32) / 6), rtol=0.04)


def test_running_statistics_by_hand():
    network = nets.flax_network(BatchNorm(momentum=0.9))
    train, apply = jax.jit(network.train), jax.jit(network.apply)
    batches = [3 + 2 * normal(seed, 5, 4, 4, 2) for seed in range(3)]
    parameters = jax.jit(network.init)(jax.random.key(0), batches[0])
    mean, var = np.zeros(2), np.ones(2)
    for x in batches:
        y, changes = train(jax.random.key(0), parameters, x)
        parameters |= changes
        own_mean, own_var = np.mean(x, (0, 1, 2)), np.var(x, (0, 1, 2))
        np.testing.assert_allclose(y, (x - own_mean) / np.sqrt(own_var + 1e-5), atol=1e-5)
        mean, var = 0.9 * mean + 0.1 * own_mean, 0.9 * var + 0.1 * own_var
    np.testing.assert_allclose(parameters["batch_stats"]["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(parameters["batch_stats"]["var"], var, rtol=1e-5)
    expected = (batches[0] - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(apply(parameters, batches[0]), expected, atol=1e-5)


def test_batch_normalisation_equals_linen():
    x = 3 + 2 * normal(0, 5, 4, 4, 2)
    ours, theirs = BatchNorm(), nn.BatchNorm(momentum=0.9)
    variables = jax.jit(ours.init)(jax.random.key(0), x)
    scale, bias = np.array([[1, 2], [0, -1]], x.dtype)
    variables["params"] = {"scale": scale, "bias": bias}

    @jax.jit
    def both(variables, x):
        options = {"mutable": ["batch_stats"]}
        return (
            ours.apply(variables, x, train=True, **options),
            theirs.apply(variables, x, use_running_average=False, **options),
        )

    (y, changes), (expected, expected_changes) = both(variables, x)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5), changes, expected_changes
    )


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_normalised_in_single_precision(dtype):
    layer = BatchNorm()
    x = jnp.asarray(200 + np.random.default_rng(0).random((500, 2)), dtype)
    variables = layer.init(jax.random.key(0), x.astype(jnp.float32))
    run = jax.jit(lambda x: layer.apply(variables, x, train=True, mutable=["batch_stats"]))
    jax.tree.map(np.testing.assert_array_equal, run(x), run(x.astype(jnp.float32)))


def test_training_depends_on_the_batch_and_evaluation_does_not():
    network = nets.flax_network(BatchNormBlock(3))
    train, apply = jax.jit(network.train), jax.jit(network.apply)
    x, key = normal(0, 4, 4, 4, 3), jax.random.key(1)
    parameters = jax.jit(network.init)(key, x)
    y, changes = train(key, parameters, x)
    y = np.asarray(y)
    assert np.max(np.abs(y - np.asarray(apply(parameters, x)))) > 0.1
    others = x * np.array([1, 2, 2, 2], x.dtype)[:, None, None, None]
    of_others = np.asarray(train(key, parameters, others)[0])
    assert np.max(np.abs(y[0] - of_others[0])) > 0.01

    parameters |= changes
    y, of_others = (np.asarray(apply(parameters, images)) for images in (x, others))
    np.testing.assert_allclose(of_others[0], y[0], atol=1e-6)


def test_lanes_equal_each_alone():
    network = nets.flax_network(BatchNormBlock(2))

    @jax.jit
    def lane(key, x):
        parameters = network.init(key, x)

        def loss(parameters):
            y, changes = network.train(key, parameters, x)
            return jnp.mean(y**3), (y, changes)

        return parameters, jax.value_and_grad(loss, has_aux=True)(parameters)

    with jax.enable_x64(True):
        keys, x = jax.random.split(jax.random.key(0), 2), normal(1, 3, 4, 4, 2)
        lanes = jax.device_get(jax.vmap(lane, in_axes=(0, None))(keys, x))
        alone = jax.device_get(lane(keys[1], x))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-9, atol=1e-12), lanes, alone
    )


@pytest.mark.parametrize("normalization", ["batch", "fixup"])
def test_is_float64_when_enabled_and_has_the_state_it_needs(normalization):
    arguments = ((8, 8, 1), 3, normalization, 1)
    for network, x in (
        (nets.residual_encoder(*arguments), (4, 8, 8, 1)),
        (nets.residual_decoder(*arguments), (4, 3)),
    ):
        with jax.enable_x64(True):
            x = jax.ShapeDtypeStruct(x, jnp.float64)
            parameters = jax.eval_shape(network.init, KEY, x)
            y, changes = jax.eval_shape(network.train, KEY, parameters, x)
            same = jax.eval_shape(network.apply, parameters, x)
        stateful = {"batch_stats"} if normalization == "batch" else set()
        assert set(changes) == stateful
        assert set(parameters) & {"params", "batch_stats"} == stateful | (
            {"params"} if stateful else set()
        )
        assert {leaf.dtype for leaf in jax.tree.leaves((parameters, y, changes))} == {y.dtype}
        assert (y.shape, y.dtype) == (same.shape, jnp.dtype("float64"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nets.residual_encoder((8, 8, 1), 2, "layer"), "'layer'; use batch or fixup"),
        (lambda: nets.residual_decoder((20, 20, 1), 2), "residual architecture takes.*8x8, 16x16"),
        (lambda: nets.residual_encoder((8, 8, 1), 2, blocks=0), "blocks is 0: use"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(InputError, match=message):
        make()
