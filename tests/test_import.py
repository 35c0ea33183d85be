"""What importing the package costs, and which of its parts may know of which."""

import ast
import importlib.metadata
import pathlib
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

import ae_jax

ROOT = pathlib.Path(ae_jax.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

CORE_DISTRIBUTIONS = ("jax", "flax", "optax", "orbax-checkpoint", "numpy")
# What is imported only where it is used, though it is installed.
HEAVY = {"PIL", "grain", "matplotlib", "skimage", "sklearn", "tensorflow", "tensorflow_datasets"}
HEAVY |= {"chex", "tensorboardX", "torch", "tqdm", "tyro", "wandb"}

# What each part may import. `core` imports nothing of ours and every arrow points back to it.
ARRAYS = {"core", "probability"}
BUILDING_BLOCKS = {"colour", "core", "corruptions", "losses", "nets", "probability"}
MAY_IMPORT = {
    "__init__": set(),
    "core": set(),
    "cli": {"core", "training"},
    "coding": {"core"},
    "shuffle": {"core"},
    "probability": {"core"},
    "losses": ARRAYS,
    "nets": ARRAYS,
    "colour": {"core"},
    "watermarks": {"core"},
    "corruptions": {"core", "watermarks"},
    "tiling": {"core"},
    "data": {"core", "corruptions", "shuffle", "watermarks"},
    "methods": BUILDING_BLOCKS,
    "metrics": BUILDING_BLOCKS,
    "inversion": BUILDING_BLOCKS,
    "training": {"core", "shuffle"},
    "testing": {"core", "training"},
    "plots": BUILDING_BLOCKS | {"metrics"},
    "recipes": {"core", "data", "methods", "nets", "probability", "training"},
    "estimators": {
        *("core", "data", "losses", "methods", "metrics", "nets", "recipes", "training"),
    },
    "experiment": {
        *("cli", "core", "data", "inversion", "losses", "methods", "metrics", "nets", "plots"),
        *("recipes", "tiling", "training", "coding"),
    },
}

# What each folder of a part may import of the part's own; what lies beside the folders joins them.
FAMILY = {"learners", "parts"}
WITHIN = {
    "methods": {
        "learners": set(),
        "parts": set(),
        "adversarial": FAMILY,
        "autoencoders": FAMILY,
        "boltzmann": FAMILY,
        "matching": FAMILY,
        "supervised": FAMILY,
        "variational": FAMILY,
        "wrappers": FAMILY,
    },
    "data": {
        "sources": {
            *("content", "drawn", "parts", "pixels", "rendered", "splits", "stored"),
            *("tables", "transforms"),
        },
    },
}

# Imports every module of the package, but for scikit-learn's estimators, whose classes are made of
# its own; argv: the top-level modules that are not to be had.
IMPORT_EVERYTHING = """
import importlib, pkgutil, sys

absent = set(sys.argv[1:])

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import ae_jax
for module in pkgutil.walk_packages(ae_jax.__path__, "ae_jax."):
    if not module.name.startswith("ae_jax.estimators."):
        importlib.import_module(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def closure(requirement: str, seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """The distributions that pip installs for a requirement."""
    wanted = Requirement(requirement)
    entry = canonical(wanted.name), frozenset(wanted.extras)
    if entry in seen:
        return set()
    seen.add(entry)
    needed = {entry[0]}
    for text in importlib.metadata.requires(wanted.name) or []:
        child = Requirement(text)
        extras = wanted.extras or {""}
        if child.marker is None or any(child.marker.evaluate({"extra": e}) for e in extras):
            needed |= closure(text, seen)
    return needed


def modules_outside_core() -> set[str]:
    """Top-level modules that are installed here but that the core's requirements do not bring."""
    seen = set()
    needed = {"ae-jax"}.union(*(closure(name, seen) for name in CORE_DISTRIBUTIONS))
    return {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if not needed & {canonical(owner) for owner in owners}
    } - sys.stdlib_module_names  # of which backports are found


def import_everything(*absent: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING, *absent],
        capture_output=True,
        text=True,
        cwd=ROOT.parent,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_every_module_imports_with_the_core_requirements_alone():
    absent = modules_outside_core()
    assert {
        "grain",
        "matplotlib",
        "PIL",
        "sklearn",
        "tensorflow_datasets",
        "tqdm",
        "tyro",
    } <= absent
    assert not absent & {"jax", "flax", "optax", "orbax", "numpy", "scipy"}
    import_everything(*absent)


def test_heavy_modules_are_not_imported_when_they_are_at_hand():
    loaded = import_everything()
    assert {"ae_jax", "jax"} <= loaded
    assert not loaded & HEAVY


def test_importing_the_package_imports_no_part_of_it():
    program = "import sys, ae_jax; print('jax' in sys.modules, ae_jax.losses.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT.parent, check=True
    )
    assert done.stdout.split() == ["False", "ae_jax.losses"]


def test_parts_are_reached_as_attributes():
    for name in ae_jax.__all__:
        assert name in dir(ae_jax)
        getattr(ae_jax, name)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = ae_jax.nonsense


def part_of(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported_modules(source: str, package: str) -> set[str]:
    """Full names of everything a source imports, `from a import b` as a.b."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def forbidden_imports(source: str, package: str, part: str) -> set[str]:
    allowed = MAY_IMPORT[part] | {part}
    forbidden = set()
    for name in imported_modules(source, package):
        top, _, rest = name.partition(".")
        if top in {"experiments", "scripts", "tests"} or (
            top == "ae_jax" and rest.partition(".")[0] not in allowed
        ):
            forbidden.add(name)
    return forbidden


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    package = ".".join(["ae_jax", *path.relative_to(ROOT).parent.parts])
    assert forbidden_imports(path.read_text(), package, part_of(path)) == set()


def test_folders_of_a_part_know_no_more_of_each_other_than_they_need():
    for part, allowed in WITHIN.items():
        folders = {path.name for path in (ROOT / part).iterdir() if (path / "__init__.py").exists()}
        assert folders == set(allowed)
        for folder in folders:
            for path in (ROOT / part / folder).rglob("*.py"):
                for name in imported_modules(path.read_text(), ""):
                    inside = name.split(".")[2:3] if name.startswith(f"ae_jax.{part}.") else []
                    assert set(inside) <= allowed[folder] | {folder}, f"{path}: {name}"


def test_the_allowed_imports_have_no_cycle():
    settled = set()
    while settled != set(MAY_IMPORT):
        ready = {part for part in MAY_IMPORT if MAY_IMPORT[part] <= settled}
        assert ready - settled, f"a cycle among {set(MAY_IMPORT) - settled}"
        settled |= ready


@pytest.mark.parametrize(
    ("source", "part", "forbidden"),
    [
        ("import ae_jax.training.run", "methods", {"ae_jax.training.run"}),
        ("from ae_jax import plots", "metrics", {"ae_jax.plots"}),
        (
            "from ae_jax.methods.variational.vae import vae",
            "training",
            {"ae_jax.methods.variational.vae.vae"},
        ),
        ("from ..training import run", "methods", {"ae_jax.training.run"}),
        ("def f():\n    from ae_jax import nets", "core", {"ae_jax.nets"}),
        ("import ae_jax", "training", {"ae_jax"}),
        ("from experiments import beta_vae", "plots", {"experiments.beta_vae"}),
        ("from . import learners\nfrom ..core import Array\nimport numpy", "methods", set()),
    ],
)
def test_a_forbidden_import_is_found(source, part, forbidden):
    assert forbidden_imports(source, f"ae_jax.{part}", part) == forbidden
