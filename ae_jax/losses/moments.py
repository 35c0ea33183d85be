"""Maximum mean discrepancy between two samples."""

from collections.abc import Callable

import jax.numpy as jnp

from ae_jax.core import Array, InputError

#: (x [N, D], y [M, D]) -> [N, M], the kernel of every pair
Kernel = Callable[[Array, Array], Array]


def mmd2(x: Array, y: Array, kernel: Kernel, unbiased: bool = True) -> Array:
    """Squared maximum mean discrepancy.

    Args:
      x: [N, D], a sample of one distribution.
      y: [M, D], a sample of the other.
      kernel: gives [N, M] from x and y, for instance `gaussian_kernel(1.0)`.
      unbiased: leave out each point's kernel with itself. The mean is then the squared
        discrepancy of the distributions, and single values may be negative; otherwise
        values are never negative and too large on average.

    Returns:
      A scalar.

    Raises:
      InputError: if x and y are not [N, D] and [M, D], or too small for the estimator.

    Reference:
      Gretton et al., 2012, "A kernel two-sample test", equations 3 (unbiased) and 5.
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise InputError(f"x and y must be [N, D] and [M, D], got {x.shape} and {y.shape}")
    if min(x.shape[0], y.shape[0]) < 1 + unbiased:
        raise InputError(f"mmd2 needs at least {1 + unbiased} points, got {x.shape} and {y.shape}")

    def mean_within(points: Array) -> Array:
        values = kernel(points, points)
        count = points.shape[0]
        if not unbiased:
            return jnp.mean(values)
        return (jnp.sum(values) - jnp.trace(values)) / (count * (count - 1))

    # E k(x, x') + E k(y, y') - 2 E k(x, y)
    return mean_within(x) + mean_within(y) - 2 * jnp.mean(kernel(x, y))


def _squared_distances(x: Array, y: Array) -> Array:
    # |x - y|^2 by one matrix product, about a common origin so that digits do not cancel
    origin = jnp.mean(x, axis=0, keepdims=True)
    x, y = x - origin, y - origin
    squares = jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1)[None, :]
    products = jnp.matmul(x, y.T, precision="highest")
    return jnp.maximum(squares - 2 * products, 0)


def gaussian_kernel(bandwidth: Array | float) -> Kernel:
    """The kernel exp(-|x - y|^2 / (2 bandwidth^2)).

    Args:
      bandwidth: positive scalar, in units of x.

    Returns:
      A kernel for `mmd2`; its values are in (0, 1].
    """

    def kernel(x: Array, y: Array) -> Array:
        distances = _squared_distances(x, y)
        return jnp.exp(-distances / (2 * jnp.asarray(bandwidth, distances.dtype) ** 2))

    return kernel


def inverse_multiquadric_kernel(scale: Array | float) -> Kernel:
    """The kernel scale / (scale + |x - y|^2), whose tails are heavier than the Gaussian kernel's.

    Args:
      scale: positive scalar, in squared units of x; 2 D variance for a Gaussian prior.

    Returns:
      A kernel for `mmd2`; its values are in (0, 1].

    Reference:
      Tolstikhin et al., 2018, "Wasserstein auto-encoders", section 4.
    """

    def kernel(x: Array, y: Array) -> Array:
        distances = _squared_distances(x, y)
        amount = jnp.asarray(scale, distances.dtype)
        return amount / (amount + distances)

    return kernel


def linear_kernel(x: Array, y: Array) -> Array:
    """The inner product, [N, M]: its discrepancy is the squared distance of the means."""
    return x @ y.T
