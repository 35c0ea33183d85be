"""An experiment declared: what it trains, reports, and is opened as."""

import contextlib
import csv
import dataclasses
import io
import json

import jax
import numpy as np
import pytest

from ae_jax import data, experiment, methods, nets, training
from ae_jax.core import InputError

SCRIPT = '''
import dataclasses
from ae_jax import experiment, methods, nets

@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options."""
    latent_size: experiment.Swept[experiment.Count] = (1, 2)
    l1_weight: experiment.Swept[float] = (0.0, 0.1)
    value_range: tuple[float, float] | None = None

def build(config, spec, latent_size):
    shape = spec["image"].shape
    return methods.autoencoder(
        nets.mlp(latent_size, ()), nets.mlp(shape, ()), penalties=[methods.penalties.l1()]
    )

tiny = experiment.Study(
    "tiny",
    "Tiny",
    build,
    table=["squared_error", "norm"],
    figures=lambda outcome: {
        "The loss.": outcome.learning_curves("l1_weight"),
        "Images.": outcome.reconstructions("latent_size", "size {}", 4),
    },
    options=lambda config: {"select": "best"},
    reference=lambda config, splits: splits.train.size,
    describe=lambda model, outcome: {
        "norm": float(abs(model.encode(outcome.splits.test.fetch(
            outcome.splits.test.arrays, range(2)))).sum()),
        "seen": outcome.reference,
    },
    notes=lambda outcome: [f"{len(outcome.rows)} lanes were described."],
)
'''


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The script's folder, its configuration, what its study found and said, and the study."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.py").write_text(SCRIPT)
    names = {}
    exec(compile(SCRIPT, "tiny.py", "exec"), names)
    config = names["Config"](out=folder / "run", steps=4, seeds=1, devices=1)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        outcome = names["tiny"].train(config)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            names["tiny"].report(outcome)
    return folder, config, outcome, names["tiny"], said.getvalue()


