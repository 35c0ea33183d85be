import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ae_jax.methods.boltzmann import noise
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


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize(("word", "end"), [(0, 0.0), (2**32 - 1, 1.0)])
def test_the_ends_are_never_reached(monkeypatch, dtype, word, end):
    """Their quantiles are infinite."""
    words = jnp.full(4, word, jnp.uint32)
    monkeypatch.setattr(noise, "threefry_2x32", lambda key, counts: words)
    (found,) = uniforms(jax.random.key(0), dtype, (4,))
    least = 2.0 ** (-24 if dtype == jnp.float32 else -33)
    np.testing.assert_array_equal(found, np.full(4, abs(end - least), dtype))
