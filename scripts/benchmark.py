"""Times training, ours and its peers', on this machine.

    python scripts/benchmark.py
    python scripts/benchmark.py --workloads mlp_vae:1 mlp_vae:16 --json figures.json

A workload is NAME or NAME:LANES: that many models trained side by side, with a step's time
divided by their number. Every trainer has a process of its own, with all cores, and computes
only when asked; they take turns, so that what else the machine does meets them alike. A ratio
is the median over the turns of the peer's time by ours. `restored_photo` trains nothing: its step
is a megapixel of a photograph that a network restores, beside scipy's median of 3x3 pixels.
"""

import argparse  # not tyro: this also runs where only JAX and the peers are installed
import contextlib
import datetime
import importlib.metadata
import json
import multiprocessing
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmark_workloads import PEERS, WORKLOADS, Training, cores, ours, peak_memory

ON_CPU = (
    *("mlp_vae", "keras_autoencoder", "conv_vae", "rbm"),
    *("contractive", "contractive_closed_form", "lstm", "mlp_vae:16", "conv_vae:4", "lstm:4"),
    *("dcgan_r1", "wgan_gp", "mlp_gan:16"),
    *("beta_tcvae", "info_vae", "iwae", "factor_vae", "factor_vae_1000"),
    *("beta_tcvae:16", "factor_vae:16", "restored_photo"),
)
ON_GPU = (*(f"{name}:{n}" for name in ("mlp_vae", "conv_vae") for n in (1, 8, 32, 128)), "rbm")
PACKAGES = (
    "ae-jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "torch",
    "pythae",
    "scikit-learn",
    "scipy",
)
TURN = 0.5  # seconds, at least
ROUNDS = 5  # at least


def timed(training: Training, seconds: float) -> float:
    """Trains for about that long and returns the seconds that a step of one model took."""
    start, count = time.perf_counter(), 0
    while True:
        count += next(training.steps)
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return elapsed / count


def take_turns(
    trainers: Mapping[str, Callable[[float], float]], seconds: float, turn: float
) -> dict[str, list[float]]:
    """Asks each trainer in turn, round after round, once more than is counted.

    Args:
      trainers: by name, as `timed`: from seconds to train to seconds per step.
      seconds: when to stop; at least ROUNDS rounds.
      turn: seconds to train at a time.

    Returns:
      Seconds per step, a number for each round.
    """
    for train in trainers.values():
        train(0.0)
    turns = {name: [] for name in trainers}
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(next(iter(turns.values()))) < ROUNDS:
        for name, train in trainers.items():
            turns[name].append(train(turn))
    return turns


def figures(turns: Mapping[str, Sequence[float]], facts: Mapping[str, Any]) -> list[dict]:
    """Returns a row for each trainer; the first, ours, is what the others are compared with."""
    first, *_ = turns.values()
    return [
        {
            "trainer": name,
            "ms_per_step": statistics.median(own) * 1e3,
            "steps_per_second": 1 / statistics.median(own),
            "ratio": statistics.median(b / a for a, b in zip(first, own, strict=True)),
            **facts[name],
            "turns_ms": [seconds * 1e3 for seconds in own],
        }
        for name, own in turns.items()
    ]


def prepare(trainer: str, name: str, lanes: int) -> Training:
    """Starts a trainer by its name; only ours takes more than one lane.

    Raises:
      ImportError: if it is not installed.
    """
    if trainer in PEERS:
        return PEERS[trainer](WORKLOADS[name], name)
    return ours(WORKLOADS[name], lanes)


def answer(training: Training, request: float | None) -> float | dict[str, Any]:
    """Trains for `request` seconds, as `timed`; or says, for None, what else was measured."""
    if request is not None:
        return timed(training, request)
    memory = (training.device_memory or peak_memory)()
    return {"compile_seconds": training.compile_seconds, "memory": memory}


def serve(connection: Connection, *which: Any) -> None:
    """Is a trainer's process: prepares, then answers until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    try:
        training = prepare(*which)
    except ImportError as error:
        connection.send(error)
        return
    connection.send(None)
    with contextlib.suppress(EOFError):
        while True:
            connection.send(answer(training, connection.recv()))


@contextlib.contextmanager
def process(trainer: str, name: str, lanes: int) -> Iterator[Callable[[Any], Any]]:
    """Yields `answer` of a training that is ready, in a process of its own.

    Raises:
      ImportError: if the trainer is not installed.
      ChildProcessError: if its process ended; it has said why.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=serve, args=(there, trainer, name, lanes), daemon=True)
    child.start()
    there.close()

    def ask(*request: float | None) -> Any:
        try:
            for seconds in request:
                here.send(seconds)
            return here.recv()
        except (EOFError, OSError):
            raise ChildProcessError(f"{trainer} ended, see above") from None

    try:
        if error := ask():
            raise error
        yield ask
    finally:
        here.close()
        child.join(10)
        child.kill()


