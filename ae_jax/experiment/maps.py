"""Maps to a plane: the points that are mapped, classical maps, and what a map keeps."""

import contextlib
import dataclasses
from typing import Any, NamedTuple

import numpy as np

from ae_jax import data, metrics
from ae_jax.core import Array, InputError
from ae_jax.experiment.config import Config
from ae_jax.experiment.splits import load_splits

DATA, TSNE = "data", "t-SNE"


class Points(NamedTuple):
    """Examples [N, ...], their classes [N], and coordinates [N, K] on a surface, or None."""

    x: np.ndarray
    label: np.ndarray
    coordinates: np.ndarray | None


def points(config: Config, name: str, count: int, new: int) -> tuple[Points, Points]:
    """Loads the points that are mapped, and new ones.

    Args:
      config: of the experiment.
      name: of the data set; points [D] are centred, and scaled by one number.
      count: how many of the train split.
      new: how many of the test split.

    Returns:
      Both. Where there are no classes, they are tenths of the first coordinate.

    Raises:
      InputError: if there are neither classes nor coordinates.
    """
    splits = load_splits(dataclasses.replace(config, dataset=name), kinds=("image", "point"))
    batches = [
        {key: np.asarray(value) for key, value in data.head(part, many).items()}
        for part, many in ((splits.train, count), (splits.test, new))
    ]
    first = batches[0]
    if not {"label", "coordinates"} & first.keys():
        raise InputError(f"{name} has neither classes nor coordinates: choose another data set")
    mean, scale = first["image"].mean(axis=0), first["image"].std()
    found = []
    for batch in batches:
        x = batch["image"] if first["image"].ndim > 2 else (batch["image"] - mean) / scale
        if "label" in batch:
            label = batch["label"]
        else:
            tenths = np.quantile(first["coordinates"][:, 0], np.arange(1, 10) / 10)
            label = np.digitize(batch["coordinates"][:, 0], tenths)
        found.append(Points(x, label, batch.get("coordinates")))
    return found[0], found[1]


def classical(
    train: Points, test: Points, places: dict[str, Any], neighbours: int, perplexity: float
) -> dict[str, dict[str, float]]:
    """Maps points by principal components, Isomap, LLE and t-SNE, and leaves them where they are.

    Args:
      train: what maps are fitted to.
      test: what those are shown afterwards that take new points.
      places: is given each map's places [N, 2] and classes [N].
      neighbours: of Isomap, of LLE and of what is measured.
      perplexity: of t-SNE.

    Returns:
      What `kept` and `kept_of_new` say of each, by name.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import Isomap, LocallyLinearEmbedding

    fitted = {
        "PCA": PCA(2),
        "Isomap": Isomap(n_neighbors=neighbours),
        "LLE": LocallyLinearEmbedding(n_neighbors=neighbours, method="modified", random_state=0),
    }
    x, new = flat(train.x), flat(test.x)
    found = {DATA: kept(train, x, neighbours) | kept_of_new(train, test, x, new, neighbours)}
    for name, own in fitted.items():
        y = own.fit_transform(x)
        places[name] = y, train.label
        more = kept_of_new(train, test, y, own.transform(new), neighbours)
        found[name] = kept(train, y, neighbours) | more
    y = tsne(x, perplexity)
    places[TSNE] = y, train.label
    return found | {TSNE: kept(train, y, neighbours)}


def tsne(x: Array, perplexity: float, seed: int = 0) -> np.ndarray:
    """Maps points or codes [N, ...] by t-SNE, from their principal components, [N, 2]."""
    from sklearn.manifold import TSNE as Map

    few = min(perplexity, (len(x) - 1) / 3)
    return Map(perplexity=few, init="pca", random_state=seed).fit_transform(flat(x))


def kept(points: Points, y: Array, neighbours: int) -> dict[str, float]:
    """What a map keeps of points.

    Args:
      points: what is mapped.
      y: [N, ...], where to.
      neighbours: of all measures but accuracy.

    Returns:
      `trust`, `continuity`; `knn`, the percentage told by five neighbours on the map, in ten
      folds; `distances`, the rank correlation with those along the data, and `dimension`, of the
      map, where they can be had.
    """
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    told = cross_val_score(KNeighborsClassifier(5), flat(y), points.label, cv=10)
    found = {
        "trust": metrics.trustworthiness(points.x, y, neighbours),
        "continuity": metrics.continuity(points.x, y, neighbours),
        "knn": 100 * float(told.mean()),
    }
    with contextlib.suppress(InputError):  # the graph falls apart
        found["distances"] = metrics.correlation_of_distances(points.x, y, neighbours)
    with contextlib.suppress(InputError):  # copies
        found["dimension"] = metrics.intrinsic_dimension(y, neighbours)
    return found


def kept_of_new(
    train: Points, test: Points, y: Array, new: Array, neighbours: int
) -> dict[str, float]:
    """What a map keeps of points that it was not fitted to.

    Args:
      train: what it was fitted to.
      test: new points.
      y: [N, ...], where those of `train` are mapped to.
      new: [M, ...], where those of `test` are.
      neighbours: of trust.

    Returns:
      `new_trust`, among new points, and `new_knn`, the percentage told by five neighbours in `y`.
    """
    return {
        "new_trust": metrics.trustworthiness(test.x, new, neighbours),
        "new_knn": 100 * metrics.knn_accuracy(y, train.label, new, test.label),
    }


def flat(x: Array) -> np.ndarray:
    """[N, ...] as [N, D]."""
    return np.asarray(x).reshape(len(x), -1)
