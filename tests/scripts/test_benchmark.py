import contextlib
import functools
import importlib
import itertools
import json
from pathlib import Path

import jax
import numpy as np
import pytest

import ae_jax
from ae_jax.data.stored import stored

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("benchmark")


@pytest.fixture
def workloads(benchmark):
    return importlib.import_module("benchmark_workloads")


@pytest.fixture
def toy(workloads):
    return workloads.Workload(
        image_shape=(4, 4, 1),
        batch_size=8,
        chunk=3,
        peers=("torch", "absent"),
        method=lambda ae: ae.methods.vae(ae.nets.mlp(4, (5,)), ae.nets.mlp((4, 4, 1), (5,)), 2),
    )


def test_timed_counts_steps_until_time_is_up(benchmark, workloads, monkeypatch):
    clock = itertools.count(0.0, 1.0)  # every look at it is a second later
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(clock))
    training = workloads.Training(itertools.cycle([10, 30]))
    assert benchmark.timed(training, 0.0) == 1 / 10
    assert benchmark.timed(training, 3.0) == 3 / (30 + 10 + 30)


def test_trainers_take_turns_and_the_first_turn_is_not_counted(benchmark):
    asked = []

    def trainer(name):
        times = itertools.count(1)

        def train(seconds):
            asked.append((name, seconds))
            return float(next(times))

        return train

    turns = benchmark.take_turns({"a": trainer("a"), "b": trainer("b")}, seconds=0.0, turn=0.25)
    assert turns == {"a": [2.0, 3.0, 4.0, 5.0, 6.0], "b": [2.0, 3.0, 4.0, 5.0, 6.0]}
    assert asked == [("a", 0.0), ("b", 0.0)] + [("a", 0.25), ("b", 0.25)] * 5


def test_ratio_is_the_median_of_each_rounds_own(benchmark):
    facts = {name: {"compile_seconds": None, "memory": 2**20} for name in ("ae_jax", "torch")}
    turns = {"ae_jax": [0.001, 0.002, 0.004], "torch": [0.003, 0.002, 0.008]}
    ours, theirs = benchmark.figures(turns, facts)
    assert ours["ratio"] == 1.0
    assert theirs["ratio"] == 2.0  # of 3, 1 and 2; that of the medians is 1.5
    assert (ours["ms_per_step"], ours["steps_per_second"]) == (2.0, 500.0)
    assert theirs["turns_ms"] == [3.0, 2.0, 8.0]


def test_a_workload_is_measured(benchmark, workloads, toy, monkeypatch):
    """All but the processes: ours, alone too, a peer that pretends, and one that is absent."""

    @contextlib.contextmanager
    def here(trainer, name, lanes):
        training = benchmark.prepare(trainer, name, lanes)
        assert next(training.steps) == (1 if trainer == "torch" else 3 * lanes)
        yield functools.partial(benchmark.answer, training)

    pretends = workloads.Training(itertools.repeat(1), device_memory=lambda: 2**30)
    monkeypatch.setitem(workloads.WORKLOADS, "toy", toy)
    monkeypatch.setitem(workloads.PEERS, "torch", lambda *_: pretends)
    monkeypatch.setitem(workloads.PEERS, "absent", lambda *_: importlib.import_module("absent"))
    rows = benchmark.measure(
        "toy", 2, ["torch", "absent", "sklearn"], seconds=0.0, turn=0.0, start=here
    )

    assert [row["trainer"] for row in rows] == ["ae_jax", "ae_jax, alone", "torch", "absent"]
    assert rows[-1] == {"trainer": "absent", "missing": "No module named 'absent'"}
    for row in rows[:2]:
        assert len(row["turns_ms"]) == benchmark.ROUNDS
        assert min(row["turns_ms"]) > 0
        assert row["compile_seconds"] > 0
        assert row["memory"] > 2**24  # this process's
    assert rows[2]["memory"] == 2**30
    assert json.loads(json.dumps(rows)) == rows
    assert all(benchmark.line("toy:2", row).startswith("toy:2 ") for row in rows)


@pytest.mark.full
def test_workloads_beyond_images_and_a_bound_fit_their_data(workloads):
    losses = {"loss"}, {"discriminator_loss", "generator_loss"}, {"vae_loss", "discriminator_loss"}
    for name, lowered in (
        *((name, losses[0]) for name in ("contractive", "contractive_closed_form", "lstm")),
        *((name, losses[1]) for name in ("mlp_gan", "dcgan_r1", "wgan_gp")),
        *((name, losses[0]) for name in ("beta_tcvae", "info_vae", "iwae")),
        ("factor_vae", losses[2]),
    ):
        workload = workloads.WORKLOADS[name]
        dataset = workload.data(ae_jax, stored(np.zeros((5, *workload.image_shape), np.uint8)))
        method = workload.method(ae_jax)

        def train(key, method=method, dataset=dataset):
            batch = dataset.fetch(dataset.arrays, jax.numpy.arange(5))
            state = method.init(key, batch, method.hparams)
            return state, method.step(key, state, batch, method.hparams)

        before, (after, info) = jax.eval_shape(train, jax.random.key(0))
        assert jax.tree.map(lambda a: (a.shape, a.dtype), before) == jax.tree.map(
            lambda a: (a.shape, a.dtype), after
        )
        assert {value for value in info if value.endswith("loss")} == lowered


def test_a_step_of_what_is_restored_is_a_megapixel(workloads, monkeypatch):
    restoring = importlib.import_module("benchmark_restoring")
    monkeypatch.setattr(restoring, "SHAPE", (40, 25, 3))
    monkeypatch.setattr(restoring, "CHANNELS", (2, 4))
    workload = workloads.WORKLOADS["restored_photo"]
    small = workload._replace(
        method=lambda ae: ae.methods.restorer(
            ae.nets.correction(ae.nets.unet(3, (2, 4), dropout=0.0)), ae.methods.shown.entry()
        )
    )
    ours, theirs = workloads.ours(small, 1), workloads.PEERS["scipy"](workload, "restored_photo")
    assert next(ours.steps) == next(theirs.steps) == 0.001
    assert ours.compile_seconds > 0
    assert theirs.compile_seconds is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workloads", "mlp_vea"], "unknown workload 'mlp_vea'; known are mlp_vae, "),
        (["--workloads", "mlp_vae:0"], "lanes must be a positive number, as in mlp_vae:16"),
        (["--workloads", "rbm:x"], "not 'x'"),
        (["--workloads", "restored_photo:2"], "restored_photo trains nothing, and takes no lanes"),
        (["--json", "/nowhere/at/all.json"], "there is no directory /nowhere/at"),
        (["--peers", "nobody"], "invalid choice: 'nobody'"),
    ],
)
def test_wrong_arguments(benchmark, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        benchmark.parse(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
