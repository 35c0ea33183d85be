"""Holes in test images, what fills them in closed form, and what is measured of filled ones."""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ae_jax import data, inversion, losses, methods, metrics, nets
from ae_jax.core import Array
from ae_jax.experiment.checks import classes
from ae_jax.experiment.config import Config
from ae_jax.experiment.running import sweep
from ae_jax.experiment.splits import Splits
from ae_jax.inversion import fills
from ae_jax.training import model


class Holes(NamedTuple):
    """What is to be filled, and what is known of such images.

    Attributes:
      images: test images [N, H, W, C], whole.
      labels: int [N]; None where there are none.
      mask: bool [H, W, 1], False in the hole.
      train: training images.
      average: their mean [H, W, C].
    """

    images: Array
    labels: Array | None
    mask: np.ndarray
    train: Array
    average: Array


def holes_in(splits: Splits, side: int, count: int) -> Holes:
    """Returns the first test images, with a square hole in the middle.

    Args:
      splits: the data.
      side: of the hole, in pixels.
      count: of the images, at most.

    Raises:
      InputError: as `inversion.hole`.
    """
    test, train = data.head(splits.test, count), data.all_images(splits.train)
    mask = inversion.hole(splits.image_shape, side)
    return Holes(test["image"], test.get("label"), mask, jnp.asarray(train), train.mean(axis=0))


def closed_fills(holes: Holes, components: int, ridge: float) -> dict[str, Array]:
    """Returns images that are filled in each way that trains nothing, clipped to [0, 1], by way.

    Args:
      holes: what is filled.
      components: of the PCA of training images.
      ridge: the variance of noise on known pixels that the Gaussian's conditional mean is told.

    Raises:
      InputError: as `metrics.pca`, `fills.principal` and `fills.conditional_mean`.
    """
    given = holes.images, holes.mask
    found = metrics.pca(holes.train, components)
    covariance = losses.covariance(holes.train.reshape(len(holes.train), -1))
    ways = {
        "mean": fills.mean(*given, holes.average),
        "nearest neighbour": fills.nearest(*given, holes.train),
        "harmonic": fills.harmonic(*given),
        "PCA": fills.principal(*given, found.mean, found.components),
        "conditional mean": fills.conditional_mean(*given, holes.average, covariance, ridge),
    }
    with contextlib.suppress(ModuleNotFoundError):
        ways["biharmonic"] = biharmonic(*given)
    return {way: inversion.composed(*given, jnp.clip(x, 0, 1)) for way, x in ways.items()}


def biharmonic(images: Array, mask: np.ndarray) -> Array:
    """Fills by the biharmonic equation, whose solutions are as smooth as splines, by scikit-image.

    Args:
      images: [B, H, W, C].
      mask: bool [H, W, 1], False in the hole.

    Returns:
      [B, H, W, C].

    Raises:
      ModuleNotFoundError: scikit-image is not installed.

    Reference:
      Damelin and Hoang (2018), On Surface Completion and Image Inpainting by Biharmonic Functions.
    """
    from skimage.restoration import inpaint_biharmonic

    unknown = np.array(~mask[..., 0])
    filled = [inpaint_biharmonic(np.array(x), unknown, channel_axis=-1) for x in images]
    return jnp.asarray(np.stack(filled), images.dtype)


def filled_measure(
    config: Config, name: str, splits: Splits, holes: Holes
) -> tuple[Callable[[Array], dict[str, float]], list[str]]:
    """Trains a classifier of whole images, and returns what measures filled ones.

    Args:
      config: of the experiment.
      name: the experiment's.
      splits: the data.
      holes: what was filled.

    Returns:
      images [N, H, W, C] -> `psnr`, decibels of the pixels in all holes together, and where there
      are labels `accuracy`, the percentage that the classifier reads rightly; and a line on both.

    Raises:
      InputError: as `classes` and `training.run`.
    """
    pixels = np.broadcast_to(~holes.mask, splits.image_shape)
    said = f"psnr is in dB, of the pixels in the holes of {len(holes.images)} test images together"
    classify = None
    if holes.labels is not None:
        encoder = nets.mlp(64, (128,), output_activation="relu")
        method = methods.classifier(encoder, classes(config.dataset, splits))
        own = dataclasses.replace(config, seeds=1, learning_rate=(1e-3,))
        trained = sweep(own, name, method, splits, {}, part="classifier", everywhere=True)
        classify = model(trained.result, 0).predict

    def accuracy(images: Array) -> float:
        read = jnp.argmax(classify({"image": images}), axis=1)
        return 100 * float(jnp.mean(read == holes.labels))

    def measure(filled: Array) -> dict[str, float]:
        both = (x[:, pixels].reshape(1, -1) for x in (filled, holes.images))
        found = {"psnr": float(metrics.psnr(*both)[0])}
        return found if classify is None else {**found, "accuracy": accuracy(filled)}

    if classify is not None:
        said += (
            "; accuracy is the percentage of filled ones that a classifier of whole images reads "
            f"rightly, {accuracy(holes.images):.1f} of the originals"
        )
    return measure, [f"{said}."]
