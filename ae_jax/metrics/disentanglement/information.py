"""How much latents know about factors, by counting how often their bins and values meet."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array
from ae_jax.metrics.disentanglement._checks import coded, gap, mean_over

#: Examples whose one-hot codes are in memory at a time.
CHUNK = 2000


def mutual_information(
    latents: Array,
    factors: Array,
    bins: int = 20,
    factor_sizes: Sequence[int] | None = None,
) -> tuple[Array, Array]:
    """Mutual information of every binned latent with every factor, by counting.

    By chance alone it is about (bins - 1) (values - 1) / (2 N) nats: 0.04 for 20 bins, 40 values
    and 10,000 examples.

    Args:
      latents: [N, Z]; each is cut into `bins` bins of equal width over its range.
      factors: int [N, K].
      bins: static.
      factor_sizes: how many values each factor has, 0 to size - 1; static. Needed where
        `factors` is traced; otherwise any integers will do.

    Returns:
      The mutual information [Z, K] and the factors' entropies [K] in the sample, nats. Both
      are exactly 0 where a latent or a factor is constant. NaN where a latent's range is not
      finite, or a traced factor beyond its size.

    Raises:
      InputError: if the shapes, the bins or the factors' values do not fit.
    """
    return _mutual_information(*coded(latents, factors, factor_sizes, bins), bins, CHUNK)


def mig(
    latents: Array,
    factors: Array,
    bins: int = 20,
    factor_sizes: Sequence[int] | None = None,
) -> Array:
    """Mutual information gap.

    For each factor, how much more the latent that knows most about it knows than the next,
    as a fraction of the factor's entropy; the mean over factors. Of draws from a posterior it is
    lower than of its means, as noise takes information away: say which were measured.

    Args:
      latents: [N, Z], such as posterior means, or a draw from each posterior.
      factors: int [N, K].
      bins: of equal width over a latent's range, per latent; static.
      factor_sizes: how many values each factor has, 0 to size - 1; static. Needed where
        `factors` is traced; otherwise any integers will do.

    Returns:
      A scalar in [0, 1]. Factors with one value in the sample are left out (0 if none is
      left); a single latent's gap is to 0. NaN if a latent is not finite, or a traced factor
      beyond its size.

    Raises:
      InputError: if the shapes, the bins or the factors' values do not fit.

    Reference:
      Chen et al., 2018, "Isolating sources of disentanglement in VAEs", equation 6; bins
      as in Locatello et al., 2019, "Challenging common assumptions".
    """
    return gap_of(*mutual_information(latents, factors, bins, factor_sizes))


def modularity(
    latents: Array,
    factors: Array,
    bins: int = 20,
    factor_sizes: Sequence[int] | None = None,
    weighted: bool = False,
) -> Array:
    """Modularity: whether each latent knows about one factor only.

    Args:
      latents: [N, Z].
      factors: int [N, K].
      bins: of equal width over a latent's range, per latent; static.
      factor_sizes: how many values each factor has; as in `mig`.
      weighted: whether a latent counts by what it knows, its mutual information with all
        factors; static. Otherwise, as published, all count the same and a latent that knows nothing
        counts 0: a perfect code beside Z - K empty latents then has K / Z.

    Returns:
      A scalar in [0, 1], 1 where every latent knows about one factor. Factors with one value in
      the sample are left out (0 if none is left). NaN as in `mig`.

    Raises:
      InputError: if the shapes, the bins or the factors' values do not fit.

    Reference:
      Ridgeway and Mozer, 2018, "Learning deep disentangled embeddings with the F-statistic loss",
      section 3; with bins as in Locatello et al., 2019.
    """
    return modularity_of(*mutual_information(latents, factors, bins, factor_sizes), weighted)


@jax.jit
def gap_of(information: Array, entropies: Array) -> Array:
    """The gap of mutual information [Z, K] with factors of entropies [K]."""
    varies = entropies > 0  # exactly 0 where the sample has one value
    # (1 / K) sum_k (I_best - I_second) / H_k
    gaps = gap(information) / jnp.where(varies, entropies, 1)
    return unless_unknown(mean_over(gaps, varies), information)


@functools.partial(jax.jit, static_argnames="weighted")
def modularity_of(information: Array, entropies: Array, weighted: bool = False) -> Array:
    """The modularity of mutual information [Z, K] with factors of entropies [K]."""
    varies = entropies > 0
    squares = information**2  # 0 where a factor does not vary
    best = jnp.max(squares, axis=1)
    # what rounding leaves of no information is none
    knows = jnp.max(information, axis=1) > 8 * jnp.finfo(information.dtype).eps
    others = jnp.maximum(jnp.sum(varies) - 1, 1).astype(squares.dtype)
    # 1 - sum of the others' squares / (the best one's (K - 1))
    deviation = (jnp.sum(squares, axis=1) - best) / (jnp.where(knows, best, 1) * others)
    value = jnp.where(knows, 1 - deviation, 0)
    weight = jnp.sum(information, axis=1) if weighted else jnp.ones_like(value)
    total = jnp.sum(weight)
    mean = jnp.sum(weight * value) / jnp.where(total > 0, total, 1)
    return unless_unknown(mean, information)


def unless_unknown(value: Array, information: Array) -> Array:
    """The value, or NaN where some information is."""
    return jnp.where(jnp.all(jnp.isfinite(information)), value, jnp.nan)


class Counts(NamedTuple):
    """How often bins of latents and values of factors meet.

    Attributes:
      tables: for each factor, int [Z, bins, values].
      whole: bool [Z]; where False, a latent is not finite and was put into any bin.
    """

    tables: tuple[Array, ...]
    whole: Array


def counted(
    latents: Array,
    factors: Array,
    sizes: tuple[int, ...],
    bins: int,
    chunk: int,
    like: Array | None = None,
) -> Counts:
    """Counts latents, in bins over the range of `like` (their own if None), with factors."""
    like = latents if like is None else like
    low, high = jnp.min(like, axis=0, keepdims=True), jnp.max(like, axis=0, keepdims=True)
    numbers = _bin_numbers(latents, low, high - low, bins)
    whole = jnp.isfinite((high - low)[0]) & jnp.all(jnp.isfinite(latents), axis=0)
    tables = _tables(numbers, bins, factors, sizes, chunk)
    return Counts(tuple(jnp.split(tables, np.cumsum(sizes)[:-1], axis=2)), whole)


def information_of(counts: Counts, count: int) -> tuple[Array, Array]:
    """Mutual information [Z, K] and the factors' entropies [K], from counts of N examples."""
    parts = [_information(table, count) for table in counts.tables]
    information, entropies = zip(*parts, strict=True)
    information = jnp.where(counts.whole[:, None], jnp.stack(information, axis=1), jnp.nan)
    return information, jnp.stack(entropies)


