"""An environment for the processes that the tests start."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The processes of a module share what they compile.

    With no one else: JAX writes a compilation in place, and some of them are killed.
    """
    return {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
