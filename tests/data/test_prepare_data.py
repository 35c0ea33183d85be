import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ae_jax.core import InputError
from ae_jax.data.sources import prepared

SCRIPT = Path(__file__).parents[2] / "scripts" / "prepare_data.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("prepare_data", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tensorflow(monkeypatch):
    """Makes the script believe that TensorFlow is there, or not."""

    def there(answer):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: answer or None)

    return there


def test_tensorflow_missing(script, tensorflow, tmp_path):
    tensorflow(False)
    with pytest.raises(
        InputError, match=r"mnist needs TensorFlow: pip install 'ae-jax\[prepare\]'"
    ):
        script.prepare(("mnist",), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_prepared_is_skipped_and_decoded(script, tensorflow, write_digits, capsys):
    tensorflow(False)
    root = write_digits("fake", {"train": 20, "test": 4})
    script.prepare(("tfds:fake",), root)
    done = "[1/1] tfds:fake: ready in {}: train 18, validation 2, test 4\n"
    assert capsys.readouterr().out == done.format(root / "fake" / "1.0.0")
    assert (root / "ae_jax" / "fake-1.0.0-1" / "image.npy").exists()


def test_prepares_in_a_format_that_needs_no_tensorflow(
    script, tensorflow, write_digits, monkeypatch, tmp_path, capsys
):
    tensorflow(True)
    find, calls = prepared.find, []

    def download_and_prepare(**options):
        calls.append(options)
        write_digits("fake", {"train": 20})
        monkeypatch.setattr(prepared, "find", find)

    absent = SimpleNamespace(
        info=SimpleNamespace(splits={}),
        data_dir="here",
        data_path=tmp_path / "tfds" / "fake" / "1.0.0",
        download_and_prepare=download_and_prepare,
    )
    rest = tmp_path / "tfds" / "fake" / "incomplete.ABC_1.0.0"
    rest.mkdir(parents=True)
    monkeypatch.setattr(prepared, "find", lambda name, root: absent)
    script.prepare(("tfds:fake",), tmp_path / "tfds")
    assert calls == [{"file_format": "array_record"}]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[1/1] tfds:fake: downloading and preparing in here"
    assert lines[1].endswith(f"may be deleted: {rest}")
    assert lines[2].endswith("train 16, validation 2, test 2")


def test_a_failed_download_is_one_line(script, tensorflow, monkeypatch, tmp_path):
    def download_and_prepare(**_):
        raise ConnectionError("no route\nto the host")

    absent = SimpleNamespace(
        info=SimpleNamespace(splits={}),
        data_dir="here",
        download_and_prepare=download_and_prepare,
    )
    tensorflow(True)
    monkeypatch.setattr(prepared, "find", lambda name, root: absent)
    with pytest.raises(InputError) as error:
        script.prepare(("mnist",), tmp_path)
    assert str(error.value) == (
        "cannot prepare mnist: no route; run the same command to start again"
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "name a data set"),
        (("mnist", "digits"), "digits needs no preparation"),
        (("mnist", "nope"), "unknown data set 'nope'"),
        (("mnist", "tfds:nope"), "TFDS has no data set 'nope'"),
    ],
)
def test_names_are_checked_before_anything_is_done(script, tensorflow, names, message, tmp_path):
    tensorflow(True)
    with pytest.raises(InputError, match=message):
        script.prepare(names, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_ends_with_code_2_and_one_line(tmp_path):
    command = [sys.executable, SCRIPT, "digits", "--data-dir", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: digits needs no preparation\n"
    assert done.stdout == ""


def test_ctrl_c(script, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "prepare", interrupted)
    with pytest.raises(SystemExit) as end:
        script.main(("mnist",))
    assert end.value.code == 130
    assert "run the same command" in capsys.readouterr().err
