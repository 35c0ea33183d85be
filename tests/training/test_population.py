import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import training
from ae_jax.training.population import Window, batch_indices


@functools.partial(jax.jit, static_argnums=(3, 4))
def _order(seed, window, steps, batch_size, size):
    return jax.lax.map(lambda i: batch_indices(seed, window, i, batch_size, size), steps)


def order(seed, batches, batch_size, size, start=0):
    """The examples that a lane sees in its first batches, computed as a run does from `start`."""
    epoch, offset = divmod(start * batch_size, size)
    window = Window(*(np.asarray(x) for x in (start, start + batches, epoch, offset)))
    return np.asarray(_order(seed, window, np.arange(batches), batch_size, size)).ravel()


@pytest.mark.parametrize(("batch_size", "size"), [(7, 10), (10, 10), (3, 101)])
def test_every_example_comes_once_an_epoch_though_batches_straddle_epochs(batch_size, size):
    epochs = order(0, batch_size * size, batch_size, size)[: batch_size * size].reshape(-1, size)
    np.testing.assert_array_equal(
        np.sort(epochs, axis=1), np.tile(np.arange(size), (len(epochs), 1))
    )
    assert len(np.unique(epochs, axis=0)) == len(epochs)


def test_seeds_differ():
    assert (order(0, 20, 5, 100) != order(1, 20, 5, 100)).mean() > 0.9


def test_the_order_does_not_depend_on_where_a_window_starts():
    whole = order(3, 9, 4, 10)
    parts = [order(3, 9, 4, 10, start)[: 4 * n] for start, n in ((0, 2), (2, 5), (7, 2))]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.fixture(scope="module")
def sweep(toy, images):
    @functools.cache
    def run(**options):
        lanes = training.grid(loss_breaks_at=[-1, 5], seed=range(2))
        options = {
            "batch_size": 40,
            "evaluate_every": 8,
            "validation": images(9, 1),
            "keep_best": True,
            **options,
        }
        return training.run(toy, images(100), lanes, 20, **options)

    return run


def test_results_do_not_depend_on_the_length_of_a_chunk(sweep):
    three, seven = sweep(chunk=3), sweep(chunk=7)
    assert three.rows == seven.rows
    for a, b in zip(three.groups, seven.groups, strict=True):
        a, b = (a.state, a.best), (b.state, b.best)
        chex.assert_trees_all_equal(*(jax.tree.map(lambda x: x[:2], tree) for tree in (a, b)))
        # a broken lane is replayed from its chunk's start, by another program
        chex.assert_trees_all_close(a, b, rtol=1e-6)


def test_a_lane_whose_loss_breaks_is_frozen_at_that_step(sweep, toy, images):
    rows = sweep(chunk=3).rows
    assert [row["status"] for row in rows] == ["ok", "ok", "frozen", "frozen"]
    assert [row["frozen_step"] for row in rows] == [None, None, 5, 5]
    # All that turned NaN is named: what a loss is made of, then the loss.
    assert [row["frozen_by"] for row in rows] == [None, None, *["a_figure+loss"] * 2]


def test_a_frozen_lane_keeps_the_state_before_the_step_that_broke_it(sweep, toy, images):
    five = training.run(toy, images(100), training.grid(seed=range(2)), 5, batch_size=40)
    for lane in range(2):
        _, frozen, _ = training.lane(sweep(chunk=7), 2 + lane)
        _, alone, _ = training.lane(five, lane)
        assert frozen.count == 5
        np.testing.assert_allclose(frozen.weights, alone.weights, rtol=1e-6)
        assert frozen.last_rate == alone.last_rate


def test_a_state_that_breaks_while_the_loss_is_finite_is_the_reason(toy, images):
    result = training.run(
        toy, images(100), training.grid(state_breaks_at=[-1, 5, 0, 7]), 8, batch_size=40, chunk=4
    )
    assert [row["frozen_step"] for row in result.rows] == [None, 5, 0, 7]
    assert [row["frozen_by"] for row in result.rows] == [None, "state", "state", "state"]
    assert result.groups[0].state.count.tolist() == [8, 5, 0, 7]
    assert np.isfinite(result.groups[0].state.weights).all()
    assert all(jnp.isfinite(row["loss"]) for row in result.rows)


def test_a_step_is_traced_once_for_all_programs(toy, images):
    traced = []

    def init(*args):  # a state of numbers without a type would get one in the program's loop
        return jax.tree.map(lambda x: jnp.asarray(x, x.dtype), toy.init(*args))

    def step(*args):
        traced.append(args)
        return toy.step(*args)

    lanes = training.grid(loss_breaks_at=[5], seed=range(1))  # the careful program too
    method = toy._replace(init=init, step=step)
    result = training.run(method, images(100), lanes, 8, batch_size=40)
    assert result.compilations == 2
    assert len(traced) == 2  # and once to check the method, before there are programs
