"""A run is opened again from its directory alone, and nothing in it is touched."""

import json
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import training
from ae_jax.core import InputError
from ae_jax.training import checkpoint, lanes
from tests.training.opened import LANES, OPTIONS, Killed, assert_same, killed_after, loaded, refused


@pytest.fixture(scope="module")
def sized(toy):
    """Methods that differ in what they are built with, and one number in what they hold."""

    def build(bias=0.0, widths=()):
        def init(key, batch, hparams):
            state = toy.init(key, batch, hparams)
            return state._replace(weights=state.weights + bias, nothing=jnp.zeros(widths))

        def step(key, state, batch, hparams):
            after, info = toy.step(key, state._replace(nothing=None), batch, hparams)
            return after._replace(nothing=state.nothing), info

        return toy._replace(init=init, step=step)

    return build


@pytest.fixture(scope="module")
def finished(sized, images, tmp_path_factory):
    """A run of two methods, one of whose lanes are fewer."""
    sweep = training.grid(noise=[0.0, 0.5], bias=[1.0, 2.0], widths=[(2,), (3, 1)], seed=[3, 1])
    sweep = [lane for lane in sweep if (lane["bias"] == 1) == (lane["widths"] == (2,))]
    sweep = [lane for lane in sweep if lane["noise"] or lane["bias"] == 1]
    schedules = [training.warmup_cosine(9, 2, 0.1), training.step_decay(2, 0.7, name="noise")]
    options = {**OPTIONS, "schedules": schedules, "summarize": lambda *_: {"a_third": 1 / 3}}
    options |= {"validation": images(50, 1), "keep_best": True, "experiment": "toys"}
    directory = tmp_path_factory.mktemp("finished")
    return directory, training.run(sized, images(100), sweep, 5, directory, **options)


def test_a_finished_run_is_as_run_returned_it(sized, finished):
    directory, result = finished
    assert_same(loaded(directory, sized), result, best=True)
    assert [len(group.index) for group in result.groups] == [4, 2]
    falling = 0.1 + 0.9 * (1 + np.cos(np.pi * 2 / 7)) / 2  # step 4: two of seven after warming up
    for row in result.rows:
        hparams = training.lane(loaded(directory, sized), row["lane"])[2]
        np.testing.assert_allclose(hparams["learning_rate"], 0.1 * falling, rtol=1e-6)
        np.testing.assert_allclose(hparams["noise"], row["noise"] * 0.7**2, rtol=1e-6)
        assert hparams["learning_rate_cosine_steps"] == 9
    assert json.loads((directory / "config.json").read_text())["experiment"] == "toys"

    # The numbers are the run's, whatever the method's own are by now.
    def renewed(bias, widths):
        method = sized(bias, widths)
        return method._replace(hparams=dict.fromkeys(method.hparams, 7.0))

    assert_same(loaded(directory, renewed), result, best=True)


def test_frozen_lanes_and_figures_that_are_no_number(toy, images, tmp_path):
    sweep = training.grid(loss_breaks_at=[-1, 2], state_breaks_at=[-1, 0])
    method = toy._replace(
        evaluate=lambda key, state, batch, h: {
            "loss": jnp.full(len(batch["image"]), jnp.nan),
            "more": jnp.full(len(batch["image"]), jnp.inf),
        }
    )
    result = training.run(method, images(100), sweep, 4, tmp_path, **OPTIONS)
    assert [row["status"] for row in result.rows] == ["ok", "frozen", "frozen", "frozen"]
    found = loaded(tmp_path, method)
    assert_same(found, result)
    assert found.groups[0].frozen_by == result.groups[0].frozen_by
    with pytest.raises(InputError, match="keep_best"):
        training.lane(found, 0, best=True)


