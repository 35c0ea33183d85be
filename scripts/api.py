"""Makes docs/api.md: the public names by module, each with the first line of its docstring.

    python scripts/api.py
    python scripts/api.py --check

--check writes nothing, and fails where the page differs or a function or a class says nothing of
itself.
"""

import argparse
import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "api.md"
MODULES = (
    *("core", "data", "data.sources.densities", "data.sources.photos"),
    *("colour", "corruptions", "nets"),
    *("probability.bernoulli", "probability.gaussian", "probability.priors"),
    *("probability.sampling", "losses", "losses.adversarial"),
    *("methods", "methods.parts.observations"),
    *("methods.parts.penalties", "methods.parts.bottlenecks", "methods.parts.discrepancies"),
    "methods.parts.quantisers",
    *("methods.learners.objective", "methods.learners.game"),
    *("methods.adversarial.regularisers", "methods.adversarial.conditions"),
    *("methods.boltzmann", "methods.boltzmann.general", "training", "testing"),
    *(
        "recipes.greedy",
        "recipes.growing",
        "estimators",
        "metrics",
        "inversion",
        "inversion.fills",
        "plots",
        "cli",
        "experiment",
    ),
)


def public(module: ModuleType) -> dict[str, Any]:
    """Returns a module's public names: its `__all__`, or else what it defines itself."""
    if hasattr(module, "__all__"):
        return {name: getattr(module, name) for name in module.__all__}
    inside = f"{module.__name__}."  # a package has its modules' as well
    return {
        name: found
        for name, found in vars(module).items()
        if not name.startswith("_")
        and callable(found)
        and f"{found.__module__}.".startswith(inside)
    }


def line_of(found: Any) -> str:
    """Returns the first line of a docstring; nothing where there is none of its own."""
    text = found.__doc__ if callable(found) or inspect.ismodule(found) else None
    line = (text or "").strip().partition("\n")[0]
    # what a NamedTuple is given where it has none
    return "" if line.startswith(f"{getattr(found, '__name__', '')}(") else line


def silent(module: ModuleType) -> list[str]:
    """Returns the functions and classes of a module that say nothing of themselves."""
    return [
        f"{module.__name__}.{name} has no docstring"
        for name, found in public(module).items()
        if (inspect.isfunction(found) or inspect.isclass(found)) and not line_of(found)
    ]


def section(module: ModuleType) -> str:
    """Returns what the page says of a module."""
    lines = [f"## {module.__name__}", "", line_of(module), "", "| name | |", "|---|---|"]
    for name, found in sorted(public(module).items(), key=lambda item: item[0].lower()):
        text = line_of(found).replace("|", "\\|")
        lines.append(f"| `{name}` | {text} |")
    return "\n".join(lines)


def page(modules: Sequence[ModuleType]) -> str:
    """Returns the whole page."""
    start = "# Names by module\n\nMade by `python scripts/api.py` from the docstrings."
    return "\n\n".join([start, *(section(module) for module in modules)]) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the page, or checks it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, fail on differences")
    check = parser.parse_args(arguments).check
    modules = [importlib.import_module(f"ae_jax.{name}") for name in MODULES]
    faults = [fault for module in modules for fault in silent(module)]
    text = page(modules)
    if not check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        faults.append("docs/api.md differs from the docstrings; run python scripts/api.py")
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
