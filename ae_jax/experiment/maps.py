"""Maps to a plane: the points that are mapped, classical maps, and what a map keeps."""

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial

from ae_jax import data, metrics, plots
from ae_jax.core import Array, HParams, InputError, State
from ae_jax.experiment.config import Config
from ae_jax.experiment.rows import where
from ae_jax.experiment.splits import load_splits
from ae_jax.training import Model

DATA, TSNE = "data", "t-SNE"
#: How many points are asked for their tangent planes, and how many neighbours have a vote.
_PLANES, _VOTES = 100, 5


class Points(NamedTuple):
    """What is mapped.

    Attributes:
      x: images [N, H, W, C] or points [N, D].
      label: int [N], classes, or tenths of the first coordinate where there are none.
      planes: [P, D, d], orthonormal columns that span the tangent planes at the first P points;
        None where the surface is not known.
    """

    x: np.ndarray
    label: np.ndarray
    planes: np.ndarray | None = None


def points(
    config: Config, name: str, count: int, new: int, neighbours: int
) -> tuple[Points, Points]:
    """Loads the points that are mapped, and new ones, each chosen at random once and for all.

    Args:
      config: of the experiment.
      name: of the data set. Points [D] are centred, and scaled by one number.
      count: how many of the train split, at most.
      new: how many of the test split.
      neighbours: of which maps are to be judged.

    Raises:
      InputError: if there are neither classes nor coordinates, or one class; if examples are in a
        plane already or all the same; if they are not more than twice the neighbours.
    """
    splits = load_splits(dataclasses.replace(config, dataset=name), kinds=("image", "point"))
    train, test = (
        {
            key: np.asarray(value)
            for key, value in part.fetch(
                part.arrays, np.random.RandomState(0).permutation(part.size)[:many]
            ).items()
        }
        for part, many in ((splits.train, count), (splits.test, new))
    )
    x, fewest = train["image"], min(len(train["image"]), len(test["image"]))
    if not {"label", "coordinates"} & train.keys():
        raise InputError(f"{name} has neither classes nor coordinates: choose another data set")
    if x[0].size < 3:
        raise InputError(f"{name} is in a plane already: choose another data set")
    if np.ptp(x) == 0:
        raise InputError(f"the examples of {name} are all the same: there is nothing to map")
    if fewest <= max(2 * neighbours, _VOTES):
        raise InputError(
            f"{fewest} points of {name} are too few to judge {neighbours} neighbours: take fewer "
            "neighbours, or more points and new points than twice as many"
        )
    if "label" in train:
        label, new_label = train["label"], test["label"]
    else:
        own, others = (batch["coordinates"][:, 0] for batch in (train, test))
        tenths = np.quantile(own, np.arange(1, 10) / 10)
        label, new_label = np.digitize(own, tenths), np.digitize(others, tenths)
    if len(np.unique(label)) < 2:
        raise InputError(f"{name} has one class, {label[0]}: give at least two")
    mean, scale = (x.mean(axis=0), x.std()) if x.ndim == 2 else (0, 1)
    x, others = ((part["image"] - mean) / scale for part in (train, test))
    planes = None
    if "coordinates" in train:
        surface = data.manifold(name)
        some = train["coordinates"][:_PLANES]
        planes = metrics.tangent_planes(surface.embed, some, surface.dimension)
    return Points(x, label, planes), Points(others, new_label)


