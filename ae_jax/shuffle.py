"""Shuffling by index: a random permutation evaluated where it is needed, never stored."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from ae_jax.core import InputError


def index_shuffle(key: jax.Array, indices: jax.Array, size: int) -> jax.Array:
    """Maps indices through a pseudorandom permutation of range(size).

    The permutation is a generalized Feistel network: an index is a pair (left, right) of
    digits to the bases a and b, with a * b >= size, and each round adds a keyed hash of one
    digit to the other. The few results outside range(size) are mapped again until they fall
    inside (cycle walking), so the cost per index depends neither on size nor on memory.
    It is statistically, not cryptographically, random.

    Args:
      key: a jax PRNG key; each key gives another permutation.
      indices: int [...], taken modulo size.
      size: the number of elements permuted, a Python int from 1 to 2**31 - 1.

    Returns:
      Int [...], of the dtype of `indices`: distinct for distinct indices of range(size).

    Raises:
      InputError: size is out of range.

    Reference:
      Black & Rogaway (2002), "Ciphers with arbitrary finite domains", sections 3 and 5.
    """
    if not 1 <= size < 2**31:
        raise InputError(f"size must be from 1 to 2**31 - 1, got {size}")
    indices = jnp.asarray(indices)
    if size == 1:
        return jnp.zeros_like(indices)
    bases = _bases(size)
    round_keys = jax.random.bits(key, (_rounds(bases),), jnp.uint32)
    index = jnp.mod(indices, jnp.asarray(size, indices.dtype)).astype(jnp.uint32)

    def walk(carry):
        index, outside = carry
        index = jnp.where(outside, _permute(round_keys, index, bases), index)
        return index, index >= jnp.uint32(size)

    # A walk starts inside and follows a cycle of the larger permutation: it ends. Where a * b is
    # the size it ends at once, but the loop stays: without it the compiler would put the rounds
    # into whatever reads the data, and LLVM's vectorizer (jax 0.12) may never be done with that.
    first = (index, jnp.full_like(index, True, bool))
    index, _ = lax.while_loop(lambda carry: jnp.any(carry[1]), walk, first)
    return index.astype(indices.dtype)


def _bases(size: int) -> tuple[int, int]:
    """Factors a <= b < 2**16 near sqrt(size) whose product exceeds size the least."""
    root = math.isqrt(size - 1) + 1
    candidates = range(max(2 * root // 3, -(-size // 0xFFFF), min(root, 2)), root + 1)
    a = min(candidates, key=lambda a: (a * -(-size // a), -a))
    return a, -(-size // a)


def _rounds(bases: tuple[int, int]) -> int:
    """An even number, at least 6.

    Two indices that share a digit keep their difference through the round that changes the
    other one; they part with probability 1 - 1 / base. So with random round functions the
    error of a pair's distribution falls as (1 / smaller base)**(rounds / 2): here below 1e-4.
    """
    return 2 * max(3, math.ceil(math.log(1e4) / math.log(max(2, min(bases)))))


def _permute(round_keys: jax.Array, index: jax.Array, bases: tuple[int, int]) -> jax.Array:
    a, b = (jnp.uint32(base) for base in bases)
    left, right = index // b, index % b
    for i in range(0, round_keys.shape[0], 2):
        left = _add(left, _hash(round_keys[i], right), a)
        right = _add(right, _hash(round_keys[i + 1], left), b)
    return left * b + right


def _add(digit: jax.Array, hashed: jax.Array, base: jax.Array) -> jax.Array:
    """digit + floor(hashed * base / 2**32) modulo base, within 32 bits for base < 2**16."""
    high, low = hashed >> 16, hashed & jnp.uint32(0xFFFF)
    total = digit + ((high * base + ((low * base) >> 16)) >> 16)
    return jnp.where(total >= base, total - base, total)


def _hash(round_key: jax.Array, digit: jax.Array) -> jax.Array:
    """Mixes 32 bits: multiplications and xor-shifts, each invertible."""
    mixed = digit * jnp.uint32(0x9E3779B1) + round_key
    mixed = (mixed ^ (mixed >> 16)) * jnp.uint32(0x7FEB352D)
    mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(0x846CA68B)
    return mixed ^ (mixed >> 16)
