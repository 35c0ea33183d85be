import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import data, losses, methods, nets, training
from ae_jax.core import InputError
from ae_jax.data import corruptions
from ae_jax.methods import bottlenecks, penalties

SHAPE = (4, 4, 1)


def batch(count=6, seed=0):
    return {"image": jax.random.uniform(jax.random.key(seed), (count, *SHAPE))}


def start(method, count=6):
    return jax.jit(method.init)(jax.random.key(1), batch(count), dict(method.hparams))


def sigmoid_layer(size=5):
    return nets.mlp(size, (), output_activation="sigmoid")


def evaluate(method, state, **hparams):
    hparams = {**method.hparams, **hparams}
    return jax.jit(method.evaluate)(jax.random.key(2), state, batch(), hparams)


def test_loss_is_reconstruction_plus_weighted_penalties(x64):
    method = methods.autoencoder(
        sigmoid_layer(),
        nets.mlp(SHAPE, ()),
        penalties=[
            penalties.contractive(0.5),
            penalties.sparsity(0.25, 0.1),
            penalties.l1(2.0),
            penalties.weight_decay(3.0),
        ],
    )
    state = start(method)
    x = batch()["image"]
    encoder, decoder = state.params["encoder"]["Dense_0"], state.params["decoder"]["Dense_0"]
    hidden = jax.nn.sigmoid(x.reshape(6, -1) @ encoder["kernel"] + encoder["bias"][None])
    error = jnp.sum((hidden @ decoder["kernel"] + decoder["bias"][None] - x.reshape(6, -1)) ** 2, 1)
    # sum_ij (dh_j / dx_i)^2 = sum_j (h_j (1 - h_j))^2 sum_i W_ij^2
    jacobian = (hidden * (1 - hidden)) ** 2 @ jnp.sum(encoder["kernel"] ** 2, axis=0)
    squares = sum(jnp.sum(layer["kernel"] ** 2) for layer in (encoder, decoder))
    expected = (
        error
        + 0.5 * jacobian
        + 0.25 * losses.kl_sparsity(hidden, 0.1)
        + 2.0 * jnp.sum(jnp.abs(hidden), axis=1)
        + 3.0 * 0.5 * squares
    )
    values = evaluate(method, state)
    np.testing.assert_allclose(values["loss"], expected, rtol=1e-12)
    np.testing.assert_allclose(values["reconstruction"], error, rtol=1e-12)
    np.testing.assert_allclose(values["squared_error"], error, rtol=1e-12)


def test_the_three_contractive_penalties_agree(x64):
    exact, closed, estimate = (
        methods.autoencoder(
            sigmoid_layer(), nets.mlp(SHAPE, ()), penalties=[penalties.contractive(1.0, way, 4000)]
        )
        for way in ("jacobian", "sigmoid", "hutchinson")
    )
    state = start(exact)
    wanted = evaluate(exact, state)["loss"]
    np.testing.assert_allclose(evaluate(closed, state)["loss"], wanted, rtol=1e-12)
    np.testing.assert_allclose(evaluate(estimate, state)["loss"], wanted, rtol=0.01)


def test_the_closed_form_refuses_a_deeper_encoder():
    method = methods.autoencoder(
        nets.mlp(3, (5,)), nets.mlp(SHAPE, ()), penalties=[penalties.contractive(1.0, "sigmoid")]
    )
    with pytest.raises(InputError, match="one dense sigmoid layer"):
        evaluate(method, start(method))
    with pytest.raises(InputError, match="jacobian, sigmoid or hutchinson"):
        penalties.contractive(1.0, "fast")


def test_two_parts_cannot_share_a_hyperparameter():
    with pytest.raises(InputError, match="l1_weight"):
        methods.autoencoder(
            sigmoid_layer(), nets.mlp(SHAPE, ()), penalties=[penalties.l1(), penalties.l1()]
        )


