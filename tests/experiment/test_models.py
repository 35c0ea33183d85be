"""Lanes looked at one by one."""

from types import SimpleNamespace

import numpy as np

from ae_jax import experiment, training
from ae_jax.core import InputError
from ae_jax.experiment import models


def test_what_a_metric_refuses_costs_its_own_columns_alone(monkeypatch, capsys):
    rows = [{"lane": lane, "status": ("ok", "ok", "frozen")[lane]} for lane in range(3)]
    monkeypatch.setattr(models, "own_rows", lambda result: rows)
    monkeypatch.setattr(models, "model", lambda result, lane, best: lane)
    monkeypatch.setattr(training, "join_rows", lambda out, rows, name: rows)

    def describe(lane):
        if lane:
            raise InputError("latents are not finite")
        return {"accuracy": 1.0}

    found = experiment.described(experiment.Sweep(None, None), describe)
    assert found == [{**rows[0], "accuracy": 1.0}, rows[1], rows[2]]
    assert capsys.readouterr().err == "lane 1 is not described: latents are not finite\n"


def test_the_first_sound_lane_of_each_value(monkeypatch):
    rows = [
        {"lane": 0, "size": 4, "way": "b", "status": "frozen"},
        {"lane": 1, "size": 4, "way": "b", "status": "ok"},
        {"lane": 2, "size": 2, "way": "a", "status": "ok"},
        {"lane": 3, "size": 2, "way": "b", "status": "ok"},
    ]
    monkeypatch.setattr(models, "own_rows", lambda result: rows)
    monkeypatch.setattr(models, "model", lambda result, lane: lane)
    assert list(experiment.firsts(None, "size").items()) == [(2, 2), (4, 1)]
    assert list(experiment.firsts(None, lambda row: row["way"]).items()) == [("b", 1), ("a", 2)]


def test_sweeps_side_by_side_are_one_table(monkeypatch):
    def trained(*rates, best):
        rows = [
            {"lane": i, "rate": rate, "seed": 0, "status": "ok"} for i, rate in enumerate(rates)
        ]
        group = SimpleNamespace(best=best, index=np.arange(len(rates)), train_seconds=6.0)
        return experiment.Sweep(SimpleNamespace(rows=rows, groups=[group]), None)

    def model(result, lane, best):
        return experiment.Model(result.rows[lane], best, None, None)

    monkeypatch.setattr(models, "own_rows", lambda result: result.rows)
    monkeypatch.setattr(models, "model", model)
    monkeypatch.setattr(training, "join_rows", lambda out, rows, name: rows)
    seen = []

    def describe(model):
        seen.append(model)
        return {"double": 2 * model.row["rate"]}

    parts = [({"way": "a"}, trained(1, 2, best=None)), ({"way": "b"}, trained(3, best={}))]
    rows = experiment.side_by_side(parts, describe, ("way", "rate"), best=True)
    assert [list(row.values()) for row in rows] == [
        [0, "a", 1, 0, "ok", 2],
        [1, "a", 2, 0, "ok", 4],
        [2, "b", 3, 0, "ok", 6],
    ]
    assert list(rows[0]) == ["lane", "way", "rate", "seed", "status", "double"]
    assert [(one.row["lane"], one.row["way"]) for one in seen] == [(0, "a"), (1, "a"), (2, "b")]
    assert [one.method for one in seen] == [False, False, True]  # with the best where it was kept
    timed = experiment.side_by_side(parts, describe, ("way", "rate"), timed=True)
    assert [row["seconds"] for row in timed] == [3, 3, 6]
