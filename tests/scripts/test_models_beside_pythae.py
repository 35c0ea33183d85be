import importlib
from pathlib import Path

import jax
import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def beside(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("models_beside_pythae")


def test_all_models_have_the_same_networks(beside):
    assert len(beside.MODELS) >= 10
    for name, model in beside.MODELS.items():
        method, batch = beside.method_of(name, 4, 50), {"image": np.zeros((5, 4, 4, 1), np.float32)}
        state = jax.eval_shape(
            lambda key, m=method, b=batch: m.init(key, b, m.hparams), jax.random.key(0)
        )
        sizes = {part: sum(x.size for x in jax.tree.leaves(p)) for part, p in state.params.items()}
        assert sizes["encoder"] == 17 * 400 + 401 * model.outputs
        assert sizes["decoder"] == 21 * 400 + 401 * 16
        assert ("prior" in sizes) == model.own


def test_a_line_has_ratios_of_times_and_of_losses(beside):
    row = {"model": "VAE", "pythae_loss": 50.0, "loss": 50.5, "difference": 0.01}
    row |= {"pythae_ms": 6.0, "ms": 3.0, "lane_ms": 1.5}
    words = " ".join(beside.line(row).split())
    assert words == "VAE 50.000 50.500 +1.00% 6.00 3.00 2.00x 1.50 4.00x"


def test_wrong_arguments(beside, capsys):
    for given in (["--steps", "0"], ["--models", "none"], ["--json", "nowhere/x.json"]):
        with pytest.raises(SystemExit) as ended:
            beside.parse(given)
        assert ended.value.code == 2
    assert "there is no directory nowhere" in capsys.readouterr().err
