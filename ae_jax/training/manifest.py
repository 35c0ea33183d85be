"""What `config.json` says of a run: what makes it this run, and what opens it again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.training import directory as run_directory
from ae_jax.training.checkpoint import digest
from ae_jax.training.lanes import Group, Setting
from ae_jax.training.plan import Plan, batch_of
from ae_jax.training.schedules import numbers


class Manifest(NamedTuple):
    """What opens a run again.

    Attributes:
      lanes: the sweep.
      steps: for each lane.
      keep_best: whether best states are kept.
      batch: shapes and dtypes of a batch.
      defaults: for each group, all traced hyperparameters and their defaults.
      scheduling: the names of those that are the schedules' own.
      double: whether 64-bit types were enabled.
    """

    lanes: list[Setting]
    steps: int
    keep_best: bool
    batch: Mapping[str, jax.ShapeDtypeStruct]
    defaults: list[Mapping[str, float]]
    scheduling: list[str]
    double: bool


def describe(
    plan: Plan,
    lanes: Sequence[Setting],
    groups: Sequence[Group],
    experiment: str | None,
    config: Mapping[str, Any] | None,
    started: bool,
    written: bool,
) -> dict[str, Any]:
    """Returns what `config.json` says of a run.

    Args:
      plan: what it does.
      lanes: the sweep.
      groups: all of it, also where other processes train some.
      experiment: what it is of.
      config: what the caller says of it.
      started: whether lanes begin with what earlier runs left.
      written: whether it is written: only then what the data hold is looked at.
    """
    own = [numbers(plan.schedules, group.method.hparams) for group in groups]
    return {
        "experiment": experiment,
        "config": dict(config or {}),
        "lanes": [dict(lane) for lane in lanes],
        "run": {
            "steps": plan.steps,
            "batch_size": plan.batch_size,
            "evaluate_every": plan.evaluate_every,
            "select": plan.select,
            "keep_best": plan.keep_best,
            "monitor": plan.monitor,
            "start": started,
            "scheduling": list(own[0]),
            "defaults": [
                {**mine, **group.method.hparams} for mine, group in zip(own, groups, strict=True)
            ],
            "double": bool(jax.config.jax_enable_x64),
            "batch": {
                name: {"shape": leaf.shape, "dtype": str(leaf.dtype)}
                for name, leaf in batch_of(plan).items()
            },
            "data": _contents(plan) if written else {},
        },
    }


def read(directory: Path) -> Manifest:
    """Reads what opens a run again.

    Raises:
      InputError: as `directory.read`.
    """
    stored = run_directory.read(directory)
    if stored.get("run", stored) is None:
        raise InputError(f"nothing was trained in {directory}: there is nothing to load")
    try:
        run = stored["run"]
        lanes = [{name: _hashable(lane[name]) for name in lane} for lane in stored["lanes"]]
        lanes[0]  # there is one
        return Manifest(
            lanes=lanes,
            steps=run["steps"],
            keep_best=run["keep_best"],
            batch={
                name: jax.ShapeDtypeStruct(tuple(leaf["shape"]), jnp.dtype(leaf["dtype"]))
                for name, leaf in run["batch"].items()
            },
            defaults=[dict(group) for group in run["defaults"]],
            scheduling=list(run["scheduling"]),
            double=run["double"],
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise InputError(run_directory.damaged(directory)) from None


def _hashable(value: Any) -> Any:
    """A lane's value as it was: JSON knows no tuples."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def group_folder(directory: Path, groups: Sequence[Group], some: Group) -> Path:
    """Returns where the checkpoints of a group are kept, of which there are some lanes."""
    number = next(i for i, group in enumerate(groups) if some.index[0] in group.index)
    return directory / "checkpoints" / f"group-{number:03d}"


#: Of data that nobody named, at most about so many bytes are looked at, in even steps.
_HASHED_BYTES = 2**28


def _contents(plan: Plan) -> dict[str, str | None]:
    """Names what the data sets hold."""

    def named(dataset: Dataset | None) -> str | None:
        if dataset is None:
            return None
        if dataset.digest:
            return dataset.digest[:16]
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(dataset.arrays)]
        seen = [leaf[:: max(1, leaf.nbytes // _HASHED_BYTES)] for leaf in leaves]
        return f"{dataset.size} {digest(seen)[:16]}"

    sets = {"train": plan.dataset, "validation": plan.validation, "test": plan.test}
    return {name: named(dataset) for name, dataset in sets.items()}
