"""The range coder: what it writes, what that costs, and that it reads it again."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ae_jax import coding
from ae_jax.coding.tables import LIMIT, Table
from ae_jax.core import InputError

RNG = np.random.default_rng(0)
SPREAD = np.array([0.0, 0.2, 3.0, 40.0])
CODES = np.rint(RNG.laplace(size=(4000, 4)) * SPREAD).astype(int)
TRAIN, TEST = CODES[:3000], CODES[3000:]


def test_frequencies_are_counts_and_a_half_of_each():
    codes = np.array([[2, -1], [2, 3], [4, -1]])
    first, second = coding.counted(codes)
    assert (first.low, second.low) == (2, -1)
    np.testing.assert_array_equal(first.counts, [1, 5, 1, 3, 1])
    np.testing.assert_array_equal(second.counts, [1, 5, 1, 1, 1, 3, 1])


def test_the_bits_are_those_of_the_entropy():
    tables = coding.counted(TRAIN)
    ideal = coding.ideal_bits(tables, TEST)
    coded = 8 * len(coding.encode(tables, TEST))
    assert ideal <= coded <= 1.01 * ideal + 32
    # of independent symbols that the tables have, -sum log2 p
    inside = np.clip(TEST, TRAIN.min(axis=0), TRAIN.max(axis=0))
    expected = 0.0
    for column, seen in zip(inside.T, TRAIN.T, strict=True):
        span = seen.max() - seen.min() + 1
        for value, times in zip(*np.unique(column, return_counts=True), strict=True):
            share = (2 * np.sum(seen == value) + 1) / (2 * len(seen) + span + 2)
            expected -= times * np.log2(share)
    np.testing.assert_allclose(coding.ideal_bits(tables, inside), expected, rtol=1e-12)


def test_what_no_table_has_costs_its_distance():
    tables = coding.counted(np.array([[0, 5], [1, 5]]))
    codes = np.array([[-1, 5], [2, 5], [1001, 5], [-7, 4]])
    # 0 and 1 were seen once each: 1 below, 3, 3, 1 above, of 8; and 1, 5, 1 of 7
    shares = [1 / 8, 1 / 8, 1 / 8, 1 / 8, 5 / 7, 5 / 7, 5 / 7, 1 / 7]
    distances = [1, 1, 1000, 7, 1]
    bits = -np.log2(shares).sum() + sum(5 + int(d).bit_length() - 1 for d in distances)
    np.testing.assert_allclose(coding.ideal_bits(tables, codes), bits, rtol=1e-12)
    payload = coding.encode(tables, codes)
    assert 8 * len(payload) <= bits + 64
    np.testing.assert_array_equal(coding.decode(tables, payload, 4), codes)


SEEN = arrays.arrays(
    np.int64, st.tuples(st.integers(1, 6), st.just(3)), elements=st.integers(-9, 9)
)
WRITTEN = arrays.arrays(
    np.int64,
    st.tuples(st.integers(0, 20), st.just(3)),
    elements=st.integers(-12, 12) | st.integers(1 - LIMIT, LIMIT - 1),
)


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(SEEN, WRITTEN)
def test_what_was_encoded_is_decoded(seen, written):
    tables = coding.counted(seen)
    payload = coding.encode(tables, written)
    np.testing.assert_array_equal(coding.decode(tables, payload, len(written)), written)
    assert 8 * len(payload) <= 1.01 * coding.ideal_bits(tables, written) + 64


def test_the_same_codes_are_the_same_bytes():
    """These were written once: who changes them cannot read what others have kept."""
    tables = [Table(-1, np.array([1, 3, 7, 3, 1])), Table(4, np.array([1, 9, 1]))]
    payload = coding.encode(tables, np.array([[0, 4], [-1, 4], [5, 4], [1, 3]]))
    assert payload.hex() == "c9e7ba63"


def test_other_bytes_are_other_codes_and_no_error():
    tables = coding.counted(TRAIN)
    payload = coding.encode(tables, TEST)
    for wrong in (payload[:8], RNG.bytes(len(payload)), b""):
        found = coding.decode(tables, wrong, len(TEST))
        assert found.shape == TEST.shape
        assert (found != TEST).any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: coding.counted(np.zeros((0, 2), int)), "not empty, got"),
        (lambda: coding.counted(np.zeros((2, 2))), "whole numbers .*float64 .* round them"),
        (lambda: coding.counted(np.zeros(3, int)), r"whole numbers \[N, Z\]"),
        (lambda: coding.counted(np.array([[0], [2**16]])), "span 65536: use less than 65536"),
        (lambda: coding.encode(coding.counted(TRAIN), TEST[:, :2]), "2 latents do not fit 4"),
        (lambda: coding.encode(coding.counted(TRAIN), 0 * TEST + LIMIT), "is 4194304: use less"),
        (lambda: coding.decode(coding.counted(TRAIN), b"12345", 1), "5 bytes was cut"),
    ],
)
def test_refuses(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "constriction", None)
    with pytest.raises(InputError, match=r"pip install 'ae-jax\[compression\]'"):
        coding.encode(coding.counted(TRAIN), TEST)
