"""Runs that are killed, stopped, and spread over processes give the results of a quiet one."""

import collections
import csv
import itertools
import json
import random
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.methods.examples import REGISTRY

pytestmark = pytest.mark.xdist_group("processes")
SWEEP, STEPS = "tests.end_to_end.sweep", 96


@pytest.fixture(scope="module")
def start(environment):
    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, "-m", SWEEP, *map(str, arguments)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def finish(process):
    # with --full a process trains every method there is
    output, _ = process.communicate(timeout=300 + 30 * len(process.args))
    assert process.returncode == 0, output
    return output


def wait_for_step(directory, step, process, lane=0):
    """Waits until a process has a checkpoint of a step, or a later one, of a lane."""

    def saved():
        folders = directory.glob(f"checkpoints/group-000/lanes-{lane:04d}-*/0*")
        return [int(path.name) for path in folders if path.name.isdigit()]

    while max(saved(), default=0) < step and process.poll() is None:
        time.sleep(0.002)


def wait_for_report(directory, process, after=0):
    """Waits until a process has reported figures of a step that comes after another."""

    def reported():
        texts = [path.read_text() for path in directory.glob("metrics*")]
        lines = [line for text in texts for line in text.split("\n")[:-1]]
        return [json.loads(line)["step"] for line in lines]

    while max(reported(), default=0) <= after and process.poll() is None:
        time.sleep(0.002)


def wait_for_save(directory, process):
    """Waits until a process is writing a checkpoint."""
    while not [*directory.glob("checkpoints/*/*/*tmp*")] and process.poll() is None:
        pass


def kill(*processes):
    for process in processes:
        process.kill()
    for process in processes:
        process.communicate()
        assert process.returncode == -signal.SIGKILL  # it came in time


def assert_same(directory, expected):
    """The runs in a directory and below it left the same bits."""
    folders = [path.parent.relative_to(expected) for path in expected.rglob("config.json")]
    assert folders
    for folder in folders:
        found, whole = directory / folder, expected / folder
        for name in ("results.csv", "metrics.jsonl"):
            assert (found / name).read_bytes() == (whole / name).read_bytes(), found
        final = sorted(whole.glob("checkpoints/*/*/*"))[-1].relative_to(whole)
        arrays, parts = (np.load(path / final / "arrays.npz") for path in (whole, found))
        with arrays, parts:
            assert arrays.files == parts.files
            for name in arrays.files:
                np.testing.assert_array_equal(parts[name], arrays[name])


@pytest.fixture(scope="module")
def learners(request):
    """A learner, and a stack of layers that is killed in its second one; with --full all.

    That every kind goes on from what a kill leaves is shown in test_opening.py.
    """
    return [*REGISTRY, "stack"] if request.config.getoption("--full") else ["vae", "stack"]


@pytest.fixture(scope="module")
def quiet(start, learners, tmp_path_factory):
    """A run of every learner that nothing disturbs."""
    out = tmp_path_factory.mktemp("quiet")
    finish(start(out, "--methods", *learners))
    return out


def test_killed_at_any_moment_and_run_again_it_ends_with_the_same_bits(
    quiet, learners, start, tmp_path
):
    """Every process goes on with the learner that was killed, and is killed in the next one."""
    moments = random.Random(0)
    for i, name in enumerate(learners):
        process = start(tmp_path, "--methods", *learners[max(i - 1, 0) :])
        run = tmp_path / name / ("layer-2" if name == "stack" else "")
        wait_for_step(run, moments.randrange(4, 40), process)
        if i % 2:
            wait_for_save(run, process)
        else:
            time.sleep(moments.uniform(0.0, 0.02))
        kill(process)
        assert not (run / "results.csv").exists()
    finish(start(tmp_path, "--methods", learners[-1]))
    for name in learners:
        assert_same(tmp_path / name, quiet / name)


@pytest.mark.full
@pytest.mark.full
def test_signals_save_and_the_run_goes_on_from_there(quiet, start, tmp_path):
    run, saved = tmp_path / "vae", [0]
    for sent, status in [(signal.SIGTERM, 143), (signal.SIGINT, 130)]:
        process = start(tmp_path, "--methods", "vae", "--checkpoint-seconds", "1000")
        wait_for_report(run, process, after=saved[-1])
        process.send_signal(sent)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == status
        assert "Traceback" not in output
        assert ("interrupted: saving" in output) == (sent == signal.SIGINT)
        saved.append(max(int(path.name) for path in run.glob("checkpoints/*/*/0*")))
    assert 0 < saved[1] < saved[2] < STEPS
    finish(start(tmp_path, "--methods", "vae"))
    assert_same(run, quiet / "vae")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def together(start, tmp_path):
    """Starts several processes of one launch."""

    def together(count, *arguments):
        address = f"127.0.0.1:{free_port()}/{count}"
        return [
            start(tmp_path, "--distributed", f"{address}/{i}", "--methods", *arguments)
            for i in range(count)
        ]

    return together


def rows(directory):
    with (directory / "results.csv").open() as file:
        return list(csv.DictReader(file))


def assert_close(found, expected):
    """The same rows, but for rounding: which lanes share a program may change it."""
    assert len(found) == len(expected)
    for row, other in zip(found, expected, strict=True):
        assert row.keys() == other.keys()
        for name in row:
            if name in ("loss", "elbo", "kl", "reconstruction", "squared_error"):
                np.testing.assert_allclose(float(row[name]), float(other[name]), rtol=1e-4)
            else:
                assert row[name] == other[name]


def assert_reported_once(directory):
    reports = collections.Counter(
        (record["lane"], record["step"], record["split"])
        for path in directory.glob("metrics*.jsonl")
        for record in map(json.loads, path.read_text().splitlines())
    )
    steps = range(16, STEPS + 1, 16)
    everything = itertools.product(range(4), steps, ("train", "validation"))
    assert reports == dict.fromkeys(everything, 1)


@pytest.mark.full
@pytest.mark.full
def test_greedy_training_goes_on_with_other_numbers_of_processes(quiet, start, together, tmp_path):
    """Of one, and of two, each of which goes on from what another one trained."""
    run = tmp_path / "stack"
    one = start(tmp_path, "--methods", "stack")
    wait_for_step(run / "layer-1", 8, one)
    kill(one)
    two = together(2, "stack")
    wait_for_step(run / "layer-2", 8, two[1], lane=1)
    kill(*two)
    for process in together(2, "stack"):
        assert "stack missing []" in finish(process)
    for part in ("layer-1", "layer-2", "whole"):
        assert_close(rows(run / part), rows(quiet / "stack" / part))
        assert_reported_once(run / part)


@pytest.mark.full
def test_where_one_process_dies_the_others_finish_and_the_same_command_does_the_rest(
    quiet, start, together, tmp_path
):
    """The one that dies is the first, with which JAX's own service would have died."""
    first, second = together(2, "vae", "--checkpoint-seconds", "1000", "--silent", "8")
    wait_for_report(tmp_path / "vae", first)
    kill(first)
    assert "vae missing [0, 2]" in finish(second)
    assert [row["lane"] for row in rows(tmp_path / "vae")] == ["1", "3"]
    assert "vae missing []" in finish(start(tmp_path, "--methods", "vae"))
    assert_close(rows(tmp_path / "vae"), rows(quiet / "vae"))
    assert_reported_once(tmp_path / "vae")
