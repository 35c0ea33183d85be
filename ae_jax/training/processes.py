"""Several processes of one launch: who is alive, and what each has found.

They share a directory and nothing else. None waits for another while it trains, and where one
dies the others finish their own work: every process writes signs of life into the directories
that it works in, and who waits for another looks at them.
"""

import collections
import functools
import itertools
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ae_jax.training import directory as run_directory

#: Seconds between two signs of life.
BEAT = 2.0
#: A process without a sign for so many seconds is taken for dead,
SILENT = 30.0
#: and one that never gave a sign after so many: it may have data to read.
ABSENT = 600.0

_attended: list[Path] = []
_gathered: collections.Counter[tuple[Path, str]] = collections.Counter()
#: Of other processes, the newest sign of life and when it was first seen.
_heard: dict[int, tuple[int | None, float]] = {}


@functools.cache
def launch() -> str:
    """Names this launch, the same in all of its processes and in no others.

    Every process must call it, before anything else that may part them.
    """
    if jax.process_count() == 1:
        return "alone"
    from jax.experimental import multihost_utils

    number = np.random.SeedSequence().generate_state(2)
    return "".join(f"{part:08x}" for part in multihost_utils.broadcast_one_to_all(number))


def attend(directory: Path) -> None:
    """Shows the others that this process works in a directory, until it ends."""
    if jax.process_count() == 1 or directory in _attended:
        return
    if jax.process_index() == 0:
        for old in directory.glob(".launch-*"):
            if old != _folder(directory):
                shutil.rmtree(old, ignore_errors=True)
    _folder(directory).mkdir(exist_ok=True)
    _attended.append(directory)
    _beating()


def _folder(directory: Path) -> Path:
    return directory / f".launch-{launch()}"


@functools.cache
def _beating() -> threading.Thread:
    def beat():
        for count in itertools.count(1):
            for directory in tuple(_attended):
                try:
                    (_folder(directory) / f"alive.{jax.process_index()}").write_text(str(count))
                except OSError:  # a full disk may have room again at the next beat
                    pass
            time.sleep(BEAT)

    thread = threading.Thread(target=beat, name="signs of life", daemon=True)
    thread.start()
    return thread


def gather(directory: Path, name: str, content: Any) -> dict[int, Any]:
    """Returns what each process gave, by its number, as soon as all have or are dead.

    Every process must call it as often as the others, with the same directories and names.

    Args:
      directory: which all share.
      name: of what is gathered.
      content: this process's, what JSON can hold.
    """
    here, count = jax.process_index(), jax.process_count()
    found = {here: content}
    if count == 1:
        return found
    attend(directory)
    _gathered[directory, name] += 1
    part = f"{name}-{_gathered[directory, name]}.{{}}.json".format
    run_directory.write(_folder(directory) / part(here), json.dumps(content))
    while True:
        for other in set(range(count)) - found.keys():
            path = _folder(directory) / part(other)
            if path.exists():
                found[other] = json.loads(path.read_text())
        if all(other in found or not _alive(other) for other in range(count)):
            return found
        time.sleep(0.1)


def leads() -> bool:
    """Whether this is the first process of those that are alive."""
    return not any(_alive(process) for process in range(jax.process_index()))


def _alive(process: int) -> bool:
    """Whether a process gave a sign of life not long ago."""
    signs = [_sign(directory, process) for directory in _attended]
    sign = max((sign for sign in signs if sign is not None), default=None)
    now = time.monotonic()
    if process not in _heard or _heard[process][0] != sign:
        _heard[process] = (sign, now)
    sign, since = _heard[process]
    return now - since < (ABSENT if sign is None else SILENT)


def _sign(directory: Path, process: int) -> int | None:
    try:
        return int((_folder(directory) / f"alive.{process}").read_text())
    except (OSError, ValueError):  # not there yet, or just being written
        return None
