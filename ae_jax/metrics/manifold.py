"""What shape data have, and what a map of them keeps: on the host, in double precision.

Distances are Euclidean. Two examples at one place have no ratio of distances: they are refused
where that matters.
"""

import functools
import math
from collections.abc import Callable
from numbers import Integral
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import COUNT, Array, Domain, InputError, require
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


def trustworthiness(x: Array, mapped: Array, neighbours: int = 5) -> float:
    """Whether neighbours on a map are neighbours in the data.

    Args:
      x: [N, ...], the data, flattened.
      mapped: [N, ...], where they are on the map.
      neighbours: k, below N / 2.

    Returns:
      1 - 2 / (N k (2 N - 3 k - 1)) sum_i sum_{j in U_i} (r(i, j) - k): U_i are those of the k
      nearest on the map that are not in the data, r the rank in the data. 1 where all are, about
      1/2 where the map is a shuffle.

    Raises:
      InputError: if shapes do not fit, values are not finite or k is not from 1 to below N / 2.

    Reference:
      Venna and Kaski, 2006, "Local multidimensional scaling", equation 1.
    """
    from sklearn.manifold import trustworthiness as scikit_learns

    x, mapped = _pair(x, mapped)
    require(COUNT, neighbours=neighbours)
    if not neighbours < len(x) / 2:
        raise InputError(f"neighbours must be fewer than half of {len(x)} examples")
    return float(scikit_learns(x, mapped, n_neighbors=neighbours))


def continuity(x: Array, mapped: Array, neighbours: int = 5) -> float:
    """Whether neighbours in the data are neighbours on the map: `trustworthiness` the other way.

    Args:
      x: [N, ...].
      mapped: [N, ...].
      neighbours: k, below N / 2.

    Returns:
      1 where nothing is torn apart.

    Raises:
      InputError: as `trustworthiness`.

    Reference:
      Venna and Kaski, 2006, "Local multidimensional scaling", equation 2.
    """
    return trustworthiness(mapped, x, neighbours)


def correlation_of_distances(x: Array, mapped: Array, neighbours: int | None = None) -> float:
    """Spearman's correlation of the distances between all pairs, in the data and on the map.

    Args:
      x: [N, ...], of 3 examples or more.
      mapped: [N, ...].
      neighbours: where given, distances in the data are those of `geodesic_distances`.

    Returns:
      1 where the order of all distances is kept; NaN where those of one are all the same.

    Raises:
      InputError: if shapes do not fit or values are not finite; as `geodesic_distances`.
    """
    from scipy import stats
    from scipy.spatial.distance import pdist, squareform

    x, mapped = _pair(x, mapped)
    if len(x) < 3:
        raise InputError(f"distances of {len(x)} examples have no order: give 3 or more")
    own = pdist(x) if neighbours is None else squareform(geodesic_distances(x, neighbours))
    distances = own, pdist(mapped)
    if any(np.ptp(own) == 0 for own in distances):
        return float("nan")
    return float(stats.spearmanr(*distances).statistic)


def geodesic_distances(x: Array, neighbours: int = 10) -> np.ndarray:
    """Distances along the data: shortest paths over the graph of neighbours.

    Args:
      x: [N, ...], flattened.
      neighbours: of each example, which edges as long as they are far join it to, both ways; few
        tear the graph apart, and many let paths leave the surface.

    Returns:
      float64 [N, N].

    Raises:
      InputError: if values are not finite, neighbours are not from 1 to N - 1, or the graph falls
        apart.

    Reference:
      Tenenbaum, de Silva and Langford, 2000, "A global geometric framework for nonlinear
      dimensionality reduction", steps 1 and 2.
    """
    from scipy.sparse.csgraph import connected_components, shortest_path
    from sklearn.neighbors import NearestNeighbors

    x = _examples("x", x)
    _require_neighbours(neighbours, x, 1)
    # an edge of copies, whose length is 0, is one all the same: it is stored
    graph = NearestNeighbors(n_neighbors=neighbours).fit(x).kneighbors_graph(mode="distance")
    parts, _ = connected_components(graph, directed=False)
    if parts > 1:
        raise InputError(
            f"the graph of {neighbours} neighbours falls apart into {parts}: use more of them"
        )
    paths = shortest_path(graph, directed=False)
    return np.minimum(paths, paths.T)  # which differ by rounding


