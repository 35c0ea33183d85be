"""What shape data have, and the tangents of a function's image: in double precision on the host.

Distances are Euclidean. Two examples at one place have no ratio of distances: they are refused
where that matters.
"""

import functools
import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import COUNT, Array, Domain, InputError, require
from ae_jax.metrics._points import as_points, require_neighbours
from ae_jax.metrics.subspace import principal_angles

_SHARE = Domain(0, 1, low_open=True)


def intrinsic_dimensions(x: Array, neighbours: int = 10) -> np.ndarray:
    """The dimension of the data around each example, by maximum likelihood.

    Args:
      x: [N, ...], flattened.
      neighbours: k, from 3 to N - 1.

    Returns:
      float64 [N], [1 / (k - 2) sum_{j < k} log(T_k / T_j)]^-1, T_j the distance to the j-th
      neighbour: unbiased where the density is constant over the k neighbours. Their mean is not:
      see `intrinsic_dimension`.

    Raises:
      InputError: if shapes do not fit, values are not finite, or an example is there twice.

    Reference:
      Levina and Bickel, 2004, "Maximum likelihood estimation of intrinsic dimension", equation 8,
      with the divisor that makes it unbiased.
    """
    return (neighbours - 2) / _log_ratios(x, neighbours, 3).sum(axis=1)


def intrinsic_dimension(x: Array, neighbours: int = 10) -> float:
    """The dimension of data that have one everywhere, by maximum likelihood.

    Args:
      x: [N, ...], flattened.
      neighbours: k, from 2 to N - 1: more vary less, and reach further along what is curved.

    Returns:
      The inverse of the mean over examples of 1 / (k - 1) sum_{j < k} log(T_k / T_j). Other than
      for a single example the divisor is k - 1.

    Raises:
      InputError: as `intrinsic_dimensions`.

    Reference:
      MacKay and Ghahramani, 2005, "Comments on 'Maximum likelihood estimation of intrinsic
      dimension' by E. Levina and P. Bickel".
    """
    return float((neighbours - 1) / _log_ratios(x, neighbours, 2).sum(axis=1).mean())


def two_nn_dimension(x: Array, share: float = 0.9) -> float:
    """The dimension of data by the ratio of the distances to two neighbours alone.

    Args:
      x: [N, ...], flattened.
      share: of the examples, those with the smallest ratios, that the line is fitted to.

    Returns:
      The slope of -log(1 - F_i) against log mu_i through the origin, mu_i the i-th smallest ratio
      of the distances to the second and the first neighbour and F_i = i / N.

    Raises:
      InputError: as `intrinsic_dimensions`; if share is not above 0 and at most 1, or both
        neighbours are as far from each of its examples, as on a grid.

    Reference:
      Facco, d'Errico, Rodriguez and Laio, 2017, "Estimating the intrinsic dimension of datasets
      by a minimal neighborhood information", section "The model".
    """
    require(_SHARE, share=share)
    ratios = np.sort(_log_ratios(x, 2, 2)[:, 0])
    count = len(ratios)
    used = min(max(1, int(share * count)), count - 1)  # F of the last is 1
    right = -np.log1p(-np.arange(1, used + 1) / count)
    log_mu = ratios[:used]
    if not np.any(log_mu):
        raise InputError(
            "of two neighbours one is as far as the other: that tells no dimension (of points of a "
            "grid, say)"
        )
    return float(log_mu @ right / (log_mu @ log_mu))


def log_ball_share(dimension: int) -> float:
    """The logarithm of the share of a cube that the ball inside it fills.

    Args:
      dimension: d.

    Returns:
      log(pi^(d / 2) / (Gamma(d / 2 + 1) 2^d)).

    Raises:
      InputError: if d is not a whole number from 1.
    """
    from scipy.special import gammaln

    require(COUNT, dimension=dimension)
    d = float(dimension)
    return float(d / 2 * np.log(np.pi) - gammaln(d / 2 + 1) - d * np.log(2))


def tangent_planes(
    function: Callable[[Array], Array],
    x: Array,
    dimension: int,
    side: Literal["output", "input"] = "output",
) -> np.ndarray:
    """The directions in which a function moves most, around each example.

    Args:
      function: of one example [...] without batch axis: a decoder, whose outputs move along the
        surface that it has learned, or an encoder, whose inputs are told apart along it. A
        `jax.tree_util.Partial` is compiled once for all arguments that it has, such as states.
      x: [N, ...], where it is looked at: latents of a decoder, examples of an encoder.
      dimension: d, of the planes.
      side: whether planes are of what comes out, or of what goes in.

    Returns:
      float64 [N, D, d], orthonormal columns: the d left singular vectors, of an encoder the right
      ones, of the largest singular values of the Jacobian.

    Raises:
      InputError: if the Jacobian has not d singular values, or is not finite.

    Reference:
      Rifai et al., 2011, "The manifold tangent classifier", section 3.
    """
    x = jnp.asarray(x)
    sizes = math.prod(jax.eval_shape(function, x[0]).shape), math.prod(x.shape[1:])
    require(Domain(1, min(sizes), whole=True), dimension=dimension)
    derivative = jax.jacrev if sizes[0] < sizes[1] else jax.jacfwd
    if isinstance(function, jax.tree_util.Partial):
        found = _jacobians(derivative, function, x)
    else:
        found = jax.jit(jax.vmap(derivative(function)))(x)
    jacobian = np.asarray(found, np.float64).reshape(len(x), *sizes)
    if not np.all(np.isfinite(jacobian)):
        raise InputError("the function's Jacobian contains values that are not finite")
    left, _, right = np.linalg.svd(jacobian, full_matrices=False)
    planes = left if side == "output" else np.swapaxes(right, 1, 2)
    return planes[..., :dimension]


@functools.partial(jax.jit, static_argnums=0)
def _jacobians(derivative: Callable, function: jax.tree_util.Partial, x: Array) -> Array:
    return jax.vmap(derivative(function))(x)


def tangent_angles(a: Array, b: Array) -> np.ndarray:
    """Principal angles of planes, pair by pair.

    Args:
      a: [N, D, p].
      b: [N, D, q].

    Returns:
      [N, min(p, q)], as `principal_angles` has them.

    Raises:
      InputError: as `principal_angles`, or if there are not as many of both.
    """
    if len(a) != len(b):
        raise InputError(f"a are {len(a)} planes and b {len(b)}")
    return np.stack([principal_angles(*pair) for pair in zip(a, b, strict=True)])


def _log_ratios(x: Array, neighbours: int, least: int) -> np.ndarray:
    """log(T_k / T_j) for j below k, [N, k - 1]."""
    from sklearn.neighbors import NearestNeighbors

    x = as_points("x", x)
    require_neighbours(neighbours, x, least)
    x = x - x.mean(axis=0)
    places = NearestNeighbors(n_neighbors=neighbours).fit(x).kneighbors(return_distance=False)
    # of differences: by products, as of many columns, a copy may be at no distance of 0
    distances = np.stack([np.linalg.norm(x - x[place], axis=1) for place in places.T], axis=1)
    distances.sort(axis=1)
    if not np.all(distances[:, 0] > 0):
        raise InputError(
            f"{int(np.sum(distances[:, 0] == 0))} examples have a copy, at a distance of 0: leave "
            "copies out (numpy.unique with axis=0)"
        )
    return np.log(distances[:, -1:] / distances[:, :-1])