def test_what_a_killed_run_left_is_said_to_be_unfinished(sized, images, tmp_path, monkeypatch):
    """The first group is at its end and has no figures yet, the second half-way, no third."""
    sweep = training.grid(learning_rate=[0.1, 0.2], bias=[0.0, 1.0, 2.0])
    killed, second = [], [lane for lane in sweep if lane["bias"] == 1]
    there = training.run(sized, images(100), second, 4, **OPTIONS)
    save = checkpoint.save

    def save_then_die(directory, step, tree, record):
        save(directory, step, tree, record)
        killed.append(step)
        if killed == [2, 4, 6, 2, 4]:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_then_die)
        with pytest.raises(Killed):
            training.run(sized, images(100), sweep, 6, tmp_path, **OPTIONS)
    found = loaded(tmp_path, sized)
    assert found.missing == [2, 5]
    assert [(row["lane"], row["bias"], row["status"]) for row in found.rows] == [
        (0, 0.0, "unfinished"),
        (1, 1.0, "unfinished"),
        (3, 0.0, "unfinished"),
        (4, 1.0, "unfinished"),
    ]
    assert [row["step"] for row in found.rows] == [6, 4, 6, 4]
    assert not any("loss" in row for row in found.rows)
    assert [group.taken.tolist() for group in found.groups] == [[6, 6], [4, 4]]
    for lane, own in ((1, 0), (4, 1)):
        chex.assert_trees_all_equal(training.lane(found, lane)[1], training.lane(there, own)[1])
    with pytest.raises(InputError, match="no lane 2"):
        training.model(found, 2)
    result = training.run(sized, images(100), sweep, 6, tmp_path, **OPTIONS)
    assert_same(loaded(tmp_path, sized), result)


def test_lanes_of_several_processes(toy, images, tmp_path, monkeypatch):
    """Each trains its share in a folder of its own; one dies, and the other's figures are there."""

    def process(index):
        def take(group, which):
            return lanes.take(group, slice(index, None, 2) if isinstance(which, slice) else which)

        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["ae_jax.training.run"], "take", take)
            return training.run(toy, images(100), LANES, 4, tmp_path, **OPTIONS)

    killed_after(monkeypatch, 2, lambda: process(0))
    result = process(1)
    assert result.missing == [0, 2]
    found = loaded(tmp_path, toy)
    assert [row["status"] for row in found.rows] == ["unfinished", "ok"] * 2
    np.testing.assert_equal(found.rows[1::2], result.rows)
    assert found.missing == []
    assert found.groups[0].taken.tolist() == [2, 4, 2, 4]
    for lane in (1, 3):
        chex.assert_trees_all_equal(training.lane(found, lane)[1], training.lane(result, lane)[1])


def test_lanes_that_began_with_what_an_earlier_run_left(toy, images, tmp_path):
    """Their states are of shapes that the start alone tells."""

    def init(key, batch, hparams, start):
        state = toy.init(key, batch, hparams)
        return state._replace(weights=start["weights"][0], nothing=start["more"])

    def step(key, state, batch, hparams):
        after, info = toy.step(key, state._replace(nothing=None), batch, hparams)
        return after._replace(nothing=state.nothing), info

    method = toy._replace(init=init, step=step)
    more = {
        "a": (np.arange(5), None),
        "b": [np.ones((2, 1), np.float32), np.zeros(3, jnp.bfloat16)],
    }
    start = [{"weights": [np.full(6, lane, np.float32)], "more": more} for lane in range(4)]
    result = training.run(method, images(100), LANES, 4, tmp_path, start=start, **OPTIONS)
    assert_same(loaded(tmp_path, method), result)
    refused(tmp_path, toy, "nothing/a/0 is int32 .5., and absent in the method's; load it with")


def test_in_double_precision(toy, images, tmp_path, x64):
    result = training.run(toy, images(100), LANES, 4, tmp_path, **OPTIONS)
    assert result.groups[0].state.weights.dtype == np.float64
    assert_same(loaded(tmp_path, toy), result)
    with jax.enable_x64(False):
        refused(tmp_path, toy, r"trained with 64-bit types: load it under jax.enable_x64\(True\)")


def test_the_builder_of_a_run_of_several_methods_is_needed(sized, finished):
    message = "the method makes 1: it was given a function of bias, widths that builds"
    refused(finished[0], sized(), message)
