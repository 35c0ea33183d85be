"""What an experiment says at its end."""

import errno
import json
import types

import pytest

from ae_jax import experiment, plots, training
from ae_jax.core import InputError

ROWS = [
    {"lane": 0, "size": 1, "seed": 0, "status": "ok", "error": 0.25},
    {"lane": 1, "size": 2, "seed": 0, "status": "frozen", "frozen_step": 7, "frozen_by": "loss",
     "error": float("nan")},
]  # fmt: skip


def report(out, figures, rows=ROWS, **options):
    experiment.report(
        experiment.Config(), out, "Title", rows, ("size",), ("error",), figures, **options
    )


def test_numbers_are_shown_when_the_disk_is_full(tmp_path, capsys, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("write_rows", "write_report"):
        module = training if name == "write_rows" else plots
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            with pytest.raises(OSError, match="No space"):
                report(tmp_path, dict, notes=["a note"])
        said = capsys.readouterr().out.splitlines()
        assert said[1].split() == ["1", "1", "0", "0.250"]
        assert said[3:] == [
            "lane 1 (size=2, seed=0) was frozen at step 7: loss was not finite",
            "a note",
        ]


def test_the_summary_says_how_fast_the_training_was(tmp_path, capsys):
    def trained(seconds, steps):
        groups = [types.SimpleNamespace(train_seconds=seconds, lane_steps=steps)] * 2
        return training.Result(ROWS, [], groups, [], 2, 1.25, steps / seconds if seconds else 0.0)

    report(tmp_path, dict, result=trained(0.5, 2500), notes=["a note"])
    found = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert found["training"] == {
        "lanes": 2, "compilations": 2, "compile_seconds": 1.25, "lane_steps_per_second": 5000.0,
    }  # fmt: skip
    said = "2 lanes trained by 2 compiled program(s): 1.2 s to compile, 5,000 lane-steps per second"
    assert found["notes"] == ["a note", f"{said}."]
    assert said in capsys.readouterr().out
    assert found["rows"][0] == {
        "size": 1, "lanes": 1, "frozen": 0, "error": {"mean": 0.25, "spread": None, "count": 1},
    }  # fmt: skip
    report(tmp_path, dict, result=[trained(0.5, 2500), trained(1.5, 1500)])
    said = "4 lanes trained by 4 compiled program(s): 2.5 s to compile, 2,000 lane-steps per second"
    assert said in capsys.readouterr().out
    report(tmp_path, dict, result=trained(0.0, 0))  # it had been trained before
    assert "per second" not in capsys.readouterr().out
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["training"] is None


def test_figures_that_cannot_be_drawn_cost_no_number(tmp_path, capsys):
    def nothing():
        raise InputError("no lane has a result")

    report(tmp_path, nothing)
    said = capsys.readouterr().out
    assert "0.250" in said
    assert "There are no figures: no lane has a result." in said
    assert f"report: {tmp_path / 'report.html'}" in said
    assert "There are no figures" in (tmp_path / "report.html").read_text(encoding="utf-8")

    def broken():
        raise TypeError("a mistake")

    with pytest.raises(TypeError, match="a mistake"):
        report(tmp_path, broken)
    said = capsys.readouterr().out
    assert "0.250" in said
    assert "report:" not in said
