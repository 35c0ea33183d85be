"""What shape data have, and what a map of them keeps: on the host, in double precision.

Distances are Euclidean. Two examples at one place have no ratio of distances: they are refused
where that matters.
"""

from numbers import Integral

import numpy as np

from ae_jax.core import COUNT, Array, Domain, InputError, require

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
      InputError: as `intrinsic_dimensions`; if share is not above 0 and at most 1.

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


def correlation_of_distances(x: Array, mapped: Array) -> float:
    """Spearman's correlation of the distances between all pairs, in the data and on the map.

    Args:
      x: [N, ...], of 3 examples or more.
      mapped: [N, ...].

    Returns:
      1 where the order of all distances is kept; NaN where those of one are all the same.

    Raises:
      InputError: if shapes do not fit or values are not finite.
    """
    from scipy import stats
    from scipy.spatial.distance import pdist

    x, mapped = _pair(x, mapped)
    if len(x) < 3:
        raise InputError(f"distances of {len(x)} examples have no order: give 3 or more")
    distances = pdist(x), pdist(mapped)
    if any(np.ptp(own) == 0 for own in distances):
        return float("nan")
    return float(stats.spearmanr(*distances).statistic)


def _log_ratios(x: Array, neighbours: int, least: int) -> np.ndarray:
    """log(T_k / T_j) for j below k, [N, k - 1]."""
    from sklearn.neighbors import NearestNeighbors

    x = _examples("x", x)
    if not isinstance(neighbours, Integral) or not least <= neighbours < len(x):
        raise InputError(
            f"neighbours are {neighbours!r}: use a whole number, {least} or more and fewer than "
            f"the {len(x)} examples"
        )
    distances, _ = NearestNeighbors(n_neighbors=neighbours).fit(x).kneighbors()
    if not np.all(distances[:, 0] > 0):
        raise InputError(
            f"{int(np.sum(distances[:, 0] == 0))} examples have a copy, at a distance of 0: leave "
            "copies out (numpy.unique with axis=0)"
        )
    return np.log(distances[:, -1:] / distances[:, :-1])


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
