"""A run is opened again from its directory alone, and nothing in it is touched."""

import hashlib
import json
import shutil
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import training
from ae_jax.core import InputError
from ae_jax.training import checkpoint, lanes

LANES = training.grid(learning_rate=[0.1, 0.2], seed=range(2))
OPTIONS = {"batch_size": 40, "evaluate_every": 2, "chunk": 2, "checkpoint_seconds": 0.0}


class Killed(BaseException):
    pass


def killed_after(monkeypatch, step, run):
    """Runs until a step's checkpoint is written, and no further."""
    save = checkpoint.save

    def save_then_die(directory, saved, tree, record):
        save(directory, saved, tree, record)
        if saved == step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_then_die)
        with pytest.raises(Killed):
            run()


def snapshot(folder):
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in [folder, *folder.rglob("*")]
    }


def loaded(directory, method):
    """What is loaded; the directory is as it was."""
    before = snapshot(directory)
    found = training.load(directory, method)
    assert snapshot(directory) == before
    return found


def refused(directory, method, message):
    before = snapshot(directory)
    with pytest.raises(InputError, match=message) as caught:
        training.load(directory, method)
    assert "\n" not in str(caught.value)
    assert snapshot(directory) == before


def assert_same(found, result, best=False):
    """The same rows, states and hyperparameters, bit for bit."""
    np.testing.assert_equal(found.rows, result.rows)
    assert [list(row) for row in found.rows] == [list(row) for row in result.rows]
    assert (found.missing, found.others) == (result.missing, [])
    for lane in training.known_lanes(result):
        for kind in (False, True) if best else (False,):
            (_, state, hparams), (_, expected, others) = (
                training.lane(some, lane, kind) for some in (found, result)
            )
            chex.assert_trees_all_equal_shapes_and_dtypes(state, expected)
            chex.assert_trees_all_equal(state, expected)
            assert jax.tree.structure(state) == jax.tree.structure(expected)
            chex.assert_trees_all_equal(hparams, others)


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


@pytest.fixture(scope="module")
def kept(toy, images, tmp_path_factory):
    """A finished run; every lane has two checkpoints."""
    directory = tmp_path_factory.mktemp("kept") / "run"
    return directory, training.run(toy, images(100), LANES, 4, directory, **OPTIONS)


@pytest.fixture
def copy(kept, tmp_path):
    return shutil.copytree(kept[0], tmp_path / "run")


def newest(directory):
    return sorted(directory.glob("checkpoints/*/*/0*"))[-1]


def test_an_older_whole_checkpoint_is_read_where_the_newest_is_damaged(toy, images, copy):
    (newest(copy) / "arrays.npz").write_bytes(b"torn")
    with pytest.warns(UserWarning, match="000004 is damaged .*; the one before is read"):
        found = loaded(copy, toy)
    assert [row["status"] for row in found.rows] == ["unfinished"] * 4
    half = training.run(toy, images(100), LANES, 2, **OPTIONS)
    chex.assert_trees_all_equal(found.groups[0].state, half.groups[0].state)
    assert found.groups[0].final == {}


def test_a_run_that_goes_on_while_it_is_read_is_read_as_it_is_then(
    toy, images, tmp_path, monkeypatch, recwarn
):
    """What was listed first is gone when it is to be read."""

    def train():
        return training.run(toy, images(100), LANES, 8, tmp_path, **OPTIONS)

    killed_after(monkeypatch, 2, train)
    read, ended = checkpoint._read, []

    def read_late(*args):
        if not ended:
            ended.append(None)
            ended[0] = train()
        return read(*args)

    monkeypatch.setattr(checkpoint, "_read", read_late)
    found = training.load(tmp_path, toy)
    assert not newest(tmp_path).with_name(f"{2:012d}").exists()
    chex.assert_trees_all_equal(found.groups[0].state, ended[0].groups[0].state)
    assert not recwarn.list


def test_lanes_that_were_at_the_end_and_are_lost_are_missed(toy, copy):
    shutil.rmtree(copy / "checkpoints")
    refused(copy, toy, "no whole checkpoint of lane 0: repeat the run's command")


