"""What the layers of a network give, by name, of Linen modules and of what names its own."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax
from flax import linen as nn
from flax.core.tracers import current_trace

from ae_jax.core import Array, InputError

#: What is told of arrays that are given a name, by whoever looks on.
_LOOKING: contextvars.ContextVar[tuple[Callable[[str, Array], None], ...]] = contextvars.ContextVar(
    "looking", default=()
)


class _Reached(Exception):
    """The layer that was looked for has its output: the rest is not needed."""


def intermediates(apply: Callable[..., Any], *arguments: Any) -> dict[str, Array]:
    """Runs a function, and returns what each of the layers in it gives.

    A layer is called as its parameters are, `Conv_0` or `Block_1/Conv_0`, and gives what its module
    returns: of most networks here numbers before the activation function, which is no module. The
    module around all is `output`. Where several modules run one after the other, as an encoder and
    a classifier's head, those of the second are `1/Dense_0`, `1/output`; what runs again is
    `Dense_0:1`. What runs within a loop or a compiled function of its own, or gives no single
    array, is left out. Networks that are no modules call their layers by `named`.

    Args:
      apply: such as a network's `apply`, or a method's `views.encode`.
      *arguments: of that: parameters and x [B, ...].

    Returns:
      By name, in the order in which they are computed, arrays [B, ...]. Compiled, what is not used
      costs nothing.

    Raises:
      InputError: if no layer has a name.
    """
    found: dict[str, Array] = {}
    _run(apply, arguments, found.__setitem__)
    if not found:
        raise InputError("nothing that was run has layers with names: use a method's view, say")
    return found


def named(name: str, value: Array) -> Array:
    """Gives an array a name by which `intermediates` finds it, where no Linen module makes it.

    Args:
      name: such as `hidden`; of what has one already, `hidden:1` and so on.
      value: [B, ...]; within a loop or a compiled function it is not found.

    Returns:
      The array as it is.
    """
    for tell in _LOOKING.get():
        tell(name, value)
    return value


def intermediate(apply: Callable[..., Any], layer: str) -> Callable[..., Array]:
    """Returns what computes the output of one layer, and nothing that comes after it.

    So a convolution may see images of any size, whatever size dense layers behind it are of.

    Args:
      apply: as of `intermediates`.
      layer: a name of theirs.

    Returns:
      A function of apply's arguments. It raises an InputError that lists the layers, if this is
      none of them.
    """

    def features(*arguments: Any) -> Array:
        found: dict[str, Array] = {}

        def keep(name: str, value: Array) -> None:
            found[name] = value
            if name == layer:
                raise _Reached

        try:
            _run(apply, arguments, keep)
        except _Reached:
            return found[layer]
        listed = f"one of: {', '.join(found)}" if found else "a function whose layers have names"
        raise InputError(f"there is no layer {layer!r}; use {listed}")

    return features


def _run(apply: Callable, arguments: tuple, keep: Callable[[str, Array], None]) -> None:
    """Runs a function and hands over what its layers give, by name."""
    level, roots, calls = current_trace(), [], {}

    def tell(name: str, value: Array) -> None:
        if current_trace() == level:  # a value of a loop's own could not leave it
            again = calls[name] = calls.get(name, -1) + 1
            keep(f"{name}:{again}" if again else name, value)

    def intercept(call: Callable, args: tuple, options: dict, context: Any) -> Any:
        module = context.module
        if context.method_name != "__call__" or current_trace() != level:
            return call(*args, **options)
        root = module.scope.root
        if not any(root is one for one in roots):
            roots.append(root)
        place = next(i for i, one in enumerate(roots) if root is one)
        value = call(*args, **options)
        if isinstance(value, jax.Array):
            tell("/".join([*([str(place)] if place else []), *(module.path or ("output",))]), value)
        return value

    with nn.intercept_methods(intercept), _looked_on(tell):
        apply(*arguments)


@contextlib.contextmanager
def _looked_on(tell: Callable[[str, Array], None]) -> Iterator[None]:
    """While this lasts, `named` tells it too."""
    before = _LOOKING.set((*_LOOKING.get(), tell))
    try:
        yield
    finally:
        _LOOKING.reset(before)
