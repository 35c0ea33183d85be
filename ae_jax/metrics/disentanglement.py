"""How well latent variables separate the factors that generated the data."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.probability._examples import matched

#: Examples whose one-hot codes are in memory at a time.
CHUNK = 2000


def mutual_information(
    latents: Array,
    factors: Array,
    bins: int = 20,
    factor_sizes: Sequence[int] | None = None,
) -> tuple[Array, Array]:
    """Mutual information of every binned latent with every factor, by counting.

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
    factors = _checked(latents, factors)
    (latents,) = matched("latents", latents)
    if bins < 1:
        raise InputError(f"mutual_information needs at least 1 bin, got {bins}")
    if factor_sizes is None:
        factors, factor_sizes = _relabelled(factors)
    elif len(factor_sizes) != factors.shape[1]:
        raise InputError(f"{len(factor_sizes)} factor_sizes for {factors.shape[1]} factors")
    elif not isinstance(factors, jax.core.Tracer):
        values = np.asarray(factors)
        if np.any(values < 0) or np.any(values >= np.asarray(factor_sizes)):
            raise InputError(f"factors must be between 0 and {list(factor_sizes)} - 1")
    sizes = tuple(int(size) for size in factor_sizes)
    return _by_counting(latents, jnp.asarray(factors), bins, sizes, CHUNK)


def mig(
    latents: Array,
    factors: Array,
    bins: int = 20,
    factor_sizes: Sequence[int] | None = None,
) -> Array:
    """Mutual information gap.

    For each factor, how much more the latent that knows most about it knows than the next,
    as a fraction of the factor's entropy; the mean over factors.

    Args:
      latents: [N, Z], deterministic codes such as posterior means.
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
    return _gap(*mutual_information(latents, factors, bins, factor_sizes))


@jax.jit
def _gap(information: Array, entropies: Array) -> Array:
    rest = jnp.zeros((1, information.shape[1]), information.dtype)
    best, second = jax.lax.top_k(jnp.concatenate([information, rest]).T, 2)[0].T
    varies = entropies > 0  # exactly 0 where the sample has one value
    # (1 / K) sum_k (I_best - I_second) / H_k
    gaps = jnp.where(varies, (best - second) / jnp.where(varies, entropies, 1), 0)
    value = jnp.sum(gaps) / jnp.maximum(jnp.sum(varies), 1).astype(gaps.dtype)
    return jnp.where(jnp.all(jnp.isfinite(information)), value, jnp.nan)


def _checked(latents: Array, factors: Array) -> Array:
    shapes = f"got {list(np.shape(latents))} and {list(np.shape(factors))}"
    if np.ndim(latents) != 2 or np.ndim(factors) != 2 or len(latents) != len(factors):
        raise InputError(f"latents and factors must be [N, Z] and [N, K], {shapes}")
    if not np.size(latents) or not np.size(factors):
        raise InputError(f"latents and factors must not be empty, {shapes}")
    if not isinstance(factors, jax.core.Tracer):
        factors = np.asarray(factors)
    if not jnp.issubdtype(factors.dtype, jnp.integer):
        raise InputError(f"factors must be integers, got {factors.dtype}")
    return factors


def _relabelled(factors: np.ndarray) -> tuple[np.ndarray, list[int]]:
    if isinstance(factors, jax.core.Tracer):
        raise InputError("factors are traced: give factor_sizes, the number of each one's values")
    columns = [np.unique(column, return_inverse=True) for column in factors.T]
    numbers = np.stack([inverse for _, inverse in columns], axis=1)
    return numbers.astype(np.int32), [len(values) for values, _ in columns]


def _bin_numbers(latents: Array, bins: int) -> Array:
    low = jnp.min(latents, axis=0, keepdims=True)
    width = jnp.max(latents, axis=0, keepdims=True) - low
    place = (latents - low) / jnp.where(width > 0, width, 1)
    # the largest value belongs to the last bin
    return jnp.minimum((place * bins).astype(jnp.int32), bins - 1)


@functools.partial(jax.jit, static_argnames=("bins", "sizes", "chunk"))
def _by_counting(
    latents: Array, factors: Array, bins: int, sizes: tuple[int, ...], chunk: int
) -> tuple[Array, Array]:
    """Mutual information [Z, K] and the factors' entropies [K]."""
    counts = _counts(_bin_numbers(latents, bins), bins, factors, sizes, chunk)
    count = latents.shape[0]
    parts = [_information(part, count) for part in jnp.split(counts, np.cumsum(sizes)[:-1], axis=2)]
    information, entropies = zip(*parts, strict=True)
    finite = jnp.isfinite(jnp.max(latents, axis=0) - jnp.min(latents, axis=0))
    return jnp.where(finite[:, None], jnp.stack(information, axis=1), jnp.nan), jnp.stack(entropies)


def _counts(numbers: Array, bins: int, factors: Array, sizes: Sequence[int], chunk: int) -> Array:
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
