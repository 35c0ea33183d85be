"""Published encoders and decoders, by name.

Every decoder ends in a linear layer: logits for a Bernoulli likelihood, means for a
Gaussian one. Kernels are initialised with LeCun normal (variance 1 / fan-in), biases with
zeros; `ae_jax.nets.residual` has its own initialisation.
"""

from collections.abc import Sequence

from flax import linen as nn

from ae_jax.core import COUNT, Array, InputError, Network, require
from ae_jax.nets.layers import Conv, ConvTranspose, dense
from ae_jax.nets.mlp import flax_network, mlp
from ae_jax.nets.pooling import max_pool, upsample
from ae_jax.nets.residual import residual_decoder, residual_encoder
from ae_jax.nets.stages import stages_of

_PUBLISHED = ("disentanglement", "disentanglement_lib", "keras")
_RESIDUAL = {"residual": "fixup", "residual_batchnorm": "batch"}


class DisentanglementEncoder(nn.Module):
    """Convolutions of stride 2, from the third on `late` pixels a side, then two dense layers."""

    channels: tuple[int, ...]
    outputs: int
    late: int = 4

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] to [B, outputs]."""
        for stage, channels in enumerate(self.channels):
            side = 4 if stage < 2 else self.late
            x = nn.relu(Conv(channels, (side, side), strides=(2, 2))(x))
        x = nn.relu(dense(256)(x.reshape(x.shape[0], -1)))
        return dense(self.outputs)(x)


class DisentanglementDecoder(nn.Module):
    """The mirror of `DisentanglementEncoder`."""

    channels: tuple[int, ...]  # of the encoder's stages, in the encoder's order
    side: int
    output_channels: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, Z] to [B, H, W, C]."""
        x = nn.relu(dense(256)(x))
        x = nn.relu(dense(self.side**2 * self.channels[-1])(x))
        x = x.reshape(-1, self.side, self.side, self.channels[-1])
        for channels in self.channels[-2::-1]:
            x = nn.relu(ConvTranspose(channels, (4, 4), strides=(2, 2))(x))
        return ConvTranspose(self.output_channels, (4, 4), strides=(2, 2))(x)


class KerasEncoder(nn.Module):
    """Convolutions 3x3, each followed by max-pooling."""

    channels: tuple[int, ...]
    outputs: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] to [B, outputs]."""
        for channels in self.channels:
            x = max_pool(nn.relu(Conv(channels, (3, 3))(x)), padding="SAME")
        x = x.reshape(x.shape[0], -1)
        return x if x.shape[1] == self.outputs else dense(self.outputs)(x)


class KerasDecoder(nn.Module):
    """Convolutions 3x3, each but the last followed by upsampling."""

    channels: tuple[int, ...]  # of the encoder's stages, in the encoder's order
    side: int
    output_shape: tuple[int, int, int]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, Z] to [B, H, W, C]."""
        units = self.side**2 * self.channels[-1]
        if x.shape[1] != units:
            x = nn.relu(dense(units)(x))
        x = x.reshape(-1, self.side, self.side, self.channels[-1])
        height = self.output_shape[0]
        for stage, channels in enumerate(reversed(self.channels), 1):
            # The published decoder meets 28 by one unpadded convolution: 4, 8, 16 - 2, 28.
            grown = x.shape[1] * 2 ** (len(self.channels) - stage + 1)
            padding = "VALID" if stage == len(self.channels) and grown > height else "SAME"
            x = upsample(nn.relu(Conv(channels, (3, 3), padding=padding)(x)))
        return Conv(self.output_shape[2], (3, 3))(x)


def conv_encoder(
    image_shape: Sequence[int], outputs: int, architecture: str = "disentanglement"
) -> Network:
    """A published convolutional encoder.

    "disentanglement" (64x64; the last stages are dropped for 32x32, 28x28, 16x16 and 8x8):
    convolutions 4x4 of stride 2 with 32, 32, 64, 64 channels, a dense layer of 256, ReLU.

    "disentanglement_lib": the same with 2x2 kernels in the third and fourth convolution, as in
    Locatello et al.'s study.

    "keras" (28x28, and 32x32 and 8x8): convolutions 3x3 with 16, 8, 8 channels, ReLU, each
    followed by 2x2 max-pooling. Flattened, that is 128 numbers (32 for 8x8 images, where one
    stage is dropped): the published latent. Any other `outputs` adds a dense layer.

    Args:
      image_shape: (H, W, C).
      outputs: the latent size, or twice that for a mean and a log-variance.
      architecture: "disentanglement", "disentanglement_lib" or "keras".

    Returns:
      A Network from [B, H, W, C] to [B, outputs].

    Raises:
      InputError: an unknown architecture or an image size that it does not accept.

    Reference: Locatello et al. 2019, table 1 (arXiv:1811.12359); Chollet 2016, "Building
    autoencoders in Keras".
    """
    stages = stages_of(image_shape, _published(architecture))
    require(COUNT, outputs=outputs)
    if architecture == "keras":
        return flax_network(KerasEncoder(stages.channels, outputs))
    late = 2 if architecture == "disentanglement_lib" else 4
    return flax_network(DisentanglementEncoder(stages.channels, outputs, late))


