"""Networks whose output for one dimension sees those before it alone."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ae_jax.core import COUNT, Array, InputError, Network, require, require_counts
from ae_jax.nets.activations import activation as activation_named
from ae_jax.nets.layers import LECUN_NORMAL, Conv, dense
from ae_jax.nets.mlp import flax_network


class MaskedDense(nn.Module):
    """A dense layer some of whose weights are 0 and stay so; initialised as those that are left."""

    mask: tuple[tuple[bool, ...], ...]
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [..., I] to [..., O], of the mask [I, O]."""
        mask, dtype = np.asarray(self.mask), jnp.result_type(float)
        kernel = self.param("kernel", self.kernel_init, mask.shape, dtype)
        bias = self.param("bias", nn.initializers.zeros, mask.shape[1:], dtype)
        y = jnp.dot(x, kernel * mask.astype(kernel.dtype))
        return y + bias.reshape(*[1] * (x.ndim - 1), -1)


class MaskedMLP(nn.Module):
    """See `masked_mlp`."""

    size: int
    outputs: int
    widths: tuple[int, ...]
    activation: str
    last_kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, size + context] to [B, size, outputs]."""
        if x.ndim != 2 or x.shape[1] < self.size:
            raise InputError(
                f"a masked network of {self.size} dimensions needs [B, {self.size}] or, with a "
                f"context, more, and got {list(x.shape)}"
            )
        z, context = x[:, : self.size], x[:, self.size :]
        told = context.shape[1] > 0
        degrees = np.arange(1, self.size + 1)
        for width in self.widths:
            # a unit of degree d sees the dimensions up to d: as many units of each as can be
            own = np.arange(width) % max(self.size - 1, 1) + min(self.size - 1, 1)
            z = MaskedDense(_mask(degrees[:, None] <= own), LECUN_NORMAL)(z)
            z = activation_named(self.activation)(z + dense(width)(context) if told else z)
            degrees = own
        last = np.repeat(np.arange(1, self.size + 1), self.outputs)
        made = MaskedDense(_mask(degrees[:, None] < last), self.last_kernel_init)(z)
        if told:
            # the first dimension sees nothing else
            made = made + dense(len(last), kernel_init=self.last_kernel_init)(context)
        return made.reshape(-1, self.size, self.outputs)


def masked_mlp(
    size: int,
    outputs: int = 2,
    widths: Sequence[int] = (64,),
    activation: str = "relu",
    *,
    last_kernel_init: nn.initializers.Initializer = LECUN_NORMAL,
) -> Network:
    """A multi-layer perceptron whose outputs for dimension d are functions of those before it.

    Args:
      size: Z, how many dimensions there are.
      outputs: numbers for each.
      widths: of the hidden layers.
      activation: of the hidden layers, by name.
      last_kernel_init: of the last layer; LeCun normal as the others where not said.

    Returns:
      A Network from [B, Z + C] to [B, Z, outputs]. What follows the Z dimensions is a context,
      which all outputs see.

    Raises:
      InputError: an unknown activation, or a size that is not positive; when traced, for an input
        with fewer dimensions.

    Reference:
      Germain et al. (2015), MADE: Masked Autoencoder for Distribution Estimation, equations 8 to
      13, with degrees in turn instead of drawn.
    """
    require(COUNT, size=size, outputs=outputs)
    require_counts(widths=widths)
    activation_named(activation)
    return flax_network(MaskedMLP(size, outputs, tuple(widths), activation, last_kernel_init))


class PixelCNN(nn.Module):
    """See `pixel_cnn`."""

    values: int
    channels: int
    layers: int
    reach: int

    @nn.compact
    def __call__(self, codes: Array) -> Array:
        """codes int [B, H, W, L] to logits [B, H, W, L, values]."""
        if codes.ndim != 4:
            raise InputError(f"a map of codes is [B, H, W, L], and it got {list(codes.shape)}")
        levels, reach = codes.shape[3], self.reach
        dtype, width = jnp.result_type(float), levels * self.channels

        def here(
            x: Array,
            features: int,
            own: bool = True,
            init: nn.initializers.Initializer = LECUN_NORMAL,
        ):
            """Of a place itself: of its levels before each, and its own."""
            told, made = (np.arange(levels).repeat(n // levels) for n in (x.shape[3], features))
            allowed = told[:, None] <= made if own else told[:, None] < made
            return MaskedDense(_mask(allowed), init)(x)

        def gated(x: Array) -> Array:
            halves = jnp.split(x.reshape(*x.shape[:3], levels, -1), 2, axis=-1)
            return (jnp.tanh(halves[0]) * jax.nn.sigmoid(halves[1])).reshape(*x.shape[:3], width)

        x = jax.nn.one_hot(codes, self.values, dtype=dtype).reshape(*codes.shape[:3], -1)
        above, left = x, x
        for layer in range(self.layers):
            first = layer == 0
            # rows above, and no place of the own row; then all that such features stand for
            rows = Conv(
                2 * width, (reach + 1 - first, 2 * reach + 1), padding=((reach, 0), (reach, reach))
            )
            above_now = rows(above[:, :-1] if first else above)
            columns = Conv(2 * width, (1, reach), padding=((0, 0), (reach, 0)))(left[:, :, :-1])
            seen = columns + here(left, 2 * width, own=not first) + dense(2 * width)(above_now)
            added = here(gated(seen), width)
            above, left = gated(above_now), added if first else left + added
        hidden = nn.relu(here(nn.relu(left), width))
        logits = here(hidden, levels * self.values, init=nn.initializers.zeros)
        return logits.reshape(*codes.shape, self.values)


def pixel_cnn(values: int, channels: int = 32, layers: int = 4, reach: int = 2) -> Network:
    """A convolutional network that gives each code of a map logits of what it may be.

    They are functions of the codes before it, row by row, of a place's levels in their order.
    One stack of gated convolutions sees the rows above, and one beside it the places to the left
    and what the first one found, so that with layers enough nothing before is left out. The last
    kernel starts at zero: all values are alike in probability.

    Args:
      values: K, of a code.
      channels: of each level.
      layers: gated convolutions of each stack.
      reach: how far each of them sees, in rows and in columns.

    Returns:
      A Network from codes int [B, H, W, L] to logits [B, H, W, L, K].

    Raises:
      InputError: if a number is not positive; when traced, for codes of another shape.

    Reference:
      Van den Oord et al. (2016), Conditional Image Generation with PixelCNN Decoders, section 2.2;
      with the levels of residual quantisation in the place of colours.
    """
    require(COUNT, values=values, channels=channels, layers=layers, reach=reach)
    return flax_network(PixelCNN(values, channels, layers, reach))


def _mask(allowed: np.ndarray) -> tuple[tuple[bool, ...], ...]:
    """As a module's attribute, which is to be hashable."""
    return tuple(map(tuple, allowed.tolist()))
