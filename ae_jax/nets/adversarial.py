"""Convolutional generators and discriminators of images.

Generators end in a linear layer, of which whoever uses them makes pixels; discriminators in one
logit. Kernels of a DCGAN are initialised with N(0, 0.02) where batches are normalised, as
published; others before a rectifier with He et al.'s normal distribution (variance 2 / fan-in),
since there the scale stays.
"""

from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from ae_jax.core import COUNT, Array, InputError, Network, require
from ae_jax.nets.layers import Conv, ConvTranspose, dense
from ae_jax.nets.mlp import flax_network
from ae_jax.nets.pooling import avg_pool, upsample
from ae_jax.nets.residual import BatchNorm
from ae_jax.nets.stages import Stages, stages_of

Normalization = Literal["batch", "layer", "none"]

_NARROW = nn.initializers.normal(0.02)
_HE = nn.initializers.he_normal()
#: Of the 16 taps of a transposed convolution 4x4 of stride 2 a pixel meets 4.
_HE_TRANSPOSED = nn.initializers.variance_scaling(8.0, "fan_in", "truncated_normal")


class LayerNorm(nn.Module):
    """Normalises each example [H, W, C] over all its numbers; `scale` and `bias` are [C].

    Reference: Ba, Kiros and Hinton 2016 (arXiv:1607.06450).
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] to the same shape."""
        shape, dtype = x.shape[-1:], jnp.result_type(float)
        scale = self.param("scale", nn.initializers.ones_init(), shape, dtype)
        bias = self.param("bias", nn.initializers.zeros_init(), shape, dtype)
        x = x - jnp.mean(x, axis=(1, 2, 3), keepdims=True)
        variance = jnp.mean(x**2, axis=(1, 2, 3), keepdims=True)
        x = x / jnp.sqrt(variance + self.epsilon)
        return x * scale[None, None, None] + bias[None, None, None]


def _normalized(kind: str, x: Array, train: bool) -> Array:
    """Called by a compact module, whose layer it is."""
    if kind == "none":
        return x
    return BatchNorm()(x, train) if kind == "batch" else LayerNorm()(x)


class DCGANGenerator(nn.Module):
    """A dense layer, then transposed convolutions 4x4 of stride 2."""

    channels: tuple[int, ...]  # of the discriminator's stages, in the discriminator's order
    side: int
    output_channels: int
    normalization: str

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """x [B, Z] to [B, H, W, C]."""
        narrow, bare = self.normalization == "batch", self.normalization == "none"
        x = nn.Dense(
            self.side**2 * self.channels[-1],
            use_bias=bare,
            kernel_init=_NARROW if narrow else _HE,
            param_dtype=jnp.result_type(float),
        )(x)
        x = x.reshape(-1, self.side, self.side, self.channels[-1])
        init = _NARROW if narrow else _HE_TRANSPOSED
        for channels in self.channels[-2::-1]:
            x = nn.relu(_normalized(self.normalization, x, train))
            x = ConvTranspose(channels, (4, 4), (2, 2), use_bias=bare, kernel_init=init)(x)
        x = nn.relu(_normalized(self.normalization, x, train))
        return ConvTranspose(self.output_channels, (4, 4), (2, 2), kernel_init=init)(x)


class DCGANDiscriminator(nn.Module):
    """Convolutions 4x4 of stride 2, then a dense layer."""

    image_side: int
    channels: tuple[int, ...]
    normalization: str

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """x [B, H, W, C] to [B, 1]."""
        _check_side(x, self.image_side)
        init = _NARROW if self.normalization == "batch" else _HE
        for stage, channels in enumerate(self.channels):
            kind = self.normalization if stage else "none"
            bare = kind == "none"
            x = Conv(channels, (4, 4), (2, 2), use_bias=bare, kernel_init=init)(x)
            x = nn.leaky_relu(_normalized(kind, x, train), 0.2)
        x = x.reshape(x.shape[0], -1)
        return nn.Dense(1, kernel_init=init, param_dtype=jnp.result_type(float))(x)


class PreactivationBlock(nn.Module):
    """Two convolutions 3x3, each after what it normalises and a ReLU, added to the input.

    Where it halves the image, or doubles it, so does the shortcut, with a convolution 1x1.

    Attributes:
      channels: of the output.
      resample: "down" by means of 2x2 pixels, "up" by repeating them, or "none".
      normalization: as the network's.
      first: of a network: its input is no sum of activations, and goes into the first
        convolution as it is.
    """

    channels: int
    resample: str = "none"
    normalization: str = "none"
    first: bool = False

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """x [B, H, W, C] to [B, H', W', channels]."""

        def conv(side: int, x: Array) -> Array:
            return Conv(self.channels, (side, side), kernel_init=_HE)(x)

        y = x if self.first else nn.relu(_normalized(self.normalization, x, train))
        y = conv(3, upsample(y) if self.resample == "up" else y)
        y = conv(3, nn.relu(_normalized(self.normalization, y, train)))
        if self.resample == "down":  # what is linear can come in the cheaper order
            y, x = avg_pool(y), avg_pool(x)
        if self.resample != "none" or x.shape[-1] != self.channels:
            x = conv(1, x)
        return y + (upsample(x) if self.resample == "up" else x)


