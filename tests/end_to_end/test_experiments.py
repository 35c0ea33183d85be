"""Experiments run in their smallest form and leave what a reader wants; all with --full.

tests/hostile/test_experiments.py takes every one of them to its report, without training.
"""

import csv
import dataclasses
from pathlib import Path

import jax
import pytest

from tests import loading

SCRIPTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.py"))
SCRIPTS = [path for path in SCRIPTS if path.stem != "beta_vae"]  # it has tests of its own
#: A sweep of one kind of model.
SOME = {"autoencoder"}
CASES = [
    pytest.param(path, marks=[] if path.stem in SOME else [pytest.mark.full], id=path.stem)
    for path in SCRIPTS
]


@pytest.mark.parametrize("path", CASES)
def test_smallest_form(path, tmp_path, capsys):
    module = loading.script(path.stem)
    out = tmp_path / "run"
    config = dataclasses.replace(module.PRESETS["smoke"], out=out, devices=1)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        getattr(module, path.stem)(config)

    assert f"python experiments/{path.name}" in module.__doc__
    assert set(module.PRESETS) >= {"default", "smoke", "paper"}
    assert f"report: {out / 'report.html'}" in capsys.readouterr().out
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["status"] for row in rows} == {"ok"}
    assert [int(row["lane"]) for row in rows] == list(range(len(rows)))
    figures = [path for path in (out / "figures").iterdir() if path.suffix in (".png", ".gif")]
    page = (out / "report.html").read_text()
    assert 0 < len(figures) == page.count("<img")
