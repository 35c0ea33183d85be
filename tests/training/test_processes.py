"""Who waits for whom, told by files; with real processes in end_to_end/test_processes.py."""

import json
import os
import signal
import time

import jax
import pytest

from ae_jax.training import processes, results
from ae_jax.training.interruption import signals


@pytest.fixture
def second_of_three(monkeypatch, tmp_path):
    """Makes this process one of three, whose patience is short; the others are files."""
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(processes, "launch", lambda: "test")
    monkeypatch.setattr(processes, "_beating", lambda: None)
    monkeypatch.setattr(processes, "_attended", [])
    monkeypatch.setattr(processes, "_heard", {})
    monkeypatch.setattr(processes, "SILENT", 0.3)
    monkeypatch.setattr(processes, "ABSENT", 0.6)
    folder = tmp_path / ".launch-test"
    folder.mkdir()

    def other(process, sign=None, **parts):
        if sign is not None:
            (folder / f"alive.{process}").write_text(str(sign))
        for name, content in parts.items():
            (folder / f"{name}-1.{process}.json").write_text(json.dumps(content))

    return other


def test_alone_nothing_is_written(tmp_path):
    assert processes.gather(tmp_path, "rows", [1]) == {0: [1]}
    processes.attend(tmp_path)
    assert processes.leads()
    assert not list(tmp_path.iterdir())


def test_all_parts_are_gathered_by_process(second_of_three, tmp_path):
    second_of_three(0, 5, rows=[{"lane": 0}])
    second_of_three(2, rows=[{"lane": 2}])  # it has ended: its part is there all the same
    found = results.join(tmp_path, [{"lane": 1}])
    assert found == [{"lane": 0}, {"lane": 1}, {"lane": 2}]


@pytest.mark.parametrize(("sign", "patience"), [(5, 0.3), (None, 0.6)])
def test_the_dead_are_not_waited_for(second_of_three, tmp_path, sign, patience):
    second_of_three(0, sign)
    second_of_three(2, rows="third")
    began = time.monotonic()
    assert processes.gather(tmp_path, "rows", "second") == {1: "second", 2: "third"}
    assert patience <= time.monotonic() - began < patience + 2
    assert processes.leads()  # in the place of the dead first
    began = time.monotonic()  # and once is enough
    second_of_three(2, **{"more": 3})
    assert processes.gather(tmp_path, "more", 2) == {1: 2, 2: 3}
    assert time.monotonic() - began < 0.25


def test_the_living_are_waited_for_wherever_they_show(second_of_three, tmp_path, monkeypatch):
    """The first process still works in an earlier directory."""
    before = tmp_path / "layer-1"
    (before / ".launch-test").mkdir(parents=True)
    processes.attend(before)
    second_of_three(2, rows=2)
    asleep, beats = time.sleep, iter(range(1, 100))

    def while_waiting(seconds):
        beat = next(beats)
        (before / ".launch-test" / "alive.0").write_text(str(beat))
        if beat == 8:
            second_of_three(0, rows=0)
        asleep(0.1)

    monkeypatch.setattr(processes.time, "sleep", while_waiting)
    assert processes.gather(tmp_path, "rows", 1) == {0: 0, 1: 1, 2: 2}
    assert not processes.leads()


def test_traces_of_earlier_launches_are_removed_by_the_first(monkeypatch, tmp_path):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(processes, "launch", lambda: "new")
    monkeypatch.setattr(processes, "_beating", lambda: None)
    monkeypatch.setattr(processes, "_attended", [])
    (tmp_path / ".launch-old").mkdir()
    processes.attend(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".launch-new"]


def test_signals_are_noted_and_a_second_interruption_leaves_at_once(monkeypatch, capsys):
    left = []
    monkeypatch.setattr(os, "_exit", left.append)
    before = signal.getsignal(signal.SIGINT)
    with signals(saves=True) as stopped:
        assert stopped() is None
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped() == 130
        assert "interrupted: saving" in capsys.readouterr().err
        assert not left
        os.kill(os.getpid(), signal.SIGINT)
        assert left == [130]
    assert signal.getsignal(signal.SIGINT) is before
    with signals(saves=False) as stopped:  # nothing to save: Python's own interruption
        assert signal.getsignal(signal.SIGINT) is before
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped() == 143
