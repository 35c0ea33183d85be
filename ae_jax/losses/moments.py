"""Moments of samples: means, the covariance, and the maximum mean discrepancy of two.

Rows that are not present (padding up to a whole number of batches) count for nothing,
whatever stands in them, be it NaN.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.probability._examples import matched

#: (x [N, D], y [M, D]) -> [N, M], the kernel of every pair
Kernel = Callable[[Array, Array], Array]


def as_mask(present: Array | None, rows: Array) -> Array | None:
    """Which of the rows [N, ...] are present, bool [N]; None where all are.

    Raises:
      InputError: if it is not of that dtype and shape.
    """
    if present is None:
        return None
    present = jnp.asarray(present)
    if present.dtype != bool or present.shape != rows.shape[:1]:
        raise InputError(
            f"present must be bool [{rows.shape[0]}], one for each row, got {present.dtype} "
            f"{list(present.shape)}"
        )
    return present


def mean_of_present(x: Array, present: Array | None) -> Array:
    """The mean of the present rows of x [N, D], [D]; NaN where there is none."""
    if present is None:
        return jnp.mean(x, axis=0)
    return jnp.sum(jnp.where(present[:, None], x, 0), axis=0) / count_present(present, x)


def count_present(present: Array, x: Array) -> Array:
    """How many rows are present, of the dtype of x."""
    return jnp.sum(present).astype(x.dtype)


def covariance(x: Array, present: Array | None = None) -> Array:
    """The covariance of a sample's columns, by 1/N: that of the sample itself, as `pca` has it.

    Args:
      x: [N, D].
      present: bool [N], False where a row is padding; None where there is none.

    Returns:
      [D, D], the mean product of deviations from the mean over the N rows that are present;
      NaN where none is.

    Raises:
      InputError: if x is not [N, D] or has no row, or present is not bool [N].
    """
    (x,) = matched("x", x)
    if x.ndim != 2 or not x.shape[0]:
        raise InputError(f"x must be [N, D] of at least 1 row, got {list(x.shape)}")
    present = as_mask(present, x)
    # about one of the rows, which no shift moves: a constant column's deviations are exactly 0
    x -= jax.lax.stop_gradient(x[0] if present is None else x[jnp.argmax(present)])[None]
    deviations = x - mean_of_present(x, present)[None]
    count = x.shape[0]
    if present is not None:
        deviations, count = jnp.where(present[:, None], deviations, 0), count_present(present, x)
    return jnp.matmul(deviations.T, deviations, precision="highest") / count


def moment_distance(x: Array, y: Array, *, present: Array | None = None) -> Array:
    """How far the means and deviations of two samples' columns are from each other.

    sum_d ((m_d - n_d)^2 + (s_d - t_d)^2) / v_d, of the samples' own means m, n and standard
    deviations s, t (by 1/N), with v = (s^2 + t^2) / 2: the squared Wasserstein distance of
    Gaussians of independent columns, in units in which v is 1. No scale, and no shift, of both
    samples changes it.

    Args:
      x: [N, D], a sample of one distribution.
      y: [N, D], a sample of the other.
      present: bool [N], False where a row of both is padding; None where there is none.

    Returns:
      A scalar; NaN where no row is present. Columns without any variance count for nothing.

    Raises:
      InputError: if x and y are not [N, D] of at least 1 row, or present is not bool [N].

    Reference:
      Dowson and Landau, 1982, "The Frechet distance between multivariate normal distributions",
      equation 5, of which this is the case of diagonal covariances.
    """
    x, y = matched("x y", x, y)
    if x.ndim != 2 or x.shape != y.shape or not x.shape[0]:
        raise InputError(
            f"x and y must be [N, D] of at least 1 row, got {list(x.shape)} and {list(y.shape)}"
        )
    present = as_mask(present, x)
    # about a row, so that a column that is constant has no variance
    origin = jax.lax.stop_gradient(x[0] if present is None else x[jnp.argmax(present)])
    x, y = (filled(rows - origin[None], present) for rows in (x, y))

    def of_columns(rows: Array) -> tuple[Array, Array]:
        mean = mean_of_present(rows, present)
        return mean, mean_of_present((rows - mean[None]) ** 2, present)

    (mean_x, variance_x), (mean_y, variance_y) = of_columns(x), of_columns(y)
    variance, product = (variance_x + variance_y) / 2, variance_x * variance_y
    # (s - t)^2 = s^2 + t^2 - 2 s t; the root has no slope at 0
    root = jnp.where(product > 0, jnp.sqrt(jnp.where(product > 0, product, 1)), 0)
    squares, varies = (mean_x - mean_y) ** 2 + 2 * (variance - root), variance > 0
    found = jnp.sum(jnp.where(varies, squares / jnp.where(varies, variance, 1), 0))
    return found if present is None else jnp.where(jnp.any(present), found, jnp.nan)


def mmd2(
    x: Array,
    y: Array,
    kernel: Kernel,
    unbiased: bool = True,
    *,
    x_present: Array | None = None,
    y_present: Array | None = None,
) -> Array:
    """Squared maximum mean discrepancy.

    Args:
      x: [N, D], a sample of one distribution.
      y: [M, D], a sample of the other.
      kernel: gives [N, M] from x and y, for instance `gaussian_kernel(1.0)`.
      unbiased: leave out each point's kernel with itself. The mean is then the squared
        discrepancy of the distributions, and single values may be negative; otherwise
        values are never negative and too large on average.
      x_present: bool [N], False where a row of x is padding; None where there is none.
      y_present: bool [M], likewise of y.

    Returns:
      A scalar; NaN where fewer rows are present than the estimator needs.

    Raises:
      InputError: if x and y are not [N, D] and [M, D], or too small for the estimator, or
        the masks not bool [N] and [M].

    Reference:
      Gretton et al., 2012, "A kernel two-sample test", equations 3 (unbiased) and 5.
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise InputError(f"x and y must be [N, D] and [M, D], got {x.shape} and {y.shape}")
    if min(x.shape[0], y.shape[0]) < 1 + unbiased:
        raise InputError(f"mmd2 needs at least {1 + unbiased} points, got {x.shape} and {y.shape}")
    (x,), (y,) = matched("x", x), matched("y", y)
    x_present, y_present = as_mask(x_present, x), as_mask(y_present, y)
    x, y = filled(x, x_present), filled(y, y_present)

    def mean_within(points: Array, present: Array | None) -> Array:
        values = kernel(points, points)
        if not unbiased:
            return _mean_of_pairs(values, present, present)
        count = points.shape[0]
        if present is not None:
            values = jnp.where(present[:, None] & present[None], values, 0)
            count = count_present(present, values)
        return (jnp.sum(values) - jnp.trace(values)) / (count * (count - 1))

    # E k(x, x') + E k(y, y') - 2 E k(x, y)
    across = _mean_of_pairs(kernel(x, y), x_present, y_present)
    return mean_within(x, x_present) + mean_within(y, y_present) - 2 * across


