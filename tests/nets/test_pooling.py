"""Pooling and upsampling: values by hand, and Linen's for every window."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ae_jax import nets
from ae_jax.core import InputError
from ae_jax.nets import MaxPool

avg_pool, max_pool = (
    jax.jit(pool, static_argnames=("window", "strides", "padding"))
    for pool in (nets.avg_pool, nets.max_pool)
)
upsample = jax.jit(nets.upsample, static_argnums=1)


def image(rows):
    return np.asarray(rows, jnp.result_type(float))[None, :, :, None]


def test_by_hand():
    x = image([[1, 2, 5], [4, 3, 0], [7, 8, 9]])
    np.testing.assert_array_equal(max_pool(x), image([[4]]))
    np.testing.assert_array_equal(max_pool(x, padding="SAME"), image([[4, 5], [8, 9]]))
    np.testing.assert_array_equal(avg_pool(x), image([[2.5]]))
    np.testing.assert_array_equal(avg_pool(x, padding="SAME"), image([[2.5, 2.5], [7.5, 9]]))
    np.testing.assert_array_equal(
        upsample(image([[1, 2], [3, 4]]), (2, 3)),
        image([[1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2], [3, 3, 3, 4, 4, 4], [3, 3, 3, 4, 4, 4]]),
    )


@pytest.mark.parametrize("size", [(6, 6), (7, 5), (4, 9)])
@pytest.mark.parametrize(
    ("window", "strides"), [((2, 2), None), ((3, 3), None), ((3, 2), (2, 2)), ((2, 3), (1, 2))]
)
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_equals_linen(size, window, strides, padding):
    x = np.random.default_rng(0).standard_normal((2, *size, 3)).astype(jnp.result_type(float))
    step = strides or window

    @jax.jit
    def results(x):
        def of(largest):
            y, pull = jax.vjp(lambda x: largest(x, window, step, padding), x)
            return y, *pull(jnp.cos(y))

        mean = nn.avg_pool(x, window, step, padding, count_include_pad=False)
        return (
            (*of(nets.max_pool), nets.avg_pool(x, window, strides, padding)),
            (*of(nn.max_pool), mean),
        )

    for ours, theirs in zip(*results(x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_ties_give_the_gradient_to_the_first():
    x = image([[0, 3], [3, 3]])
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(max_pool(x))))(x)
    np.testing.assert_array_equal(gradient, image([[0, 1], [0, 0]]))


@pytest.mark.parametrize("position", range(4))
def test_nan_is_the_largest(position):
    x = image(np.where(np.arange(4).reshape(2, 2) == position, np.nan, 1.0))
    assert np.isnan(np.asarray(max_pool(x))).all()


def test_upsampling_sums_the_gradient_of_a_block():
    x = image([[1, 2], [3, 4]])
    weights = np.arange(16, dtype=x.dtype).reshape(1, 4, 4, 1)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(weights * upsample(x))))(x)
    np.testing.assert_array_equal(gradient, image([[10, 18], [42, 50]]))


def test_layer_and_errors():
    x = image(np.arange(16.0).reshape(4, 4))
    np.testing.assert_array_equal(jax.jit(MaxPool().apply)({}, x), image([[5, 7], [13, 15]]))
    with pytest.raises(InputError, match="unknown padding"):
        max_pool(x, padding="FULL")
    with pytest.raises(InputError, match=r"a window \(5, 5\) does not fit images of 4x3"):
        max_pool(x[:, :, :3], (5, 5))
    np.testing.assert_array_equal(max_pool(x, (4, 4)), image([[15]]))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_means_of_half_precision_are_taken_in_single_precision(dtype):
    # float16 ends at 65504; in bfloat16 1 added to 256 is lost
    x = np.full((1, 16, 32, 1), 250.0)
    x[:, 0, 0] = 506
    mean = nets.avg_pool(jnp.asarray(x, dtype), (16, 32))
    assert mean.dtype == dtype
    np.testing.assert_array_equal(np.asarray(mean, float), np.asarray(jnp.asarray(250.5, dtype)))


@pytest.mark.parametrize("pool", [nets.max_pool, nets.avg_pool])
def test_bytes_are_refused(pool):
    with pytest.raises(InputError, match="floats, got uint8"):
        pool(jnp.full((1, 2, 2, 1), 200, jnp.uint8))
