"""A lane whose views need nothing more."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import training
from ae_jax.core import InputError, Views

BATCH = {"image": np.ones((2, 2, 3, 1), np.float32)}
LATENT = np.ones((2, 6), np.float32)
KEY = jax.random.key(0)
#: Of each view, what comes before the state and what comes after it.
GIVEN = {
    "encode": ((), (BATCH,)),
    "decode": ((), (LATENT,)),
    "reconstruct": ((), (BATCH,)),
    "predict": ((), (BATCH,)),
    "sample": ((KEY,), (2,)),
    "generate": ((KEY,), (BATCH,)),
    "log_likelihood": ((KEY,), (BATCH,)),
    "predict_noisy": ((KEY,), (BATCH,)),
}


@pytest.fixture(scope="module")
def result(toy, images):
    lanes = training.grid(noise=[0.0, 0.5])
    return training.run(toy, images(100), lanes, 2, batch_size=40)


def test_every_view_is_bound_to_its_lane(result):
    assert set(GIVEN) == set(Views._fields)
    model = training.model(result, 1)
    assert model.row is result.rows[1]
    assert model.hparams["noise"] == 0.5
    np.testing.assert_array_equal(model.state.weights, result.groups[0].state.weights[1])
    echo = model.method._replace(views=Views(*[lambda *given: given] * len(GIVEN)))
    for name, (before, after) in GIVEN.items():
        seen = getattr(model._replace(method=echo), name)(*before, *after)
        given = (*before, model.state, *after, model.hparams)
        chex.assert_trees_all_equal(seen, jax.tree.map(jnp.asarray, given))


def test_lanes_of_a_group_share_one_compilation(result):
    traced = []

    def encode(state, batch, hparams):
        traced.append(1)
        return hparams["noise"] * state.weights

    method = result.groups[0].method._replace(views=Views(encode=encode))
    lanes = [training.model(result, lane)._replace(method=method) for lane in range(2)]
    for lane in lanes:
        found = lane.encode(BATCH)
        np.testing.assert_allclose(found, lane.hparams["noise"] * lane.state.weights, rtol=1e-6)
    assert len(traced) == 1


def test_a_state_can_be_indexed_with_traced_numbers(result):
    """As a scan over a machine's units does: what lies on the host takes no such index."""
    weights = training.model(result, 0).state.weights
    found = jax.lax.map(lambda i: weights[i], np.arange(6))
    np.testing.assert_array_equal(found, result.groups[0].state.weights[0])


@pytest.mark.parametrize("name", GIVEN)
def test_a_view_that_there_is_not_is_said(result, name):
    model, given = training.model(result, 0), sum(GIVEN[name], ())
    with pytest.raises(InputError, match=f"no view {name}: its views are none"):
        getattr(model, name)(*given)
    other = "encode" if name != "encode" else "decode"
    method = model.method._replace(views=Views(**{other: lambda *given: given}))
    with pytest.raises(InputError, match=f"no view {name}: its views are {other}$") as caught:
        getattr(model._replace(method=method), name)(*given)
    assert "\n" not in str(caught.value)


def test_an_array_is_no_batch(result):
    method = training.model(result, 0).method._replace(views=Views(*[len] * len(GIVEN)))
    model = training.model(result, 0)._replace(method=method)
    for name, (before, after) in GIVEN.items():
        if after and after[0] is BATCH:
            with pytest.raises(InputError, match=f"{name} takes a batch, arrays by name"):
                getattr(model, name)(*before, BATCH["image"])


def test_the_lanes_that_there_are_are_said(result):
    with pytest.raises(InputError, match=r"this process has no lane 2: it has 0, 1$"):
        training.model(result, 2)


@pytest.mark.parametrize("count", [0, -1, 2.0, None])
def test_samples_are_counted(result, count):
    method = training.model(result, 0).method._replace(views=Views(sample=lambda *given: given))
    model = training.model(result, 0)._replace(method=method)
    with pytest.raises(InputError, match=f"count is {count}: use a whole number, 1 or more"):
        model.sample(KEY, count)
    assert model.sample(KEY, np.int64(3))[2] == 3