def mmd(
    x: Array,
    y: Array,
    kernel: Kernel,
    smoothing: Array | float = 1e-6,
    *,
    x_present: Array | None = None,
    y_present: Array | None = None,
) -> Array:
    """Maximum mean discrepancy, the root of the biased `mmd2`; smooth where the samples agree.

    Args:
      x: [N, D].
      y: [M, D].
      kernel: as for `mmd2`.
      smoothing: added under the root, whose slope is infinite at 0. The gradient there is 0, and
        the value the root of this. It is to be larger than rounding.
      x_present: as for `mmd2`.
      y_present: likewise.

    Returns:
      A scalar.

    Raises:
      InputError: as `mmd2`.

    Reference:
      Li, Swersky and Zemel, 2015, "Generative moment matching networks", which lower the root.
    """
    square = mmd2(x, y, kernel, unbiased=False, x_present=x_present, y_present=y_present)
    return jnp.sqrt(jnp.maximum(square, 0) + jnp.asarray(smoothing, square.dtype))


def filled(x: Array, present: Array | None) -> Array:
    """The rows with the mean in the place of absent ones: kernels stay finite and centred."""
    if present is None:
        return x
    return jnp.where(present[:, None], x, mean_of_present(x, present)[None])


def _mean_of_pairs(values: Array, rows: Array | None, columns: Array | None) -> Array:
    if rows is None and columns is None:
        return jnp.mean(values)
    rows = jnp.ones(values.shape[0], bool) if rows is None else rows
    columns = jnp.ones(values.shape[1], bool) if columns is None else columns
    total = jnp.sum(jnp.where(rows[:, None] & columns[None], values, 0))
    return total / (count_present(rows, values) * count_present(columns, values))


def squared_distances(x: Array, y: Array) -> Array:
    """|x - y|^2 of every pair of rows, [N, M], by one matrix product."""
    # about a common origin, so that digits do not cancel
    (x,), (y,) = matched("x", x), matched("y", y)
    origin = jnp.mean(x, axis=0, keepdims=True)
    x, y = x - origin, y - origin
    squares = jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1)[None, :]
    products = jnp.matmul(x, y.T, precision="highest")
    return jnp.maximum(squares - 2 * products, 0)


