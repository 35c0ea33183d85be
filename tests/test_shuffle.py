import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ae_jax import shuffle
from ae_jax.core import InputError
from ae_jax.shuffle import _bases
from tests.marks import rare

index_shuffle = jax.jit(shuffle.index_shuffle, static_argnums=2)
LARGEST = 2**31 - 1
PINNED = [464713, 493019, 341603, 78296, 392425, 430901]
KEYS = 4_000


def permutation(seed, size):
    return np.asarray(index_shuffle(jax.random.key(seed), jnp.arange(size), size))


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**31 - 1))
def test_is_a_bijection(size, seed):
    np.testing.assert_array_equal(np.sort(permutation(seed, size)), np.arange(size))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 1197, 60_000, 737_280])
def test_is_a_bijection_at_chosen_sizes(size):
    np.testing.assert_array_equal(np.sort(permutation(0, size)), np.arange(size))


@settings(max_examples=500, deadline=None)
@given(size=st.integers(2, LARGEST))
def test_bases_cover_the_size_within_16_bits(size):
    a, b = _bases(size)
    assert size <= a * b < 2**32
    assert max(a, b) < 2**16
    assert size == 2 or min(a, b) >= 2


@pytest.mark.parametrize("size", [LARGEST, LARGEST - 1, 2**30 + 12345])
def test_does_not_overflow_at_the_largest_sizes(size):
    indices = jnp.concatenate([jnp.arange(500), size - 1 - jnp.arange(500)])
    image = np.asarray(index_shuffle(jax.random.key(3), indices, size))
    assert image.dtype == np.int32
    assert len(np.unique(image)) == 1000
    assert image.min() >= 0
    assert image.max() < size
    # Uniform over the whole range, not over a part of it: 1000 draws, 10 bins.
    assert stats.chisquare(np.histogram(image, 10, (0, size))[0]).pvalue > 1e-4


def test_keys_give_different_permutations():
    keys = jax.random.split(jax.random.key(0), 100)
    rows = jax.vmap(lambda key: index_shuffle(key, jnp.arange(50), 50))(keys)
    assert len(np.unique(rows, axis=0)) == 100


@pytest.mark.parametrize("size", [3, 10, 16, *map(rare, (2, 5, 6, 7, 13, 30, 60))])
def test_positions_and_pairs_are_uniform(size):
    """Chi-square of P(i -> j), and of P(i -> k, j -> l) for neighbours, over many keys."""
    keys = jax.random.split(jax.random.key(7), KEYS)
    rows = np.asarray(jax.vmap(lambda key: index_shuffle(key, jnp.arange(size), size))(keys))
    counts = np.stack([np.bincount(rows[:, i], minlength=size) for i in range(size)])
    statistic = ((counts - KEYS / size) ** 2).sum() / (KEYS / size)
    # Rows and columns of the table of counts both have fixed sums.
    assert stats.chi2.sf(statistic, (size - 1) ** 2) > 1e-3
    if size <= 16:
        for i, j in [(0, 1), (0, size - 1)]:
            pairs = np.bincount(rows[:, i] * size + rows[:, j], minlength=size**2)
            pairs = pairs.reshape(size, size)[~np.eye(size, dtype=bool)]
            assert stats.chisquare(pairs).pvalue > 1e-3


def test_jit_and_vmap_change_nothing():
    size, keys = 997, jax.random.split(jax.random.key(1), 3)
    indices = jnp.arange(12).reshape(3, 4)
    plain = functools.partial(shuffle.index_shuffle, size=size)
    alone = [[int(plain(key, index)) for index in indices[0]] for key in keys]
    by_row = [plain(key, indices[0]) for key in keys]
    lanes = jax.jit(jax.vmap(jax.vmap(plain, (None, 0)), (0, None)))(keys, indices)
    np.testing.assert_array_equal(by_row, alone)
    np.testing.assert_array_equal(lanes[:, 0], alone)


def test_indices_are_taken_modulo_size():
    key = jax.random.key(0)
    expected = index_shuffle(key, jnp.array([9, 0, 3]), 10)
    np.testing.assert_array_equal(index_shuffle(key, jnp.array([-1, 10, 23]), 10), expected)


def test_values_never_change_between_versions():
    # The splits of rendered data are made with it.
    key = jax.random.key(0, impl="threefry2x32")
    np.testing.assert_array_equal(index_shuffle(key, jnp.arange(6), 737_280), PINNED)


@pytest.mark.parametrize("size", [0, -1, 2**31])
def test_size_out_of_range_is_refused(size):
    with pytest.raises(InputError, match="size must be"):
        index_shuffle(jax.random.key(0), jnp.arange(2), size)