def test_a_study_sweeps_what_its_options_say_and_reports_it(trained):
    folder, _, outcome, _, said = trained
    with (folder / "run" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    lanes = [(row["latent_size"], row["l1_weight"], row["seed"]) for row in rows]
    assert lanes == [("1", "0.0", "0"), ("1", "0.1", "0"), ("2", "0.0", "0"), ("2", "0.1", "0")]
    assert {row["seen"] for row in rows} == {str(outcome.splits.train.size)}
    assert all(float(row["norm"]) > 0 for row in rows)
    assert said.split()[:3] == ["latent_size", "l1_weight", "learning_rate"]
    page = (folder / "run" / "report.html").read_text()
    assert "Tiny on digits" in page
    assert "4 lanes were described." in page
    assert page.count("<img") == 2
    assert json.loads((folder / "run" / "config.json").read_text())["experiment"] == "tiny"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("l1_weight", (0.0, -1.0), "l1_weight is -1"),
        ("batch_size", 2000, "batch_size 2000 is larger than the data set"),
        ("latent_size", (2, 9), "the method's step is odd"),
        ("steps", 5, "holds a run with another configuration"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_reference_is_found(
    trained, tmp_path, option, value, message
):
    _, config, _, study, _ = trained

    def never(config, splits):
        raise AssertionError

    def odd(key, state, batch, hparams):
        raise InputError("the method's step is odd")

    def build(config, spec, latent_size):
        method = study.build(config, spec, latent_size)
        return method if latent_size < 9 else method._replace(step=odd)

    wrong = dataclasses.replace(config, **{option: value})
    if option != "steps":
        wrong = dataclasses.replace(wrong, out=tmp_path / "run")
    with pytest.raises(InputError, match=message):
        study._replace(build=build, reference=never)(wrong)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("best", [False, True])
def test_a_run_is_opened_with_the_build_of_its_script(trained, best, monkeypatch):
    folder, _, outcome, *_ = trained
    monkeypatch.setattr(experiment.opening, "SCRIPTS", (folder / "none", folder))
    opened = experiment.open(folder / "run", best=best)
    batch = data.head(outcome.splits.test, 5)
    assert [model.row["lane"] for model in opened] == [0, 1, 2, 3]
    for model in opened:
        own = training.model(outcome.result, model.row["lane"], best)
        assert model.row["squared_error"] == own.row["squared_error"]
        np.testing.assert_array_equal(model.encode(batch), own.encode(batch))


def test_what_cannot_be_opened_is_said(trained, tmp_path, monkeypatch):
    folder, *_ = trained
    monkeypatch.setattr(experiment.opening, "SCRIPTS", (tmp_path,))
    with pytest.raises(InputError, match="of the experiment tiny: say where its script is"):
        experiment.open(folder / "run")
    with pytest.raises(InputError, match=r"there is no script .*other\.py"):
        experiment.open(folder / "run", script=tmp_path / "other.py")
    (tmp_path / "tiny.md").write_text(SCRIPT)
    with pytest.raises(InputError, match=r"there is no script .*tiny\.md"):
        experiment.open(folder / "run", script=tmp_path / "tiny.md")
    (tmp_path / "tiny.py").write_text(SCRIPT.replace("l1_weight:", "other_weight:"))
    with pytest.raises(InputError, match="has no option l1_weight"):
        experiment.open(folder / "run")
    (tmp_path / "tiny.py").write_text(SCRIPT.replace("spec", "shape"))
    with pytest.raises(InputError, match=r"has no function build\(config, spec, \.\.\.\)"):
        experiment.open(folder / "run")
    (tmp_path / "tiny.py").write_text("def build(config, spec):\n    pass\n")
    with pytest.raises(InputError, match=r"has no function build\(.*\) of a Config"):
        experiment.open(folder / "run")
    with pytest.raises(InputError, match="no run directory"):
        experiment.open(tmp_path)


def test_numbers_of_later_phases_are_checked_before_the_first(tmp_path):
    method = methods.autoencoder(nets.mlp(2, ()), nets.mlp((8, 8, 1), ()))
    experiment.check(method, training.grid(learning_rate=[0.1, 0.2]))
    with pytest.raises(InputError, match="learning_rate is -1"):
        experiment.check(method, training.grid(learning_rate=[0.1, -1.0]))
    with pytest.raises(InputError, match="unknown hyperparameter beta"):
        experiment.check(method, training.grid(beta=1.0))


def test_what_later_phases_do_not_fit_is_said_before_the_first():
    train = data.subset(data.load("digits"), slice(0, 20))
    splits = experiment.Splits(train, data.subset(train, slice(0, 2)), train)
    lanes = training.grid(learning_rate=0.1)
    for shape, size, message in (
        ((8, 8, 1), 20, None),
        ((8, 8, 1), 21, "batch_size 21 is larger than the data set: lower it to 20"),
        ((8, 7, 1), 20, r"the decoder makes \[20, 8, 7, 1\] of a batch of \[20, 8, 8, 1\]"),
    ):
        method = methods.autoencoder(nets.mlp(2, ()), nets.mlp(shape, ()))
        said = pytest.raises(InputError, match=message) if message else contextlib.nullcontext()
        with said:
            experiment.check(method, lanes, (), splits, size)
    classifier = methods.classifier(nets.mlp(2, ()), 4)
    with pytest.raises(InputError, match="the training data have label 9, and the method takes"):
        experiment.check(classifier, lanes, (), splits, 4)
    for place, which in ((1, "validation"), (2, "test")):
        zeros = train._replace(arrays={**train.arrays, "label": np.zeros(20, np.int32)})
        parts = [zeros, zeros, zeros]
        parts[place] = train
        with pytest.raises(InputError, match=f"the {which} data have label 9"):
            experiment.check(classifier, lanes, (), experiment.Splits(*parts), 4)