def stress(x: Array, mapped: Array) -> float:
    """Kruskal's stress of a map, of the scale that suits it best.

    Args:
      x: [N, ...].
      mapped: [N, ...].

    Returns:
      sqrt(sum (d - b t)^2 / sum d^2) over all pairs, d the distances on the map, t those in the
      data and b what makes it least; 0 where all are in proportion, 1 where all are mapped to one
      place.

    Raises:
      InputError: if shapes do not fit or values are not finite; if all of x are at one place.

    Reference:
      Kruskal, 1964, "Multidimensional scaling by optimizing goodness of fit to a nonmetric
      hypothesis", stress formula 1.
    """
    from scipy.spatial.distance import pdist

    x, mapped = _pair(x, mapped)
    own, found = pdist(x), pdist(mapped)
    if not np.any(own):
        raise InputError("all of x are at one place: there is no distance to keep")
    if not np.any(found):
        return 1.0
    own, found = (d / np.linalg.norm(d) for d in (own, found))
    # 1 - cos^2 without what cancels
    return float(np.linalg.norm(found - (own @ found) * own))


def distortion(distances: Array, reference: Array) -> float:
    """By which share distances of pairs are off those that they stand for, at the best scale.

    Args:
      distances: [N, N], between all points, in any geometry.
      reference: [N, N], positive but on the diagonal, such as steps along a tree.

    Returns:
      The mean over pairs of |s d / D - 1|, with the scale s of which the squares are least.

    Raises:
      InputError: if they are not [N, N] of at least 2 points.

    Reference:
      Sala, De Sa, Gu and Re (2018), Representation Tradeoffs for Hyperbolic Embeddings, section 2,
      average distortion, without the scale.
    """
    own, other = np.asarray(distances, np.float64), np.asarray(reference, np.float64)
    if own.ndim != 2 or own.shape != other.shape or not 2 <= len(own) == own.shape[1]:
        raise InputError(
            f"distances between points are [N, N], of 2 or more, got {list(own.shape)} and "
            f"{list(other.shape)}"
        )
    pairs = np.triu_indices(len(own), 1)
    ratio = own[pairs] / other[pairs]
    scale = np.sum(ratio) / max(np.sum(ratio**2), np.finfo(float).tiny)
    return float(np.mean(np.abs(scale * ratio - 1)))


def simplex_stress(points: int, dimensions: int) -> float:
    """The `stress` of points that are all at one distance from each other, on the best known map.

    Args:
      points: n, 2 or more: a regular simplex of n - 1 dimensions.
      dimensions: of the map: 1, or 2, or n - 1 and more.

    Returns:
      On a line the least there is, sqrt((n - 2) / (3 n)), of places at equal steps. In a plane that
      of a regular polygon, sqrt(1 - 2 cot(pi / 2n)^2 / (n (n - 1))); from eight points on, less is
      reached with one of them in the middle. 0 in n - 1 dimensions.

    Raises:
      InputError: if it is known of no such map.

    Reference:
      De Leeuw and Stoop, 1984, "Upper bounds for Kruskal's stress".
    """
    require(Domain(2, whole=True), points=points)
    require(COUNT, dimensions=dimensions)
    if dimensions >= points - 1:
        return 0.0
    if dimensions == 1:
        return float(np.sqrt((points - 2) / (3 * points)))
    if dimensions == 2:
        square = 2 / np.tan(np.pi / (2 * points)) ** 2 / (points * (points - 1))
        return float(np.sqrt(1 - square))
    raise InputError(f"stress in {dimensions} dimensions has no closed form: use 1 or 2")


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

    x = _examples("x", x)
    _require_neighbours(neighbours, x, least)
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


def _require_neighbours(neighbours: int, x: np.ndarray, least: int) -> None:
    if not isinstance(neighbours, Integral) or not least <= neighbours < len(x):
        raise InputError(
            f"neighbours are {neighbours!r}: use a whole number, {least} or more and fewer than "
            f"the {len(x)} examples"
        )


def _examples(name: str, x: Array) -> np.ndarray:
    x = np.asarray(x, np.float64)
    if x.ndim < 2 or not x.size:
        raise InputError(f"{name} must be [N, ...] and not empty, got {list(x.shape)}")
    if not np.all(np.isfinite(x)):
        raise InputError(f"{name} contain values that are not finite")
    return x.reshape(len(x), -1)


def _pair(x: Array, mapped: Array) -> tuple[np.ndarray, np.ndarray]:
    x, mapped = _examples("x", x), _examples("mapped", mapped)
    if len(x) != len(mapped):
        raise InputError(f"x are {len(x)} examples and mapped {len(mapped)}")
    return x, mapped
