"""Experiments that train nothing have a run directory like all others."""

import dataclasses
import json

import pytest

from ae_jax import cli, experiment, methods, nets, training
from ae_jax.core import InputError


@dataclasses.dataclass(frozen=True)
class Config(cli.Execution):
    """Options."""

    size: int = 1


def test_a_directory_is_claimed_for_one_configuration(tmp_path):
    config = Config(out=tmp_path / "run")
    for _ in range(2):  # and for the same again
        with experiment.claimed(config, "tiny") as out:
            assert out == tmp_path / "run"
            with pytest.raises(InputError, match="in use"), experiment.claimed(config, "tiny"):
                raise AssertionError
    stored = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert (stored["experiment"], stored["config"]) == ("tiny", {"size": 1})
    other = dataclasses.replace(config, size=2)
    with (
        pytest.raises(InputError, match="another configuration"),
        experiment.claimed(other, "tiny"),
    ):
        raise AssertionError
    method = methods.autoencoder(nets.mlp(2, ()), nets.mlp((8, 8, 1), ()))
    with pytest.raises(InputError, match=r"nothing was trained in .*run: there is nothing to load"):
        training.load(out, method)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.tex").touch()
    with (
        pytest.raises(InputError, match=r"other files \(thesis\.tex\)"),
        experiment.claimed(Config(out=tmp_path / "own"), "tiny"),
    ):
        raise AssertionError
