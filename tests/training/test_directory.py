import json

import pytest

from ae_jax.core import InputError
from ae_jax.training import directory as run_directory
from ae_jax.training import run

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


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    refused(tmp_path / "run", CONFIG, "holds other files .thesis.tex.")


def test_a_file_is_refused(tmp_path):
    (tmp_path / "run").write_text("no folder")
    refused(tmp_path / "run", CONFIG, "is a file")
    refused(tmp_path / "run" / "below", CONFIG, "cannot be made")


def test_an_unreadable_configuration_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{")
    refused(tmp_path / "run", CONFIG, "config.json cannot be read")


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
        file.write('{"step": 1, "la')
    run_directory.rewind_metrics(tmp_path, [0], 1)
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert kept == [rows[0], rows[1], rows[3]]


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
