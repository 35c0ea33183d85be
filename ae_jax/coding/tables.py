"""Whole numbers as bytes, by a range coder whose frequencies are whole numbers themselves.

Frequencies are counted once and kept: who decodes computes no density, whose last bits may differ
from machine to machine, where one wrong symbol spoils all that follow.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ae_jax.core import Domain, InputError, require

#: A symbol lies nearer to 0, so that what is beyond a table has a length that the coder knows.
LIMIT = 2**22
#: So many symbols a table has at most: the coder's probabilities have 24 bits.
SPAN = 2**16


class Table(NamedTuple):
    """The frequencies of one latent's values.

    Attributes:
      low: the least value that was seen.
      counts: int [S + 2], each 1 or more: of all values below, of low, low + 1, ..., and of all
        values above.
    """

    low: int
    counts: np.ndarray


def counted(codes: np.ndarray) -> tuple[Table, ...]:
    """Returns tables of what was seen, where each value counts as seen half a time more.

    Args:
      codes: int [N, Z], such as the codes of training images.

    Returns:
      Z tables.

    Raises:
      InputError: if there are none, they are no whole numbers, or a latent's span more than a
        table holds.

    Reference:
      Krichevsky and Trofimov (1981), The performance of universal encoding.
    """
    codes = _whole(codes)
    if not codes.size:
        raise InputError(f"codes must be [N, Z] and not empty, got {list(codes.shape)}")
    lows, highs = codes.min(axis=0), codes.max(axis=0)
    if (widest := int(np.max(highs - lows))) >= SPAN:
        raise InputError(f"a latent's codes span {widest}: use less than {SPAN}, by wider steps")
    return tuple(
        Table(int(low), np.pad(2 * np.bincount(column - low), 1) + 1)
        for low, column in zip(lows, codes.T, strict=True)
    )


def encode(tables: Sequence[Table], codes: np.ndarray) -> bytes:
    """Returns codes as bytes, of four at a time, one latent after the other.

    A value that its table has not got is written as such, and how far beyond it lies by its number
    of binary digits, in five bits, and all of them but the first: rare, where tables were counted
    on data that are alike.

    Args:
      tables: of Z latents.
      codes: int [N, Z].

    Raises:
      InputError: if the codes are no whole numbers below `LIMIT`, or of another Z; without the
        package constriction.

    Reference:
      Bamler (2022), Understanding Entropy Coding With Asymmetric Numeral Systems (constriction).
    """
    codes, stream = _fitting(tables, codes), _stream()
    coder = stream.queue.RangeEncoder()
    for table, column in zip(tables, codes.T, strict=True):
        symbols = _symbols(table, column)
        coder.encode(symbols.astype(np.int32), _model(stream, table))
        beyond = _beyond(table, column, symbols)
        lengths = _lengths(beyond)
        coder.encode(lengths, stream.model.Uniform(32))
        long = lengths > 1
        halves = 2 ** (lengths[long] - 1)
        rest = (beyond[long] - halves).astype(np.int32)
        coder.encode(rest, stream.model.Uniform(), halves.astype(np.int32))
    return coder.get_compressed().astype("<u4").tobytes()


def decode(tables: Sequence[Table], payload: bytes, count: int) -> np.ndarray:
    """Returns the codes int [N, Z] of what `encode` made of them.

    Bytes that it did not make give other codes, and no error: what is kept in a file needs a
    checksum.

    Args:
      tables: the same.
      payload: what `encode` returned.
      count: N.

    Raises:
      InputError: if the bytes cannot be its own, or there are no tables; without the
        package constriction.
    """
    require(Domain(0, whole=True), count=count)
    if not tables:
        raise InputError("there are no tables, by which codes are read")
    if len(payload) % 4:
        raise InputError(f"a payload of {len(payload)} bytes was cut: it has four at a time")
    stream = _stream()
    coder = stream.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32))
    columns = []
    for table in tables:
        symbols = coder.decode(_model(stream, table), count).astype(np.int64)
        last = len(table.counts) - 1
        outside = (symbols == 0) | (symbols == last)
        lengths = coder.decode(stream.model.Uniform(32), int(outside.sum())).astype(np.int64)
        beyond = np.ones_like(lengths)
        long = lengths > 1
        halves = 2 ** np.minimum(lengths[long] - 1, 23)
        beyond[long] = halves + coder.decode(stream.model.Uniform(), halves.astype(np.int32))
        column = table.low + symbols - 1
        column[outside] += np.where(symbols[outside] == 0, 1 - beyond, beyond - 1)
        columns.append(column)
    return np.stack(columns, axis=1)


def ideal_bits(tables: Sequence[Table], codes: np.ndarray) -> float:
    """Returns what codes cost by their tables' probabilities: what `encode` comes to but for ends.

    Args:
      tables: of Z latents.
      codes: int [N, Z].

    Raises:
      InputError: as `encode`.
    """
    codes = _fitting(tables, codes)
    bits = 0.0
    for table, column in zip(tables, codes.T, strict=True):
        symbols = _symbols(table, column)
        bits -= float(np.sum(np.log2(table.counts[symbols] / table.counts.sum())))
        bits += float(np.sum(5 + _lengths(_beyond(table, column, symbols)) - 1))
    return bits


def _symbols(table: Table, column: np.ndarray) -> np.ndarray:
    return np.clip(column - table.low + 1, 0, len(table.counts) - 1)


def _beyond(table: Table, column: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """How far the values lie beyond the table that it has not got, 1 or more."""
    high = table.low + len(table.counts) - 3
    below, above = column[symbols == 0], column[symbols == len(table.counts) - 1]
    beyond = np.zeros_like(column)
    beyond[symbols == 0], beyond[symbols == len(table.counts) - 1] = table.low - below, above - high
    return beyond[beyond > 0]


def _lengths(beyond: np.ndarray) -> np.ndarray:
    """How many binary digits numbers have, 1 or more."""
    return np.frexp(beyond.astype(np.float64))[1].astype(np.int32)


def _model(stream: Any, table: Table) -> Any:
    return stream.model.Categorical(table.counts / table.counts.sum(), perfect=False)


def _fitting(tables: Sequence[Table], codes: np.ndarray) -> np.ndarray:
    codes = _whole(codes)
    if codes.shape[1] != len(tables):
        raise InputError(f"codes of {codes.shape[1]} latents do not fit {len(tables)} tables")
    if codes.size and np.max(np.abs(codes)) >= LIMIT:
        raise InputError(f"a code is {int(np.max(np.abs(codes)))}: use less than {LIMIT}")
    return codes


def _whole(codes: np.ndarray) -> np.ndarray:
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu" or codes.ndim != 2:
        raise InputError(
            f"codes must be whole numbers [N, Z], got {codes.dtype} {list(codes.shape)}: round them"
        )
    return codes.astype(np.int64)


def _stream() -> Any:
    try:
        from constriction import stream
    except ImportError:
        raise InputError(
            "the range coder needs constriction: pip install 'ae-jax[compression]'"
        ) from None
    return stream