def test_a_run_that_has_no_checkpoint_yet_is_refused(toy, copy):
    (copy / "figures.json").unlink()
    shutil.rmtree(newest(copy).parent)
    refused(copy, toy, "no whole checkpoint of lane 0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda toy: toy._replace(hparams={**toy.hparams, "beta": 1.0}),
            "the method alone has the hyperparameter beta; load it with the method that the run",
        ),
        (
            lambda toy: toy._replace(hparams={"learning_rate": 0.1, "noise": 0.1}),
            "it alone has the hyperparameter loss_breaks_at",
        ),
        (
            lambda toy: toy._replace(
                init=lambda *given: toy.init(*given)._replace(last_rate=jnp.asarray(0))
            ),
            r"its lanes/method/last_rate is float32 \[\], and int32 \[\] in the method's; load it",
        ),
        (
            lambda toy: toy._replace(init=lambda key, batch, hparams: batch["label"]),
            "does not fit its data .'label'.; load it with",
        ),
        (
            lambda toy: toy._replace(init=lambda key, batch, hparams: batch["image"].pixels),
            "does not fit its data .*pixels.*; load it with",
        ),
        (
            lambda toy: toy._replace(init=lambda key, batch, hparams, start: None),
            "begins with what earlier runs left",
        ),
        (
            lambda toy: "toy",
            "the method is of type str: give a Method, or a function that returns one",
        ),
        (
            lambda toy: lambda size: toy,
            "is given nothing by the lanes: missing a required argument: .size.; load",
        ),
    ],
)
def test_another_method_is_refused(toy, kept, change, message):
    refused(kept[0], change(toy), message)


def test_the_builder_of_a_run_of_several_methods_is_needed(sized, finished):
    message = "the method makes 1: it was given a function of bias, widths that builds"
    refused(finished[0], sized(), message)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": 2}',
        '{"format": 2, "run": 3}',
        '{"format": 2, "run": {}, "lanes": []}',
    ],
)
def test_a_damaged_configuration_is_refused(toy, copy, text):
    (copy / "config.json").write_text(text)
    refused(copy, toy, "config.json was damaged: delete it and repeat")


def test_a_lost_configuration_is_refused_and_the_same_command_mends_it(toy, images, kept, copy):
    (copy / "config.json").unlink()
    refused(copy, toy, "config.json was lost: repeat the run's command")
    with pytest.warns(UserWarning, match="was lost"):
        training.run(toy, images(100), LANES, 4, copy, **OPTIONS)
    assert_same(loaded(copy, toy), kept[1])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"0": 3}', '{"0": {"loss": "low"}}', '{"0": {"loss": null}}']
)
def test_damaged_figures_are_refused(toy, copy, text):
    (copy / "figures.json").write_text(text)
    refused(copy, toy, "figures.json was damaged: repeat the run's command")


def test_what_is_no_run_directory_is_refused(toy, kept, tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"no run directory: there is no config\.json in it"):
            training.load(place, toy)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="no run directory"):
        training.load(tmp_path / "file", toy)
    with pytest.raises(InputError, match=r"others below it: load .*run$"):
        training.load(kept[0].parent, toy)


def write_as_before(directory):
    """A finished run of one lane as it was written before directories had a format."""
    arrays = [np.array([[1.0, 2.0]], np.float32), np.array([-1]), np.array([4])]
    record = {"identity": "0123456789abcdef", "lanes": [0], "start": None}
    found = hashlib.sha256()
    for leaf in [*arrays, np.frombuffer(json.dumps(record, sort_keys=True).encode(), np.uint8)]:
        found.update(str((leaf.dtype, leaf.shape)).encode())
        found.update(leaf.tobytes())
    step = directory / "checkpoints" / "group-000" / "lanes-0000-0000-af5570f5" / "000000000004"
    step.mkdir(parents=True)
    np.savez(step / "arrays.npz", *arrays)
    dtypes = [leaf.dtype.name for leaf in arrays]
    record |= {"digest": found.hexdigest()}
    (step / "record.json").write_text(json.dumps({"dtypes": dtypes, "record": record}))
    config = {
        "config": {"beta": [1.0]},
        "lanes": [{"learning_rate": 0.1, "seed": 0}],
        "run": {
            "steps": 4,
            "batch_size": 40,
            "evaluate_every": 2,
            "select": "last",
            "keep_best": False,
            "monitor": "loss",
            "start": False,
            "defaults": [{"learning_rate": 0.1}],
            "data": {"train": "100 0123", "validation": None, "test": "100 0123"},
        },
        "versions": {"ae-jax": "0.1.0", "jax": "0.10.2", "code": "c0de"},
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    (directory / "results.csv").write_text("lane,learning_rate,seed,status\n0,0.1,0,ok\n")


def test_a_run_of_another_format_is_refused_to_load_and_to_go_on(toy, images, copy, tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    write_as_before(old)
    message = r"format 1 of run directories \(ae-jax 0.1.0, code c0de\), .*: use the code that"
    refused(old, toy, message)
    with pytest.raises(InputError, match=message):
        training.run(toy, images(100), LANES, 4, old, **OPTIONS)
    stored = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**stored, "format": 3}))
    refused(copy, toy, "format 3 of run directories")
