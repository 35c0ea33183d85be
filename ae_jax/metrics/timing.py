"""How long a computation takes."""

import time
from collections.abc import Callable
from typing import Any

import jax

from ae_jax.core import InputError


def seconds(function: Callable[..., Any], *arguments: Any, repeats: int = 5) -> float:
    """Returns the time of the fastest of several calls, after one that compiles.

    The fastest, since whatever else a machine does can only add time.

    Args:
      function: of arrays, usually jitted; what it returns is waited for.
      arguments: of the function.
      repeats: calls that are timed.

    Raises:
      InputError: if repeats is below 1.
    """
    if repeats < 1:
        raise InputError(f"a time needs at least 1 repeat, got {repeats}")
    jax.block_until_ready(function(*arguments))
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        found.append(time.perf_counter() - began)
    return min(found)
