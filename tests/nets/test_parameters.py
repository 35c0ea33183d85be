import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ae_jax import nets
from ae_jax.core import InputError


def applied(layers, x):
    for layer in layers[:-1]:
        x = np.tanh(x @ layer.kernel + layer.bias[None])
    return x @ layers[-1].kernel + layers[-1].bias[None]


def test_layers_are_given_in_the_order_in_which_an_example_passes_them():
    """Of twelve: sorted by name, as jit does, Dense_10 comes before Dense_2."""
    network = nets.mlp(2, (3,) * 11, "tanh")
    x = np.random.default_rng(0).standard_normal((5, 3), np.float32)
    params = jax.jit(network.init)(jax.random.key(0), x)
    assert list(params)[2] == "Dense_10"
    layers = nets.layers(params)
    assert len(layers) == 12
    np.testing.assert_allclose(applied(layers, x), network.apply(params, x), rtol=2e-5, atol=1e-6)
    chex.assert_trees_all_equal(nets.mlp_params(*layers), params)


def test_layers_of_a_chain_are_those_of_its_networks():
    x = jnp.ones((1, 3))
    chain = nets.chain(nets.mlp(2, (4,)), *[nets.mlp(2, ())] * 9, nets.mlp(5, ()))
    params = jax.jit(chain.init)(jax.random.key(0), x)
    sizes = [layer.kernel.shape for layer in nets.layers(params)]
    assert sizes == [(3, 4), (4, 2), *[(2, 2)] * 9, (2, 5)]
    one = jax.jit(nets.flax_network(nn.Dense(4)).init)(jax.random.key(0), x)
    chex.assert_trees_all_equal(nets.layers(one), [nets.Affine(one["kernel"], one["bias"])])


def test_what_a_layer_lacks_is_none():
    tied = nets.transposed.own(nets.mlp_params(nets.Affine(jnp.ones((2, 3)), jnp.ones(3))))
    (layer,) = nets.layers(tied)
    assert layer.kernel is None
    assert layer.bias.shape == (3,)
    assert nets.layers({"a_0": {"kernel": 1.0}}) == [nets.Affine(1.0, None)]


@pytest.mark.parametrize(
    "params",
    [
        {"Conv_0": {"kernel": 1.0, "bias": 0.0}, "Dense_0": {"kernel": 1.0, "bias": 0.0}},
        {"hidden": {"kernel": 1.0}, "out": {"kernel": 1.0}},
        {"Dense_0": {"kernel": 1.0}, "out": {"kernel": 1.0}},
        {"BatchNorm_0": {"scale": 1.0, "bias": 0.0}},
        1.0,
    ],
)
def test_parameters_whose_order_nobody_knows_are_refused(params):
    with pytest.raises(InputError, match="do not tell the order of their layers"):
        nets.layers(params)