def conv_decoder(
    image_shape: Sequence[int], latent_size: int, architecture: str = "disentanglement"
) -> Network:
    """The decoder published with `conv_encoder`'s encoder; its output is linear.

    "disentanglement", "disentanglement_lib": dense layers of 256 and 1024, transposed convolutions
    4x4 of stride 2 with 64, 32, 32, C channels, ReLU between them.

    "keras": convolutions 3x3 with 8, 8, 16 channels (the last unpadded for 28x28), ReLU,
    each followed by 2x upsampling, then one with C channels. A latent size other than the
    published 128 (32 for 8x8) adds a dense layer with ReLU in front.

    Args:
      image_shape: (H, W, C).
      latent_size: Z.
      architecture: as for `conv_encoder`.

    Returns:
      A Network from [B, Z] to [B, H, W, C].

    Raises:
      InputError: an unknown architecture or an image size that it does not accept.

    Reference: as for `conv_encoder`.
    """
    stages = stages_of(image_shape, _published(architecture))
    require(COUNT, latent_size=latent_size)
    if architecture == "keras":
        return flax_network(KerasDecoder(stages.channels, stages.side, tuple(image_shape)))
    return flax_network(DisentanglementDecoder(stages.channels, stages.side, image_shape[2]))


def architectures() -> tuple[str, ...]:
    """The names that `encoder` and `decoder` know; "conv" means "disentanglement"."""
    return "mlp", "conv", *_PUBLISHED, *_RESIDUAL


def encoder(
    name: str,
    image_shape: Sequence[int],
    outputs: int,
    widths: Sequence[int] = (400,),
    activation: str = "relu",
) -> Network:
    """An encoder by name.

    Args:
      name: one of `architectures()`.
      image_shape: (H, W, C); for "mlp" any shape.
      outputs: the latent size, or twice that for a mean and a log-variance.
      widths: of the MLP's hidden layers, from the image to the latent.
      activation: of the MLP's hidden layers.

    Returns:
      A Network from [B, H, W, C] to [B, outputs].

    Raises:
      InputError: an unknown name or an image size that the architecture does not accept.
    """
    if name == "mlp":
        return mlp(outputs, widths, activation)
    if name in _RESIDUAL:
        return residual_encoder(image_shape, outputs, _RESIDUAL[name])
    return conv_encoder(image_shape, outputs, _convolutional(name))


def decoder(
    name: str,
    image_shape: Sequence[int],
    latent_size: int,
    widths: Sequence[int] = (400,),
    activation: str = "relu",
) -> Network:
    """A decoder by name, with a linear output.

    Args:
      name: one of `architectures()`.
      image_shape: (H, W, C); for "mlp" any shape.
      latent_size: Z.
      widths: of the MLP's hidden layers, from the latent to the image.
      activation: of the MLP's hidden layers.

    Returns:
      A Network from [B, Z] to [B, H, W, C].

    Raises:
      InputError: an unknown name or an image size that the architecture does not accept.
    """
    if name == "mlp":
        return mlp(tuple(image_shape), widths, activation)
    if name in _RESIDUAL:
        return residual_decoder(image_shape, latent_size, _RESIDUAL[name])
    return conv_decoder(image_shape, latent_size, _convolutional(name))


def _convolutional(name: str) -> str:
    if name not in architectures():
        raise InputError(f"unknown architecture {name!r}; use one of: {', '.join(architectures())}")
    return "disentanglement" if name == "conv" else name


def _published(architecture: str) -> str:
    if architecture not in _PUBLISHED:
        raise InputError(
            f"unknown convolutional architecture {architecture!r}; use one of: "
            f"{', '.join(_PUBLISHED)}"
        )
    return architecture
