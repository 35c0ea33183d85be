"""States for tests that are of no initializer: those take longer to compile than what is tested."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Batch, Method, State


def drawn(method: Method, batch: Batch, scale: float = 0.5, seed: int = 0) -> State:
    """A state with parameters drawn from N(0, scale^2), and zeros for all that is beside them."""
    state = jax.eval_shape(method.init, jax.random.key(0), batch, dict(method.hparams))
    zeros = jax.tree.map(lambda x: jnp.asarray(np.zeros(x.shape, x.dtype)), state)
    return zeros._replace(params=drawn_like(state.params, scale, seed))


def drawn_like(tree: Any, scale: float = 0.5, seed: int = 0) -> Any:
    """Arrays of the shapes and dtypes of a tree, drawn from N(0, scale^2)."""
    draw = np.random.default_rng(seed).standard_normal
    return jax.tree.map(lambda x: jnp.asarray(scale * draw(x.shape), x.dtype), tree)
