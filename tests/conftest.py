"""Strict tests: two devices, no silent promotion of dtype or rank, the same examples every time."""

import collections
import contextlib
import functools
import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable

# Most of the tests' time is compilation. What one compiles is there for the others, in all
# workers and in the processes that tests start; every session begins with none.
if "AE_JAX_TEST_SESSION" not in os.environ:
    # There is a worker for each core: threads of their libraries would wait for each other.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    _compiled = tempfile.TemporaryDirectory(prefix="ae_jax_tests_", ignore_cleanup_errors=True)
    os.environ["AE_JAX_TEST_SESSION"] = os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    # No operation says where it was written: a fourteenth of the time goes into that.
    os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"
    # What is tested is small: optimizing it takes longer than it saves. XLA ends a process that
    # gives it a flag which it does not know (any more), so another one tries them.
    _flags = [
        "--xla_backend_optimization_level=0",
        "--xla_cpu_parallel_codegen_split_count=1",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_llvm_disable_expensive_passes=true",
    ]
    _given = os.environ.get("XLA_FLAGS", "")
    while _flags:
        _tried = {**os.environ, "XLA_FLAGS": " ".join([_given, *_flags])}
        _found = subprocess.run(
            [sys.executable, "-c", "import jax; jax.devices()"],
            env=_tried,
            capture_output=True,
            text=True,
        )
        if _found.returncode == 0:
            os.environ["XLA_FLAGS"] = _tried["XLA_FLAGS"]
            break
        _known = [flag for flag in _flags if flag not in _found.stderr]
        _flags = _known if len(_known) < len(_flags) else []

import hypothesis
import jax
import optax
import pytest

# Before the first computation, which fixes the backend. It sets the number of CPU devices only:
# JAX_PLATFORMS still chooses where the tests run.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def _with_standard_promotion(function: Callable) -> Callable:
    @functools.wraps(function)
    def relaxed(*args, **kwargs):
        with jax.numpy_dtype_promotion("standard"):
            return function(*args, **kwargs)

    return relaxed


# Adam's bias correction raises a float to the power of an integer count. Everything else, the
# rest of optax's update included, stays strict.
optax.tree.bias_correction = _with_standard_promotion(optax.tree.bias_correction)

# No deadline and no check of the time an example takes: the first one compiles.
hypothesis.settings.register_profile(
    "ae_jax",
    database=None,
    deadline=None,
    derandomize=True,
    max_examples=10,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("ae_jax")

# JAX makes a context of MLIR's for every program that it lowers: half of what a small one takes,
# and memory. Programs of a module of tests share one, as long as JAX has it where it is now; what
# is lowered in the midst of another has its own, or it would be put into that.
_forget_context = lambda: None  # noqa: E731
with contextlib.suppress(ImportError, AttributeError):
    from jax._src.interpreters import mlir

    _new_context = mlir.make_ir_context
    _shared_context = functools.cache(_new_context)
    _forget_context = _shared_context.cache_clear

    def _context():
        with contextlib.suppress(ValueError):  # which some versions raise where there is none
            if mlir.ir.Context.current is not None:
                return _new_context()
        return _shared_context()

    mlir.make_ir_context = _context


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run what is marked full as well")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config, items):
    # What a file's tests share is made once: they run in one process, where none says otherwise.
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.location[0]))
    if not config.getoption("--full"):
        rare = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=rare)
        items[:] = [item for item in items if not item.get_closest_marker("full")]

    # What takes longest begins first, or the last minutes belong to one worker: groups of several
    # files, then those of most tests.
    def group(item):
        return item.get_closest_marker("xdist_group").args[0]

    sizes = collections.Counter(map(group, items))
    items.sort(key=lambda item: (group(item).endswith(".py"), -sizes[group(item)], group(item)))


def pytest_collection_finish():
    # Tracing makes so many objects that the collector would go over all modules again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="module", autouse=True)
def _forget_compilations():
    """Thousands of small programs would take a process's memory and memory maps."""
    yield
    jax.clear_caches()
    _forget_context()
    gc.collect()


@pytest.fixture
def x64():
    """Runs the test with 64-bit types enabled."""
    with jax.enable_x64(True):
        yield
