"""Activations: closed forms, and the straight-through gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.nets import ACTIVATIONS, activation

X = np.array([-2.0, -0.5, 0.0, 0.5, 2.0])
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
CLOSED_FORMS = {
    "linear": X,
    "relu": np.maximum(X, 0),
    "leaky_relu": np.where(X > 0, X, 0.01 * X),
    "leaky_relu_0.2": np.where(X > 0, X, 0.2 * X),
    "elu": np.where(X > 0, X, np.expm1(X)),
    "selu": SELU_SCALE * np.where(X > 0, X, SELU_ALPHA * np.expm1(X)),
    "softplus": np.log1p(np.exp(X)),
    "swish": X / (1 + np.exp(-X)),
    "sigmoid": 1 / (1 + np.exp(-X)),
    "tanh": np.tanh(X),
    "binary": np.array([0.0, 0.0, 0.0, 1.0, 1.0]),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_form(name):
    y = activation(name)(jnp.asarray(X, jnp.result_type(float)))
    np.testing.assert_allclose(y, CLOSED_FORMS[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_keeps_shape_and_dtype(name):
    x = jnp.ones((2, 3), jnp.result_type(float))
    y = activation(name)(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)


def test_binary_passes_the_gradient_straight_through():
    x = jnp.asarray(X, jnp.result_type(float))
    weights = jnp.arange(5, dtype=x.dtype)
    gradient = jax.grad(lambda x: jnp.sum(weights * activation("binary")(x)))(x)
    np.testing.assert_array_equal(gradient, weights)
    # The threshold's true derivative would learn nothing.
    true_gradient = jax.grad(lambda x: jnp.sum(weights * (x > 0).astype(x.dtype)))(x)
    np.testing.assert_array_equal(true_gradient, jnp.zeros_like(weights))


def test_binary_in_forward_mode():
    x = jnp.asarray(X, jnp.result_type(float))
    np.testing.assert_array_equal(jax.jacfwd(activation("binary"))(x), np.eye(5))


def test_unknown_name_lists_the_known():
    with pytest.raises(InputError, match=r"unknown activation 'rleu'.*relu.*binary"):
        activation("rleu")
