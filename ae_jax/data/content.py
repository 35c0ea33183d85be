"""What makes data sets the same: digests of their content, and one function that fetches them."""

import functools
import hashlib
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

#: How much is hashed at a time: a memory-mapped file is never copied whole.
CHUNK_BYTES = 2**24


def digest(*parts: Any) -> str:
    """Returns the SHA-256, in hexadecimal, of arrays and plain values.

    Args:
      parts: arrays [N, ...], of which dtype, shape and values count and the layout in memory
        does not; or what has a faithful `repr`: texts, numbers, tuples of them.
    """
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype.str}{part.shape};".encode())
            for rows in chunks(part):
                found.update(np.ascontiguousarray(part[rows]))
        else:
            found.update(f"{part!r};".encode())
    return found.hexdigest()


def digest_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the digest of named arrays, in whatever order they are."""
    return digest(*(part for item in sorted(arrays.items()) for part in item))


def derived(digests: Sequence[str], *parts: Any) -> str:
    """Returns the digest of what `parts` describe to be made of data, if theirs are known."""
    return digest(*digests, *parts) if all(digests) else ""


def chunks(array: np.ndarray) -> list[slice]:
    """Returns slices that cover the rows of an array, about 16 MiB each."""
    rows = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    return [slice(start, start + rows) for start in range(0, len(array), rows)]


def shared(make: Callable[..., Callable]) -> Callable[..., Callable]:
    """Makes a factory of functions return the same function for equal arguments.

    Compiled programs are found by the function they compile: data sets that are fetched alike
    share theirs. A function, and what it holds, is kept only while somebody else uses it.
    """
    made = weakref.WeakValueDictionary()

    @functools.wraps(make)
    def get(*arguments: Any) -> Callable:
        function = made.get(arguments)
        if function is None:
            function = made[arguments] = make(*arguments)
        return function

    return get
