"""What a run directory is refused for, and what a crash cannot take from it."""

import errno
import fcntl
import json
import re
from pathlib import Path

import numpy as np
import pytest

from ae_jax import data
from ae_jax.core import InputError
from ae_jax.training import checkpoint, run
from ae_jax.training import directory as run_directory

CONFIG = {"config": {"beta": [1.0, 4.0], "steps": 5}, "lanes": [{"seed": 0}]}


def snapshot(folder):
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def refused(folder, config, message):
    before = snapshot(folder.parent)
    with pytest.raises(InputError, match=message) as caught, run_directory.opened(folder, config):
        raise AssertionError("was opened")
    assert "\n" not in str(caught.value)
    assert snapshot(folder.parent) == before


def test_the_same_configuration_is_opened_again(tmp_path):
    with run_directory.opened(tmp_path / "run", CONFIG):
        stored = json.loads((tmp_path / "run" / "config.json").read_text())
        assert stored["config"] == CONFIG["config"]
        assert set(stored["versions"]) >= {"jax", "ae-jax"}
    with run_directory.opened(tmp_path / "run", CONFIG):
        pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 6}, r"config.steps: 5, now 6"),
        ({"beta": [1.0]}, r"config.beta: \[1.0, 4.0\], now \[1.0\]"),
        ({"extra": True}, r"config.extra: null, now true"),
    ],
)
def test_another_configuration_is_refused_and_named(tmp_path, change, message):
    with run_directory.opened(tmp_path / "run", CONFIG):
        pass
    refused(tmp_path / "run", {**CONFIG, "config": {**CONFIG["config"], **change}}, message)


def test_a_configuration_may_hold_arrays(tmp_path):
    with run_directory.opened(tmp_path / "run", {"config": {"widths": np.arange(3)}}):
        pass
    with run_directory.opened(tmp_path / "run", {"config": {"widths": [0, 1, 2]}}):
        pass


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    refused(tmp_path / "run", CONFIG, "holds other files .thesis.tex.")


def test_a_file_is_refused(tmp_path):
    (tmp_path / "run").write_text("no folder")
    refused(tmp_path / "run", CONFIG, "is a file")
    refused(tmp_path / "run" / "below", CONFIG, "cannot be made")


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_configuration_without_checkpoints_is_refused(tmp_path, content):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(content)
    refused(tmp_path / "run", CONFIG, "config.json was damaged, .* delete .* to begin anew")


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_text("")])
def test_a_lost_configuration_is_written_again_from_the_same_command(tmp_path, lose):
    """What a crash made of it must not cost the checkpoints."""
    with run_directory.opened(tmp_path / "run", CONFIG):
        pass
    path = tmp_path / "run" / "config.json"
    whole = path.read_text()
    checkpoint.save(
        tmp_path / "run" / "checkpoints" / "group-000" / "lanes",
        10,
        {"x": np.zeros(1)},
        {"lanes": [0], "identity": run_directory.identity(CONFIG)},
    )
    lose(path)
    refused(tmp_path / "run", {**CONFIG, "lanes": []}, "lost, .* repeat that run's command")
    with (
        pytest.warns(UserWarning, match="config.json was lost"),
        run_directory.opened(tmp_path / "run", CONFIG),
    ):
        assert path.read_text() == whole


