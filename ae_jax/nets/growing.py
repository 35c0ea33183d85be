"""Generators and discriminators that grow: blocks for each side of images, and the fade between.

Every block is a network of its own, so that parameters go from stage to stage by name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn

from ae_jax.core import COUNT, Array, InputError, Network, require
from ae_jax.nets.activations import activation as activation_named
from ae_jax.nets.layers import EqualisedConv, EqualisedDense, MinibatchStddev, pixel_norm
from ae_jax.nets.mlp import flax_network
from ae_jax.nets.pooling import avg_pool, upsample

#: (name, network, x [B, ...]) -> its output [B, ...]: initialises it first, or has its parameters.
Call = Callable[[str, Network, Array], Array]


class Growing(NamedTuple):
    """A generator or a discriminator at one side of images, as networks by name.

    Attributes:
      blocks: in the order in which an example passes them. The newest is a generator's last, a
        discriminator's first.
      images: what makes images of features, or features of images. Where the newest block is faded
        in there are two: the one for images of half the side, then the one for those of the whole.
    """

    blocks: Mapping[str, Network]
    images: Mapping[str, Network]

    @property
    def names(self) -> tuple[str, ...]:
        """Of all networks."""
        return (*self.blocks, *self.images)

    @property
    def fades(self) -> bool:
        """Whether the newest block is faded in."""
        return len(self.images) == 2


def faded(old: Array, new: Array, fade: Array | float) -> Array:
    """(1 - fade) old + fade new."""
    fade = jnp.asarray(fade, new.dtype)
    return (1 - fade) * old + fade * new


def drawn(generator: Growing, call: Call, latent: Array, fade: Array | float) -> Array:
    """The images that a generator makes.

    Args:
      generator: that grows.
      call: its networks.
      latent: [B, Z].
      fade: share of the newest block; without meaning where there is none that fades.

    Returns:
      [B, H, W, C], upsampled images without the newest block at 0.

    Reference: Karras et al. (2018), Progressive Growing of GANs, figure 2.
    """
    *lower, newest = generator.blocks.items()
    *old, new = generator.images.items()
    features = _passed(call, lower, latent)
    images = _passed(call, [newest, new], features)
    return faded(upsample(_passed(call, old, features)), images, fade) if old else images


def judged(discriminator: Growing, call: Call, images: Array, fade: Array | float) -> Array:
    """A discriminator's logits of images: the mirror of `drawn`.

    Args:
      discriminator: that grows.
      call: its networks.
      images: [B, H, W, C].
      fade: share of the newest block.

    Returns:
      [B, 1], those of images of half the side, without the newest block, at 0.
    """
    newest, *lower = discriminator.blocks.items()
    *old, new = discriminator.images.items()
    features = _passed(call, [new, newest], images)
    if old:
        features = faded(_passed(call, old, avg_pool(images)), features, fade)
    return _passed(call, lower, features)


def blended(images: Array, fade: Array | float) -> Array:
    """Real images for a discriminator that fades: those of half their side, upsampled, at 0.

    Reference: Karras et al. (2018), Progressive Growing of GANs, figure 2.
    """
    return faded(upsample(avg_pool(images)), images, fade)


def growing_generator(
    channels: Sequence[int],
    image_channels: int = 1,
    *,
    side: int = 4,
    output_activation: str = "sigmoid",
    convolutions: int = 2,
    fades: bool = True,
) -> Growing:
    """The generator of one stage.

    Latents are normalised, and a dense layer and a convolution make the smallest features; each
    further block upsamples and convolves. Convolutions are 3x3, followed by a leaky ReLU and
    pixel normalisation; learning rates are equalised.

    Args:
      channels: of the features at each side up to this stage's, the smallest first; of a later
        stage begins with those of the one before.
      image_channels: C.
      side: of the smallest images.
      output_activation: of images, by name.
      convolutions: of each block but the first one.
      fades: whether the newest block is faded in; never the first one.

    Returns:
      From [B, Z] to [B, S, S, C], S = side 2^(number of channels - 1); networks `generator_S` and
      `to_image_S`.

    Raises:
      InputError: an unknown activation, no channels, or a number that is not positive.

    Reference: Karras et al. (2018), Progressive Growing of GANs, appendix A, table 2.
    """
    sides = _sides(channels, side, image_channels=image_channels, convolutions=convolutions)
    activation_named(output_activation)
    first, *others = zip(sides, channels, strict=True)
    blocks = {f"generator_{side}": flax_network(_FirstFeatures(*first))}
    blocks |= {f"generator_{s}": flax_network(_Larger(width, convolutions)) for s, width in others}
    images = {
        f"to_image_{s}": flax_network(_ToImage(image_channels, output_activation))
        for s in sides[-1 - fades :]
    }
    return Growing(blocks, images)


def growing_discriminator(
    channels: Sequence[int],
    *,
    side: int = 4,
    group: int = 4,
    convolutions: int = 2,
    fades: bool = True,
) -> Growing:
    """The discriminator of one stage, the mirror of `growing_generator`.

    Blocks convolve and pool by means; the last one adds the standard deviation within groups
    of the batch, and has two dense layers. There is no pixel normalisation.

    Args:
      channels: as the generator's.
      side: likewise.
      group: examples in a group; see `minibatch_stddev`.
      convolutions: of each block but the last one.
      fades: whether the newest block is faded in; never the first one.

    Returns:
      From [B, S, S, C] to [B, 1]; networks `discriminator_S` and `from_image_S`.

    Raises:
      InputError: no channels, or a number that is not positive; when traced in training, a batch
        that cannot be cut into groups.

    Reference: Karras et al. (2018), Progressive Growing of GANs, appendix A, table 2.
    """
    sides = _sides(channels, side, group=group, convolutions=convolutions)
    blocks = {
        f"discriminator_{s}": flax_network(_Smaller((*[width] * (convolutions - 1), lower)))
        for s, width, lower in zip(sides[1:], channels[1:], channels, strict=False)
    }
    images = {
        f"from_image_{s}": flax_network(_FromImage(width))
        for s, width in list(zip(sides, channels, strict=True))[-1 - fades :]
    }
    last = {f"discriminator_{side}": flax_network(_Logit(channels[0], group))}
    return Growing({**dict(reversed(blocks.items())), **last}, images)


def _sides(channels: Sequence[int], side: int, **positive: int) -> list[int]:
    if not channels:
        raise InputError("a network that grows needs the channels of one block at least")
    require(COUNT, channels=min(channels), side=side, **positive)
    return [side * 2**stage for stage in range(len(channels))]


def _passed(call: Call, networks: Sequence[tuple[str, Network]], x: Array) -> Array:
    for name, network in networks:
        x = call(name, network, x)
    return x


def _leaky(x: Array) -> Array:
    return nn.leaky_relu(x, 0.2)


class _FirstFeatures(nn.Module):
    side: int
    channels: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        # as if the layer were a convolution over side^2 times as many inputs
        dense = EqualisedDense(self.side**2 * self.channels, gain=2**0.5 / self.side)
        x = dense(pixel_norm(x)).reshape(-1, self.side, self.side, self.channels)
        x = pixel_norm(_leaky(x))
        return pixel_norm(_leaky(EqualisedConv(self.channels)(x)))


class _Larger(nn.Module):
    channels: int
    convolutions: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = upsample(x)
        for _ in range(self.convolutions):
            x = pixel_norm(_leaky(EqualisedConv(self.channels)(x)))
        return x


class _ToImage(nn.Module):
    channels: int
    activation: str

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return activation_named(self.activation)(EqualisedConv(self.channels, (1, 1), gain=1.0)(x))


class _FromImage(nn.Module):
    channels: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return _leaky(EqualisedConv(self.channels, (1, 1))(x))


class _Smaller(nn.Module):
    channels: tuple[int, ...]  # of each convolution

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for width in self.channels:
            x = _leaky(EqualisedConv(width)(x))
        return avg_pool(x)


class _Logit(nn.Module):
    channels: int
    group: int

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        x = MinibatchStddev(self.group)(x, train)
        x = _leaky(EqualisedConv(self.channels)(x))
        x = _leaky(EqualisedDense(self.channels)(x.reshape(x.shape[0], -1)))
        return EqualisedDense(1, gain=1.0)(x)
