"""Residual convolutional encoders and decoders, with batch normalisation or without.

Kernels are initialised with He et al.'s normal distribution (variance 2 / fan-in) where a ReLU
follows, those of the last layer with LeCun normal, biases with zeros.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from ae_jax.core import COUNT, Array, InputError, Network, require
from ae_jax.nets.layers import Conv, ConvTranspose, dense
from ae_jax.nets.mlp import flax_network
from ae_jax.nets.pooling import upsample
from ae_jax.nets.stages import stages_of

Normalization = Literal["batch", "fixup"]

_HE = nn.initializers.he_normal()
_ZEROS = nn.initializers.zeros_init()
_ONES = nn.initializers.ones_init()


class BatchNorm(nn.Module):
    """Batch normalisation of the last axis, over all others.

    Parameters `scale`, `bias` [C] and running statistics `mean`, `var` [C], named and updated
    as those of `flax.linen.BatchNorm`, which keeps the statistics in float32 whatever the
    input's type: running = momentum * running + (1 - momentum) * batch's, with the biased
    variance.

    Reference: Ioffe and Szegedy 2015, algorithms 1 and 2 (arXiv:1502.03167).
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """x [B, ..., C] to the same shape."""
        x = x.astype(np.promote_types(x.dtype, np.float32))
        shape, dtype = x.shape[-1:], jnp.result_type(float)
        scale = self.param("scale", _ONES, shape, dtype)
        bias = self.param("bias", _ZEROS, shape, dtype)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, dtype)
        mean, var = running_mean.value, running_var.value
        if train:
            axes = tuple(range(x.ndim - 1))
            mean, var = jnp.mean(x, axes), jnp.var(x, axes)
            for running, value in ((running_mean, mean), (running_var, var)):
                running.value = self.momentum * running.value + (1 - self.momentum) * value

        def row(values: Array) -> Array:
            return values.reshape((1,) * (x.ndim - 1) + shape)

        # (x - mean) / sqrt(var + epsilon) * scale + bias
        return (x - row(mean)) * row(scale * lax.rsqrt(var + self.epsilon)) + row(bias)


class BatchNormBlock(nn.Module):
    """Two convolutions 3x3 with batch normalisation, added to the input.

    Reference: He et al. 2016, figure 2 and section 3.3, shortcut B (arXiv:1512.03385).
    """

    channels: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """x [B, H, W, C] to [B, H / stride, W / stride, channels]."""

        def conv(side: int, stride: int, x: Array) -> Array:
            layer = Conv(
                self.channels, (side, side), (stride, stride), use_bias=False, kernel_init=_HE
            )
            return BatchNorm()(layer(x), train)

        y = conv(3, 1, nn.relu(conv(3, self.stride, x)))
        return nn.relu(y + (conv(1, self.stride, x) if _projects(self, x) else x))


class FixupBlock(nn.Module):
    """Two convolutions 3x3, initialised so as to add nothing to the input.

    The second kernel is zero, the first is scaled by the number of blocks, and scalar biases
    and a multiplier stand in for the normalisation's. Where the input is not negative (it is
    the output of a ReLU) and its shape is kept, the block begins as the identity.

    Attributes:
      channels: of the output.
      stride: of the first convolution, and of the shortcut.
      branches: the number of blocks in the network.

    Reference: Zhang, Dauphin and Ma 2019, section 3 (arXiv:1901.09321).
    """

    channels: int
    stride: int = 1
    branches: int = 1

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """x [B, H, W, C] to [B, H / stride, W / stride, channels]."""
        dtype = jnp.result_type(float)
        biases = [self.param(f"bias_{i}", _ZEROS, (), dtype) for i in range(4)]
        multiplier = self.param("multiplier", _ONES, (), dtype)

        def conv(side: int, stride: int, init: Callable, x: Array) -> Array:
            return Conv(
                self.channels, (side, side), (stride, stride), use_bias=False, kernel_init=init
            )(x)

        # L^(-1 / (2m - 2)) in L branches of m = 2 layers: the variance by 1 / L
        scaled = nn.initializers.variance_scaling(2 / self.branches, "fan_in", "truncated_normal")
        y = nn.relu(conv(3, self.stride, scaled, x + biases[0]) + biases[1])
        y = multiplier * conv(3, 1, _ZEROS, y + biases[2]) + biases[3]
        if _projects(self, x):
            x = conv(1, self.stride, _HE, x + biases[0])
        return nn.relu(x + y)


def _projects(block: BatchNormBlock | FixupBlock, x: Array) -> bool:
    return block.stride != 1 or block.channels != x.shape[-1]


