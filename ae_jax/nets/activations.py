"""Activation functions by name."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError


@jax.custom_jvp
def binary(x: Array) -> Array:
    """Threshold unit, 1 where x > 0 and 0 elsewhere, with the straight-through gradient.

    The derivative of the threshold is taken to be 1 everywhere: a gradient passes through
    as if the unit were the identity.

    Args:
      x: pre-activations, any shape.

    Returns:
      0 or 1, the shape and dtype of x.

    Reference: Bengio, Leonard and Courville 2013, section 4 (arXiv:1308.3432).
    """
    return (x > 0).astype(x.dtype)


@binary.defjvp
def _binary_jvp(primals, tangents):
    return binary(*primals), tangents[0]


def linear(x: Array) -> Array:
    """The identity."""
    return x


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": linear,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "leaky_relu_0.2": functools.partial(jax.nn.leaky_relu, negative_slope=0.2),
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "gelu": jax.nn.gelu,
    "softplus": jax.nn.softplus,
    "swish": jax.nn.swish,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "binary": binary,
}


def activation(name: str) -> Callable[[Array], Array]:
    """The elementwise function of that name.

    Args:
      name: one of `ACTIVATIONS`: linear, relu, leaky_relu (slope 0.01), leaky_relu_0.2, elu,
        selu, gelu, softplus, swish, sigmoid, tanh, binary.

    Returns:
      A function of an array, of the same shape.

    Raises:
      InputError: the name is unknown.
    """
    if name not in ACTIVATIONS:
        raise InputError(f"unknown activation {name!r}; use one of: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