class ResidualGenerator(nn.Module):
    """A dense layer, blocks that double the image, a convolution 3x3."""

    channels: int
    stages: int
    side: int
    output_channels: int
    normalization: str

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """x [B, Z] to [B, H, W, C]."""
        x = dense(self.side**2 * self.channels)(x)
        x = x.reshape(-1, self.side, self.side, self.channels)
        for _ in range(self.stages):
            x = PreactivationBlock(self.channels, "up", self.normalization)(x, train)
        x = nn.relu(_normalized(self.normalization, x, train))
        return Conv(self.output_channels, (3, 3))(x)


class ResidualCritic(nn.Module):
    """Blocks that halve the image, one that does not, a sum over pixels, a dense layer."""

    image_side: int
    channels: int
    stages: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] to [B, 1]."""
        _check_side(x, self.image_side)
        for stage in range(self.stages):
            x = PreactivationBlock(self.channels, "down", first=stage == 0)(x)
        x = nn.relu(PreactivationBlock(self.channels)(x))
        return dense(1)(jnp.sum(x, axis=(1, 2)))


def dcgan_generator(
    image_shape: Sequence[int], channels: int = 64, normalization: Normalization = "batch"
) -> Network:
    """The generator of DCGAN, whose output is linear.

    A dense layer to the smallest images, then transposed convolutions 4x4 of stride 2; each
    but the last is followed by normalisation and ReLU.

    Args:
      image_shape: (H, W, C) of 64x64; a stage fewer for 32x32, two for 28x28 and 16x16 (to 7x7
        and 4x4), and for 8x8 (to 2x2).
      channels: of the last hidden layer; doubled in each one before it.
      normalization: "batch", whose running statistics are in the parameters, "layer", of each
        example, or "none".

    Returns:
      A Network from [B, Z] to [B, H, W, C].

    Raises:
      InputError: an image size that it does not make, an unknown normalization, or channels
        that are not positive.

    Reference: Radford, Metz and Chintala 2016, section 3 and figure 1 (arXiv:1511.06434), whose
    generator has 1024 channels at 4x4: channels=128.
    """
    stages = _dcgan(image_shape, channels, normalization)
    return flax_network(DCGANGenerator(*stages, image_shape[2], normalization))


def dcgan_discriminator(
    image_shape: Sequence[int], channels: int = 64, normalization: Normalization = "batch"
) -> Network:
    """The discriminator of DCGAN: convolutions 4x4 of stride 2, leaky ReLU 0.2, one logit.

    Args:
      image_shape: (H, W, C), as for `dcgan_generator`.
      channels: of the first stage, which is not normalised; doubled in each further one.
      normalization: as there. Penalties of a discriminator's slope refuse "batch".

    Returns:
      A Network from [B, H, W, C] to [B, 1].

    Raises:
      InputError: as `dcgan_generator`; when it is shown images of another height or width.

    Reference: as for `dcgan_generator`.
    """
    stages = _dcgan(image_shape, channels, normalization)
    return flax_network(DCGANDiscriminator(image_shape[0], stages.channels, normalization))


def residual_generator(
    image_shape: Sequence[int], channels: int = 128, normalization: Normalization = "batch"
) -> Network:
    """A residual generator, whose output is linear.

    A dense layer, blocks with normalisation that double the image, and a convolution 3x3.

    Args:
      image_shape: (H, W, C) of 64x64, 32x32, 16x16 and 8x8, made from 4x4, or 28x28, from 7x7.
      channels: of every layer.
      normalization: as for `dcgan_generator`.

    Returns:
      A Network from [B, Z] to [B, H, W, C].

    Raises:
      InputError: as `dcgan_generator`.

    Reference: Gulrajani et al. 2017, appendix C (arXiv:1704.00028); Miyato et al. 2018, appendix
    B.4 (arXiv:1802.05957): their networks for CIFAR-10, with as many stages as the image has.
    """
    _check_normalization(normalization)
    stages = _residual(image_shape, channels)
    return flax_network(
        ResidualGenerator(
            channels, len(stages.channels), stages.side, image_shape[2], normalization
        )
    )


def residual_critic(image_shape: Sequence[int], channels: int = 128) -> Network:
    """A residual critic without normalisation, whose features are summed over pixels.

    Args:
      image_shape: (H, W, C), as for `residual_generator`.
      channels: of every layer.

    Returns:
      A Network from [B, H, W, C] to [B, 1].

    Raises:
      InputError: as `dcgan_discriminator`.

    Reference: as for `residual_generator`.
    """
    stages = _residual(image_shape, channels)
    return flax_network(ResidualCritic(image_shape[0], channels, len(stages.channels)))


def _dcgan(image_shape: Sequence[int], channels: int, normalization: str) -> Stages:
    _check_normalization(normalization)
    require(COUNT, channels=channels)
    stages = stages_of(image_shape, "dcgan")
    widths = [channels * width // stages.channels[0] for width in stages.channels]
    return Stages(tuple(widths), stages.side)


def _residual(image_shape: Sequence[int], channels: int) -> Stages:
    require(COUNT, channels=channels)
    return stages_of(image_shape, "residual")


def _check_side(x: Array, side: int) -> None:
    if x.ndim != 4 or x.shape[1:3] != (side, side):
        raise InputError(
            f"the discriminator is built for images of {side}x{side}, and is shown "
            f"{list(x.shape[1:])}: build it with the shape of the images"
        )


def _check_normalization(normalization: str) -> None:
    if normalization not in ("batch", "layer", "none"):
        raise InputError(f"unknown normalization {normalization!r}; use batch, layer or none")
