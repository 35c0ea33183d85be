"""Principal components, and how far a subspace is from another."""

from typing import NamedTuple

import numpy as np

from ae_jax.core import Array, InputError


class PrincipalComponents(NamedTuple):
    """What `pca` finds; numpy arrays in double precision.

    Attributes:
      mean: [D].
      components: [size, D], orthonormal rows, those of the largest variance first.
      variances: [min(N, D)], all eigenvalues of the covariance (1/N), descending.
      discarded: the sum of the eigenvalues that are left out: the squared error per training
        example of the best reconstruction from `size` numbers.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    discarded: float


def pca(x: Array, size: int) -> PrincipalComponents:
    """Principal component analysis.

    Args:
      x: [N, ...], flattened to [N, D].
      size: how many components to keep, from 1 to min(N, D).

    Returns:
      The principal components.

    Raises:
      InputError: if x has no dimensions, or not that many, is of a single example or not
        finite.

    Reference:
      Baldi and Hornik, 1989, "Neural networks and principal component analysis": the best
      linear autoencoder has the error `discarded`.
    """
    from sklearn.decomposition import PCA

    x = _flat(x)
    if not 1 <= size <= min(x.shape):
        raise InputError(f"{size} components of {x.shape[0]} examples of {x.shape[1]} numbers")
    if len(x) < 2:
        raise InputError("principal components of a single example: it varies in no direction")
    # About an example, as the covariance may be a difference of second moments. All components,
    # which is exact: its solver for a few may be random.
    with np.errstate(invalid="ignore"):  # the parts of a variance of 0, which nobody reads
        found = PCA().fit(x - x[0])
    variances = found.explained_variance_ * ((len(x) - 1) / len(x))
    return PrincipalComponents(
        x[0] + found.mean_, found.components_[:size], variances, float(np.sum(variances[size:]))
    )


def pca_encode(principal: PrincipalComponents, x: Array) -> np.ndarray:
    """Coordinates [N, size] of examples [N, ...] along the principal components."""
    return (_flat(x) - principal.mean) @ principal.components.T


def pca_reconstruct(principal: PrincipalComponents, x: Array) -> np.ndarray:
    """Examples [N, ...] projected onto the principal components, in their own shape."""
    flat = pca_encode(principal, x) @ principal.components + principal.mean
    return flat.reshape(np.shape(x))


def principal_angles(a: Array, b: Array) -> np.ndarray:
    """Principal angles between the subspaces that two sets of columns span.

    An angle is found from its sine and its cosine: the cosine of 1e-8 is 1 in double precision.

    Args:
      a: [D, p], linearly independent columns, not necessarily orthogonal.
      b: [D, q], likewise.

    Returns:
      [min(p, q)], radians in [0, pi/2], ascending; all 0 where one subspace contains the
      other.

    Raises:
      InputError: if the shapes do not fit, or columns are linearly dependent or not finite.

    Reference:
      Knyazev and Argentati, 2002, "Principal angles between subspaces in an A-based scalar
      product", algorithm 3.1.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b) or not a.size or not b.size:
        raise InputError(f"a and b must be [D, p] and [D, q], got {a.shape} and {b.shape}")
    for name, columns in (("a", a), ("b", b)):
        _finite(name, columns)
        length = np.abs(columns).max(axis=0)
        rank = np.linalg.matrix_rank(columns / np.where(length > 0, length, 1))
        if rank < columns.shape[1]:
            raise InputError(f"the {columns.shape[1]} columns of {name} span {rank} dimensions")
    if a.shape[1] < b.shape[1]:
        a, b = b, a
    a, b = np.linalg.qr(a)[0], np.linalg.qr(b)[0]
    products = a.T @ b
    # The largest cosine belongs to the smallest sine. (SciPy 1.17's subspace_angles pairs them
    # the other way round where some angles are below pi / 4 and others above.)
    cosines = np.linalg.svd(products, compute_uv=False)
    sines = np.linalg.svd(b - a @ products, compute_uv=False)[::-1]
    return np.arctan2(sines, cosines)


def _flat(x: Array) -> np.ndarray:
    x = np.asarray(x, np.float64)
    if x.ndim < 2 or not x.size:
        raise InputError(f"x must be [N, ...] and not empty, got {x.shape}")
    _finite("x", x)
    return x.reshape(len(x), -1)


def _finite(name: str, x: np.ndarray) -> None:
    if not np.all(np.isfinite(x)):
        raise InputError(f"{name} contains values that are not finite")