def _blocks(normalization: str, branches: int) -> Callable[..., nn.Module]:
    if normalization == "batch":
        return BatchNormBlock
    return functools.partial(FixupBlock, branches=branches)


class ResidualEncoder(nn.Module):
    """A convolution of stride 2, stages of residual blocks, and a dense layer."""

    channels: tuple[int, ...]
    outputs: int
    normalization: str
    blocks: int

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """x [B, H, W, C] to [B, outputs]."""
        normalized = self.normalization == "batch"
        x = Conv(self.channels[0], (3, 3), (2, 2), use_bias=not normalized, kernel_init=_HE)(x)
        x = nn.relu(BatchNorm()(x, train) if normalized else x)
        block = _blocks(self.normalization, len(self.channels) * self.blocks)
        for stage, channels in enumerate(self.channels):
            for place in range(self.blocks):
                x = block(channels, 2 if stage and not place else 1)(x, train)
        return dense(self.outputs)(x.reshape(x.shape[0], -1))


class ResidualDecoder(nn.Module):
    """The mirror of `ResidualEncoder`: a stage begins by upsampling."""

    channels: tuple[int, ...]  # of the encoder's stages, in the encoder's order
    side: int
    output_channels: int
    normalization: str
    blocks: int

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """x [B, Z] to [B, H, W, C]."""
        last = self.channels[-1]
        x = nn.Dense(self.side**2 * last, param_dtype=jnp.result_type(float), kernel_init=_HE)(
            x
        ).reshape(-1, self.side, self.side, last)
        x = nn.relu(BatchNorm()(x, train) if self.normalization == "batch" else x)
        block = _blocks(self.normalization, len(self.channels) * self.blocks)
        for stage, channels in enumerate(reversed(self.channels)):
            x = upsample(x) if stage else x
            for _ in range(self.blocks):
                x = block(channels)(x, train)
        return ConvTranspose(self.output_channels, (4, 4), (2, 2))(x)


def residual_encoder(
    image_shape: Sequence[int],
    outputs: int,
    normalization: Normalization = "fixup",
    blocks: int = 2,
) -> Network:
    """A residual convolutional encoder.

    The stages are those of the "disentanglement" architecture, 32, 32, 64, 64 channels for
    64x64 images, the last ones dropped for 32x32, 28x28, 16x16 and 8x8: a convolution 3x3 of
    stride 2, then `blocks` basic blocks a stage, whose first one halves the image from the
    second stage on, then one dense layer.

    Args:
      image_shape: (H, W, C).
      outputs: the latent size, or twice that for a mean and a log-variance.
      normalization: "batch", whose running statistics are in the parameters, or "fixup",
        which needs none: an example's output does not depend on the others of its batch.
      blocks: residual blocks per stage, of two convolutions each.

    Returns:
      A Network from [B, H, W, C] to [B, outputs].

    Raises:
      InputError: an unknown normalization, an image size that it does not accept, or a number
        that is not positive.

    Reference: He et al. 2016, section 3.3 (arXiv:1512.03385); Zhang, Dauphin and Ma 2019
    (arXiv:1901.09321).
    """
    stages = _checked(image_shape, normalization, outputs=outputs, blocks=blocks)
    return flax_network(ResidualEncoder(stages.channels, outputs, normalization, blocks))


def residual_decoder(
    image_shape: Sequence[int],
    latent_size: int,
    normalization: Normalization = "fixup",
    blocks: int = 2,
) -> Network:
    """The mirror of `residual_encoder`'s encoder; its output is linear.

    A dense layer with ReLU, then the stages in reverse, each but the first after 2x
    upsampling, and a transposed convolution 4x4 of stride 2.

    Args:
      image_shape: (H, W, C).
      latent_size: Z.
      normalization: "batch" or "fixup".
      blocks: residual blocks per stage, of two convolutions each.

    Returns:
      A Network from [B, Z] to [B, H, W, C].

    Raises:
      InputError: as for `residual_encoder`.

    Reference: as for `residual_encoder`.
    """
    stages = _checked(image_shape, normalization, latent_size=latent_size, blocks=blocks)
    return flax_network(ResidualDecoder(*stages, image_shape[2], normalization, blocks))


def _checked(image_shape: Sequence[int], normalization: str, **positive: int):
    if normalization not in ("batch", "fixup"):
        raise InputError(f"unknown normalization {normalization!r}; use batch or fixup")
    require(COUNT, **positive)
    return stages_of(image_shape, "residual")