def test_training_sees_corrupted_inputs_and_compares_with_clean_ones(x64):
    seen = []

    def corruption(key, x, level):
        seen.append(level)
        return jnp.zeros_like(x) + level

    method = methods.autoencoder(
        sigmoid_layer(), nets.mlp(SHAPE, ()), corruption=corruption, corruption_level=0.25
    )
    state = start(method)
    _, info = jax.jit(method.step)(jax.random.key(0), state, batch(), dict(method.hparams))
    constant = {"image": jnp.full((6, *SHAPE), 0.25)}
    output = method.views.reconstruct(state, constant, method.hparams)
    expected = jnp.mean(losses.squared_error(output, batch()["image"]))
    np.testing.assert_allclose(info["loss"], expected, rtol=1e-12)
    assert {leaf.shape for leaf in seen} == {()}
    before = len(seen)
    # evaluation shows the encoder clean examples
    output = method.views.reconstruct(state, batch(), method.hparams)
    expected = losses.squared_error(output, batch()["image"])
    np.testing.assert_allclose(evaluate(method, state)["loss"], expected, rtol=1e-12)
    assert len(seen) == before


def test_a_tied_decoder_has_biases_only_and_gradients_through_both_uses(x64):
    encoder, decoder = sigmoid_layer(3), nets.mlp(SHAPE, ())
    method = methods.autoencoder(encoder, decoder, tie=nets.transposed)
    state = start(method)
    assert jax.tree.map(jnp.shape, state.params["decoder"]) == {"Dense_0": {"bias": (16,)}}

    flat = batch()["image"].reshape(6, -1)

    def by_hand(kernel, bias, own):
        hidden = jax.nn.sigmoid(flat @ kernel + bias[None])
        return jnp.mean(jnp.sum((hidden @ kernel.T + own[None] - flat) ** 2, axis=1))

    layer = state.params["encoder"]["Dense_0"]
    own = state.params["decoder"]["Dense_0"]["bias"]
    expected = jax.grad(by_hand, argnums=(0, 1, 2))(layer["kernel"], layer["bias"], own)
    # with plain gradient descent a step's change is minus the gradient
    plain = methods.autoencoder(
        encoder, decoder, tie=nets.transposed, learning_rate=1.0, optimizer=optax.identity()
    )
    after, _ = jax.jit(plain.step)(jax.random.key(0), start(plain), batch(), dict(plain.hparams))
    change = jax.tree.map(jnp.subtract, state.params, after.params)
    found = (*[change["encoder"]["Dense_0"][name] for name in ("kernel", "bias")],)
    found = (*found, change["decoder"]["Dense_0"]["bias"])
    chex.assert_trees_all_close(found, expected, rtol=1e-10)


def test_a_tied_decoder_must_mirror_the_encoder():
    method = methods.autoencoder(nets.mlp(3, (8,)), nets.mlp(SHAPE, (7,)), tie=nets.transposed)
    with pytest.raises(InputError, match="widths in reverse"):
        evaluate(method, start(method))


def test_k_sparse_passes_the_k_largest_units():
    latent = jnp.array([[3.0, -1.0, 2.0, 0.5], [0.0, 4.0, 1.0, 2.0]])
    k_sparse = bottlenecks.k_sparse(2)
    for k, expected in {
        1: [[3, 0, 0, 0], [0, 4, 0, 0]],
        2: [[3, 0, 2, 0], [0, 4, 0, 2]],
        4: [[3, -1, 2, 0.5], [0, 4, 1, 2]],
    }.items():
        np.testing.assert_array_equal(k_sparse.apply(latent, {"k": float(k)}), expected)
    slope = jax.grad(lambda z: jnp.sum(k_sparse.apply(z, {"k": 2.0})))(latent)
    np.testing.assert_array_equal(slope, [[1, 0, 1, 0], [0, 1, 0, 1]])


def test_dropout_and_noise_act_in_training_only():
    latent = jax.random.normal(jax.random.key(0), (200, 50))
    for bottleneck in (bottlenecks.dropout(0.5), bottlenecks.noise(0.5)):
        np.testing.assert_array_equal(bottleneck.apply(latent, bottleneck.hparams), latent)
        trained = bottleneck.train(jax.random.key(1), latent, bottleneck.hparams)
        assert float(jnp.mean((trained - latent) ** 2)) > 0.1
        np.testing.assert_allclose(jnp.mean(trained - latent), 0, atol=0.05)


