"""Runs that are killed, stopped, and spread over processes give the results of a quiet one."""

import csv
import json
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ae_jax.methods import REGISTRY

pytestmark = pytest.mark.xdist_group("processes")
SWEEP = Path(__file__).with_name("sweep.py")


@pytest.fixture(scope="module")
def start(environment):
    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, SWEEP, *map(str, arguments)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def finish(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def wait_for_step(directory, step, process, part=0):
    """Waits until a process has a checkpoint of a step, or a later one."""
    folder = directory / "checkpoints" / "group-000" / f"process-{part:03d}"

    def saved():
        return [int(path.name) for path in folder.glob("0*") if path.name.isdigit()]

    while max(saved(), default=0) < step and process.poll() is None:
        time.sleep(0.002)


def kill(*processes):
    for process in processes:
        process.kill()
    for process in processes:
        process.communicate()
        assert process.returncode == -signal.SIGKILL  # it came in time


def assert_same(directory, expected):
    for name in ("results.csv", "metrics.jsonl"):
        assert (directory / name).read_bytes() == (expected / name).read_bytes(), directory
    final = sorted(expected.glob("checkpoints/*/*/*"))[-1].relative_to(expected)
    whole, parts = (np.load(folder / final / "arrays.npz") for folder in (expected, directory))
    with whole, parts:
        assert whole.files == parts.files
        for name in whole.files:
            np.testing.assert_array_equal(parts[name], whole[name])


@pytest.fixture(scope="module")
def quiet(start, tmp_path_factory):
    """A run of every method that nothing disturbs."""
    out = tmp_path_factory.mktemp("quiet")
    finish(start(out))
    return out


def test_killed_at_any_moment_and_run_again_it_ends_with_the_same_bits(quiet, start, tmp_path):
    """Every process goes on with the method that was killed, and is killed in the next one."""
    moments, names = random.Random(0), list(REGISTRY)
    for i, name in enumerate(names):
        process = start(tmp_path, "--methods", *names[max(i - 1, 0) :])
        wait_for_step(tmp_path / name, moments.randrange(4, 40), process)
        time.sleep(moments.uniform(0.0, 0.02))
        kill(process)
        assert not (tmp_path / name / "results.csv").exists()
    finish(start(tmp_path, "--methods", names[-1]))
    for name in names:
        assert_same(tmp_path / name, quiet / name)


def test_sigterm_saves_and_the_run_goes_on_from_there(quiet, start, tmp_path):
    process = start(tmp_path, "--methods", "vae", "--checkpoint-seconds", "1000")
    while not (tmp_path / "vae" / "metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.002)
    assert not (tmp_path / "vae" / "checkpoints").exists()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    (saved,) = (tmp_path / "vae").glob("checkpoints/*/*/0*")
    assert 0 < int(saved.name) < 64
    finish(start(tmp_path, "--methods", "vae"))
    assert_same(tmp_path / "vae", quiet / "vae")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_two_processes_train_disjoint_halves_and_resume(quiet, start, tmp_path):
    def both(*arguments):
        address = f"127.0.0.1:{free_port()}/2"
        return [
            start(tmp_path, "--methods", "vae", "--distributed", f"{address}/{i}", *arguments)
            for i in range(2)
        ]

    processes = both()
    for i, process in enumerate(processes):
        wait_for_step(tmp_path / "vae", 8, process, i)
    kill(*processes)
    assert not (tmp_path / "vae" / "results.csv").exists()
    for process in both():
        finish(process)

    def rows(directory):
        with (directory / "vae" / "results.csv").open() as file:
            return list(csv.DictReader(file))

    expected = rows(quiet)
    found = rows(tmp_path)
    assert len(found) == len(expected) == 4
    for row, other in zip(found, expected, strict=True):
        assert row.keys() == other.keys()
        for name in row:
            if name in ("loss", "elbo", "kl", "reconstruction"):
                np.testing.assert_allclose(float(row[name]), float(other[name]), rtol=1e-4)
            else:
                assert row[name] == other[name]

    reports = {}
    for process, name in enumerate(("metrics.jsonl", "metrics.1.jsonl")):
        for line in (tmp_path / "vae" / name).read_text().splitlines():
            record = json.loads(line)
            assert record["lane"] % 2 == process
            key = record["lane"], record["step"], record["split"]
            reports[key] = reports.get(key, 0) + 1
    everything = {
        (lane, step, split)
        for lane in range(4)
        for step in (16, 32, 48, 64)
        for split in ("train", "validation")
    }
    assert reports == dict.fromkeys(everything, 1)
    assert not list((tmp_path / "vae").glob("results.*.json"))
