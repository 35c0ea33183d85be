"""The command line: what is said, where, and with which status."""

import errno
import io
import os
import socket
import subprocess
import sys
from dataclasses import dataclass

import jax
import pytest

from ae_jax import cli
from ae_jax.core import InputError


@dataclass(frozen=True)
class Config(cli.Execution):
    """Options."""

    size: cli.Count = 1
    """How large."""
    rate: cli.Swept[float] = (0.5,)
    widths: tuple[cli.Whole, ...] = ()
    faces: cli.Several[str] = ("a", "a")


PRESETS = {"default": Config()}


def run(experiment, *argv):
    cli.main(experiment, PRESETS, list(argv))


def raising(error):
    def experiment(config):
        """An experiment."""
        raise error

    return experiment


def said(text):
    def experiment(config):
        print(text)

    return experiment


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (InputError("size is 0:\nuse 1"), 2, "error: size is 0: use 1"),
        (KeyboardInterrupt(), 130, "interrupted: the same command goes on"),
        (MemoryError("Unable to allocate 179. GiB"), 1, "not enough memory (Unable to allocate"),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nx"),
            1,
            "not enough memory (RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.)",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "a/b"),
            1,
            "a/b: No space left on device",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), 1, "a/b: Permission denied"),
        (OSError("odd"), 1, "error: odd: put that right"),
        (BrokenPipeError(), 1, "what reads the output has closed it"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_the_programs_fault_is_one_line(error, status, words, capsys, monkeypatch):
    monkeypatch.delenv("AE_JAX_TRACEBACK", raising=False)
    for traceback in (False, True):
        if traceback:
            monkeypatch.setenv("AE_JAX_TRACEBACK", "1")
        with pytest.raises(SystemExit) as caught:
            run(raising(error))
        assert caught.value.code == status
        *before, line = capsys.readouterr().err.splitlines()
        assert words in line
        assert ("Traceback (most recent call last):" in before) == traceback == bool(before)


@pytest.mark.parametrize("error", [TypeError("odd"), ValueError("odd"), SystemExit(143)])
def test_the_programs_own_faults_are_not_hidden(error):
    with pytest.raises(type(error)) as caught:
        run(raising(error))
    assert caught.value is error


def test_a_console_without_unicode_shows_a_replacement(monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", console)
    run(said("1 ± 2 \udcff"))
    assert console.buffer.getvalue() == b"1 ? 2 ?\n"


def test_streams_that_the_shell_closed_take_what_is_written(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    run(said("±"))
    with pytest.raises(SystemExit):
        run(raising(InputError("no")))
    sys.stdout.close()
    sys.stderr.close()


PROGRAM = """
import sys
from ae_jax import cli
def experiment(config):
    '''An experiment.'''
    sys.stdin.read()
    print("1 ± 2")
cli.main(experiment, {"default": cli.Execution()}, sys.argv[1:])
"""


@pytest.mark.parametrize("arguments", [[], ["--help"]], ids=["table", "help"])
def test_a_pipe_that_was_closed_is_one_line(arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()  # as `| head` does
    process.stdin.close()
    assert process.stderr.read().decode().splitlines() == [
        "error: what reads the output has closed it"
    ]
    process.stderr.close()
    assert process.wait() == 1


@pytest.mark.parametrize("columns", ["20", "200"])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--size", "nan"], "error: Error parsing --size: invalid literal for int() with base 10"),
        (["--sise", "1"], "error: Unrecognized options: --sise"),
        (["--rate", "0.5", "nan"], "error: --rate is nan: use a finite number"),
        (["--rate", "inf"], "error: --rate is inf: use a finite number"),
        (["--rate"], "error: --rate has no value to sweep: give at least one"),
        (["--rate", "0.5", "0.5"], "error: --rate has a value twice: give each once"),
        (["--faces"], "error: --faces has no value: give at least one"),
        (["--size", str(10**400)], f"error: --size is {10**400}: use less than 2^31"),
        (["--size", "0"], "error: --size is 0: use a whole number, 1 or more"),
        (["--widths", "0", "-1"], "error: --widths is -1: use a whole number, 0 or more"),
        (["--devices", "0"], "error: --devices is 0: use a whole number, 1 or more"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_are_refused_in_one_line_on_any_console(
    arguments, words, encoding, columns, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    with pytest.raises(SystemExit) as caught:
        run(said("never"), *arguments)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(words)
    assert not set(line) & set("│╭╮─")


def test_options_that_make_sense_are_taken_and_the_help_says_which_do(capsys):
    found = cli.parse(PRESETS, ["--rate", "1", "2", "--widths", "0", "--size", "3"])
    assert found == Config(rate=(1.0, 2.0), widths=(0,), size=3)
    assert cli.parse(PRESETS, ["--widths"]) == Config()
    with pytest.raises(SystemExit):
        cli.parse(PRESETS, ["--help"])
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "How large. (default: 1; a whole number, 1 or more)" in said
    assert "(default: 0.5; swept)" in said


TOUCHING = """
import jax.numpy as jnp
from ae_jax import cli, training

def experiment(config):
    jnp.zeros(()).block_until_ready()
    print(len(training.use_devices(config.devices, config.distributed)))

cli.main(experiment, {"default": cli.Execution()})
"""


def test_devices_are_settled_before_an_experiment_touches_jax():
    """Else it has one of a CPU's, and its processes cannot meet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", TOUCHING, "--distributed", f"127.0.0.1:{port}/1/0"]
    settings = ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in settings}
    environment["JAX_PLATFORMS"] = "cpu"
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout) == len(os.sched_getaffinity(0))


COMPILING = """
import jax
from ae_jax import cli

def experiment(config):
    events = []
    jax.monitoring.register_event_listener(lambda name, **_: events.append(name))
    jax.jit(lambda x: x * x + 1)(2.0)
    names = ("cache_misses", "cache_hits")
    print(*(events.count(f"/jax/compilation_cache/{name}") for name in names))

cli.main(experiment, {"default": cli.Execution()})
"""


def test_a_second_process_finds_what_the_first_compiled(tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "caches")}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

    def compiled(*options):
        command = [sys.executable, "-c", COMPILING, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert not done.stderr
        return [int(count) for count in done.stdout.split()]

    assert compiled("--no-compilation-cache") == [0, 0]
    assert not (tmp_path / "caches").exists()
    misses, hits = compiled()
    assert misses > 0
    assert hits == 0
    assert compiled() == [0, misses]
    environment["XDG_CACHE_HOME"] = sys.executable  # no directory: done without, and no error
    assert compiled() == [0, 0]


@pytest.fixture
def no_cache():
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_the_cache_is_where_the_user_wants_it(no_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which its specification has us ignore
    run(lambda config: None)
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / ".cache/ae_jax/compiled")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    run(lambda config: None)  # as with JAX_COMPILATION_CACHE_DIR: what is set stays
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / ".cache/ae_jax/compiled")
    assert not (tmp_path / "own").exists()


def test_the_cache_is_bounded(no_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cli, "CACHE_BYTES", 250)
    for age, name in enumerate(["newest", "autotuned/new", "old", "oldest"]):
        path = tmp_path / "ae_jax/compiled" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))
    run(lambda config: None)
    left = (tmp_path / "ae_jax/compiled").rglob("*")
    assert {path.name for path in left if path.is_file()} == {"newest", "new"}


def test_how_a_run_is_carried_out_is_no_part_of_what_it_is():
    config = Config(compilation_cache=False, devices=1, loggers=("wandb",))
    options = {"size": 1, "rate": [0.5], "widths": [], "faces": ["a", "a"]}
    assert cli.identity(config) == cli.identity(Config()) == options
