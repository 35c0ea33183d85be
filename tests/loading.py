"""Scripts of experiments/ as modules, which tests look into."""

import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@functools.cache
def script(name: str) -> ModuleType:
    """Runs an experiment's script as a module of its own, without what it does as a command."""
    spec = importlib.util.spec_from_file_location(f"{name}_experiment", EXPERIMENTS / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
