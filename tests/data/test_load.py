import subprocess
import sys

import pytest

from ae_jax.core import InputError
from ae_jax.data import load, names


@pytest.mark.parametrize(
    "name", ["nope", "", "npz:", "images:", "tfds:", "Digits", "digits:", "tfds:<name>"]
)
def test_an_unknown_name_lists_the_known_ones(name, tmp_path):
    with pytest.raises(InputError, match=r"(no|unknown) data set") as error:
        load(name, data_dir=tmp_path)
    if "<" not in name:
        assert str(error.value).endswith(", ".join(names()))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["digits", "shapes32", "mnist", "npz:absent"])
def test_an_unknown_split_is_refused_before_anything_is_read(name):
    with pytest.raises(InputError, match="unknown split 'valid'; choose from train, validation"):
        load(name, "valid")


def test_names():
    assert names()[:3] == ("digits", "shapes", "shapes32")
    assert {"mnist", "dsprites", "celeb_a", "tfds:<name>", "npz:<path>"} < set(names())


def test_importing_needs_nothing_heavy():
    heavy = "tensorflow_datasets PIL sklearn tqdm pandas scipy"
    code = f"import sys, ae_jax.data; print([m for m in {heavy.split()} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
