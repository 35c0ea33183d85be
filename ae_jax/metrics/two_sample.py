"""Tests of whether two samples are of the same distribution."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.losses.moments import Kernel, gaussian_kernel
from ae_jax.metrics._samples import by_rows, checked_samples, squared_distances, unless_broken


class TwoSampleTest(NamedTuple):
    """What a test of two samples finds.

    Attributes:
      statistic: the larger, the more the samples differ.
      p_value: the probability, at most, of so large a one where they do not.
    """

    statistic: Array
    p_value: Array


def kernel_two_sample_test(
    key: Array, x: Array, y: Array, kernel: Kernel | None = None, permutations: int = 1000
) -> TwoSampleTest:
    """Permutation test by the unbiased squared maximum mean discrepancy; can be jitted.

    Args:
      key: PRNG key, for the permutations.
      x: [N, D], at least 2 examples.
      y: [M, D].
      kernel: static, and chosen without regard to which example is of which sample; None is the
        Gaussian kernel with the median distance of different points of both as its bandwidth.
        Takes memory for (N + M)^2 values.
      permutations: B, how many times examples are dealt anew; static.

    Returns:
      The discrepancy, and the share of the B + 1 deals, that of the data among them, whose
      discrepancy is as large: at least 1 / (B + 1). NaN where traced values, or those of the
      kernel, are not finite.

    Raises:
      InputError: if the shapes do not fit, values are not finite, there is a single example or no
        permutation.

    Reference:
      Gretton et al., 2012, "A kernel two-sample test", equation 3.
    """
    x, y = checked_samples(2, x=x, y=y)
    if permutations < 1:
        raise InputError(f"a permutation test needs at least 1 permutation, got {permutations}")
    return _kernel_test(key, x, y, kernel, permutations)


@functools.partial(jax.jit, static_argnames=("kernel", "permutations"))
def _kernel_test(
    key: Array, x: Array, y: Array, kernel: Kernel | None, permutations: int
) -> TwoSampleTest:
    pooled = jnp.concatenate([x, y])
    values = (kernel or gaussian_kernel(_median_distance(pooled)))(pooled, pooled)
    own = jnp.arange(len(pooled)) < len(x)
    keys = jax.random.split(key, permutations)
    dealt = jax.vmap(jax.random.permutation, in_axes=(0, None))(keys, own)
    observed, *_ = found = _discrepancies(values, jnp.concatenate([own[None], dealt]))
    # equal but for rounding is equal
    rounding = 16 * jnp.finfo(values.dtype).eps * jnp.mean(jnp.abs(values))
    as_large = (found >= observed - rounding).astype(values.dtype)
    return unless_broken(TwoSampleTest(observed, jnp.mean(as_large)), x, y, values)


def _median_distance(points: Array) -> Array:
    distances = jnp.sqrt(by_rows(lambda p: squared_distances(p, points), points, len(points)))
    median = jnp.nanmedian(jnp.where(distances > 0, distances, jnp.nan))
    return jnp.where(jnp.isnan(median), 1, median)  # all points are one: any will do


def _discrepancies(values: Array, first: Array) -> Array:
    """`mmd2` [B] of every deal, bool [B, P], of P points with the kernel values [P, P]."""
    others = values - jnp.diag(jnp.diagonal(values))
    x, y = first.astype(values.dtype), (~first).astype(values.dtype)
    from_x, from_y = (jnp.matmul(part, others, precision="highest") for part in (x, y))
    n, m = jnp.sum(x, axis=1), jnp.sum(y, axis=1)
    within = jnp.sum(from_x * x, axis=1) / (n * (n - 1)) + jnp.sum(from_y * y, axis=1) / (
        m * (m - 1)
    )
    return within - 2 * jnp.sum(from_x * y, axis=1) / (n * m)


def classifier_two_sample_test(
    key: Array, x: Array, y: Array, classifier: Any = None
) -> TwoSampleTest:
    """Test by a classifier: how well it tells the samples apart on examples it has not seen.

    On the host. Of the larger sample as many examples are drawn as the smaller one has; half of
    each are for training, half are held out.

    Args:
      key: PRNG key, for which examples are held out.
      x: [N, D], at least 4 examples.
      y: [M, D].
      classifier: with `fit` and `predict`, as scikit-learn's; None is a vote of the nearest
        neighbours of standardised features, about as many as the root of the number of
        training examples.

    Returns:
      The accuracy on held-out examples, 1/2 by chance, and the binomial probability of at least
      so many right by chance; floats. The accuracy of the best classifier is (1 + total
      variation distance) / 2.

    Raises:
      InputError: if the shapes do not fit, values are not finite or there are fewer examples.

    Reference:
      Lopez-Paz and Oquab, 2017, "Revisiting classifier two-sample tests", section 3.
    """
    from scipy.stats import binom

    x, y = (np.asarray(sample, np.float64) for sample in checked_samples(4, x=x, y=y))
    half = min(len(x), len(y)) // 2
    drawn = [
        sample[np.asarray(jax.random.permutation(own, len(sample)))[: 2 * half]]
        for own, sample in zip(jax.random.split(key), (x, y), strict=True)
    ]
    train, held_out = (
        np.concatenate([sample[part] for sample in drawn])
        for part in (slice(half), slice(half, None))
    )
    labels = np.repeat([0, 1], half)
    classifier = _neighbours(2 * half) if classifier is None else classifier
    classifier.fit(train, labels)
    right = int(np.sum(np.asarray(classifier.predict(held_out)) == labels))
    return TwoSampleTest(right / (2 * half), float(binom.sf(right - 1, 2 * half, 0.5)))


def _neighbours(count: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # an odd number: no ties
    return make_pipeline(StandardScaler(), KNeighborsClassifier((int(count**0.5) - 1) | 1))
