import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from ae_jax import losses
from ae_jax.core import InputError

pytestmark = pytest.mark.usefixtures("x64")


def test_kl_sparsity_by_hand():
    # unit means 1/2 and 1/4, rho 1/4:
    # unit 1: (1/4) log(1/2) + (3/4) log(3/2) = -0.173287 + 0.304099 = 0.130812; unit 2: 0
    activations = jnp.array([[1.0, 0.0], [0.0, 0.5]])
    np.testing.assert_allclose(losses.kl_sparsity(activations, 0.25), 0.130812036, rtol=1e-8)


@pytest.mark.parametrize("rho", [0.05, 0.3, 0.5])
def test_kl_sparsity_is_exactly_zero_at_the_target(rho):
    assert losses.kl_sparsity(jnp.full((4, 3), rho), rho) == 0
    gradient = jax.grad(losses.kl_sparsity)(jnp.full((4, 3), rho), rho)
    np.testing.assert_allclose(gradient, 0, atol=1e-15)


def test_kl_sparsity_looks_at_the_mean_over_the_batch():
    # 0 and 2 rho average to rho
    activations = jnp.array([[0.0, 0.4], [0.4, 0.0]])
    np.testing.assert_allclose(losses.kl_sparsity(activations, 0.2), 0, atol=1e-15)


def test_kl_sparsity_gradient_by_hand():
    activations = jax.random.uniform(jax.random.key(0), (5, 3), minval=0.05, maxval=0.95)
    check_grads(jax.jit(lambda a: losses.kl_sparsity(a, 0.1)), (activations,), order=1, rtol=1e-6)
    # d/da_bh = (1/B) [(1 - rho) / (1 - r_h) - rho / r_h]
    rate = jnp.mean(activations, axis=0)
    expected = jnp.broadcast_to(((0.9 / (1 - rate) - 0.1 / rate) / 5)[None], (5, 3))
    gradient = jax.grad(losses.kl_sparsity)(activations, 0.1)
    np.testing.assert_allclose(gradient, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_kl_sparsity_of_dead_and_saturated_units_pulls_them_back(dtype):
    activations = jnp.array([[0, 1], [0, 1]], dtype)
    value, gradient = jax.value_and_grad(losses.kl_sparsity)(activations, 0.2)
    assert jnp.isfinite(value)
    assert jnp.all(jnp.isfinite(gradient))
    assert jnp.all(gradient[:, 0] < 0)
    assert jnp.all(gradient[:, 1] > 0)


def test_kl_sparsity_needs_a_batch_of_units():
    with pytest.raises(InputError, match=r"\[B, H\]"):
        losses.kl_sparsity(jnp.zeros((2, 3, 4)), 0.1)


def test_contractive_penalty_of_a_linear_map_is_its_squared_norm():
    # 1 + 4 + 9 + 16 = 30, whatever x
    matrix = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    x = jax.random.normal(jax.random.key(0), (3, 2))
    np.testing.assert_allclose(losses.contractive_penalty(lambda x: x @ matrix, x), [30.0] * 3)


def test_contractive_penalty_of_a_sigmoid_layer():
    keys = jax.random.split(jax.random.key(1), 3)
    weights, bias = jax.random.normal(keys[0], (6, 4)), jax.random.normal(keys[1], (4,))
    x = jax.random.normal(keys[2], (5, 6))
    value = losses.contractive_penalty(lambda x: jax.nn.sigmoid(x @ weights + bias), x)
    # sum_j (h_j (1 - h_j))^2 sum_i W_ij^2
    hidden = jax.nn.sigmoid(x @ weights + bias[None])
    expected = ((hidden * (1 - hidden)) ** 2) @ jnp.sum(weights**2, axis=0)
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_contractive_penalty_equals_finite_differences_for_images():
    keys = jax.random.split(jax.random.key(2), 2)
    weights = jax.random.normal(keys[0], (12, 3))
    x = jax.random.normal(keys[1], (2, 2, 3, 2))

    def encode(image):
        return jnp.tanh(image.reshape(-1) @ weights)

    step = 1e-6
    shifts = step * jnp.eye(12).reshape(12, 1, 2, 3, 2)
    every = jax.jit(jax.vmap(jax.vmap(encode)))
    moved = jnp.broadcast_to(x[None], (12, *x.shape))
    slopes = (every(moved + shifts) - every(moved - shifts)) / (2 * step)
    expected = jnp.sum(slopes**2, axis=(0, 2))
    np.testing.assert_allclose(losses.contractive_penalty(encode, x), expected, rtol=1e-7)


def test_contractive_penalty_can_be_trained():
    x = jax.random.normal(jax.random.key(3), (3, 4))
    weights = jax.random.normal(jax.random.key(4), (4, 2))
    check_grads(
        jax.jit(lambda weights: losses.contractive_penalty(lambda x: jnp.tanh(x @ weights), x)),
        (weights,),
        order=1,
        rtol=1e-6,
    )
