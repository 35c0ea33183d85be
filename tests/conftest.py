"""Strict tests: two devices, no silent promotion of dtype or rank, the same examples every time."""

import hypothesis
import jax
import pytest

# Before the first computation, which fixes the backend. It sets the number of CPU devices only:
# JAX_PLATFORMS still chooses where the tests run.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile(
    "ae_jax", deadline=None, derandomize=True, database=None, max_examples=25
)
hypothesis.settings.load_profile("ae_jax")


@pytest.fixture
def x64():
    """Runs the test with 64-bit types enabled."""
    with jax.enable_x64(True):
        yield