def classical(
    train: Points, test: Points, neighbours: int, perplexity: float
) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Maps points by principal components, Isomap, LLE and t-SNE, and leaves them where they are.

    Args:
      train: what maps are fitted to.
      test: new points, which those are shown that take any.
      neighbours: of Isomap, which joins a graph that falls apart, and of modified LLE.
      perplexity: of t-SNE.

    Returns:
      By name, where points of both kinds are mapped to, [N, 2] and [M, 2] or None; of `data` they
      are what they were, [N, D] and [M, D].
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import Isomap, LocallyLinearEmbedding

    fitted = {
        "PCA": PCA(2, random_state=0),
        "Isomap": Isomap(n_neighbors=neighbours),
        "LLE": LocallyLinearEmbedding(n_neighbors=neighbours, method="modified", random_state=0),
    }
    x, new = flat(train.x), flat(test.x)
    found: dict[str, tuple[np.ndarray, np.ndarray | None]] = {DATA: (x, new)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of graphs that fall apart, whose distances are left out
        for name, own in fitted.items():
            found[name] = own.fit_transform(x), own.transform(new)
    return found | {TSNE: (tsne(x, perplexity), None)}


def tsne(x: Array, perplexity: float, seed: int = 0) -> np.ndarray:
    """Maps points or codes [N, ...] by t-SNE, from their principal components, [N, 2]."""
    from sklearn.manifold import TSNE as Map

    return Map(perplexity=perplexity, init="pca", random_state=seed).fit_transform(flat(x))


def codes(model: Model, x: Array) -> np.ndarray:
    """Returns what a trained lane makes of points [N, ...], [N, Z]."""
    # the function itself is compiled, once for all lanes of a method
    encode = jax.jit(model.method.views.encode)
    return np.asarray(encode(model.state, {"image": x}, model.hparams))


def kept(
    train: Points, test: Points, y: Array, new: Array | None, neighbours: int
) -> dict[str, float]:
    """What a map keeps of points, and of those that it was not fitted to.

    Args:
      train: what it was fitted to.
      test: new points.
      y: [N, Z], where those of `train` are mapped to.
      new: [M, Z], where those of `test` are; None where the map takes no new ones.
      neighbours: of all measures but the shares.

    Returns:
      `trust`, `continuity`; `knn`, the share that is told by the five nearest others on the map;
      `distances`, the rank correlation with those along the data, where all data hang together.
      Of new points `new_trust`, among each other, and `new_knn`, by the five nearest of `y`.
    """
    from sklearn.neighbors import KNeighborsClassifier

    told = KNeighborsClassifier(_VOTES).fit(y, train.label).predict(None)  # itself has no vote
    found = {
        "trust": metrics.trustworthiness(train.x, y, neighbours),
        "continuity": metrics.continuity(train.x, y, neighbours),
        "knn": float(np.mean(told == train.label)),
    }
    with contextlib.suppress(InputError):  # the graph falls apart
        found["distances"] = metrics.correlation_of_distances(train.x, y, neighbours)
    if new is not None:
        found["new_trust"] = metrics.trustworthiness(test.x, new, neighbours)
        found["new_knn"] = metrics.knn_accuracy(y, train.label, new, test.label, neighbours=_VOTES)
    return found


def neighbour_planes(points: Points, neighbours: int) -> np.ndarray:
    """The planes of principal components of neighbours, where `points` know the true ones.

    Args:
      points: with `planes` [P, D, d].
      neighbours: k, d or more, of each of the first P points.

    Returns:
      [P, D, d], orthonormal columns.
    """
    from sklearn.neighbors import NearestNeighbors

    x = flat(points.x)
    count, _, dimension = points.planes.shape
    places = NearestNeighbors(n_neighbors=neighbours).fit(x).kneighbors(return_distance=False)
    around = x[places[:count]]
    around = around - around.mean(axis=1, keepdims=True)
    return np.swapaxes(np.linalg.svd(around, full_matrices=False)[2], 1, 2)[..., :dimension]


def model_planes(model: Model, points: Points, latent: Array) -> dict[str, np.ndarray]:
    """The planes that a trained lane moves along, where `points` know the true ones.

    Args:
      model: whose encoder, and decoder if it has one, are looked at.
      points: with `planes` [P, D, d].
      latent: [N, Z], of `points`.

    Returns:
      `encoder` and `decoder`, [P, D, min(d, Z)]: what most changes the latent, and what it most
      changes.
    """
    count, _, dimension = points.planes.shape
    dimension, views = min(dimension, latent.shape[1]), model.method.views

    def planes(one: Callable, view: Callable, x: Array, side: str) -> np.ndarray:
        # views and states are arguments: lanes of a method share a program
        function = Partial(one, Partial(view), model.state, model.hparams)
        return metrics.tangent_planes(function, x[:count], dimension, side)

    found = {"encoder": planes(_encoded, views.encode, points.x, "input")}
    if views.decode:
        found["decoder"] = planes(_decoded, views.decode, latent, "output")
    return found


def _encoded(encode: Callable, state: State, hparams: HParams, x: Array) -> Array:
    return encode(state, {"image": x[None]}, hparams)[0]


def _decoded(decode: Callable, state: State, hparams: HParams, latent: Array) -> Array:
    return decode(state, latent[None], hparams)[0]


def angle(planes: Array, true: Array) -> float:
    """The mean over points of the largest angle between planes and true ones, in degrees."""
    return float(np.degrees(metrics.tangent_angles(planes, true)[:, -1]).mean())


def compared(rows: Sequence[Mapping[str, Any]], trained: Sequence[str]) -> list[str]:
    """Says which map keeps most, and how far those that were trained are from it.

    Args:
      rows: with the columns `dataset`, `map`, `trust` and `new_trust`.
      trained: maps.
    """
    said = []
    for name in dict.fromkeys(row["dataset"] for row in rows):
        mapped = [row for row in where(rows, dataset=name) if row["map"] != DATA]
        for measure in ("trust", "new_trust"):
            points = plots.aggregate(mapped, ["map"], [measure])
            means = {point["map"]: point[measure].mean for point in points}
            means = {way: mean for way, mean in means.items() if math.isfinite(mean)}
            best = max(means, key=means.get)
            others = [
                f"; {way} {means[way] - means[best]:+.3f}"
                for way in trained
                if way in means and way != best
            ]
            said.append(f"{measure} of {name}: most by {best}, {means[best]:.3f}{''.join(others)}.")
    return said


def dimension(x: Array, neighbours: int) -> dict[str, float]:
    """Returns the estimated `dimension` of points [N, ...]; nothing where there are copies."""
    with contextlib.suppress(InputError):
        return {"dimension": metrics.intrinsic_dimension(x, neighbours)}
    return {}


def dimensions(name: str, count: int, neighbours: int) -> dict[str, float]:
    """The dimension of a surface, and what its points tell of it.

    Args:
      name: as `data.manifold` knows it.
      count: how many of its points are looked at, copies left out.
      neighbours: of each.

    Returns:
      `true`, `estimate` by maximum likelihood and `TwoNN`; of images also `hard-edged estimate` and
      `hard-edged TwoNN`, of those without grey. What has no more different points than neighbours
      has no estimate.

    Raises:
      InputError: if there is no surface of that name.
    """
    found = {"true": float(data.manifold(name).dimension)}
    soft = data.subset(data.load(name), slice(0, count))
    kinds = {"": soft}
    if len(soft.spec["image"].shape) > 1:
        kinds["hard-edged "] = data.binarized(soft)
    for kind, part in kinds.items():
        x = np.unique(flat(data.all_images(part)), axis=0)
        with contextlib.suppress(InputError):
            found[f"{kind}estimate"] = metrics.intrinsic_dimension(x, neighbours)
            found[f"{kind}TwoNN"] = metrics.two_nn_dimension(x)
    return found


def flat(x: Array) -> np.ndarray:
    """[N, ...] as [N, D]."""
    return np.asarray(x).reshape(len(x), -1)
