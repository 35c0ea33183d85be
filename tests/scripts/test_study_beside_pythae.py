import importlib
from pathlib import Path

import jax
import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("study_beside_pythae")


def test_settings_are_lanes_of_our_programs(study):
    assert len({setting.name for setting in study.settings()}) == 10
    for kind, layers in study.LAYERS.items():
        method = study.method_of(kind, 576)
        lanes = [setting.ours for setting in study.settings() if setting.kind == kind]
        assert all(set(lane) <= set(method.hparams) for lane in lanes)
        assert len({tuple(sorted(lane.items())) for lane in lanes}) == len(lanes)
        channels, *side = layers.image_shape
        batch = {"image": np.zeros((4, *side, channels), np.float32)}
        state = jax.eval_shape(
            lambda key, m=method, b=batch: m.init(key, b, m.hparams), jax.random.key(0)
        )
        sizes = {name: sum(x.size for x in jax.tree.leaves(p)) for name, p in state.params.items()}
        assert sizes["encoder"] == 257 * 128 + 129 * 128 + 129 * 12
        assert sizes["decoder"] == 7 * 128 + 129 * 128 + 129 * 256
        if layers.discriminator:
            assert sizes["discriminator"] == 7 * 128 + 129 * 128 + 129


def test_report_divides_by_models_and_counts_each_setting_once(study):
    ours = [
        {"kind": "gaussian", "models": 4, "seconds": 8.0, "compile_seconds": 3.0}
        | {"reconstruction": {"a": 1.0, "b": 2.0}},
        {"kind": "factor", "models": 2, "seconds": 10.0, "compile_seconds": 4.0}
        | {"reconstruction": {"c": 3.0}},
    ]
    theirs = [
        {"setting": name, "seconds": seconds, "reconstruction": 9.0}
        for name, seconds in (("a", 20.0), ("b", 30.0), ("c", 40.0))
    ]
    table, summary = study.report(ours, theirs)
    assert summary["ours_seconds_per_model"] == 3.0  # of 2, 2 and 5
    assert summary["pythae_seconds_per_model"] == 30.0
    assert summary["ratio"] == 10.0
    assert summary["ratio_without_compilation"] == 30.0 / ((1.25 + 1.25 + 3.0) / 3)
    (row,) = (line for line in table.splitlines() if line.startswith("c "))
    assert " ".join(row.split()) == "c 40.0s 5.00s 8.0x 9.0, ours 3.0"


@pytest.mark.parametrize(
    ("model", "numbers", "judge"), [("VAE", {}, ()), ("FactorVAE", {"gamma": 6.0}, (3,))]
)
def test_pythae_trains_the_networks_that_it_is_given(study, tmp_path, model, numbers, judge):
    torch, _ = (pytest.importorskip(name) for name in ("torch", "pythae"))
    study.silence()
    torch.manual_seed(0)
    networks = study.vae_networks(study.Layers((1, 2, 3), (5, 4), discriminator=judge))
    before = [p.detach().clone() for p in networks.parameters()]
    images = np.random.default_rng(0).uniform(size=(8, 2, 3, 1)).astype(np.float32)
    rates = {"learning_rate": 0.25, "discriminator_learning_rate": 0.125}
    trainer = study.trainer_of(
        model, numbers, networks, images, 8, directory=str(tmp_path), epochs=1, **rates
    )
    seen = trainer.train_dataset.data
    np.testing.assert_array_equal(seen, np.moveaxis(images, 3, 1))
    with torch.no_grad():
        mean, log_var = networks[0](seen).chunk(2, dim=1)
        told = trainer.model.encoder(seen)
        z = torch.randn(5, 4)
        made = trainer.model.decoder(z)["reconstruction"]
        torch.testing.assert_close((told["embedding"], told["log_covariance"]), (mean, log_var))
        torch.testing.assert_close(made, torch.special.expit(networks[1](z)))
        if judge:
            joint = torch.softmax(trainer.model.discriminator(z), dim=1)[:, :1]
            torch.testing.assert_close(joint, torch.special.expit(networks[2](z)))
    trainer.train()
    moved = [
        float((p.detach() - q).abs().max())
        for p, q in zip(networks.parameters(), before, strict=True)
    ]
    # one step of Adam each
    assert moved == pytest.approx([0.25] * 8 + [0.125] * 4 * bool(judge), rel=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "steps and seeds must be 1 or more"),
        (["--share", "0"], "share must be above 0 and at most 1, not 0"),
        (["--json", "/nowhere/at/all.json"], "there is no directory /nowhere/at"),
    ],
)
def test_wrong_arguments(study, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        study.parse(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
