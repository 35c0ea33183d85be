import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

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


def test_a_sum_is_that_of_its_networks_and_passes_on_what_they_move():
    x = np.random.default_rng(0).standard_normal((4, 3), np.float32)
    moving = Network(
        lambda key, x: {"seen": jnp.zeros(())},
        lambda params, x: x,
        lambda key, params, x: (2 * x, {"seen": params["seen"] + 1}),
    )
    both = nets.added(nets.mlp(3, ()), moving)
    params = jax.jit(both.init)(jax.random.key(0), x)
    linear = x @ params["0"]["Dense_0"]["kernel"]
    np.testing.assert_allclose(both.apply(params, x), linear + x, rtol=1e-5)
    output, changes = jax.jit(both.train)(jax.random.key(1), params, x)
    np.testing.assert_allclose(output, linear + 2 * x, rtol=1e-5)
    assert changes == {"1": {"seen": 1}}
    assert nets.added(nets.mlp(3, ()), nets.mlp(3, ())).train is None
    with pytest.raises(InputError, match="at least one"):
        nets.added()


LAYERS = {"dropout": lambda: nets.dropout(0.25), "noise": lambda: nets.noise(0.5)}


@pytest.mark.parametrize("name", LAYERS)
def test_what_spoils_does_so_in_training_alone_and_has_no_parameters(name):
    layer, x = LAYERS[name](), np.full((10, 10), 3, np.float32)
    params = layer.init(jax.random.key(0), x)
    assert params == {}
    spoiled, changes = layer.train(jax.random.key(1), params, x)
    assert not changes
    assert spoiled.dtype == x.dtype
    assert np.any(spoiled != x)
    assert layer.apply(params, x) is x
    # in a chain there is nothing of it, so that nothing is lost where parameters leave as arrays
    both = nets.chain(nets.mlp(2, ()), layer, nets.mlp(3, ()))
    params = jax.jit(both.init)(jax.random.key(0), x)
    assert set(params) == {"0", "2"}
    still, (moved, _) = both.apply(params, x), both.train(jax.random.key(1), params, x)
    assert still.shape == moved.shape == (10, 3)
    assert np.any(still != moved)


def test_dropout_keeps_the_mean():
    x = np.full((100, 100), 3, np.float32)
    dropped, _ = nets.dropout(0.25).train(jax.random.key(1), {}, x)
    assert set(np.unique(dropped)) == {0, 4}
    assert abs(np.mean(dropped == 0) - 0.25) < 4 * (0.25 * 0.75 / x.size) ** 0.5
    np.testing.assert_array_equal(nets.dropout(0).train(jax.random.key(1), {}, x)[0], x)
    with pytest.raises(InputError, match="rate is 1: use 0 or more and less than 1"):
        nets.dropout(1)


def test_noise_has_its_deviation():
    x = np.full((100, 100), 3, np.float32)
    added = np.asarray(nets.noise(0.5).train(jax.random.key(1), {}, x)[0]) - x
    assert abs(added.mean()) < 4 * 0.5 / x.size**0.5
    assert abs(added.std() - 0.5) < 4 * 0.5 / (2 * x.size) ** 0.5
    assert stats.kstest(added.ravel() / 0.5, "norm").pvalue > 0.01
    np.testing.assert_array_equal(nets.noise(0.0).train(jax.random.key(1), {}, x)[0], x)
    for deviation in (-1.0, np.nan):
        with pytest.raises(InputError, match=r"deviation is .*: use 0 or more"):
            nets.noise(deviation)


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


def test_parts_of_inputs_and_of_what_a_network_makes_in_all_its_passes():
    x = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(nets.part(1, 3).apply({}, x), x[:, 1:3])
    double = Network(
        lambda key, x: {"seen": 0.0},
        lambda params, x: 2 * x,
        lambda key, params, x: (3 * x, {"seen": 1.0}),
        lambda key, params, x: 4 * x,
    )
    some = nets.some_outputs(double, -1)
    assert some.init(None, x) == {"seen": 0.0}
    np.testing.assert_array_equal(some.apply({}, x), 2 * x[:, 3:])
    made, moved = some.train(None, {}, x)
    np.testing.assert_array_equal(made, 3 * x[:, 3:])
    assert moved == {"seen": 1.0}
    np.testing.assert_array_equal(some.noisy(None, {}, x), 4 * x[:, 3:])
    plain = nets.some_outputs(nets.mlp(3, ()), 0, 2)
    assert plain.train is None
    assert plain.noisy is None
