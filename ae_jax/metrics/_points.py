"""Examples as points of a space, on the host."""

from numbers import Integral

import numpy as np

from ae_jax.core import Array, InputError


def as_points(name: str, x: Array) -> np.ndarray:
    x = np.asarray(x, np.float64)
    if x.ndim < 2 or not x.size:
        raise InputError(f"{name} must be [N, ...] and not empty, got {list(x.shape)}")
    if not np.all(np.isfinite(x)):
        raise InputError(f"{name} contain values that are not finite")
    return x.reshape(len(x), -1)


def require_neighbours(neighbours: int, x: np.ndarray, least: int) -> None:
    if not isinstance(neighbours, Integral) or not least <= neighbours < len(x):
        raise InputError(
            f"neighbours are {neighbours!r}: use a whole number, {least} or more and fewer than "
            f"the {len(x)} examples"
        )
