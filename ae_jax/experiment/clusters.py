"""What experiments on clusters share: classical ways, and clusters numbered as classes."""

import numpy as np

from ae_jax.core import InputError


def classical(x: np.ndarray, clusters: int, size: int, seed: int) -> dict[str, np.ndarray]:
    """Returns clusters of what nobody trained, int [N] each, by the name of the way.

    Args:
      x: [N, D].
      clusters: how many.
      size: principal components.
      seed: of all ways.

    Raises:
      InputError: if there are fewer examples, or columns, than asked for.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    if min(x.shape) < size or len(x) < clusters:
        raise InputError(f"{size} components and {clusters} clusters are too many of {x.shape}")
    principal = PCA(size, random_state=seed).fit_transform(x)
    means = KMeans(clusters, n_init=20, random_state=seed)
    return {
        "k-means of pixels": means.fit_predict(x),
        "k-means of PCA": means.fit_predict(principal),
        "GMM of PCA": mixture(principal, clusters, seed),
    }


def mixture(x: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Returns clusters [N] of rows [N, D] by a Gaussian mixture with full covariances."""
    from sklearn.mixture import GaussianMixture

    fitted = GaussianMixture(clusters, n_init=3, reg_covar=1e-4, random_state=seed)
    return fitted.fit_predict(x.astype(np.float64))


def nearest(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Returns the number of the centre [K, D] that each row [N, D] is nearest to, [N]."""
    return np.argmin(np.sum((x[:, None] - centres) ** 2, axis=2), axis=1)


def named(clusters: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Returns clusters [N], numbered as the classes that `metrics.cluster_accuracy` names them."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((max(clusters.max(), label.max()) + 1,) * 2)
    np.add.at(counts, (clusters, label), 1)
    return linear_sum_assignment(counts, maximize=True)[1][clusters]
