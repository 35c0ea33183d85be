"""Signals that end a run, once it has saved what it has."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def signals(saves: bool) -> Iterator[Callable[[], int | None]]:
    """Yields a function that returns the status to exit with once a signal has come.

    Ctrl-C is waited for only where it `saves` something. Signals can only be caught in the main
    thread; elsewhere none ever comes.
    """
    received: list[int] = []

    def stop(number, frame):
        if number == signal.SIGINT:
            if signal.SIGINT in received:
                os._exit(130)
            print("\ninterrupted: saving (once more to leave at once)", file=sys.stderr, flush=True)
        received.append(number)

    previous = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT)[: 2 if saves else 1]:
            previous[number] = signal.signal(number, stop)
    except ValueError:
        yield lambda: None
        return
    try:
        yield lambda: 128 + received[0] if received else None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
