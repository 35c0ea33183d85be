"""Networks from images to images, and to judgements of their patches."""

from collections.abc import Sequence
from numbers import Integral
from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from ae_jax.core import BELOW_ONE, COUNT, Array, InputError, Network, require
from ae_jax.nets.layers import Conv, ConvTranspose
from ae_jax.nets.mlp import flax_network
from ae_jax.nets.pooling import upsample

Normalization = Literal["none", "instance"]

_PADS = ((1, 1), (1, 1))
#: Wider layers than so many times the first are not made.
_WIDEST = 8


def instance_norm(x: Array, epsilon: float = 1e-5) -> Array:
    """Images whose channels each have mean 0 and variance 1, over an image's own pixels.

    Args:
      x: [B, H, W, C].
      epsilon: is added to the variance.

    Returns:
      [B, H, W, C], of x's type.

    Reference:
      Ulyanov, Vedaldi and Lempitsky (2016), Instance Normalization.
    """
    wide = x.astype(np.promote_types(x.dtype, np.float32))
    wide = wide - jnp.mean(wide, axis=(1, 2), keepdims=True)
    variance = jnp.mean(wide**2, axis=(1, 2), keepdims=True)
    return (wide * lax.rsqrt(variance + epsilon)).astype(x.dtype)


class PatchDiscriminator(nn.Module):
    """Convolutions 4x4: some of stride 2, then two of stride 1; or 1x1, for single pixels."""

    channels: int
    layers: int
    normalization: str

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] to [B, h, w, 1]."""
        side, pads = (4, _PADS) if self.layers else (1, "VALID")
        least = 3 * 2**self.layers if self.layers else 1
        if min(x.shape[1:3]) < least:
            raise InputError(
                f"a patch discriminator of {self.layers} strided layers needs images of {least} "
                f"pixels a side or more, got {x.shape[1]}x{x.shape[2]}: use fewer layers"
            )
        for i, stride in enumerate([2] * self.layers + [1] if self.layers else [1, 1]):
            width = self.channels * min(2**i, _WIDEST)
            x = Conv(width, (side, side), (stride, stride), pads)(x)
            x = nn.leaky_relu(_normalised(x, self.normalization) if i else x, 0.2)
        return Conv(1, (side, side), (1, 1), pads)(x)


class UNet(nn.Module):
    """Convolutions 4x4 of stride 2, their mirror, and what each level hands across."""

    outputs: int
    channels: tuple[int, ...]
    dropout: float
    normalization: str

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """x [B, H, W, C] to [B, H, W, outputs]."""
        levels = len(self.channels)
        _check_levels("a U-Net", x, levels)
        across = []
        for i, width in enumerate(self.channels):
            x = Conv(width, (4, 4), (2, 2), _PADS)(nn.leaky_relu(x, 0.2) if i else x)
            x = _normalised(x, self.normalization) if 0 < i < levels - 1 else x
            across.append(x)
        for i in reversed(range(levels - 1)):
            x = ConvTranspose(self.channels[i], (4, 4), (2, 2))(nn.relu(x))
            x = _normalised(x, self.normalization)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
            x = jnp.concatenate([x, across[i]], axis=-1)
        return ConvTranspose(self.outputs, (4, 4), (2, 2))(nn.relu(x))


class Hourglass(nn.Module):
    """Convolutions 3x3 of stride 2, upsampling, and narrow skips between equal sizes."""

    outputs: int
    channels: tuple[int, ...]
    skips: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] to [B, H, W, outputs]."""
        levels = len(self.channels)
        _check_levels("an hourglass", x, levels)

        def layer(width: int, side: int, x: Array, stride: int = 1) -> Array:
            x = Conv(width, (side, side), (stride, stride))(x)
            return nn.leaky_relu(instance_norm(x), 0.2)

        across = []
        for width in self.channels:
            across.append(layer(self.skips, 1, x) if self.skips else x[..., :0])
            x = layer(width, 3, layer(width, 3, x, stride=2))
        for width, skipped in zip(reversed(self.channels), reversed(across), strict=True):
            x = instance_norm(jnp.concatenate([upsample(x), skipped], axis=-1))
            x = layer(width, 1, layer(width, 3, x))
        return Conv(self.outputs, (1, 1))(x)


def patch(channels: int = 64, layers: int = 3, normalization: Normalization = "none") -> Network:
    """A discriminator that judges the patches of an image, each by a logit.

    Convolutions 4x4 with padding 1 and leaky ReLU (0.2): `layers` of stride 2, whose channels
    double up to eightfold, then two of stride 1. With no strided layer all are 1x1, and judge
    pixels. A logit depends on a window of `receptive_field(layers)` pixels a side, where there is
    no normalisation. Kernels are initialised with LeCun normal, biases with zeros.

    Args:
      channels: of the first layer.
      layers: how many have stride 2; 0 for single pixels.
      normalization: "instance", of all hidden layers but the first, or "none".

    Returns:
      A Network from [B, H, W, C] to [B, h, w, 1], of sides H // 2^layers - 2; of H for pixels.

    Raises:
      InputError: a number or a normalization that makes no network; when initialised, images
        too small for it.

    Reference:
      Isola et al. (2017), Image-to-Image Translation with Conditional Adversarial Networks,
      section 3.2.2 and appendix 6.1.2.
    """
    require(COUNT, channels=channels)
    _check(normalization, layers)
    return flax_network(PatchDiscriminator(channels, layers, normalization))


