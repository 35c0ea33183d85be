"""Linen layers: convolutions whose parameters are those of Linen's own."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn

from ae_jax.core import Array
from ae_jax.nets import convolution
from ae_jax.nets.convolution import Padding


def dense(features: int, name: str | None = None) -> nn.Dense:
    """A dense layer in the default float type, with Linen's initialisation."""
    return nn.Dense(features, param_dtype=jnp.result_type(float), name=name)


class Conv(nn.Module):
    """2-D convolution of images [B, H, W, C]; see `ae_jax.nets.convolution.conv`.

    Parameters `kernel` [KH, KW, C, features] and `bias` [features], named, laid out and
    initialised as those of `flax.linen.Conv`: LeCun normal (variance 1 / fan-in) and zeros.
    """

    features: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Padding = "SAME"
    use_bias: bool = True
    impl: str | None = None
    kernel_init: Callable = nn.initializers.lecun_normal()
    bias_init: Callable = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] to [B, H', W', features]."""
        return _apply(self, convolution.conv, x)


class ConvTranspose(nn.Module):
    """2-D transposed convolution of [B, H, W, C]; see `ae_jax.nets.convolution.conv_transpose`.

    Parameters `kernel` [KH, KW, C, features] and `bias` [features], named, laid out and
    initialised as those of `flax.linen.ConvTranspose`: LeCun normal and zeros.
    """

    features: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Padding = "SAME"
    use_bias: bool = True
    impl: str | None = None
    kernel_init: Callable = nn.initializers.lecun_normal()
    bias_init: Callable = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] to [B, H', W', features]."""
        return _apply(self, convolution.conv_transpose, x)


def _apply(module: Conv | ConvTranspose, convolve: Callable, x: Array) -> Array:
    dtype = jnp.result_type(float)
    shape = (*module.kernel_size, x.shape[-1], module.features)
    kernel = module.param("kernel", module.kernel_init, shape, dtype)
    y = convolve(x, kernel, module.strides, module.padding, module.impl)
    if module.use_bias:
        bias = module.param("bias", module.bias_init, (module.features,), dtype)
        y = y + bias[None, None, None, :]
    return y
