"""Options of experiments at values that make no sense; of all experiments with --full."""

import sys

import pytest

from ae_jax.core import InputError
from ae_jax.experiment import running
from tests.hostile import options
from tests.hostile.without_training import SCRIPTS

#: Where most kinds of options are that all have.
SOME = {"beta_vae"}
CASES = [
    pytest.param(name, marks=[] if name in SOME else [pytest.mark.full], id=name)
    for name in SCRIPTS
]


@pytest.mark.parametrize("name", CASES)
def test_every_option_is_carried_out_or_refused_early_in_one_line(name, request):
    faults = {}
    for option, words in options.options(name, request.config.getoption("--full")):
        verdict = options.attempt(name, [option, *words])
        if verdict.fault:
            faults[f"{option} {' '.join(words)}"] = verdict.fault
    assert not faults
    assert options.attempt(name, []) == options.Verdict(None, None)


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("rbm_bars_and_stripes", "--optimizer gradient --estimator 0", "unknown estimator '0'"),
        ("rbm_bars_and_stripes", "--optimizer adam --gradient-estimator 0", "unknown estimator"),
        ("rbm_bars_and_stripes", "--optimizer adam --gradient-learning-rate 0", "use more than 0"),
        ("representations", "--autoencoder basic --corruption-level 2", "use from 0 to 1"),
        ("representations", "--autoencoder basic --contractive-weight -1", "use 0 or more"),
        ("representations", "--autoencoder basic --sparsity-weight -1", "use 0 or more"),
        ("representations", "--autoencoder basic --sparsity-target 1", "less than 1"),
        ("sparse_ae", "--regulariser none --k 1e30", "--k"),
    ],
)
def test_what_is_not_trained_with_makes_sense_as_well(name, arguments, error):
    verdict = options.attempt(name, arguments.split())
    assert verdict.refused
    assert error in verdict.refused
    assert not verdict.fault


@pytest.mark.parametrize(
    "steps", ["0", "01", "-1", "1.5", "1e3", "1" + 30 * "0", 5000 * "9", "٣"], ids=lambda x: x[:9]
)
def test_an_estimator_takes_a_number_of_steps_that_can_be_taken(steps):
    verdict = options.attempt("rbm", ["--estimator", f"pcd-{steps}"])
    assert verdict.refused
    assert "unknown estimator" in verdict.refused
    assert not verdict.fault


def refusing(status=2, lines=("error: no",), out=None, error=None):
    def run(name, directory, arguments):
        if out:
            directory.mkdir()
        print(*lines, sep="\n", file=sys.stderr)
        raise error or SystemExit(status)

    return run


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        (refusing(), None),
        (refusing(status=1), "status 1"),
        (refusing(lines=["error: no", "Traceback"]), "2 lines"),
        (refusing(lines=["no"]), "no error"),
        (refusing(out=True), "something was written"),
        (refusing(error=ZeroDivisionError("division by zero")), "ZeroDivisionError: division"),
        (lambda *args: None, "nothing was reported"),
    ],
)
def test_what_is_wrong_with_a_refusal_is_seen(run, fault, monkeypatch):
    monkeypatch.setattr(options, "run", run)
    verdict = options.attempt("any", [])
    assert fault in verdict.fault if fault else verdict == options.Verdict("error: no", None)


def test_a_refusal_after_training_is_seen(monkeypatch):
    def late(result):
        raise InputError("too late")

    monkeypatch.setattr(running, "complete", late)
    assert "refused after 1 trainings" in options.attempt("autoencoder", []).fault
