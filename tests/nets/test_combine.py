import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import nets
from ae_jax.core import InputError, Network


def test_a_chain_applies_networks_in_order():
    x = np.random.default_rng(0).standard_normal((3, 2, 2, 1), np.float32)
    first, second = nets.mlp(5, (), output_activation="tanh"), nets.mlp(4, ())
    both = nets.chain(first, second)
    params = jax.jit(both.init)(jax.random.key(1), x)
    between = jax.jit(first.apply)(params["0"], x)
    expected = jax.jit(second.apply)(params["1"], between)
    np.testing.assert_array_equal(jax.jit(both.apply)(params, x), expected)
    assert both.train is None
    with pytest.raises(InputError, match="at least one"):
        nets.chain()


def test_a_noisy_network_sees_noise_in_training_alone():
    plain = Network(lambda key, x: jnp.ones(()), lambda params, x: params * x)
    moving = plain._replace(train=lambda key, params, x: (jax.random.normal(key), {"x": x}))
    x, key = jnp.full((1000, 2), 3.0), jax.random.key(0)
    noise = nets.noisy(plain, 0.5).train(key, jnp.ones(()), x)[0] - x
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 0.5], rtol=0, atol=0.05)
    np.testing.assert_array_equal(nets.noisy(plain, 0.5).apply(jnp.ones(()), x), x)
    drawn, seen = nets.noisy(moving, 0.5).train(key, jnp.ones(()), x)
    np.testing.assert_allclose(seen["x"], x + noise, rtol=1e-6)
    assert drawn == jax.random.normal(jax.random.split(key)[1])
    assert nets.noisy(plain, 0.0) is plain
    for deviation in (-1.0, np.nan):
        with pytest.raises(InputError, match=r"the deviation of noise is .*: use 0 or more"):
            nets.noisy(plain, deviation)


def test_a_chain_passes_on_what_its_networks_move():
    def train(key, params, x):
        return x + 1, {"seen": params["seen"] + x.shape[0]}

    counting = Network(
        lambda key, x: {"seen": jnp.zeros(()), "other": jnp.ones(())}, lambda params, x: x, train
    )
    both, x = nets.chain(nets.mlp(3, ()), counting), np.ones((4, 2), np.float32)
    params = jax.jit(both.init)(jax.random.key(0), x)
    output, changes = jax.jit(both.train)(jax.random.key(1), params, x)
    np.testing.assert_array_equal(output, np.asarray(jax.jit(both.apply)(params, x)) + 1)
    chex.assert_trees_all_equal(changes, {"1": {"seen": np.float32(4)}})


def test_dropout_keeps_the_mean_in_training_and_does_nothing_else():
    layer, x = nets.dropout(0.25), np.full((100, 100), 3, np.float32)
    params = layer.init(jax.random.key(0), x)
    assert params == {}
    dropped, changes = layer.train(jax.random.key(1), params, x)
    assert not changes
    assert set(np.unique(dropped)) == {0, 4}
    assert abs(np.mean(dropped == 0) - 0.25) < 4 * (0.25 * 0.75 / x.size) ** 0.5
    assert layer.apply(params, x) is x
    # in a chain there is nothing of it, so that nothing is lost where parameters leave as arrays
    both = nets.chain(nets.mlp(2, ()), layer, nets.mlp(3, ()))
    params = jax.jit(both.init)(jax.random.key(0), x)
    assert set(params) == {"0", "2"}
    still, (noisy, _) = both.apply(params, x), both.train(jax.random.key(1), params, x)
    assert still.shape == noisy.shape == (100, 3)
    assert np.any(still != noisy)
    with pytest.raises(InputError, match="the rate of dropout is 1: use 0 or more and less than 1"):
        nets.dropout(1)


def test_transposed_parameters_run_the_layers_backwards():
    encoder, decoder = nets.mlp(2, (5, 4)), nets.mlp((3, 1), (4, 5))
    x = np.random.default_rng(0).standard_normal((6, 3, 1), np.float32)
    up = jax.jit(encoder.init)(jax.random.key(1), x)
    latent = jax.jit(encoder.apply)(up, x)
    own = nets.transposed.own(jax.jit(decoder.init)(jax.random.key(2), latent))
    down = nets.transposed.join(up, own)
    for i in range(3):
        np.testing.assert_array_equal(
            down[f"Dense_{i}"]["kernel"], np.asarray(up[f"Dense_{2 - i}"]["kernel"]).T
        )
    assert jax.eval_shape(decoder.apply, down, latent).shape == x.shape


def test_only_dense_decoders_can_be_transposed():
    decoder = nets.conv_decoder((8, 8, 1), 2)
    params = jax.eval_shape(decoder.init, jax.random.key(0), jnp.zeros((1, 2)))
    with pytest.raises(InputError, match="dense layers"):
        nets.transposed.own(params)


@pytest.mark.parametrize(
    "encoder",
    [
        nets.conv_encoder((8, 8, 1), 2),
        nets.residual_encoder((8, 8, 1), 2, "batch", 1),
        nets.chain(nets.mlp(2, ())),
        Network(lambda key, x: jnp.ones((64, 2)), lambda params, x: x),
    ],
)
def test_only_dense_encoders_can_be_transposed(encoder):
    params = jax.eval_shape(encoder.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    with pytest.raises(InputError, match="an encoder and a decoder of dense layers"):
        nets.transposed.join(params, {"Dense_0": {"bias": jnp.zeros(64)}})


def test_an_encoder_without_biases_can_be_transposed():
    encoder = {f"layer_{i}": {"kernel": jnp.full((i + 1, i + 2), float(i))} for i in range(11)}
    own = {f"Dense_{i}": {"bias": jnp.zeros(11 - i)} for i in range(11)}
    joined = nets.transposed.join(encoder, own)
    for i in range(11):
        np.testing.assert_array_equal(
            joined[f"Dense_{i}"]["kernel"], np.full((12 - i, 11 - i), 10 - i)
        )
    with pytest.raises(InputError, match="dense layers"):
        nets.transposed.own(encoder)
