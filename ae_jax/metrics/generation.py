"""How far what a model generates is from the data, by their features [N, D]."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import rel_entr

from ae_jax.core import Array, InputError
from ae_jax.losses.moments import Kernel, mmd2, polynomial_kernel
from ae_jax.metrics._samples import (
    by_rows,
    checked_finite,
    checked_samples,
    squared_distances,
    unless_broken,
)
from ae_jax.metrics.comparison import Mean
from ae_jax.probability._examples import matched


def frechet_distance(mean1: Array, cov1: Array, mean2: Array, cov2: Array) -> Array:
    """Frechet distance of two Gaussians: the square of their Wasserstein distance W2.

    Args:
      mean1: [D].
      cov1: [D, D], symmetric; eigenvalues below 0 count as 0, and singular ones are no trouble.
      mean2: [D].
      cov2: [D, D].

    Returns:
      A scalar, squared units of the features, never below 0.

    Raises:
      InputError: if the shapes do not fit, values are not finite or a covariance not symmetric.

    Reference:
      Dowson and Landau, 1982, "The Frechet distance between multivariate normal distributions";
      of Inception features in Heusel et al., 2017, "GANs trained by a two time-scale
      update rule", equation 6.
    """
    given = {"mean1": mean1, "cov1": cov1, "mean2": mean2, "cov2": cov2}
    mean1, cov1, mean2, cov2 = (matched(name, array)[0] for name, array in given.items())
    size = mean1.shape[0]
    if [a.shape for a in (mean1, cov1, mean2, cov2)] != [(size,), (size, size)] * 2 or not size:
        shapes = ", ".join(f"{name} {list(np.shape(array))}" for name, array in given.items())
        raise InputError(f"means must be [D] and covariances [D, D], got {shapes}")
    for name, array in given.items():
        checked_finite(name, array)
    for name, cov in (("cov1", cov1), ("cov2", cov2)):
        if not isinstance(cov, jax.core.Tracer):
            largest = np.max(np.abs(cov))
            if not np.allclose(cov, np.transpose(cov), rtol=0, atol=1e-3 * largest):
                raise InputError(f"{name} is not symmetric")
    dtype = np.result_type(*(array.dtype for array in (mean1, cov1, mean2, cov2)))
    return _frechet_of_moments(*(array.astype(dtype) for array in (mean1, cov1, mean2, cov2)))


@jax.jit
def _frechet_of_moments(mean1: Array, cov1: Array, mean2: Array, cov2: Array) -> Array:
    def factor(cov: Array) -> Array:
        variances, directions = jnp.linalg.eigh(cov)
        return (directions * jnp.sqrt(jnp.maximum(variances, 0))[None]).T

    return _frechet(mean1 - mean2, factor(cov1), factor(cov2))


def frechet_distance_of_samples(x: Array, y: Array) -> Array:
    """Frechet distance of the Gaussians that have two samples' means and covariances.

    It is too large on average, the more so the fewer examples there are (for 16 features of the
    same distribution 0.9 with 200 examples and 0.2 with 1000): compare samples of equal size, and
    show the distance of training from test examples beside it.

    Args:
      x: [N, D], features of at least 2 examples, also of fewer than D.
      y: [M, D].

    Returns:
      A scalar, squared units of the features, never below 0; covariances are by 1 / (N - 1).

    Raises:
      InputError: if the shapes do not fit, values are not finite or there is a single example.

    Reference:
      Heusel et al., 2017, "GANs trained by a two time-scale update rule", equation 6.
    """
    return _frechet_of_samples(*checked_samples(2, x=x, y=y))


@jax.jit
def _frechet_of_samples(x: Array, y: Array) -> Array:
    x, y = x - x[:1], y - x[:1]  # about a common example: means keep their digits
    means = [jnp.mean(sample, axis=0) for sample in (x, y)]
    factors = [
        # R of a QR decomposition: R'R is the covariance, without a sum of squares
        jnp.linalg.qr((sample - mean[None]) / (len(sample) - 1) ** 0.5, mode="r")
        for sample, mean in zip((x, y), means, strict=True)
    ]
    rows = max(len(factor) for factor in factors)
    a, b = (jnp.pad(factor, ((0, rows - len(factor)), (0, 0))) for factor in factors)
    return _frechet(means[0] - means[1], a, b)


def _frechet(gap: Array, a: Array, b: Array) -> Array:
    """From factors of covariances A'A and B'B of as many rows."""
    product = functools.partial(jnp.matmul, precision="highest")
    left, _, right = jnp.linalg.svd(product(a, b.T))
    # tr (S1 S2)^1/2 is the nuclear norm of A B', and tr S1 + tr S2 less twice that the least of
    # |A - U B|^2 over orthogonal U: no matrix square root, and no difference of large numbers
    return jnp.sum(gap**2) + jnp.sum((a - product(product(left, right), b)) ** 2)


def kernel_distance(x: Array, y: Array, kernel: Kernel = polynomial_kernel) -> Mean:
    """Kernel distance: the unbiased squared maximum mean discrepancy of features.

    All examples are used at once, and nothing is drawn. The standard error is that of the
    U-statistic, by leaving out one example at a time (the jackknife); where the distributions are
    the same it is too large, by 2^0.5 in the limit.

    Args:
      x: [N, D], features of at least 3 examples.
      y: [M, D]; N and M may differ.
      kernel: static; takes memory for N^2 + M^2 + N M values.

    Returns:
      The distance, which is below 0 about as often as above where the distributions are the same,
      and its standard error; scalars.

    Raises:
      InputError: if the shapes do not fit, values are not finite or there are fewer examples.

    Reference:
      Binkowski et al., 2018, "Demystifying MMD GANs", section 4; Arvesen, 1969, "Jackknifing
      U-statistics".
    """
    return _kernel_distance(*checked_samples(3, x=x, y=y), kernel)


@functools.partial(jax.jit, static_argnames="kernel")
def _kernel_distance(x: Array, y: Array, kernel: Kernel) -> Mean:
    across = kernel(x, y)

    def variance(sample: Array, across: Array) -> Array:
        values, count = kernel(sample, sample), len(sample)
        within = (jnp.sum(values, axis=1) - jnp.diagonal(values)) / (count - 2)
        # without example i the estimate is a constant + 2 / (N - 1) of what stands here
        return 4 / (count - 1) * jnp.var(jnp.mean(across, axis=1) - within)

    return Mean(mmd2(x, y, kernel), jnp.sqrt(variance(x, across) + variance(y, across.T)))


def inception_score(probabilities: Array) -> Array:
    """The inception score of a classifier of one's own: exp of the mean KL(p(c | x) || p(c)).

    It does not see whether the examples of a class are all the same.

    Args:
      probabilities: [N, C], of the classes for each generated example; rows add up to 1.

    Returns:
      A scalar from 1 (no class is told from another, or all examples are of one) to C.

    Raises:
      InputError: if the shape does not fit or rows are not probabilities.

    Reference:
      Salimans et al., 2016, "Improved techniques for training GANs", section 4.
    """
    (p,) = checked_samples(probabilities=probabilities)
    if not isinstance(p, jax.core.Tracer):
        rows = np.sum(np.asarray(p), axis=1)
        if np.any(np.asarray(p) < 0) or not np.allclose(rows, 1, rtol=0, atol=1e-2):
            raise InputError("probabilities must not be negative and add up to 1 in each row")
    return _inception_score(p)


@jax.jit
def _inception_score(p: Array) -> Array:
    return jnp.exp(jnp.mean(jnp.sum(rel_entr(p, jnp.mean(p, axis=0, keepdims=True)), axis=1)))


def mode_coverage(
    samples: Array,
    centres: Array,
    scale: Array | float,
    *,
    weights: Array | None = None,
    radius: Array | float = 3.0,
    least: Array | int = 1,
) -> dict[str, Array]:
    """Which modes of a known mixture a model generates, and how well.

    Args:
      samples: [N, D].
      centres: [K, D], of the mixture's components, isotropic Gaussians.
      scale: their standard deviation, positive, a scalar or [K]; the nearest centre is the one at
        the smallest distance in units of it.
      weights: [K], the components' probabilities; None where they are the same.
      radius: in standard deviations: nearer samples are of high quality. The share of the mixture
        itself is that of chi-squared, 1 - exp(-radius^2 / 2) = 0.989 in two dimensions.
      least: a mode is found that is nearest to so many samples of high quality.

    Returns:
      Scalars: `modes`, how many are found; `high_quality`, the share of such samples; `mode_kl`,
      KL of all samples' shares by nearest mode from the weights, nats: about (K - 1) / (2 N) for
      samples of the mixture itself.

    Raises:
      InputError: if the shapes do not fit, values are not finite, a scale or the radius is not
        positive, `least` is below 1 or the weights are not probabilities.

    Reference:
      Srivastava et al., 2017, "VEEGAN: Reducing mode collapse in GANs using implicit variational
      learning", the experiments on synthetic data.
    """
    samples, centres = checked_samples(samples=samples, centres=centres)
    count, dtype = len(centres), samples.dtype
    weights = np.full(count, 1 / count) if weights is None else weights
    scale, weights = jnp.asarray(scale, dtype), jnp.asarray(weights, dtype)
    if scale.shape not in ((), (count,)) or weights.shape != (count,):
        shapes = f"got {list(scale.shape)} and {list(weights.shape)}"
        raise InputError(f"scale must be a scalar or [{count}] and weights [{count}], {shapes}")
    for name, value in {"scale": scale, "radius": radius}.items():
        if not isinstance(value, jax.core.Tracer) and not np.all(np.asarray(value) > 0):
            raise InputError(f"{name} must be positive")
    if not isinstance(least, jax.core.Tracer) and not np.all(np.asarray(least) >= 1):
        raise InputError(f"least must be 1 or more, got {least}")
    if not isinstance(weights, jax.core.Tracer):
        given = np.asarray(weights)
        if not np.all(given >= 0) or not np.allclose(np.sum(given), 1, rtol=0, atol=1e-3):
            raise InputError("weights must not be negative and add up to 1")
    return _mode_coverage(samples, centres, scale, weights, jnp.asarray(radius, dtype), least)


@jax.jit
def _mode_coverage(
    samples: Array, centres: Array, scale: Array, weights: Array, radius: Array, least: Array
) -> dict[str, Array]:
    def nearest(sample: Array) -> tuple[Array, Array]:
        squares = squared_distances(sample, centres) / scale**2
        return jnp.argmin(squares), jnp.min(squares)

    places, squares = by_rows(nearest, samples, len(centres))
    good = (squares <= radius**2).astype(samples.dtype)

    def counts(values: Array) -> Array:
        return jnp.zeros(len(centres), samples.dtype).at[places].add(values)

    share = counts(jnp.ones_like(good)) / len(samples)
    found = {
        "modes": jnp.sum(counts(good) >= least).astype(samples.dtype),
        "high_quality": jnp.mean(good),
        "mode_kl": jnp.sum(rel_entr(share, weights)),
    }
    return unless_broken(found, samples, centres)
