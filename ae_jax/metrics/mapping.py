"""What a map of data keeps of their distances: in double precision on the host."""

import numpy as np

from ae_jax.core import COUNT, Array, Domain, InputError, require
from ae_jax.metrics._points import as_points, require_neighbours


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

    x = as_points("x", x)
    require_neighbours(neighbours, x, 1)
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


def _pair(x: Array, mapped: Array) -> tuple[np.ndarray, np.ndarray]:
    x, mapped = as_points("x", x), as_points("mapped", mapped)
    if len(x) != len(mapped):
        raise InputError(f"x are {len(x)} examples and mapped {len(mapped)}")
    return x, mapped
