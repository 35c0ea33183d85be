"""What is done at few steps, and costs nothing at the others."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax.core import Array


def occasionally(due: Array, update: Callable[..., Any], state: Any, *args: Any) -> Any:
    """Returns `update(state, *args)` where that is due, and the state elsewhere.

    Of lanes side by side it is computed where it is due in any of them, for all: a condition that
    is batched would compute it always.

    Args:
      due: bool scalar.
      update: (state, *args) -> state of the same shapes; it closes over no traced array.
      state: a pytree of arrays.
      args: pytrees of arrays.
    """

    @jax.custom_batching.custom_vmap
    def apply(due: Array, state: Any, args: tuple) -> Any:
        return jax.lax.cond(due, lambda: update(state, *args), lambda: state)

    @apply.def_vmap
    def of_lanes(size: int, batched: Any, due: Array, state: Any, args: tuple) -> tuple[Any, Any]:
        def every(x: Array, own: bool) -> Array:
            return x if own else jnp.broadcast_to(x, (size, *jnp.shape(x)))

        due, state, args = jax.tree.map(every, (due, state, args), tuple(batched))

        def chosen(old: Any, due: Array, args: tuple) -> Any:
            def one(due: Array, old: Any, args: tuple) -> Any:
                new = update(old, *args)
                return jax.tree.map(lambda x, y: jnp.where(due, x, y), new, old)

            return jax.vmap(one)(due, old, args)

        after = occasionally(jnp.any(due), chosen, state, due, args)
        return after, jax.tree.map(lambda _: True, after)

    return apply(due, state, args)