def receptive_field(layers: int) -> int:
    """The side of the window that a logit of `patch` sees: 1, 16, 34, 70, 142, 286 for 0 to 5.

    Raises:
      InputError: a negative number of layers.
    """
    _check("none", layers)
    side = 1
    for stride in (1, 1, *[2] * layers) if layers else ():
        side = side * stride + 4 - stride
    return side


def unet_margin(levels: int) -> int:
    """How far from a pixel of a U-Net's output a pixel of the input may be that it depends on.

    A level down and up again, convolutions 4x4 of stride 2, adds 3 of its own pixels: it is
    3 (2^levels - 1), where there is no normalisation.

    Args:
      levels: of the U-Net.

    Raises:
      InputError: no number of levels.
    """
    require(COUNT, levels=levels)
    return 3 * (2**levels - 1)


def unet(
    outputs: int,
    channels: Sequence[int] = (16, 32),
    *,
    dropout: float = 0.5,
    normalization: Normalization = "none",
) -> Network:
    """A U-shaped network from images to images: its two halves share each level's features.

    Convolutions 4x4 of stride 2 with leaky ReLU (0.2), and as many transposed ones with ReLU, each
    of which but the first sees the features of its own level beside those from below. Images of 8
    to 64 pixels a side take two to five levels. Kernels are initialised with LeCun normal,
    biases with zeros; the output is linear.

    Args:
      outputs: channels of the output.
      channels: of the levels, from the outside; each halves the image.
      dropout: rate of the features that come from below, in the training pass: where a
        translation is to be drawn, this is its noise.
      normalization: "instance", of all layers but the outermost and the innermost, or "none".

    Returns:
      A Network from [B, H, W, C] to [B, H, W, outputs], with a training pass.

    Raises:
      InputError: a number or a normalization that makes no network; when initialised, sides
        that cannot be halved so often.

    Reference:
      Ronneberger, Fischer and Brox (2015), U-Net; Isola et al. (2017), Image-to-Image
      Translation with Conditional Adversarial Networks, section 3.2.1 and appendix 6.1.1.
    """
    require(COUNT, outputs=outputs)
    _check(normalization, 0)
    if len(channels) < 2 or min(channels) < 1:
        raise InputError(f"a U-Net needs two levels of channels or more, got {tuple(channels)}")
    require(BELOW_ONE, dropout=dropout)
    return flax_network(UNet(outputs, tuple(channels), dropout, normalization))


def hourglass(outputs: int, channels: Sequence[int] = (32, 32, 32), skips: int = 4) -> Network:
    """The hour-glass whose structure alone is a prior of images: noise to one image.

    Each level halves the image by a convolution 3x3 of stride 2 and has another one; on the way
    back it is enlarged to its nearest neighbours, sees a few features of the same size, and has
    convolutions 3x3 and 1x1. All are normalised over an image's own pixels, with leaky ReLU (0.2).
    Kernels are initialised with LeCun normal, biases with zeros; the output is linear.

    Args:
      outputs: channels of the output.
      channels: of the levels, from the outside.
      skips: channels that each level hands across; 0 for none.

    Returns:
      A Network from [B, H, W, C] to [B, H, W, outputs].

    Raises:
      InputError: a number that makes no network; when initialised, sides that cannot be halved so
        often.

    Reference:
      Ulyanov, Vedaldi and Lempitsky (2018), Deep Image Prior, supplementary material, with nearest
      for bilinear upsampling and zeros for reflections beyond the edge.
    """
    require(COUNT, outputs=outputs)
    if not channels or min(channels) < 1 or skips < 0:
        raise InputError(
            f"an hourglass needs channels of one level or more, and skips of 0 or more; got "
            f"{tuple(channels)} and {skips}"
        )
    return flax_network(Hourglass(outputs, tuple(channels), skips))


def _check_levels(what: str, x: Array, levels: int) -> None:
    if x.ndim != 4 or any(size % 2**levels for size in x.shape[1:3]):
        raise InputError(
            f"{what} of {levels} levels halves images [B, H, W, C] {levels} times, which "
            f"{list(x.shape)} cannot be: use sides that are multiples of {2**levels}, or fewer "
            "levels"
        )


def _check(normalization: str, layers: int) -> None:
    if normalization not in ("none", "instance"):
        raise InputError(f"unknown normalization {normalization!r}; use none or instance")
    if layers < 0:
        raise InputError(f"layers may not be negative, as in {layers}")
    if not isinstance(layers, Integral):
        raise InputError(f"layers must be a whole number, not {layers}")


def _normalised(x: Array, normalization: str) -> Array:
    return instance_norm(x) if normalization == "instance" else x