def measure(
    name: str,
    lanes: int,
    peers: Sequence[str],
    seconds: float,
    turn: float = TURN,
    start: Callable = process,
) -> list[dict]:
    """Times one workload.

    Args:
      name: in WORKLOADS.
      lanes: how many models we train side by side; above 1, one alone is timed too.
      peers: in PEERS; those that do not train this are left out.
      seconds: when to stop, as for `take_turns`.
      turn: seconds to train at a time.
      start: as `process`.

    Returns:
      Rows as from `figures`; one that says why for each peer that cannot run.
    """
    counts = {"ae_jax": lanes} | ({"ae_jax, alone": 1} if lanes > 1 else {})
    with contextlib.ExitStack() as stack:
        asks = {
            trainer: stack.enter_context(start(trainer, name, count))
            for trainer, count in counts.items()
        }
        missing = []
        for trainer in (peer for peer in WORKLOADS[name].peers if peer in peers):
            try:
                asks[trainer] = stack.enter_context(start(trainer, name, 1))
            except (ImportError, ChildProcessError) as error:
                missing.append({"trainer": trainer, "missing": str(error)})
        turns = take_turns(asks, seconds, turn)
        return [*figures(turns, {trainer: ask(None) for trainer, ask in asks.items()}), *missing]


def hardware() -> dict[str, Any]:
    """What this machine is; to be called in a process of its own, since it starts JAX."""
    import jax

    cpu = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), cpu)
    devices = jax.local_devices()
    return {
        "backend": jax.default_backend(),
        "accelerators": [d.device_kind for d in devices if d.platform != "cpu"],
        "cpu": cpu,
        "cores": cores(),
        "load": round(os.getloadavg()[0], 1),
    }


def versions() -> dict[str, str]:
    """Versions of what is installed, Python's included."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


HEADER = f"{'workload':24}{'trainer':15}{'ms/step':>9}{'steps/s':>10}{'ratio':>8}" + (
    f"{'compile':>9}{'memory':>10}"
)


def line(workload: str, row: Mapping[str, Any]) -> str:
    """One row of the table."""
    start = f"{workload:24}{row['trainer']:15}"
    if "missing" in row:
        return f"{start}  {row['missing']}"
    compiled = row["compile_seconds"]
    return start + "".join(
        (
            f"{row['ms_per_step']:9.3f}{row['steps_per_second']:10.0f}{row['ratio']:7.2f}x",
            " " * 9 if compiled is None else f"{compiled:8.1f}s",
            f"{row['memory'] / 2**20:7.0f}MiB",
        )
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; what is wrong with it ends the program with status 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ", ".join(WORKLOADS)
    parser.add_argument("--workloads", nargs="+", metavar="NAME[:LANES]", help=known)
    parser.add_argument("--seconds", type=float, default=15.0, help="for each workload")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--json", type=Path, help="file to write, with every turn's time")
    options = parser.parse_args(arguments)
    for workload in options.workloads or ():
        name, _, lanes = workload.partition(":")
        if name not in WORKLOADS:
            parser.error(f"unknown workload {name!r}; known are {known}")
        if lanes and not (lanes.isdecimal() and int(lanes)):
            parser.error(f"lanes must be a positive number, as in {name}:16, not {lanes!r}")
        if lanes and WORKLOADS[name].use is not None:
            parser.error(f"{name} trains nothing, and takes no lanes")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"there is no directory {options.json.parent}")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Times the workloads, prints the table and writes the JSON."""
    options = parse(arguments)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # a GPU's memory is shared
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        machine = pool.apply(hardware)
    report = {"date": datetime.date.today().isoformat(), "hardware": machine}
    report |= {"versions": versions(), "workloads": {}}
    print(", ".join(f"{key} {value}" for key, value in {**machine, **report["versions"]}.items()))
    if machine["load"] > 0.5:
        print("warning: other programs are running, which peers suffer from unequally")
    print(HEADER, flush=True)
    for workload in options.workloads or (ON_CPU if machine["backend"] == "cpu" else ON_GPU):
        name, _, lanes = workload.partition(":")
        try:
            rows = measure(name, int(lanes or 1), options.peers, options.seconds)
        except ChildProcessError as error:
            sys.exit(f"error: {workload}: {error}")
        report["workloads"][workload] = rows
        print(*(line(workload, row) for row in rows), sep="\n", flush=True)
        if options.json:
            options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
