"""Lanes looked at one by one."""

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