@functools.partial(jax.jit, static_argnames=("bins", "sizes", "chunk"))
def _mutual_information(
    latents: Array, factors: Array, sizes: tuple[int, ...], bins: int, chunk: int
) -> tuple[Array, Array]:
    return information_of(counted(latents, factors, sizes, bins, chunk), len(latents))


def _bin_numbers(latents: Array, low: Array, width: Array, bins: int) -> Array:
    place = (latents - low) / jnp.where(width > 0, width, 1)
    # the largest value belongs to the last bin, and what lies beyond the range to the outermost
    return jnp.minimum((jnp.clip(place, 0, 1) * bins).astype(jnp.int32), bins - 1)


def _tables(numbers: Array, bins: int, factors: Array, sizes: Sequence[int], chunk: int) -> Array:
    """Joint counts, int [Z, bins, sum of sizes], as a matrix product of one-hot codes."""
    count, latent_size = numbers.shape
    dtype = jnp.result_type(float)

    def codes(values: Array, cardinalities: Sequence[int]) -> Array:
        # the one-hot codes of all columns side by side; -1 is a row of zeros
        columns = [
            jax.nn.one_hot(values[:, i], n, dtype=dtype) for i, n in enumerate(cardinalities)
        ]
        return jnp.concatenate(columns, axis=1)

    def add(total: Array, rows: tuple[Array, Array]) -> tuple[Array, None]:
        latent_codes = codes(rows[0], [bins] * latent_size)
        return total + (latent_codes.T @ codes(rows[1], sizes)).astype(total.dtype), None

    chunks = -(-count // chunk)
    size = -(-count // chunks)

    def chunked(values: Array) -> Array:
        padding = ((0, chunks * size - count), (0, 0))
        padded = jnp.pad(values.astype(jnp.int32), padding, constant_values=-1)
        return padded.reshape(chunks, size, values.shape[1])

    start = jnp.zeros((latent_size * bins, sum(sizes)), jnp.int32)
    total = jax.lax.scan(add, start, (chunked(numbers), chunked(factors)))[0]
    return total.reshape(latent_size, bins, -1)


def _information(counts: Array, count: int) -> tuple[Array, Array]:
    """Mutual information [Z] and the factor's entropy, from counts [Z, bins, values]."""

    def probability(counts: Array) -> Array:
        return counts.astype(jnp.result_type(float)) / count

    # from sums of counts: a probability of 1 is 1, and its logarithm 0, without rounding
    joint, by_bin = probability(counts), probability(jnp.sum(counts, axis=2, keepdims=True))
    by_value = probability(jnp.sum(counts, axis=1, keepdims=True))
    seen = counts > 0
    ratio = jnp.where(seen, joint, 1) / jnp.where(seen, by_bin * by_value, 1)
    # sum p(b, v) log [p(b, v) / (p(b) p(v))], never below 0 but for rounding
    information = jnp.maximum(jnp.sum(joint * jnp.log(ratio), axis=(1, 2)), 0)
    entropy = jnp.sum(jax.scipy.special.entr(by_value[0, 0]))
    complete = jnp.sum(counts, axis=(1, 2)) == count
    return jnp.where(complete, information, jnp.nan), jnp.where(complete[0], entropy, jnp.nan)