def test_running_sparsity_is_a_running_mean_with_the_batch_gradient(x64):
    penalty = penalties.sparsity(1.0, 0.2, momentum=0.75)
    hidden = jax.nn.sigmoid(jax.random.normal(jax.random.key(0), (6, 3)))
    running = jnp.array([0.1, 0.2, 0.9])

    def seen(latent, running):
        return penalties.Pass({}, lambda x: x, latent, latent, running)

    np.testing.assert_allclose(
        penalty.run(seen(hidden, running), penalty.hparams),
        0.75 * running + 0.25 * jnp.mean(hidden, axis=0),
    )
    np.testing.assert_allclose(
        penalty.run(seen(hidden, None), penalty.hparams), jnp.mean(hidden, axis=0)
    )

    def value(latent):
        return penalty.apply(jax.random.key(0), seen(latent, running), penalty.hparams)[0]

    rho = 0.2
    kl = rho * np.log(rho / running) + (1 - rho) * np.log((1 - rho) / (1 - running))
    np.testing.assert_allclose(value(hidden), kl.sum(), rtol=1e-12)
    slope = ((1 - rho) / (1 - running) - rho / running) / 6
    np.testing.assert_allclose(
        jax.grad(value)(hidden), np.broadcast_to(slope, (6, 3)), rtol=1e-12, atol=1e-15
    )


def test_running_statistics_live_in_the_state():
    method = methods.autoencoder(
        sigmoid_layer(), nets.mlp(SHAPE, ()), penalties=[penalties.sparsity(0.1, momentum=0.9)]
    )
    state = start(method)
    before = state.params["running"]["0"]
    after, _ = jax.jit(method.step)(jax.random.key(0), state, batch(seed=3), dict(method.hparams))
    rate = jnp.mean(method.views.encode(state, batch(seed=3), method.hparams), axis=0)
    np.testing.assert_allclose(after.params["running"]["0"], 0.9 * before + 0.1 * rate, rtol=1e-6)


def test_starts_from_given_parameters():
    method = methods.autoencoder(sigmoid_layer(), nets.mlp(SHAPE, ()))
    given = {"encoder": jax.tree.map(jnp.ones_like, start(method).params["encoder"])}
    state = method.init(jax.random.key(1), batch(), method.hparams, given)
    chex.assert_trees_all_equal(state.params["encoder"], given["encoder"])
    chex.assert_trees_all_equal(state.params["decoder"], start(method).params["decoder"])
    other = methods.autoencoder(sigmoid_layer(7), nets.mlp(SHAPE, ()))
    with pytest.raises(InputError, match="do not fit the encoder"):
        other.init(jax.random.key(1), batch(), other.hparams, given)


def test_a_combined_sweep_over_all_strengths_is_one_compilation():
    method = methods.autoencoder(
        sigmoid_layer(8),
        nets.mlp((8, 8, 1), ()),
        penalties=[penalties.contractive(), penalties.sparsity()],
        corruption=corruptions.masking,
        tie=nets.transposed,
    )
    lanes = training.grid(
        contractive_weight=[0.0, 1e-2],
        sparsity_weight=[0.0, 1e-2],
        sparsity_target=[0.05, 0.2],
        corruption_level=[0.0, 0.5],
        seed=0,
    )
    result = training.run(method, data.load("digits"), lanes, 5, batch_size=16)
    assert result.compilations == 1
    assert len({row["loss"] for row in result.rows}) > 8


def test_linear_autoencoder_finds_the_principal_subspace(x64):
    # one direction out of three: the discarded variances are what is left
    key = jax.random.key(0)
    scale = jnp.array([3.0, 1.0, 0.5])
    x = jax.random.normal(key, (400, 3)) * scale[None]
    x = x - x.mean(axis=0, keepdims=True)
    method = methods.autoencoder(nets.mlp(1, ()), nets.mlp(3, ()), learning_rate=0.02)
    data_batch = {"image": x}
    state = method.init(jax.random.key(1), data_batch, method.hparams)
    step = jax.jit(functools.partial(method.step, jax.random.key(0)))
    for _ in range(600):
        state, info = step(state, data_batch, method.hparams)
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    np.testing.assert_allclose(info["reconstruction"], eigenvalues[:2].sum(), rtol=1e-4)
