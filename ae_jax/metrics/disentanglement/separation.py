"""How much better the best latent predicts a factor than the next one does."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ae_jax.core import Array, InputError
from ae_jax.metrics._samples import unless_broken
from ae_jax.metrics.disentanglement import information
from ae_jax.metrics.disentanglement._checks import (
    Coded,
    coded_twice,
    gap,
    mean_over,
    unless_unfit,
    varying,
)
from ae_jax.metrics.disentanglement.information import Counts, counted
from ae_jax.probability._examples import matched


def sap(
    latents: Array,
    factors: Array,
    test_latents: Array | None = None,
    test_factors: Array | None = None,
    bins: int = 20,
    factor_sizes: Sequence[int] | None = None,
) -> Array:
    """Separated attribute predictability, by a classifier that counts; can be jitted.

    Each latent predicts each factor alone: in each bin the value that most training examples have
    there, the lowest one in a tie. For each factor the accuracy of the best latent less that of the
    next; the mean over factors. The published score fits a linear support vector machine
    (`sap_svc`), for which the values in between are hard to tell.

    Args:
      latents: [N, Z].
      factors: int [N, K].
      test_latents: [M, Z], on which the accuracy is measured; if None, on the training examples
        themselves, which is right where these are all that there are, and flatters latents that
        know nothing otherwise.
      test_factors: int [M, K].
      bins: of equal width over a latent's range in training, which test latents beyond it are
        put at the ends of; static.
      factor_sizes: how many values each factor has; as in `mig`.

    Returns:
      A scalar in [0, 1]. Factors with one value in training are left out (0 if none is left); a
      single latent's gap is to 0. NaN as in `mig`.

    Raises:
      InputError: if the shapes, the bins or the factors' values do not fit.

    Reference:
      Kumar, Sattigeri and Balakrishnan, 2018, "Variational inference of disentangled latent
      concepts from unlabeled observations", section 3.
    """
    train, test = coded_twice(latents, factors, test_latents, test_factors, factor_sizes, bins)
    return _sap(*train[:2], *test, bins, information.CHUNK)


def sap_r2(latents: Array, factors: Array) -> Array:
    """Separated attribute predictability by squared correlations; can be jitted.

    Of factors that are quantities: unlike the other scores it depends on the numbers that stand for
    a factor's values. Nothing is held out: a line through one latent has nothing to learn by heart.

    Args:
      latents: [N, Z].
      factors: [N, K], numbers of any kind.

    Returns:
      A scalar in [0, 1]: for each factor the squared correlation of the best latent less that of
      the next, mean over factors. Factors with one value are left out (0 if none is left), a latent
      with one value has correlation 0; NaN if a latent or a factor is not finite.

    Raises:
      InputError: if the shapes do not fit.

    Reference:
      Kumar, Sattigeri and Balakrishnan, 2018, section 3, for continuous factors.
    """
    shapes = f"got {list(jnp.shape(latents))} and {list(jnp.shape(factors))}"
    if jnp.ndim(latents) != 2 or jnp.ndim(factors) != 2 or len(latents) != len(factors):
        raise InputError(f"latents and factors must be [N, Z] and [N, K], {shapes}")
    if not jnp.size(latents) or not jnp.size(factors):
        raise InputError(f"latents and factors must not be empty, {shapes}")
    (latents,), (factors,) = matched("latents", latents), matched("factors", factors)
    return _gap_in_correlation(latents, factors.astype(latents.dtype))


@jax.jit
def _gap_in_correlation(latents: Array, factors: Array) -> Array:
    def standardised(values: Array) -> Array:
        # about the first one: a constant is 0; by the largest: squares do not vanish
        values = values - values[:1]
        largest = jnp.max(jnp.abs(values), axis=0, keepdims=True)
        values = values / jnp.where(largest > 0, largest, 1)
        values = values - jnp.mean(values, axis=0, keepdims=True)
        length = jnp.sqrt(jnp.sum(values**2, axis=0, keepdims=True))
        return values / jnp.where(length > 0, length, 1)

    correlation = jnp.matmul(standardised(latents).T, standardised(factors), precision="highest")
    return unless_broken(mean_over(gap(correlation**2), varying(factors)), latents, factors)


def gap_in_accuracy(train: Counts, test: Counts) -> Array:
    """The gap of the accuracies of bins that answer the value most frequent in training."""

    def accuracy(known: Array, asked: Array) -> Array:
        answer = jnp.argmax(known, axis=2, keepdims=True)
        right = jnp.sum(jnp.take_along_axis(asked, answer, axis=2), axis=(1, 2))
        dtype = jnp.result_type(float)
        return right.astype(dtype) / jnp.maximum(jnp.sum(asked[0]), 1).astype(dtype)

    pairs = list(zip(train.tables, test.tables, strict=True))
    accuracies = jnp.stack([accuracy(*pair) for pair in pairs], axis=1)
    # a factor varies that has several values in one latent's bins
    varies = jnp.stack([jnp.sum(jnp.any(known[0] > 0, axis=0)) > 1 for known, _ in pairs])
    return mean_over(gap(accuracies), varies)


@functools.partial(jax.jit, static_argnames=("sizes", "bins", "chunk"))
def _sap(
    latents: Array,
    factors: Array,
    test_latents: Array,
    test_factors: Array,
    sizes: tuple[int, ...],
    bins: int,
    chunk: int,
) -> Array:
    train, test = Coded(latents, factors, sizes), Coded(test_latents, test_factors, sizes)
    found = gap_in_accuracy(counted(*train, bins, chunk), counted(*test, bins, chunk, like=latents))
    return unless_unfit(found, train, test)
