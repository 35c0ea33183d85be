"""What is left of a run that was lost, damaged, or is another's: it is read whole, or refused."""

import hashlib
import json
import shutil

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import training
from ae_jax.core import InputError
from ae_jax.training import checkpoint
from tests.training.opened import LANES, OPTIONS, assert_same, killed_after, loaded, refused


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
