"""Spectral normalisation against singular values, and what moves its directions."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import methods, nets
from ae_jax.core import InputError, Network
from ae_jax.nets.residual import BatchNorm

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(0)
W = np.sin(
    np.outer(np.arange(6), np.arange(4)) + 3.0 * np.arange(6)[:, None] + 5.0 * np.arange(4) + 1
)
LARGEST = 1.9577638027263018


def linear(kernel):
    return Network(lambda key, x: {"kernel": kernel}, lambda params, x: x @ params["kernel"])


def unit(vector):
    return vector / np.linalg.norm(vector)


def after(parameters, changes):
    return {**parameters, **changes}


def test_power_iterations():
    network = nets.spectral(linear(jnp.asarray(W)))
    start = unit(W.T @ np.full(6, 1 / np.sqrt(6)))
    parameters = {"params": {"kernel": W}, "spectral": {"['kernel']": start}}
    eye, apply, train = np.eye(6), jax.jit(network.apply), jax.jit(network.train)
    norms = {}
    for done in range(1, 21):
        output, changes = train(KEY, parameters, eye)
        np.testing.assert_array_equal(output, apply(parameters, eye))  # the same network
        norms[done] = W[0, 0] / output[0, 0]
        np.testing.assert_allclose(W / norms[done], output, rtol=1e-13)
        assert set(changes) == {"spectral"}
        parameters = after(parameters, changes)
    # u0 = ones / sqrt 6; u'W v after 1, 2, 5 and 20 iterations v = W'u, u = W v
    expected = [1.5643083209507036, 1.8219735390512413, 1.9504167460572384, 1.957758063161714]
    np.testing.assert_allclose([norms[i] for i in (1, 2, 5, 20)], expected, rtol=1e-13)
    assert norms[20] < LARGEST

    several = nets.spectral(linear(jnp.asarray(W)), iterations=4)
    begun = {"params": {"kernel": W}, "spectral": {"['kernel']": start}}
    _, changes = jax.jit(several.train)(KEY, begun, eye)
    output = apply(after(begun, changes), eye)
    np.testing.assert_allclose(W[0, 0] / output[0, 0], expected[2], rtol=1e-13)


def test_evaluation_moves_nothing_and_initialisation_is_near_the_norm():
    network = nets.spectral(linear(jnp.asarray(W)))
    parameters = jax.jit(network.init)(KEY, np.eye(6))
    output = jax.jit(network.apply)(parameters, np.eye(6))
    np.testing.assert_allclose(np.linalg.norm(output, 2), 1, rtol=1e-2)
    assert set(parameters) == {"params", "spectral"}
    direction = parameters["spectral"]["['kernel']"]
    np.testing.assert_allclose(np.linalg.norm(direction), 1, rtol=1e-14)
    zeros = jax.jit(nets.spectral(linear(jnp.zeros((6, 4)))).init)(KEY, np.eye(6))
    np.testing.assert_allclose(np.linalg.norm(zeros["spectral"]["['kernel']"]), 1, rtol=1e-14)


def test_gradients_flow_through_the_norm_and_not_through_the_directions():
    direction = np.linalg.svd(W)[2][0]
    weights = np.cos(np.arange(24.0)).reshape(6, 4)
    network = nets.spectral(linear(jnp.asarray(W)))

    def total(kernel, direction):
        parameters = {"params": {"kernel": kernel}, "spectral": {"['kernel']": direction}}
        return jnp.sum(weights * network.train(KEY, parameters, jnp.eye(6))[0])

    by_kernel, by_direction = jax.jit(jax.grad(total, (0, 1)))(W, direction)
    # (G - <G, W / sigma> u v') / sigma
    expected = [
        [0.6016133118158857, 0.3700308793044861, -0.3676529825423024, -0.4681750410735784],
        [-0.36917928255948873, 0.10833050955049706, 0.5507303099918736, 0.37050604427415906],
        [-0.05879189412289011, -0.44931438359918924, -0.4551008568403996, 0.008671571960887843],
        [0.32897966350522845, 0.35783841348278844, 0.24409868826495415, -0.4301725651989061],
        [-0.42939986041344397, -0.07866782506673237, 0.23523794238799658, 0.5296908113952485],
        [0.317375872833919, -0.16697194391001222, -0.6967751570883466, -0.2271882640589696],
    ]
    np.testing.assert_allclose(by_kernel, expected, rtol=1e-10)
    np.testing.assert_array_equal(by_direction, 0)
    # with a norm that is taken for a constant it would be
    assert np.max(np.abs(weights / LARGEST - expected)) > 0.1


def test_kernels_of_convolutions_are_matrices_of_their_outputs():
    a, b, c, d = np.meshgrid(*map(np.arange, (3, 3, 3, 2)), indexing="ij")
    kernel = np.sin(1.0 + a + 2 * b + 3 * c + 5 * d)
    plain = Network(
        lambda key, x: {"kernel": jnp.asarray(kernel), "bias": jnp.ones(2)},
        lambda params, x: params,
    )
    network = nets.spectral(plain)
    used = jax.jit(lambda: network.apply(network.init(KEY, None), None))()
    np.testing.assert_allclose(used["kernel"], kernel / 4.174321141866448, rtol=1e-8)
    np.testing.assert_array_equal(used["bias"], [1, 1])
    # the convolution itself, of a circle of 8x8, may be larger, up to sqrt(3 * 3) times
    spectrum = np.fft.fft2(used["kernel"], (8, 8), axes=(0, 1))
    norm = np.max(np.linalg.svd(spectrum, compute_uv=False))
    np.testing.assert_allclose(norm, 10.368989197385028 / 4.174321141866448, rtol=1e-8)


def test_every_layer_of_a_network_has_a_direction():
    network = nets.spectral(nets.conv_encoder((8, 8, 1), 3), iterations=300)
    x = np.random.default_rng(0).random((2, 8, 8, 1))
    parameters = jax.jit(network.init)(KEY, x)
    kernels = [leaf for leaf in jax.tree.leaves(parameters["params"]) if leaf.ndim > 1]
    shapes = sorted(direction.shape for direction in parameters["spectral"].values())
    assert shapes == sorted(kernel.shape[-1:] for kernel in kernels)

    _, changes = jax.jit(network.train)(KEY, parameters, x)
    parameters = after(parameters, changes)
    norms = {
        jax.tree_util.keystr(path): np.linalg.norm(leaf.reshape(-1, leaf.shape[-1]), 2)
        for path, leaf in jax.tree_util.tree_leaves_with_path(parameters["params"])
        if leaf.ndim > 1
    }
    inner = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf / norms.get(jax.tree_util.keystr(path), 1), parameters["params"]
    )
    expected = jax.jit(nets.conv_encoder((8, 8, 1), 3).apply)(inner, x)
    np.testing.assert_allclose(jax.jit(network.apply)(parameters, x), expected, rtol=1e-6)


def test_what_the_network_itself_moves_is_passed_on():
    inner = nets.chain(nets.mlp(3, ()), nets.flax_network(BatchNorm()))
    network, x = nets.spectral(inner), np.random.default_rng(0).random((5, 2))
    parameters = jax.jit(network.init)(KEY, x)
    _, changes = jax.jit(network.train)(KEY, parameters, x)
    assert set(changes) == {"params", "spectral"}
    assert set(changes["params"]) == {"1"}
    assert set(changes["params"]["1"]) == {"batch_stats"}
    chex.assert_trees_all_equal_shapes_and_dtypes(changes["spectral"], parameters["spectral"])


def test_a_step_of_training_moves_directions_by_no_gradient():
    network = nets.spectral(nets.mlp(3, ()))
    method = methods.classifier(network, 3)
    x = np.random.default_rng(0).random((6, 2, 2, 1))
    batch, hparams = {"image": x, "label": np.arange(6) % 3}, dict(method.hparams)
    state = jax.jit(method.init)(KEY, batch, hparams)
    before = state.params["encoder"]
    names = [str(path) for path, _ in jax.tree_util.tree_leaves_with_path(state.optimizer)]
    assert any("params" in name for name in names)
    assert not any("spectral" in name for name in names)
    state, _ = jax.jit(method.step)(KEY, state, batch, hparams)
    after_step = state.params["encoder"]
    kernel = before["params"]["Dense_0"]["kernel"]
    (old,), (new,) = (each["spectral"].values() for each in (before, after_step))
    np.testing.assert_allclose(new, unit(kernel.T @ (kernel @ old)), rtol=1e-12)
    assert np.all(after_step["params"]["Dense_0"]["kernel"] != kernel)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_kernels_of_zeros_and_tiny_ones(dtype):
    network = nets.spectral(linear(None))

    @jax.jit
    def used(kernel):
        direction = jnp.asarray(unit(np.arange(1.0, 5)), kernel.dtype)
        parameters = {"params": {"kernel": kernel}, "spectral": {"['kernel']": direction}}

        def total(kernel):
            output, changes = network.train(
                KEY, {**parameters, "params": {"kernel": kernel}}, jnp.eye(6, dtype=dtype)
            )
            return jnp.sum(output), (output, changes["spectral"]["['kernel']"])

        return jax.grad(total, has_aux=True)(kernel)

    gradient, (output, direction) = used(jnp.zeros((6, 4), dtype))
    np.testing.assert_array_equal(output, 0)
    np.testing.assert_array_equal(gradient, 1)
    np.testing.assert_allclose(direction, unit(np.arange(1.0, 5)), rtol=1e-6)
    # its squares are below the smallest float of single precision
    _, (tiny, moved) = used(jnp.asarray(1e-25 * W, dtype))
    _, (output, direction) = used(jnp.asarray(W, dtype))
    np.testing.assert_allclose(tiny, output, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moved, direction, rtol=1e-5, atol=1e-6)


def test_half_precision_is_summed_in_single():
    network = nets.spectral(linear(jnp.asarray(W, jnp.bfloat16)))
    parameters = jax.jit(network.init)(KEY, None)
    (direction,) = parameters["spectral"].values()
    assert direction.dtype == jnp.float32
    kernel = jax.jit(network.apply)(parameters, jnp.eye(6, dtype=jnp.bfloat16))
    assert kernel.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.linalg.norm(np.asarray(kernel, float), 2), 1, rtol=1e-2)


def test_what_cannot_be_normalised_is_refused():
    with pytest.raises(InputError, match="iterations is 0: use a whole number, 1 or more"):
        nets.spectral(linear(None), iterations=0)
    with pytest.raises(InputError, match="network is the function mlp: call it"):
        nets.spectral(nets.mlp)
    bare = Network(lambda key, x: {"bias": jnp.ones(3)}, lambda params, x: x)
    with pytest.raises(InputError, match="needs a network with kernels"):
        nets.spectral(bare).init(KEY, None)
