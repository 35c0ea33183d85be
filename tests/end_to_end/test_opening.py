"""Runs of every kind of learner are opened again in a new process, finished and killed ones."""

import signal
import subprocess
import sys

import pytest

from tests.end_to_end.opening import KINDS

pytestmark = pytest.mark.xdist_group("processes")
#: A machine's steps, and a stage, which wraps a gradient's; all with --full.
STEPS = [name for name in KINDS if name in ("rbm", "stage")]
OTHERS = [name for name in KINDS if name not in STEPS]


def python(environment, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "tests.end_to_end.opening", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("names", [STEPS, pytest.param(OTHERS, marks=pytest.mark.full)])
def test_what_is_loaded_gives_the_bits_that_the_training_process_saw(environment, tmp_path, names):
    """And goes on to the bits of the end; the last run is killed, and has none."""
    status, _, said = python(environment, "train", tmp_path, *names)
    assert status == -signal.SIGKILL, said
    status, output, said = python(environment, "open", tmp_path, *names)
    assert status == 0, said
    assert "Warning" not in said
    found = {words[0]: words[1:] for words in map(str.split, output.splitlines())}
    expected = {f"half/{name}": ["unfinished"] * 2 for name in names}
    expected |= {name: ["ok"] * 2 for name in names[:-1]}
    assert {directory: words[:2] for directory, words in found.items()} == expected
    looked_at = {word for words in found.values() for word in words}
    for view in ("encode", "decode", "reconstruct", "sample", "log_likelihood"):
        assert {view, f"best/{view}"} <= looked_at
