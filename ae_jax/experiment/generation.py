"""Comparing generated images with the data: the columns that experiments share."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import data, methods, metrics
from ae_jax.core import Array, InputError, Method, Network
from ae_jax.experiment.checks import classes
from ae_jax.experiment.config import Config
from ae_jax.experiment.models import own_rows
from ae_jax.experiment.running import sweep
from ae_jax.experiment.splits import Splits
from ae_jax.training import Model, model

#: Columns of `generated`; distances of pixels, and again of each kind of features.
DISTANCES = ("kernel_distance", "kernel_error", "frechet_distance")
SHARES = ("precision", "recall", "density", "coverage")
COLUMNS = (
    *DISTANCES,
    *(f"feature_{name}" for name in DISTANCES),
    *SHARES,
    "sample_distance",
    "closer",
)


#: Images that `generated` needs, by the neighbours of precision and recall, density and coverage.
LEAST, LEAST_TEST = 4, 6


def check_generated(count: int, tests: int) -> None:
    """Raises InputError where so many generated and test images are too few for `generated`."""
    for name, number, least in (("samples", count, LEAST), ("test images", tests, LEAST_TEST)):
        if number < least:
            raise InputError(
                f"generated images are measured by {least} {name} or more, got {number}"
            )


def generated(
    images: Array,
    train: Array,
    test: Array,
    features: Mapping[str, Callable[[Array], Array]] | None = None,
) -> dict[str, float]:
    """Returns how far generated images are from test images, and from training images.

    Args:
      images: [N, H, W, C], generated, as many as the metrics need (`check_generated`).
      train: images that the model has seen.
      test: images that it has not.
      features: a column's prefix -> images to features [N, D], of which distances are taken too.

    Returns:
      `kernel_distance`, its standard error `kernel_error` and `frechet_distance`, of pixels and,
      under their prefix, of features; of pixels `precision`, `recall`, `density`, `coverage`, and
      `sample_distance`, `test_distance` and `closer` as `metrics.memorisation`.

    Raises:
      InputError: as the metrics of these names.
    """
    columns: dict[str, Array] = {}
    for prefix, encode in {"": _flat, **(features or {})}.items():
        fake, real = encode(images), encode(test)
        found = (
            *metrics.kernel_distance(fake, real),
            metrics.frechet_distance_of_samples(fake, real),
        )
        columns |= {prefix + name: x for name, x in zip(DISTANCES, found, strict=True)}
    fake, seen, real = map(_flat, (images, train, test))
    shares = *metrics.precision_recall(real, fake), *metrics.density_coverage(real, fake)
    columns |= dict(zip(SHARES, shares, strict=True)) | metrics.memorisation(fake, seen, real)
    return {name: float(value) for name, value in columns.items()}


def densities(codes: Array, fits: Mapping[str, Callable[[Array], Any]]) -> dict[str, Any]:
    """Returns the densities, by name, that can be fitted to the codes of a lane.

    What its codes do not allow, a mixture of more components than there are different codes, say,
    may cost no more than its own columns: why, is said.
    """
    found = {}
    for name, fit in fits.items():
        try:
            found[name] = fit(codes)
        except InputError as error:
            print(f"{name} is not fitted: {error}", file=sys.stderr)
    return found


def class_features(
    config: Config, name: str, splits: Splits, encoder: Network, learning_rate: float = 1e-3
) -> tuple[dict[str, Callable[[Array], Array]], list[str]]:
    """Trains a classifier whose encoder gives features of images, where they have labels.

    Args:
      config: of the experiment.
      name: the experiment's.
      splits: the data.
      encoder: images to features [N, D]; a linear layer on it gives the classes.
      learning_rate: of the classifier.

    Returns:
      The prefix `feature_` and `features_of` the classifier, for `generated`; and a line about it.
      Nothing where there are no labels.

    Raises:
      InputError: as `classes` and `training.run`.
    """
    if "label" not in splits.train.spec:
        return {}, []
    method = methods.classifier(encoder, classes(config.dataset, splits))
    values, options = {"learning_rate": learning_rate}, {"part": "features", "everywhere": True}
    lane = model(sweep(config, name, method, splits, values, **options).result, 0)
    return {"feature_": features_of(lane, splits)}, [
        "Features are what the output layer sees of a classifier, trained on the training images, "
        f"that is wrong about {lane.row['error']:.1%} of the test images."
    ]


def features_of(lane: Model, splits: Splits) -> Callable[[Array], Array]:
    """Returns a lane's encoder of images, in units of its root mean square over training images.

    So all powers of the kernel distance's polynomial count.
    """
    unit = jnp.sqrt(jnp.mean(lane.encode(data.head(splits.train, 10_000)) ** 2))
    return lambda images: lane.encode({"image": images}) / unit


def gaussian_images(key: Array, images: Array, count: int) -> Array:
    """Draws what has the mean and the covariance of images, and nothing else of them.

    Args:
      key: PRNG key.
      images: [N, H, W, C].
      count: how many.

    Returns:
      [count, H, W, C], outside of [0, 1] too.
    """
    x = _flat(images)
    mean = jnp.mean(x, axis=0, keepdims=True)
    # normal weights of the differences from the mean: no root of a singular covariance
    weights = jax.random.normal(key, (count, len(x)), x.dtype) / len(x) ** 0.5
    return jnp.reshape(mean + weights @ (x - mean), (count, *images.shape[1:]))


def film_times(steps: int, frames: int = 30) -> list[int]:
    """Returns when to look at what is trained: before, and ever less often, to the last step."""
    later = np.geomspace(max(1, steps / 100), steps, min(frames, -(-steps // 4)))
    return sorted({0, *np.round(later).astype(int).tolist()})


def earlier(
    config: Config,
    name: str,
    method: Method | Callable[..., Method],
    splits: Splits,
    values: Mapping[str, Any],
    steps: Sequence[int],
    *,
    part: str,
    **options: Any,
) -> list[tuple[int, Model]]:
    """Returns a sweep's sound lanes as they were after fewer steps, by training them again.

    Args:
      config: as for `sweep`, and so are what is not said here.
      name: likewise.
      method: likewise.
      splits: likewise.
      values: likewise.
      steps: when the lanes are looked at.
      part: what the directories begin with that are trained in.
      options: schedules are those of the whole sweep.

    Returns:
      A number of steps and a lane, by ascending lane within each number.
    """
    found = []
    for count in steps:
        trained = sweep(
            config, name, method, splits, values, part=f"{part}_{count}", steps=count, **options
        )
        sound = [row["lane"] for row in own_rows(trained.result) if row["status"] == "ok"]
        found += [(count, model(trained.result, lane)) for lane in sound]
    return found


def _flat(images: Array) -> Array:
    return jnp.reshape(images, (len(images), -1))
