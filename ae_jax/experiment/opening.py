"""Opening an experiment's run again: in a notebook, or a script that trains nothing."""

import dataclasses
import functools
import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

from ae_jax import training
from ae_jax.core import InputError
from ae_jax.experiment.config import Config
from ae_jax.training import Model, manifest
from ae_jax.training import directory as run_directory

#: Where scripts are looked for: here, and beside the package in a checkout.
SCRIPTS = (Path("experiments"), Path(__file__).parents[2] / "experiments")


def open(
    directory: str | Path, *, best: bool = False, script: str | Path | None = None
) -> list[Model]:
    """Returns the lanes of a run that a script of `experiments/` trained, ready to be used.

    Nothing is trained or changed, and no data are needed.

    Args:
      directory: the run's; of an experiment that trains more than once, that of one training.
      best: whether models have their best states, where those were kept.
      script: which trained it; by default the one that the run names.

    Returns:
      A `training.Model` for each lane that has a checkpoint, in their order.

    Raises:
      InputError: if there is no such run or script, the script does not build the run's method
        with a function `build(config, spec, ...)`, or as `training.load`.
    """
    directory = Path(directory)
    stored = run_directory.read(directory)
    path = _script(directory, stored.get("experiment")) if script is None else Path(script)
    module = _imported(path)
    build, kind = (getattr(module, name, None) for name in ("build", "Config"))
    if None in (build, kind) or "spec" not in inspect.signature(build).parameters:
        raise InputError(
            f"{path} has no function build(config, spec, ...) of a Config: load {directory} "
            "by training.load with the method that it was given"
        )
    config = _config(path, kind, stored["config"])
    batch = manifest.read(directory).batch
    spec = {name: jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for name, x in batch.items()}
    result = training.load(directory, functools.partial(build, config, spec))
    return [training.model(result, lane, best) for lane in training.own_lanes(result)]


def _script(directory: Path, name: str | None) -> Path:
    """The script that a run names."""
    if name is None:
        raise InputError(f"{directory} is of no experiment: load it by training.load")
    if not str(name).isidentifier():
        raise InputError(run_directory.damaged(directory))
    for folder in SCRIPTS:
        if (path := folder / f"{name}.py").exists():
            return path
    raise InputError(
        f"{directory} is of the experiment {name}: say where its script is, as script="
    )


def _imported(path: Path) -> ModuleType:
    if not path.is_file() or path.suffix != ".py":
        raise InputError(f"there is no script {path}")
    found = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def _config(path: Path, kind: type[Config], stored: Mapping[str, Any]) -> Config:
    """The configuration of which `config.json` has what identifies it."""
    unknown = sorted(stored.keys() - {field.name for field in dataclasses.fields(kind)})
    if unknown:
        raise InputError(f"{path} has no option {unknown[0]}: open the run with its own script")
    values = {name: tuple(x) if isinstance(x, list) else x for name, x in stored.items()}
    return kind(**values)
