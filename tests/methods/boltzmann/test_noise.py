import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ae_jax.methods.boltzmann.noise import uniforms

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_uniform_numbers_are_uniform_and_unrelated(impl, dtype):
    key = jax.random.key(0, impl=impl)
    first, second = jax.jit(lambda key: uniforms(key, dtype, (301, 99), (30_001,)))(key)
    assert first.shape == (301, 99)
    assert first.dtype == second.dtype == dtype
    every = np.concatenate([np.ravel(first), second]).astype(float)
    assert every.min() > 0
    assert every.max() < 1
    assert stats.kstest(every, "uniform").pvalue > 0.01
    # odd multiples of half of the last digit
    np.testing.assert_array_equal(every * 2.0 ** (24 if dtype == jnp.float32 else 33) % 2, 1)
    low = every * 2.0**8 % 1  # further digits
    assert stats.kstest(low, "uniform").pvalue > 0.01
    half = len(every) // 2  # the two words of a call
    for shift in (1, half, half + 1):
        assert abs(np.corrcoef(every, np.roll(every, shift))[0, 1]) < 4 / np.sqrt(len(every))
    (again,) = uniforms(jax.random.key(1, impl=impl), dtype, (99,))
    assert not np.any(np.asarray(again) == np.asarray(first)[0])
