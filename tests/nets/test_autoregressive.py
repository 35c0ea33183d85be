"""Masked networks: what each output sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ae_jax import nets
from ae_jax.core import InputError
from tests.methods.drawn import drawn_like


def jacobian(network, size, context):
    """Which of the inputs [Z + C] each dimension's outputs depend on, [Z, Z + C]."""
    x = jax.random.normal(jax.random.key(1), (1, size + context))
    params = network.init(jax.random.key(0), x)
    params = jax.tree.map(lambda p: p + 0.1 * jax.random.normal(jax.random.key(2), p.shape), params)
    found = jax.jacfwd(lambda x: network.apply(params, x[None])[0])(x[0])
    return np.abs(found).max(axis=1) > 0


@pytest.mark.parametrize(
    ("size", "context", "widths"), [(4, 0, (16,)), (4, 3, (16, 9)), (1, 2, (5,)), (3, 1, ())]
)
def test_outputs_see_all_dimensions_before_theirs_and_the_context(size, context, widths):
    network = nets.masked_mlp(size, 2, widths, "tanh")
    seen = jacobian(network, size, context)
    np.testing.assert_array_equal(seen[:, :size], np.tri(size, k=-1, dtype=bool))
    assert seen[:, size:].all()


def test_of_few_units_nothing_before_is_seen_that_should_not_be():
    seen = jacobian(nets.masked_mlp(5, 1, (2,), "tanh"), 5, 0)
    assert not np.triu(seen).any()
    assert seen.any()


def test_the_last_layer_may_start_at_zero():
    network = nets.masked_mlp(3, 2, (8,), last_kernel_init=nn.initializers.zeros)
    x = jax.random.normal(jax.random.key(0), (4, 5))
    params = network.init(jax.random.key(1), x)
    np.testing.assert_array_equal(network.apply(params, x), jnp.zeros((4, 3, 2)))
    kernels = [p for p in jax.tree.leaves(params) if p.ndim == 2]
    assert sum(float(jnp.abs(kernel).max()) > 0 for kernel in kernels) == 2


@pytest.mark.parametrize(("shape", "layers", "reach"), [((3, 4, 1), 4, 1), ((2, 2, 3), 2, 2)])
def test_codes_see_all_codes_before_them_and_no_others(shape, layers, reach):
    network = nets.pixel_cnn(3, 4, layers, reach)
    size, draw = np.prod(shape), np.random.default_rng(0)
    codes = draw.integers(3, size=(1, *shape))
    params = jax.eval_shape(network.init, jax.random.key(0), jnp.asarray(codes))
    params = drawn_like(params)
    others = np.repeat(codes.reshape(1, size), size, axis=0)
    others[np.arange(size), np.arange(size)] += 1
    together = np.concatenate([codes, others.reshape(size, *shape) % 3])
    logits = np.asarray(jax.jit(network.apply)(params, jnp.asarray(together)))
    assert logits.shape == (size + 1, *shape, 3)
    logits = logits.reshape(size + 1, size, 3)
    seen = np.abs(logits[1:] - logits[:1]).max(axis=2) > 0
    np.testing.assert_array_equal(seen.T, np.tri(size, k=-1, dtype=bool))


def test_before_it_has_learned_all_values_are_alike():
    network, codes = nets.pixel_cnn(5, 4, 1), jnp.zeros((1, 2, 2, 1), int)
    logits = jax.jit(lambda: network.apply(network.init(jax.random.key(0), codes), codes))()
    np.testing.assert_array_equal(logits, jnp.zeros((1, 2, 2, 1, 5)))


def test_refuses():
    with pytest.raises(InputError, match="size is 0: use a whole number, 1 or more"):
        nets.masked_mlp(0)
    with pytest.raises(InputError, match="widths is 8: use a list of numbers"):
        nets.masked_mlp(2, widths=8)
    with pytest.raises(InputError, match="unknown activation"):
        nets.masked_mlp(2, activation="swirl")
    network = nets.masked_mlp(3)
    with pytest.raises(InputError, match=r"of 3 dimensions needs \[B, 3\] .* got \[2, 2\]"):
        network.init(jax.random.key(0), jnp.zeros((2, 2)))
    with pytest.raises(InputError, match="reach is 0: use a whole number, 1 or more"):
        nets.pixel_cnn(4, reach=0)
    with pytest.raises(InputError, match=r"a map of codes is \[B, H, W, L\], and it got \[2, 2\]"):
        nets.pixel_cnn(4).init(jax.random.key(0), jnp.zeros((2, 2), int))