def test_a_configuration_that_cannot_be_read_is_no_damage(tmp_path, monkeypatch):
    with run_directory.opened(tmp_path / "run", CONFIG):
        pass

    def failing(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", failing)
        with pytest.raises(InputError, match=r"cannot be read .Input/output error"):
            run_directory.check(tmp_path / "run", CONFIG)


def test_other_versions_are_said_and_not_refused(tmp_path):
    with run_directory.opened(tmp_path / "run", CONFIG):
        pass
    path = tmp_path / "run" / "config.json"
    stored = json.loads(path.read_text())
    stored["versions"] |= {"jax": "0.1", "code": "0123"}
    path.write_text(json.dumps(stored))
    with (
        pytest.warns(UserWarning, match="begun with") as said,
        run_directory.opened(tmp_path / "run", CONFIG),
    ):
        pass
    words = [str(warning.message) for warning in said]
    assert [re.search(r"begun with (\w+ \S+)", word)[1] for word in words] == [
        "jax 0.1",
        "code 0123",
    ]


def test_a_directory_that_cannot_be_written_is_refused_in_a_line(tmp_path, monkeypatch):
    def failing(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "run").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(run_directory, "_versions", dict)
        patch.setattr(Path, "open", failing)
        refused(tmp_path / "run", CONFIG, "cannot be made or written .Permission denied")


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "results.csv"
    run_directory.write(path, "old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(run_directory.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            run_directory.write(path, "new")
    assert [found.name for found in tmp_path.iterdir()] == ["results.csv"]
    assert path.read_text() == "old"


def test_a_run_of_more_processes_that_is_still_going_is_not_joined(tmp_path):
    with run_directory.opened(tmp_path / "run", CONFIG):
        pass
    with (tmp_path / "run" / ".lock.1").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(tmp_path / "run", CONFIG, "is in use by another run")
    with run_directory.opened(tmp_path / "run", CONFIG):
        pass


def test_a_run_killed_before_it_wrote_its_configuration_can_start_again(tmp_path):
    (tmp_path / ".lock.0").touch()
    (tmp_path / ".config.json.tmp").write_text("{")
    with run_directory.opened(tmp_path, CONFIG):
        pass


def test_a_directory_in_use_is_refused(tmp_path):
    with run_directory.opened(tmp_path / "run", CONFIG):
        refused(tmp_path / "run", CONFIG, "is in use by another run")
    with run_directory.opened(tmp_path / "run", CONFIG):
        pass


def test_rewinding_drops_later_reports_of_these_lanes_and_cut_off_lines(tmp_path):
    rows = [{"step": step, "lane": lane, "loss": 0.1} for step in (1, 2) for lane in (0, 1)]
    run_directory.append_metrics(tmp_path, [*rows, {"step": 2, "lane": 0, "loss": float("nan")}])
    path = tmp_path / "metrics.jsonl"
    with path.open("a") as file:
        file.write('5\n{"step": 1}\n{"step": 1, "la')
    run_directory.rewind_metrics(tmp_path, [0], 1)
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert kept == [rows[0], rows[1], rows[3]]


def test_rewinding_reaches_the_reports_of_processes_that_are_gone(tmp_path):
    """Lanes go on in other processes than those that reported on them before."""
    row = {"step": 2, "lane": 0, "loss": 0.1}
    (tmp_path / "metrics.3.jsonl").write_text(json.dumps(row) + "\n")
    run_directory.rewind_metrics(tmp_path, [0], 1)
    assert (tmp_path / "metrics.3.jsonl").read_text() == ""


def test_what_is_not_finite_is_null_in_json(tmp_path):
    run_directory.append_metrics(tmp_path, [{"lane": 0, "loss": float("inf")}])
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"lane": 0, "loss": None}


def test_a_run_with_other_defaults_is_another_run(tmp_path, toy, images):
    """What is not swept counts too: resuming with it changed would mix two runs."""

    def train(method):
        run(method, images(100), [{"seed": 0}], 2, tmp_path / "run", batch_size=40)

    train(toy)
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match=r"another configuration \(run.defaults"):
        train(toy._replace(hparams={**toy.hparams, "noise": 0.7}))
    assert snapshot(tmp_path) == before


def test_other_data_under_the_same_name_is_another_run(tmp_path, toy, images):
    def train(**options):
        options = {"batch_size": 40, "validation": images(9, 1), "test": images(9, 2), **options}
        run(toy, options.pop("dataset", images(100)), [{"seed": 0}], 2, tmp_path / "run", **options)

    train()
    before = snapshot(tmp_path)
    for name, changed in [
        ("train", {"dataset": images(100, 3)}),
        ("validation", {"validation": images(9, 3)}),
        ("test", {"test": data.subset(images(9, 2), np.arange(9)[::-1])}),
    ]:
        with pytest.raises(InputError, match=f"the {name} data have other content") as caught:
            train(**changed)
        assert "\n" not in str(caught.value)
        assert snapshot(tmp_path) == before
    train()
