"""Convolutional networks from images to maps of latents, a vector at each place, and back."""

from collections.abc import Sequence

from flax import linen as nn

from ae_jax.core import COUNT, WHOLE, Array, InputError, Network, require, require_counts
from ae_jax.nets.layers import Conv, ConvTranspose
from ae_jax.nets.mlp import flax_network


class MapEncoder(nn.Module):
    """See `map_encoder`."""

    outputs: int
    widths: tuple[int, ...]
    blocks: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] to [B, h, w, outputs]."""
        if x.ndim != 4 or any(side % 2 ** len(self.widths) for side in x.shape[1:3]):
            raise InputError(
                f"images [B, H, W, C] are halved {len(self.widths)} times, which {list(x.shape)} "
                "cannot be: use fewer widths"
            )
        for width in self.widths:
            x = nn.relu(Conv(width, (4, 4), (2, 2))(x))
        return Conv(self.outputs, (1, 1))(_residual(x, self.blocks))


class MapDecoder(nn.Module):
    """See `map_decoder`."""

    channels: int
    widths: tuple[int, ...]
    blocks: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, h, w, D] to [B, H, W, channels]."""
        x = _residual(Conv(self.widths[0], (3, 3))(x), self.blocks)
        for width in (*self.widths[1:], self.channels):
            x = ConvTranspose(width, (4, 4), (2, 2))(nn.relu(x))
        return x


def map_encoder(outputs: int, widths: Sequence[int] = (64, 64), blocks: int = 2) -> Network:
    """Convolutions 4x4 of stride 2 with ReLU, residual blocks, and one convolution 1x1.

    A block adds ReLU, a convolution 3x3, ReLU and a convolution 1x1 to what it is given. Kernels
    are initialised with LeCun normal, biases with zeros; the output is linear.

    Args:
      outputs: D, numbers at each place.
      widths: channels of the strided convolutions, each of which halves the image.
      blocks: residual ones.

    Returns:
      A Network from [B, H, W, C] to [B, h, w, D], h = H / 2^len(widths).

    Raises:
      InputError: if a number makes no network; when traced, for sides that cannot be halved.

    Reference:
      Van den Oord, Vinyals and Kavukcuoglu (2017), Neural Discrete Representation Learning,
      section 4.1.
    """
    _check(widths, blocks, outputs=outputs)
    return flax_network(MapEncoder(outputs, tuple(widths), blocks))


def map_decoder(channels: int, widths: Sequence[int] = (64, 64), blocks: int = 2) -> Network:
    """The mirror of `map_encoder`: a convolution 3x3, residual blocks, transposed convolutions.

    Args:
      channels: C, of the images.
      widths: channels from the map outwards: each ends in one more doubling.
      blocks: residual ones.

    Returns:
      A Network from [B, h, w, D] to [B, H, W, C], H = h 2^len(widths).

    Raises:
      InputError: as `map_encoder`.

    Reference: as for `map_encoder`.
    """
    _check(widths, blocks, channels=channels)
    return flax_network(MapDecoder(channels, tuple(widths), blocks))


def patch_encoder(side: int) -> Network:
    """Squares of pixels, which do not overlap, as a map of latents; it has no parameters.

    Args:
      side: of a square.

    Returns:
      A Network from [B, H, W, C] to [B, H / side, W / side, side^2 C].

    Raises:
      InputError: no side; when traced, images that cannot be cut so.
    """
    require(COUNT, side=side)

    def cut(x: Array) -> Array:
        if x.ndim != 4 or x.shape[1] % side or x.shape[2] % side:
            raise InputError(
                f"squares of {side} pixels a side are cut from images [B, H, W, C] whose sides are "
                f"multiples of that, and not from {list(x.shape)}"
            )
        height, width = x.shape[1] // side, x.shape[2] // side
        x = x.reshape(len(x), height, side, width, side, -1).swapaxes(2, 3)
        return x.reshape(len(x), height, width, -1)

    return Network(lambda key, x: {}, lambda params, x: cut(x))


def patch_decoder(side: int) -> Network:
    """The inverse of `patch_encoder`, likewise without parameters.

    Returns:
      A Network from [B, h, w, side^2 C] to [B, h side, w side, C].

    Raises:
      InputError: no side; when traced, maps of another number of channels.
    """
    require(COUNT, side=side)

    def joined(x: Array) -> Array:
        if x.ndim != 4 or x.shape[3] % side**2:
            raise InputError(
                f"squares of {side} pixels a side are [B, h, w, {side**2} C], and not "
                f"{list(x.shape)}"
            )
        batch, height, width, _ = x.shape
        x = x.reshape(batch, height, width, side, side, -1).swapaxes(2, 3)
        return x.reshape(batch, height * side, width * side, -1)

    return Network(lambda key, x: {}, lambda params, x: joined(x))


def _residual(x: Array, blocks: int) -> Array:
    width = x.shape[-1]
    for _ in range(blocks):
        x = x + Conv(width, (1, 1))(nn.relu(Conv(width, (3, 3))(nn.relu(x))))
    return nn.relu(x)


def _check(widths: Sequence[int], blocks: int, **positive: int) -> None:
    require_counts(widths=widths)
    if not len(widths):
        raise InputError("a map is made by one strided convolution or more: give their widths")
    require(COUNT, **positive)
    require(WHOLE, blocks=blocks)
