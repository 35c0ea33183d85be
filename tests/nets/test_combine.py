import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import nets
from ae_jax.core import InputError, Network


def test_a_chain_applies_networks_in_order():
    x = jax.random.normal(jax.random.key(0), (3, 2, 2, 1))
    first, second = nets.mlp(5, (), output_activation="tanh"), nets.mlp(4, ())
    both = nets.chain(first, second)
    params = both.init(jax.random.key(1), x)
    expected = second.apply(params["1"], first.apply(params["0"], x))
    np.testing.assert_array_equal(both.apply(params, x), expected)
    assert both.train is None
    with pytest.raises(InputError, match="at least one"):
        nets.chain()


def test_a_chain_passes_on_what_its_networks_move():
    def train(key, params, x):
        return x + 1, {"seen": params["seen"] + x.shape[0]}

    counting = Network(
        lambda key, x: {"seen": jnp.zeros(()), "other": jnp.ones(())}, lambda params, x: x, train
    )
    both = nets.chain(nets.mlp(3, ()), counting)
    params = both.init(jax.random.key(0), jnp.ones((4, 2)))
    output, changes = both.train(jax.random.key(1), params, jnp.ones((4, 2)))
    np.testing.assert_array_equal(output, both.apply(params, jnp.ones((4, 2))) + 1)
    chex.assert_trees_all_equal(changes, {"1": {"seen": jnp.array(4.0), "other": jnp.ones(())}})


def test_transposed_parameters_run_the_layers_backwards():
    encoder, decoder = nets.mlp(2, (5, 4)), nets.mlp((3, 1), (4, 5))
    x = jax.random.normal(jax.random.key(0), (6, 3, 1))
    up = encoder.init(jax.random.key(1), x)
    own = nets.transposed.own(decoder.init(jax.random.key(2), encoder.apply(up, x)))
    down = nets.transposed.join(up, own)
    for i in range(3):
        np.testing.assert_array_equal(
            down[f"Dense_{i}"]["kernel"], up[f"Dense_{2 - i}"]["kernel"].T
        )
    assert decoder.apply(down, encoder.apply(up, x)).shape == x.shape


def test_only_dense_decoders_can_be_transposed():
    decoder = nets.conv_decoder((8, 8, 1), 2)
    params = decoder.init(jax.random.key(0), jnp.zeros((1, 2)))
    with pytest.raises(InputError, match="dense layers"):
        nets.transposed.own(params)
