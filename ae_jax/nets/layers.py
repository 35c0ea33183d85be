"""Linen layers: Linen's own convolutions, and what generators and discriminators are made of."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from ae_jax.core import Array, InputError
from ae_jax.nets import convolution
from ae_jax.nets.convolution import Padding

#: Linen's own start of kernels, of variance 1 / fan-in.
LECUN_NORMAL = nn.initializers.lecun_normal()


def dense(
    features: int,
    name: str | None = None,
    kernel_init: nn.initializers.Initializer = LECUN_NORMAL,
) -> nn.Dense:
    """A dense layer in the default float type, with Linen's initialisation unless told."""
    dtype = jnp.result_type(float)
    return nn.Dense(features, param_dtype=dtype, kernel_init=kernel_init, name=name)


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


class EqualisedDense(nn.Module):
    """A dense layer of equalised learning rate.

    Parameters `kernel` [in, features], from N(0, 1), which is used times gain / sqrt(in), and
    `bias` [features], zeros. So a step of Adam moves every layer by as much of what it is.

    Attributes:
      features: of the output.
      gain: 2^0.5 where a rectifier follows, 1 where nothing does.

    Reference: Karras et al. (2018), Progressive Growing of GANs, section 4.1.
    """

    features: int
    gain: float = 2**0.5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, in] to [B, features]."""
        return x @ _equalised(self, (x.shape[-1], self.features)) + _bias(self)[None]


class EqualisedConv(nn.Module):
    """`Conv` of stride 1, of equalised learning rate; see `EqualisedDense`.

    Parameters `kernel` [KH, KW, C, features], from N(0, 1), which is used times
    gain / sqrt(KH KW C), and `bias` [features], zeros.
    """

    features: int
    kernel_size: tuple[int, int] = (3, 3)
    gain: float = 2**0.5
    impl: str | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] to [B, H, W, features]."""
        kernel = _equalised(self, (*self.kernel_size, x.shape[-1], self.features))
        return convolution.conv(x, kernel, impl=self.impl) + _bias(self)[None, None, None]


def _equalised(module: EqualisedDense | EqualisedConv, shape: Sequence[int]) -> Array:
    kernel = module.param("kernel", _normal, shape, jnp.result_type(float))
    return kernel * (module.gain / math.sqrt(math.prod(shape[:-1])))  # w c, c = gain / sqrt(fan-in)


def _normal(key: Array, shape: Sequence[int], dtype: jnp.dtype) -> Array:
    # the numbers of a draw of that shape, which XLA takes four times as long to compile
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def _bias(module: EqualisedDense | EqualisedConv) -> Array:
    zeros = nn.initializers.zeros_init()
    return module.param("bias", zeros, (module.features,), jnp.result_type(float))


def pixel_norm(x: Array) -> Array:
    """Scales the vector of features at each pixel to a mean square of 1.

    Args:
      x: [B, ..., C].

    Returns:
      x / sqrt(mean of x^2 over C + 1e-8).

    Reference: Karras et al. (2018), Progressive Growing of GANs, section 4.2.
    """
    return x * lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-8)


def minibatch_stddev(x: Array, group: int = 4) -> Array:
    """How much the examples of a group differ: the mean of their features' standard deviations.

    Example n is of the group n mod (B / group), as in the authors' code. The variance is divided by
    the group's size, and 1e-8 is added to it.

    Args:
      x: [B, ...].
      group: examples in a group; the batch where that is smaller.

    Returns:
      [B], the same for all of a group.

    Raises:
      InputError: if the batch cannot be cut into such groups.

    Reference: Karras et al. (2018), Progressive Growing of GANs, section 3.
    """
    batch, size = len(x), min(group, len(x))
    if batch % size:
        raise InputError(
            f"a batch of {batch} cannot be cut into groups of {size} for the standard deviation: "
            f"use a batch size that is a multiple of {size}"
        )
    groups = x.reshape(size, batch // size, -1)
    variance = jnp.mean((groups - jnp.mean(groups, axis=0, keepdims=True)) ** 2, axis=0)
    deviation = jnp.mean(jnp.sqrt(variance + 1e-8), axis=-1)
    return jnp.tile(deviation, size)


class MinibatchStddev(nn.Module):
    """Adds a plane that holds `minibatch_stddev` to images of features.

    A training pass shows each group its own. An evaluation shows all examples its running mean,
    `deviation` among the running statistics, so that none depends on the others of its batch.
    """

    group: int = 4
    momentum: float = 0.9

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """x [B, H, W, C] to [B, H, W, C + 1]."""
        running = self.variable("batch_stats", "deviation", jnp.ones, (), x.dtype)
        shown = jnp.broadcast_to(running.value, x.shape[:1])
        if train:
            shown = minibatch_stddev(x, self.group)
            running.value = self.momentum * running.value + (1 - self.momentum) * jnp.mean(shown)
        plane = jnp.broadcast_to(shown[:, None, None, None], (*x.shape[:3], 1))
        return jnp.concatenate([x, plane], axis=-1)
