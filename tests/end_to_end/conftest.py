"""An environment for the processes that the tests start."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def environment():
    """As the tests' own, so that the processes share what they compile."""
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root, "JAX_PLATFORMS": "cpu"}
