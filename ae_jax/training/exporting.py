"""One lane's parameters in a file that needs none of this library to be read."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import InputError
from ae_jax.training.checkpoint import DAMAGE, names
from ae_jax.training.model import lane as of_lane
from ae_jax.training.results import Result

#: What the names of hyperparameters begin with in a file.
_NUMBERS = "hyperparameters/"


def export(result: Result, lane: int, path: str | Path, best: bool = False) -> None:
    """Writes what inference needs of a lane's state to a `.npz`, by name, and its hyperparameters.

    Names are places in the state, such as `encoder/Dense_0/kernel`, and `hyperparameters/NAME`.
    NumPy has no bfloat16 and no smaller floats: they are written as float32, which holds them
    exactly.

    Args:
      result: of `run` or `load`.
      lane: its number.
      path: of the file, which is replaced.
      best: the best state in the place of the final one.

    Raises:
      InputError: as `lane`, or if the file cannot be written.
    """
    method, state, hparams = of_lane(result, lane, best)
    kept = state if best else method.inference(state)
    arrays = {name: _known(name, np.asarray(leaf)) for name, leaf in _by_name(kept).items()}
    arrays |= {f"{_NUMBERS}{name}": np.asarray(value, float) for name, value in hparams.items()}
    path = Path(path)
    if not path.name:
        raise InputError(f"{path} names no file: choose another path")
    if taken := sorted({"file", "allow_pickle"} & arrays.keys()):
        raise InputError(f"{taken[0]} cannot be the name of an array in a .npz: rename it")
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise InputError(
            f"{path} cannot be written ({error.strerror}): choose another path"
        ) from None


def import_parameters(path: str | Path, like: Any = None) -> tuple[Any, dict[str, float]]:
    """Reads what `export` wrote.

    Args:
      path: of the file.
      like: the structure to give it, with leaves that have a shape and a dtype: what a method's
        `inference` keeps of a state, or a part of it where the file has no more. Where None,
        names make mappings: such as `start` takes the parameters of networks.

    Returns:
      The parameters, and the hyperparameters by name.

    Raises:
      InputError: if the file cannot be read or is none of these, or if names, shapes or dtypes
        are others than those of `like`.
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        hparams = {
            name.removeprefix(_NUMBERS): float(arrays.pop(name))
            for name in [*arrays]
            if name.startswith(_NUMBERS)
        }
        nested = _nested(arrays)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    except (AttributeError, IndexError, NotImplementedError, *DAMAGE):
        raise InputError(f"{path} is no .npz of arrays: give a file that export() wrote") from None
    if like is None:
        return nested, hparams
    wanted = _by_name(like)
    for name in [*wanted, *arrays]:
        if name not in arrays or name not in wanted:
            has = "lacks" if name in wanted else "has"
            raise InputError(f"{path} {has} {name}: give the structure that was exported")
    leaves = [_fitted(path, name, arrays[name], leaf) for name, leaf in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves), hparams


def _by_name(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by readable names, in its order."""
    places, leaves = names(tree), jax.tree.leaves(tree)
    short = ["/".join(part for part in place.split("/") if part != "params") for place in places]
    if len({*short}) < len(short) or not all(short):
        short = places
    if len({*short}) < len(short):
        raise InputError("two arrays of the state have the same name: rename a network's")
    return dict(zip(short, leaves, strict=True))


def _known(name: str, leaf: np.ndarray) -> np.ndarray:
    """An array of a type that NumPy has, with the same values."""
    if leaf.dtype.kind in "biuf":
        return leaf
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        raise InputError(f"{name} is {leaf.dtype}, which a .npz cannot hold")
    return leaf.astype(np.float32)


def _fitted(path: str | Path, name: str, leaf: np.ndarray, like: Any) -> np.ndarray:
    """An array as it was before it was written."""
    stored = _known(name, np.empty(0, like.dtype)).dtype
    given = leaf.astype(like.dtype) if stored == leaf.dtype else leaf
    if (given.shape, given.dtype) != (like.shape, like.dtype):
        raise InputError(
            f"{path} has {name} as {leaf.dtype} {list(leaf.shape)}, and {like.dtype} "
            f"{list(like.shape)} is wanted"
        )
    if not np.array_equal(given.astype(leaf.dtype), leaf, equal_nan=True):
        raise InputError(f"{path} has {name} as {leaf.dtype}, which {like.dtype} cannot hold")
    return given


def _nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Mappings of arrays, from names such as `encoder/Dense_0/kernel`."""
    tree: dict[str, Any] = {}
    for name, leaf in arrays.items():
        *above, last = name.split("/")
        place = tree
        for part in above:
            place = place.setdefault(part, {})
        place[last] = leaf
    return tree
