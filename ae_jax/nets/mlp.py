"""Multi-layer perceptrons, and Linen modules as pairs of pure functions."""

import contextlib
import inspect
import math
from collections.abc import Sequence

import flax
import numpy as np
from flax import linen as nn

from ae_jax.core import COUNT, Array, InputError, Network, require
from ae_jax.nets.activations import activation as activation_named
from ae_jax.nets.layers import LECUN_NORMAL, dense

_STATEFUL = {"params", "batch_stats"}
#: What other modules call the switch that `train` is here, which nothing would ever turn.
_SWITCHES = ("training", "is_training", "deterministic", "use_running_average")


def flax_network(module: nn.Module) -> Network:
    """A Linen module as a pair of pure functions; with a training pass where it has one.

    A module whose `__call__` takes `train` may have dropout layers and running statistics:
    `apply` calls it with `train=False`, `train` with `train=True`, a key for its dropout and
    its `batch_stats` mutable; `noisy` with `train=False`, and all layers of Linen's `Dropout` drop.

    Args:
      module: called with one argument, x [B, ...], and, where it takes it, `train`.

    Returns:
      A Network whose parameters are a plain dict: the module's params or, where it has
      running statistics, `{"params": ..., "batch_stats": ...}`.

    Raises:
      InputError: if the argument has another name; when initialised, if the module has other
        state; when applied, if the parameters are not the module's, or of inputs of another shape.
    """
    arguments = inspect.signature(module.__call__).parameters
    trains = "train" in arguments
    if other := [name for name in _SWITCHES if name in arguments]:
        raise InputError(
            f"{type(module).__name__}'s {other[0]} would be the same in training and evaluation: "
            "set it in a module of your own, and give its __call__ the argument train"
        )
    evaluation = {"train": False} if trains else {}

    def init(key, x):
        variables = module.init(key, x, **evaluation)
        if others := sorted(set(variables) - (_STATEFUL if trains else {"params"})):
            raise InputError(
                f"{type(module).__name__} has state besides parameters ({', '.join(others)}); use "
                "layers without it, or for batch_stats give its __call__ the argument train"
            )
        params = variables.get("params", {})
        return {**variables, "params": params} if "batch_stats" in variables else params

    def as_variables(parameters):
        stateful = trains and set(parameters) == _STATEFUL
        return parameters if stateful else {"params": parameters}

    @_fitting(module)
    def apply(parameters, x):
        return module.apply(as_variables(parameters), x, **evaluation)

    @_fitting(module)
    def train(key, parameters, x):
        return module.apply(
            as_variables(parameters),
            x,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )

    @_fitting(module)
    def noisy(key, parameters, x):
        with nn.intercept_methods(_dropping):
            return module.apply(as_variables(parameters), x, rngs={"dropout": key}, **evaluation)

    return Network(init, apply, *(train, noisy) if trains else ())


@contextlib.contextmanager
def _fitting(module: nn.Module):
    """Says in one line what parameters do not fit a module, or what it is shown."""
    try:
        yield
    except (flax.errors.ScopeParamShapeError, flax.errors.ScopeParamNotFoundError) as error:
        what = str(error).partition(" (http")[0].rstrip(".").replace("\n", " ")
        raise InputError(
            f"{type(module).__name__} is given the parameters of another network, or inputs of "
            f"another shape than it was made for. {what}"
        ) from error


def _dropping(call, args, kwargs, context):
    """Lets layers of dropout drop that were told not to."""
    layer = context.module
    if not isinstance(layer, nn.Dropout) or layer.deterministic is False:
        return call(*args, **kwargs)
    dropping = layer.clone(parent=None, deterministic=False)
    key = layer.make_rng(layer.rng_collection)
    return dropping.apply({}, args[0], rngs={layer.rng_collection: key})


class MLP(nn.Module):
    """Dense layers; the input is flattened, the output has the given shape."""

    output_shape: tuple[int, ...]
    widths: tuple[int, ...]
    activation: str
    output_activation: str
    last_kernel_init: nn.initializers.Initializer = LECUN_NORMAL

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, ...] to [B, *output_shape]."""
        x = x.reshape(x.shape[0], -1)
        for width in self.widths:
            x = activation_named(self.activation)(dense(width)(x))
        x = dense(math.prod(self.output_shape), kernel_init=self.last_kernel_init)(x)
        return activation_named(self.output_activation)(x).reshape(-1, *self.output_shape)


def mlp(
    outputs: int | Sequence[int],
    widths: Sequence[int] = (400,),
    activation: str = "relu",
    output_activation: str = "linear",
    *,
    last_kernel_init: nn.initializers.Initializer = LECUN_NORMAL,
) -> Network:
    """A multi-layer perceptron, as encoder or decoder.

    Kernels are initialised with LeCun normal (variance 1 / fan-in), biases with zeros.

    Args:
      outputs: the number of outputs, or the shape of one output, such as (H, W, C).
      widths: the hidden layers' numbers of units; none for a linear network.
      activation: of the hidden layers, by name.
      output_activation: of the output, by name.
      last_kernel_init: of the last kernel, where it is to be another one.

    Returns:
      A Network from [B, ...], flattened, to [B, *outputs].

    Raises:
      InputError: an unknown activation or a size that is not positive.
    """
    sizes = _sizes("outputs", outputs if np.ndim(outputs) else [outputs]), _sizes("widths", widths)
    activation_named(activation), activation_named(output_activation)
    return flax_network(MLP(*sizes, activation, output_activation, last_kernel_init))


def _sizes(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    if np.ndim(sizes) != 1:
        raise InputError(f"{name} is {sizes!r}: use a list of numbers of units, as [64, 32]")
    for size in sizes:
        require(COUNT, **{f"a size of {name}": size})
    return tuple(sizes)
