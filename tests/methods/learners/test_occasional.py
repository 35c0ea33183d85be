import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.methods.learners.occasional import occasionally


def counted(runs):
    """An update that says when it is computed."""

    def update(state, more):
        jax.debug.callback(lambda: runs.append(1))
        return {"x": state["x"] + more}

    return update


def test_lanes_that_are_due_are_updated_and_computed_where_any_is():
    runs = []
    update = counted(runs)
    state = {"x": jnp.arange(3.0)}

    @jax.jit
    @jax.vmap
    def lanes(due, state):
        return occasionally(due, update, state, jnp.asarray(10.0))

    some = lanes(jnp.array([True, False, True]), state)
    jax.effects_barrier()
    np.testing.assert_array_equal(some["x"], [10, 1, 12])
    assert runs
    runs.clear()
    none = lanes(jnp.zeros(3, bool), state)
    jax.effects_barrier()
    np.testing.assert_array_equal(none["x"], state["x"])
    assert not runs


def test_one_lane_alone():
    update = counted([])
    for due, expected in ((True, 11), (False, 1)):
        found = jax.jit(lambda due: occasionally(due, update, {"x": 1.0}, 10.0))(due)
        assert found["x"] == expected
