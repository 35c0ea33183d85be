"""What a method's step moves, against slopes of what it reports."""

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Batch, Method
from tests.methods.drawn import drawn


def assert_moved_by_the_slope(method: Method, batch: Batch, key: Array, rate: float) -> None:
    """A step of plain descent moves every parameter, by the rate times the slope of its loss.

    The slope is that of finite differences, along a direction of all parameters.
    """
    hparams, state = dict(method.hparams), drawn(method, batch)
    leaves, tree = jax.tree.flatten(state.params)
    random = np.random.default_rng(1)
    way = jax.tree.unflatten(tree, [random.normal(size=leaf.shape) for leaf in leaves])

    @jax.jit
    def stepped(step):
        params = jax.tree.map(lambda p, w: p + step * w, state.params, way)
        after, info = method.step(key, state._replace(params=params), batch, hparams)
        return after.params, info["loss"]

    after, _ = stepped(0.0)
    moved = jax.tree.map(lambda new, old: (old - new) / rate, after, state.params)
    for path, slope in jax.tree_util.tree_leaves_with_path(moved):
        assert np.abs(slope).max() > 0, path
    numeric = (stepped(1e-5)[1] - stepped(-1e-5)[1]) / 2e-5
    along = jax.tree.map(lambda slope, w: jnp.sum(slope * w), moved, way)
    np.testing.assert_allclose(sum(jax.tree.leaves(along)), numeric, rtol=1e-6)