def check_positive(**values: Array | float) -> None:
    """Raises InputError where a number, given by its argument's name, is not positive.

    Traced ones pass.
    """
    for name, value in values.items():
        if isinstance(value, jax.core.Tracer):
            continue
        given = np.asarray(value)
        if given.ndim or not (given > 0 and np.isfinite(given)):
            raise InputError(f"{name} must be a positive number, got {value}")


def gaussian_kernel(bandwidth: Array | float) -> Kernel:
    """The kernel exp(-|x - y|^2 / (2 bandwidth^2)).

    Args:
      bandwidth: positive scalar, in units of x.

    Returns:
      A kernel for `mmd2`; its values are in (0, 1].

    Raises:
      InputError: if it is not positive and not traced.
    """
    check_positive(bandwidth=bandwidth)

    def kernel(x: Array, y: Array) -> Array:
        distances = squared_distances(x, y)
        return jnp.exp(-distances / (2 * jnp.asarray(bandwidth, distances.dtype) ** 2))

    return kernel


def gaussian_mixture_kernel(variances: Sequence[float] | Array) -> Kernel:
    """The kernel sum_s exp(-|x - y|^2 / (2 s)) over variances s, for differences of many sizes.

    Args:
      variances: [S], positive, in squared units of x; not bandwidths, which are their roots.

    Returns:
      A kernel for `mmd2`; its values are in (0, S].

    Raises:
      InputError: if there is no variance, or one is not positive and not traced.

    Reference:
      Li, Swersky and Zemel, 2015, "Generative moment matching networks", where s is called the
      bandwidth.
    """
    if not isinstance(variances, jax.core.Tracer):
        given = np.asarray(variances)
        if given.ndim != 1 or not given.size or not np.all((given > 0) & np.isfinite(given)):
            raise InputError(f"variances must be one or more positive numbers, got {variances}")

    def kernel(x: Array, y: Array) -> Array:
        distances = squared_distances(x, y)
        widths = jnp.asarray(variances, distances.dtype)
        return sum(jnp.exp(-distances / (2 * width)) for width in widths)

    return kernel


def inverse_multiquadric_kernel(scale: Array | float) -> Kernel:
    """The kernel scale / (scale + |x - y|^2), whose tails are heavier than the Gaussian kernel's.

    Args:
      scale: positive scalar, in squared units of x; 2 D variance for a Gaussian prior.

    Returns:
      A kernel for `mmd2`; its values are in (0, 1].

    Raises:
      InputError: if it is not positive and not traced.

    Reference:
      Tolstikhin et al., 2018, "Wasserstein auto-encoders", section 4.
    """
    check_positive(scale=scale)

    def kernel(x: Array, y: Array) -> Array:
        distances = squared_distances(x, y)
        amount = jnp.asarray(scale, distances.dtype)
        return amount / (amount + distances)

    return kernel


def inverse_multiquadric_mixture_kernel(scales: Sequence[float] | Array) -> Kernel:
    """The kernel sum_c c / (c + |x - y|^2) over scales c, for differences of many sizes.

    Args:
      scales: [S], positive, in squared units of x.

    Returns:
      A kernel for `mmd2`; its values are in (0, S].

    Raises:
      InputError: if there is no scale, or one is not positive and not traced.

    Reference:
      Tolstikhin et al., 2018, "Wasserstein auto-encoders", section 4.
    """
    if not isinstance(scales, jax.core.Tracer):
        given = np.asarray(scales)
        if given.ndim != 1 or not given.size or not np.all((given > 0) & np.isfinite(given)):
            raise InputError(f"scales must be one or more positive numbers, got {scales}")

    def kernel(x: Array, y: Array) -> Array:
        distances = squared_distances(x, y)
        return sum(amount / (amount + distances) for amount in jnp.asarray(scales, distances.dtype))

    return kernel


def linear_kernel(x: Array, y: Array) -> Array:
    """The inner product, [N, M]: its discrepancy is the squared distance of the means."""
    (x,), (y,) = matched("x", x), matched("y", y)
    return jnp.matmul(x, y.T, precision="highest")


def polynomial_kernel(x: Array, y: Array) -> Array:
    """The kernel (x.y / D + 1)^3, [N, M], of the kernel distance.

    Reference:
      Binkowski et al., 2018, "Demystifying MMD GANs", section 4.
    """
    return (linear_kernel(x, y) / jnp.shape(x)[1] + 1) ** 3
