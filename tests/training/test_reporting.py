import re
import sys
import types

import pytest

from ae_jax import training
from ae_jax.core import InputError
from ae_jax.training import reporting

ROWS = [
    {"step": 5, "split": "train", "lane": 0, "loss": 1.5},
    {"step": 5, "split": "validation", "lane": 1, "loss": 2.5},
]


@pytest.mark.full
def test_tensorboard_writes_a_folder_of_events_for_each_lane(tmp_path):
    with reporting.loggers(["tensorboard"], tmp_path, {}) as (log,):
        log(ROWS)
    for lane, tag in ((0, b"train/loss"), (1, b"validation/loss")):
        (events,) = (tmp_path / "tensorboard" / f"lane-{lane:04d}").iterdir()
        assert tag in events.read_bytes()


@pytest.fixture
def wandb(monkeypatch):
    calls = []

    class Run:
        def log(self, values, step):
            calls.append((step, values))

        def finish(self):
            calls.append("finished")

    stub = types.ModuleType("wandb")
    stub.__spec__ = types.SimpleNamespace(name="wandb")
    stub.init = lambda **options: calls.append(options) or Run()
    monkeypatch.setitem(sys.modules, "wandb", stub)
    return calls


def test_wandb_gets_the_configuration_and_every_report(wandb, toy, images, tmp_path):
    lanes = training.grid(noise=[0.0, 0.1])
    options = {"batch_size": 40, "evaluate_every": 2, "loggers": ["wandb"]}
    training.run(toy, images(100), lanes, 4, tmp_path, config={"beta": 4}, **options)
    start, two, four, end = wandb
    assert start["dir"] == str(tmp_path)
    assert start["config"]["config"] == {"beta": 4}
    assert (two[0], four[0], end) == (2, 4, "finished")
    assert set(two[1]) >= {"train/loss/lane-0000", "train/loss/lane-0001"}


@pytest.mark.parametrize(
    ("names", "directory", "message"),
    [
        (["csv"], "here", "unknown logger csv"),
        (["tensorboard"], None, "tensorboard needs a run directory"),
    ],
)
def test_loggers_that_cannot_work_are_refused(names, directory, message):
    with pytest.raises(InputError, match=message):
        reporting.check_loggers(names, directory)


def test_a_logger_that_is_not_installed_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(reporting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"wandb is not installed: pip install 'ae-jax\[wandb\]'"):
        reporting.check_loggers(["wandb"], tmp_path)


def test_progress_bar_shows_lane_steps_and_time_left(capsys):
    with reporting.progress_bar(4, 100, True) as move:
        move(50, "")
        move(100, "1 frozen")
    last = re.split(r"[\r\n]", capsys.readouterr().err.strip())[-1]
    assert re.search(
        r"4 lanes: 100%\|.*\| 400/400 \[\d\d:\d\d<\d\d:\d\d, .* lane-steps/s, 1 frozen\]", last
    )


def test_progress_bar_of_a_resumed_run_starts_where_it_stopped(capsys):
    with reporting.progress_bar(1, 100, True) as move:
        move(60, "")
        move(100, "")
    shown = capsys.readouterr().err
    assert "1 lane: 100%" in shown
    assert "100/100" in shown


def test_no_progress_bar_shows_nothing(capsys):
    with reporting.progress_bar(4, 100, False) as move:
        move(50, "")
    assert capsys.readouterr() == ("", "")
