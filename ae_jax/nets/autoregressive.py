"""Networks whose output for one dimension sees those before it alone."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ae_jax.core import COUNT, Array, InputError, Network, require
from ae_jax.nets.activations import activation as activation_named
from ae_jax.nets.layers import LECUN_NORMAL, dense
from ae_jax.nets.mlp import flax_network


class MaskedDense(nn.Module):
    """A dense layer some of whose weights are 0 and stay so; initialised as those that are left."""

    mask: tuple[tuple[bool, ...], ...]
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, I] to [B, O], of the mask [I, O]."""
        mask, dtype = np.asarray(self.mask), jnp.result_type(float)
        kernel = self.param("kernel", self.kernel_init, mask.shape, dtype)
        bias = self.param("bias", nn.initializers.zeros, mask.shape[1:], dtype)
        return jnp.dot(x, kernel * mask.astype(kernel.dtype)) + bias[None]


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
    require(COUNT, size=size, outputs=outputs, **{f"widths[{i}]": w for i, w in enumerate(widths)})
    activation_named(activation)
    return flax_network(MaskedMLP(size, outputs, tuple(widths), activation, last_kernel_init))


def _mask(allowed: np.ndarray) -> tuple[tuple[bool, ...], ...]:
    """As a module's attribute, which is to be hashable."""
    return tuple(map(tuple, allowed.tolist()))
