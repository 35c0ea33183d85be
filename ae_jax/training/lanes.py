"""Lanes: which hyperparameter values and seeds are trained side by side."""

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ae_jax.core import InputError, Method
from ae_jax.training.schedules import Schedule, joined

#: One configuration: values of hyperparameters by name, and its `seed`.
Lane = Mapping[str, Any]


def grid(**values: Any) -> list[Lane]:
    """Returns the product of hyperparameter values as lanes; the last name varies fastest.

    Args:
      **values: by name, one value or several. `seed` is added as 0 where it is not given.

    Raises:
      InputError: if a name has no value, or one value twice.

    Example:
      >>> grid(beta=[1.0, 4.0], seed=range(2))[1]
      {'beta': 1.0, 'seed': 1}
    """
    values.setdefault("seed", 0)
    axes = {name: _several(value) for name, value in values.items()}
    for name, axis in axes.items():
        if not axis:
            raise InputError(f"{name} has no value to sweep: give at least one")
        if len(set(axis)) < len(axis):
            raise InputError(f"{name} has a value twice in {axis}: give each once")
    return [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]


def _several(value: Any) -> list:
    alone = isinstance(value, str) or not isinstance(value, Iterable)
    return [value] if alone else list(value)


class Group(NamedTuple):
    """Lanes that one compiled program can train: those with the same static values.

    Attributes:
      method: the method built from the static values.
      index: int [L], the lanes' places in the sweep.
      seed: int [L].
      hparams: every traced hyperparameter, float [L].
      start: what the lanes begin with from an earlier run, leaves [L, ...]; or None.
    """

    method: Method
    index: np.ndarray
    seed: np.ndarray
    hparams: Mapping[str, np.ndarray]
    start: Any = None


def group(
    method: Method | Callable[..., Method],
    lanes: Sequence[Lane],
    schedules: Sequence[Schedule] = (),
) -> list[Group]:
    """Splits lanes by their static values, which need a compilation each.

    Args:
      method: a method, or a factory whose arguments are the static names in the lanes.
      lanes: the sweep.
      schedules: they bring traced hyperparameters of their own.

    Raises:
      InputError: for an empty sweep, a lane without seed, lanes with different names, an
        unknown name, a traced value that is not a finite number, or schedules that do not go
        with each other or the method.
    """
    if not lanes:
        raise InputError("the sweep has no lane: give at least one, as grid(seed=0)")
    names = list(lanes[0])
    for lane in lanes:
        if list(lane) != names:
            raise InputError(f"all lanes must have the same names, got {names} and {list(lane)}")
    if "seed" not in names:
        raise InputError("every lane needs a seed, as in grid(beta=[1, 4], seed=range(3))")

    static = _static_names(method, names)
    groups = []
    for point in dict.fromkeys(tuple(lane[name] for name in static) for lane in lanes):
        members = [
            i for i, lane in enumerate(lanes) if tuple(lane[name] for name in static) == point
        ]
        built = method(**dict(zip(static, point, strict=True))) if callable(method) else method
        defaults = {**joined(schedules, built.hparams), **built.hparams}
        unknown = [name for name in names if name not in {*static, *defaults, "seed"}]
        if unknown:
            known = ", ".join(sorted({*static, *defaults, "seed"}))
            raise InputError(f"unknown hyperparameter {', '.join(unknown)}: known are {known}")
        rows = [lanes[i] for i in members]
        groups.append(
            Group(
                method=built,
                index=np.array(members),
                seed=np.array([_seed(row["seed"]) for row in rows]),
                hparams={
                    name: np.array([_number(name, row.get(name, value)) for row in rows])
                    for name, value in defaults.items()
                },
            )
        )
    return groups


def with_start(groups: Sequence[Group], start: Sequence[Any] | None, count: int) -> list[Group]:
    """Gives every lane what it begins with.

    Args:
      groups: this process's lanes of a sweep.
      start: for each lane of the whole sweep, in its order, a pytree of arrays, or None where
        another process has the lane; or None for all.
      count: how many lanes the whole sweep has.

    Raises:
      InputError: if there is not one for each lane, or they differ within a group.
    """
    if start is None:
        return list(groups)
    if len(start) != count:
        raise InputError(
            f"start must have an entry for each of the {count} lanes, got {len(start)}"
        )
    if missing := [i for group in groups for i in group.index if start[i] is None]:
        raise InputError(f"start has nothing for lane {missing[0]}, which this process trains")
    try:
        return [
            group._replace(
                start=jax.tree.map(
                    lambda *leaves: np.stack(leaves), *(start[i] for i in group.index)
                )
            )
            for group in groups
        ]
    except ValueError as error:
        raise InputError(
            "lanes with the same static values must start from arrays of the same shapes"
        ) from error


def take(group: Group, which: slice | np.ndarray) -> Group:
    """Returns some of a group's lanes."""

    def pick(tree):
        return jax.tree.map(lambda leaf: leaf[which], tree)

    index, seed, hparams, start = map(pick, (group.index, group.seed, group.hparams, group.start))
    return Group(group.method, index, seed, hparams, start)


def _static_names(method: Method | Callable[..., Method], names: Sequence[str]) -> list[str]:
    if not callable(method):
        return []
    parameters = inspect.signature(method).parameters
    return [name for name in names if name in parameters]


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise InputError(f"seed must be a whole number from 0, got {value!r}")
    if value >= 2**31:
        raise InputError(f"seed must be below 2^31, got {value}")
    return int(value)


def _number(name: str, value: Any) -> float:
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not np.isfinite(value):
        raise InputError(f"{name} must be a finite number, got {value!r}")
    return float(value)
