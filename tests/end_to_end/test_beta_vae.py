"""The main job as a user starts it: `python experiments/beta_vae.py`."""

import contextlib
import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ae_jax import cli
from tests import loading

pytestmark = pytest.mark.xdist_group("beta_vae")
ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "experiments" / "beta_vae.py"


def start(environment, *arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, "--preset", "smoke", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


#: Of eight lanes the last four break.
RATES = ("--learning-rate", 1e-3, 1e12)


@pytest.fixture(scope="module")
def smoke(environment, tmp_path_factory):
    out = tmp_path_factory.mktemp("smoke") / "run"
    return out, start(environment, "--out", out, *RATES)


def rows_of(out):
    with (out / "results.csv").open() as file:
        return list(csv.DictReader(file))


def test_leaves_everything_in_the_run_directory(smoke):
    out, process = smoke
    assert process.returncode == 0, process.stderr
    assert "Traceback" not in process.stderr
    rows = rows_of(out)[:4]
    assert [(row["lane"], row["beta"], row["seed"], row["status"]) for row in rows] == [
        ("0", "1.0", "0", "ok"),
        ("1", "1.0", "1", "ok"),
        ("2", "4.0", "0", "ok"),
        ("3", "4.0", "1", "ok"),
    ]
    for name in ("reconstruction", "kl", "elbo", "active_units", "latent_size", "learning_rate"):
        assert all(np.isfinite(float(row[name])) for row in rows), name
    np.testing.assert_allclose(
        [float(row["elbo"]) for row in rows],
        [-float(row["reconstruction"]) - float(row["kl"]) for row in rows],
        rtol=1e-5,
    )
    config = json.loads((out / "config.json").read_text())
    assert config["config"]["dataset"] == "digits"
    assert config["versions"]["jax"]
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert {record["split"] for record in records} == {"train", "validation"}
    assert {record["lane"] for record in records} >= {0, 1, 2, 3}
    assert max(record["step"] for record in records) == 60
    assert list((out / "checkpoints").rglob("arrays.npz"))
    assert list((out / "figures").iterdir())
    report = (out / "report.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", report)  # self-contained


def test_shows_progress_and_the_means_over_seeds(smoke):
    _, process = smoke
    assert re.search(r"8 lanes: 100%.*480/480.*lane-steps/s", process.stderr)
    assert "lane-steps per second" in process.stdout
    assert "±" in process.stdout or "+-" in process.stdout


def test_the_same_command_again_changes_nothing(smoke, environment):
    out, _ = smoke
    before = (out / "results.csv").read_bytes(), (out / "metrics.jsonl").read_bytes()
    process = start(environment, "--out", out, *RATES)
    assert process.returncode == 0, process.stderr
    assert ((out / "results.csv").read_bytes(), (out / "metrics.jsonl").read_bytes()) == before


def test_lanes_that_break_are_reported(smoke):
    out, process = smoke
    for row in rows_of(out)[4:]:
        assert row["status"] == "frozen"
        assert float(row["learning_rate"]) == 1e12
        assert re.search(
            rf"lane {row['lane']} .*frozen at step {row['frozen_step']}", process.stdout
        )


@pytest.fixture(scope="module")
def beta_vae():
    return loading.script("beta_vae")


def snapshot(folder):
    return {
        path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))
    }


def refused(beta_vae, *arguments):
    """What is said on stderr when the main job ends with status 2."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as caught:
        cli.main(beta_vae.beta_vae, beta_vae.PRESETS, ["--preset", "smoke", *map(str, arguments)])
    assert caught.value.code == 2
    (line,) = said.getvalue().splitlines()
    assert line.startswith("error: ")
    return line


def test_another_configuration_in_a_used_directory_is_refused(smoke, beta_vae):
    out, _ = smoke
    before = snapshot(out)
    line = refused(beta_vae, "--out", out, *RATES, "--beta", 2, 3)
    assert "another configuration (config.beta: [1.0, 4.0], now [2.0, 3.0]" in line
    assert snapshot(out) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "nothing"], "unknown data set 'nothing'; choose from digits, shapes"),
        (["--dataset", "mnist"], "scripts/prepare_data.py"),
        (["--dataset", "npz:missing.npz"], "missing.npz"),
        (["--dataset", "npz:nan.npz"], "not finite"),
        (["--dataset", "images:nowhere"], "nowhere"),
        (["--devices", "64"], "64 devices asked for, 2 found: lower --devices to 2"),
        (["--devices", "0"], "--devices is 0: use a whole number, 1 or more"),
        (["--distributed", "here"], "HOST:PORT/COUNT/INDEX"),
        (["--steps", "0"], "--steps is 0: use a whole number, 1 or more"),
        (["--seeds", "0"], "--seeds is 0: use a whole number, 1 or more"),
        (["--batch-size", "5000"], "larger than the data set"),
        (["--beta", "1", "1"], "beta has a value twice"),
        (["--beta", "nan"], "--beta is nan: use a finite number"),
        (["--beta", "1", "-1"], "beta is -1: use 0 or more"),
        (["--latent-size", "0"], "--latent-size is 0: use a whole number, 1 or more"),
        (["--loggers", "csv"], "unknown logger csv"),
        (["--preset", "huge"], "unknown preset huge: one of default, smoke, paper"),
        (["--preset"], "--preset needs a name"),
        (["--architecture", "resnet"], "invalid choice 'resnet' for argument '--architecture'"),
        (["--steps", "many"], "Error parsing --steps"),
        (["--betta", "1"], "Unrecognized options: --betta"),
        (["--beta"], "beta has no value to sweep"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_used_is_one_line_and_makes_nothing(
    beta_vae, arguments, message, tmp_path, monkeypatch
):
    np.savez(tmp_path / "nan.npz", image=np.full((30, 8, 8), np.nan, np.float32))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    before = snapshot(tmp_path)
    assert message in refused(beta_vae, "--out", tmp_path / "run", *arguments)
    assert snapshot(tmp_path) == before


def test_a_file_in_the_way_is_refused(beta_vae, tmp_path):
    (tmp_path / "run").write_text("mine")
    assert "is a file" in refused(beta_vae, "--out", tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_help_names_the_presets(beta_vae, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(beta_vae.beta_vae, beta_vae.PRESETS, ["--help"])
    assert caught.value.code == 0
    assert "default, smoke, paper" in capsys.readouterr().out
