"""Networks that say of every pixel what it is of."""

from collections.abc import Sequence
from typing import Literal, get_args

import jax.numpy as jnp
from flax import linen as nn

from ae_jax.core import BELOW_ONE, COUNT, Array, InputError, Network, require
from ae_jax.nets.layers import Conv
from ae_jax.nets.mlp import flax_network
from ae_jax.nets.pooling import max_pool_with_places, unpool, upsample
from ae_jax.nets.residual import BatchNorm

#: What a decoder makes larger images of: what was largest goes back to its place, or is repeated;
#: or that, beside the features that the level had before it was pooled.
Unpooling = Literal["places", "nearest", "features"]


class SegNet(nn.Module):
    """Convolutions and pooling, and their mirror, which puts values back where they were."""

    outputs: int
    channels: tuple[int, ...]
    kernel: int
    unpooling: str
    relu: bool
    dropout: float

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """x [B, H, W, C] to [B, H, W, outputs]."""
        if min(x.shape[1:3]) < 2 ** len(self.channels):
            raise InputError(
                f"a SegNet of {len(self.channels)} levels needs images of "
                f"{2 ** len(self.channels)} pixels a side or more, got {x.shape[1]}x{x.shape[2]}"
            )

        def layer(width: int, x: Array) -> Array:
            return BatchNorm()(Conv(width, (self.kernel, self.kernel), use_bias=False)(x), train)

        def dropped(x: Array) -> Array:
            return nn.Dropout(self.dropout, deterministic=not train)(x)

        pooled = []
        for width in self.channels:
            x = nn.relu(layer(width, x))
            features = x
            x, places = max_pool_with_places(x, padding="SAME")
            x = dropped(x)
            pooled.append((places, features))
        below = (self.channels[0], *self.channels[:-1])
        for width, (places, features) in zip(reversed(below), reversed(pooled), strict=True):
            height, wide = features.shape[1:3]
            if self.unpooling == "places":
                x = unpool(x, places, (height, wide), padding="SAME")
            else:
                x = upsample(x)[:, :height, :wide]
            if self.unpooling == "features":
                x = jnp.concatenate([x, features], axis=-1)
            x = layer(width, x)
            x = dropped(nn.relu(x) if self.relu else x)
        return Conv(self.outputs, (1, 1))(x)


def segnet(
    outputs: int,
    channels: Sequence[int] = (64, 64, 64, 64),
    *,
    kernel: int = 7,
    unpooling: Unpooling = "places",
    relu: bool = False,
    dropout: float = 0.0,
) -> Network:
    """A network that pools images and puts what was largest back to its place on the way up.

    SegNet-Basic: of every level a convolution with batch normalisation, ReLU and pooling of 2x2 on
    the way down, and unpooling and a convolution with batch normalisation on the way up, without
    ReLU; then a 1x1 convolution. It carries edges across by places alone; with "features" it is a
    U-Net of the same layers, which carries all features. Sides need not be even. Kernels are
    initialised with LeCun normal, biases with zeros.

    Args:
      outputs: logits of a pixel, one for each class.
      channels: of the levels, from the outside; each halves the image.
      kernel: the side of convolutions.
      unpooling: "places"; "nearest", which repeats pixels: the control, which knows no place; or
        "features", which repeats them beside what the level had before it was pooled.
      relu: whether there is a ReLU on the way up too, as in the larger SegNet and U-Nets.
      dropout: rate after every level, in the training pass, and the noisy one.

    Returns:
      A Network from [B, H, W, C] to [B, H, W, outputs], with a training pass.

    Raises:
      InputError: a number that makes no network, an unknown unpooling; when initialised, images
        too small for the levels.

    Reference:
      Badrinarayanan, Kendall and Cipolla (2017), SegNet, section 3 and figure 3; Ronneberger,
      Fischer and Brox (2015), U-Net, section 2, for features handed across; Kendall, Badrinarayanan
      and Cipolla (2015), Bayesian SegNet, for the dropout.
    """
    channels = tuple(channels)
    require(COUNT, outputs=outputs, kernel=kernel)
    for width in channels:
        require(COUNT, channels=width)
    require(BELOW_ONE, dropout=dropout)
    if not channels:
        raise InputError("a SegNet has one level or more: give the channels of each")
    if unpooling not in get_args(Unpooling):
        raise InputError(f"unknown unpooling {unpooling!r}; use {', '.join(get_args(Unpooling))}")
    return flax_network(SegNet(outputs, channels, kernel, unpooling, relu, dropout))
