"""Lanes: which hyperparameter values and seeds are trained side by side."""

import inspect
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import REAL, Domain, InputError, Method
from ae_jax.training.schedules import Schedule, numbers

#: What a lane is set to: values of hyperparameters by name, and its `seed`.
Setting = Mapping[str, Any]


def grid(**values: Any) -> list[Setting]:
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


def split(
    method: Method | Callable[..., Method], lanes: Sequence[Setting]
) -> list[tuple[Method, list[int]]]:
    """Splits lanes by their static values, which need a compilation each.

    Args:
      method: a method, or a factory whose arguments are the static names in the lanes.
      lanes: the sweep.

    Returns:
      What is built from each combination of static values, and the lanes that have them.

    Raises:
      InputError: if that is no method, or the factory has further arguments.
    """
    static = _static_names(method, list(lanes[0]))
    places: dict[tuple, list[int]] = {}
    for i, lane in enumerate(lanes):
        places.setdefault(tuple(lane[name] for name in static), []).append(i)

    def built(point):
        values = dict(zip(static, point, strict=True))
        if callable(method):
            try:
                inspect.signature(method).bind(**values)
            except TypeError as error:
                given = ", ".join(static) or "nothing"
                raise InputError(
                    f"the function that builds the method is given {given} by the lanes: {error}"
                ) from None
        made = method(**values) if callable(method) else method
        if not isinstance(made, Method):
            kind = type(made).__name__
            raise InputError(
                f"the method is of type {kind}: give a Method, or a function that returns one"
            )
        return made

    return [(built(point), members) for point, members in places.items()]


def grouped(
    method: Method | Callable[..., Method],
    lanes: Sequence[Setting],
    schedules: Sequence[Schedule] = (),
) -> list[Group]:
    """Returns the groups of a sweep.

    Args:
      method: as for `split`.
      lanes: the sweep.
      schedules: they bring traced hyperparameters of their own.

    Raises:
      InputError: for an empty sweep, a lane without seed, lanes with different names, an
        unknown name, a traced value that is no number of its domain, or schedules that do not
        go with each other or the method.
    """
    if not lanes:
        raise InputError("the sweep has no lane: give at least one, as grid(seed=0)")
    names = list(lanes[0])
    for lane in lanes:
        if list(lane) != names:
            raise InputError(f"all lanes must have the same names, got {names} and {list(lane)}")
    if "seed" not in names:
        raise InputError("every lane needs a seed, as in grid(beta=[1, 4], seed=range(3))")
    for lane in lanes:
        _check_seed(lane["seed"])

    static = _static_names(method, names)
    groups = []
    for built, members in split(method, lanes):
        defaults = {**numbers(schedules, built.hparams), **built.hparams}
        unknown = [name for name in names if name not in {*static, *defaults, "seed"}]
        if unknown:
            known = ", ".join(sorted({*static, *defaults, "seed"}))
            raise InputError(f"unknown hyperparameter {', '.join(unknown)}: known are {known}")
        domains = dict(built.domains)
        for schedule in schedules:
            domains |= schedule.domains
        for name, value in defaults.items():
            for i in members:
                _check_number(name, lanes[i].get(name, value), domains.get(name, REAL))
        groups.append(of(built, lanes, members, defaults))
    return groups


def of(
    method: Method, lanes: Sequence[Setting], members: Sequence[int], defaults: Mapping[str, float]
) -> Group:
    """Returns the group of some lanes of a sweep.

    Args:
      method: theirs.
      lanes: the sweep.
      members: which of it.
      defaults: of all traced hyperparameters.
    """
    rows = [lanes[i] for i in members]
    return Group(
        method=method,
        index=np.array(members),
        seed=np.array([int(row["seed"]) for row in rows]),
        hparams={
            name: np.array([float(row.get(name, value)) for row in rows])
            for name, value in defaults.items()
        },
    )


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


def _check_seed(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise InputError(f"seed must be a whole number from 0, got {value!r}")
    if value >= 2**31:
        raise InputError(f"seed must be below 2^31, got {value}")


def _check_number(name: str, value: Any, domain: Domain) -> None:
    """Raises InputError for what is no number, or none of a domain as it is computed with."""
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not abs(value) <= sys.float_info.max:
        raise InputError(f"{name} must be a finite number, got {value!r}")
    with np.errstate(over="ignore", under="ignore"):
        used = float(np.asarray(value, jnp.result_type(float)))
    if used not in domain:
        given = repr(float(value)).removesuffix(".0")
        rounded = f", {used:g} in single precision" if float(value) in domain else ""
        raise InputError(f"{name} is {given}{rounded}: use {domain}")
