"""Layers have the parameters and values of Linen's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ae_jax.nets import Conv, ConvTranspose, flax_network


@pytest.mark.parametrize(("ours", "theirs"), [(Conv, nn.Conv), (ConvTranspose, nn.ConvTranspose)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_equals_linen(ours, theirs, use_bias):
    arguments = {"features": 5, "kernel_size": (4, 4), "strides": (2, 2), "use_bias": use_bias}
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3), jnp.result_type(float))
    params = ours(**arguments).init(jax.random.key(1), x)
    reference = theirs(**arguments, param_dtype=jnp.result_type(float))
    expected = reference.init(jax.random.key(1), x)
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    if use_bias:
        params["params"]["bias"] = jnp.arange(5, dtype=x.dtype)
    for impl in (None, "matmul", "lax"):
        y = ours(**arguments, impl=impl).apply(params, x)
        np.testing.assert_allclose(y, reference.apply(params, x), atol=1e-5)


@pytest.mark.parametrize("layer", [Conv, ConvTranspose])
def test_the_default_is_a_stride_of_1_that_keeps_the_size(layer):
    x = jnp.ones((1, 4, 5, 1), jnp.result_type(float))
    y, variables = layer(2, (3, 3)).init_with_output(jax.random.key(0), x)
    assert y.shape == (1, 4, 5, 2)
    assert set(variables["params"]) == {"kernel", "bias"}


@pytest.mark.parametrize("layer", [Conv, ConvTranspose])
def test_is_float64_when_enabled(layer):
    with jax.enable_x64(True):
        network = flax_network(layer(2, (3, 3)))
        x = jnp.ones((1, 4, 4, 1), jnp.float64)
        params = network.init(jax.random.key(0), x)
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float64")}
        assert network.apply(params, x).dtype == jnp.float64
