import importlib
from pathlib import Path

import jax
import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def twin(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("keras_autoencoder_twin")


def test_table_compares_means_over_seeds(twin):
    results = {
        "deep/0": {"ours": 0.09, "torch": 0.1},
        "deep/1": {"ours": 0.11, "torch": 0.1},
        "shallow/0": {"ours": 0.1, "torch": 0.08},
    }
    _, deep, shallow = twin.table(results, ("deep", "shallow")).splitlines()
    assert " ".join(deep.split()) == "deep 2 0.10000 ± 0.01414 0.10000 ± 0.00000 +0.00%"
    assert " ".join(shallow.split()) == "shallow 1 0.10000 0.08000 +25.00%"


def test_networks_are_the_tutorials(twin):
    x = np.zeros((2, *twin.SHAPE), np.float32)
    sizes = {}
    for name, setting in twin.SETTINGS.items():
        method = twin.our_method(setting)
        state = jax.eval_shape(
            lambda key, m=method: m.init(key, {"image": x}, m.hparams), jax.random.key(0)
        )
        sizes[name] = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    # as Keras counts them
    assert sizes["shallow"] == (784 + 1) * 32 + (32 + 1) * 784
    assert sizes["deep"] == 222_384
    assert sizes["convolutional"] == 160 + 1160 + 584 + 584 + 584 + 1168 + 145


def test_wrong_arguments(twin, tmp_path, capsys):
    for arguments, message in (
        ({"networks": ("wide",)}, "error: unknown network 'wide'; choose from shallow, deep"),
        ({}, "error: there is no file"),
    ):
        with pytest.raises(SystemExit) as stopped:
            twin.main(tmp_path / "absent.npz", **arguments)
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err
