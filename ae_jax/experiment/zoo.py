"""What codes and samples of an autoencoder are worth: the columns of `experiments/vae_zoo.py`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ae_jax import data, methods, metrics
from ae_jax.core import Array, Batch
from ae_jax.experiment.generation import densities
from ae_jax.experiment.splits import Splits
from ae_jax.recipes import samplers
from ae_jax.training import Model

#: Samplers: a model's own prior, and densities that are fitted to codes.
SAMPLERS = "prior", "gaussian", "mixture", "kernels"
#: Training images whose codes are looked at, at most.
MOST = 10_000


def binary(batch: Batch) -> Batch:
    """Returns a batch whose image is drawn as zeros and ones, always the same."""
    return methods.binarized(jax.random.key(0), dict(batch))


def measured(
    model: Model, batches: Sequence[Batch], components: int, count: int, fitted: bool = True
) -> tuple[dict[str, float], dict[str, Array]]:
    """Returns what a model's bound and codes are worth, and samples of all that fit.

    Args:
      model: to look at.
      batches: of training and of test images; the latter are binary.
      components: as for `decoded`.
      count: of each sampler.
      fitted: whether densities are fitted to codes too.

    Returns:
      The columns of `coded`, and `log_likelihood` in nats, where there is one; and images by
      sampler.
    """
    train, test = batches
    key, views, made = jax.random.key(model.row["seed"]), model.method.views, {}
    codes = [np.asarray(model.encode(batch)) for batch in (binary(train), test)]
    found = coded(codes, batches, model.reconstruct(test))
    if views.log_likelihood is not None:
        found["log_likelihood"] = float(np.mean(model.log_likelihood(key, test)))
    if views.sample is not None:
        made["prior"] = model.sample(key, count)
    if fitted:
        made |= decoded(key, codes[0], components, count, model.decode)
    return found, made


def coded(codes: Sequence[Array], batches: Sequence[Batch], made: Array) -> dict[str, float]:
    """Returns the squared error of reconstructions, and what codes tell of labels.

    Args:
      codes: of training and of test images, [N, Z] and [M, Z].
      batches: of training and of test images.
      made: the reconstructions of the test images.

    Returns:
      `squared_error`, the mean over images, summed over pixels; `probe`, the percentage of test
      images that logistic regression is right about, where there are labels.
    """
    train, test = batches
    error = np.sum((_flat(made) - _flat(test["image"])) ** 2, axis=1)
    found = {"squared_error": float(np.mean(error))}
    if "label" in train:
        right = metrics.linear_probe(codes[0], train["label"], codes[1], test["label"])
        found["probe"] = 100 * right
    return found


def decoded(
    key: Array, codes: Array, components: int, count: int, decode: Callable[[Array], Array]
) -> dict[str, Array]:
    """Returns images [count, ...] of draws of each density that can be fitted to codes.

    Args:
      key: PRNG key.
      codes: of training images, [N, Z].
      components: of the mixture of Gaussians.
      count: of each density's draws.
      decode: latents [count, Z] -> images.
    """
    fits = {
        "gaussian": lambda codes: samplers.gaussian(codes, ridge=1e-6),
        "mixture": lambda codes: samplers.gaussian_mixture(codes, components),
        "kernels": samplers.kernel_density,
    }
    fitted, shape = densities(codes, fits), (count, codes.shape[1])
    return {name: decode(density(key, shape)) for name, density in fitted.items()}


def distances(made: Mapping[str, Array], real: Array) -> dict[str, float]:
    """Returns the kernel distance of each sampler's images from given ones, `kernel_NAME`."""
    return {
        f"kernel_{name}": float(metrics.kernel_distance(_flat(images), _flat(real)).mean)
        for name, images in made.items()
    }


def classical(
    splits: Splits, test: Batch, real: Array, size: int, components: int, count: int
) -> list[dict[str, Any]]:
    """Returns rows of PCA in the place of an autoencoder, and of training images as samples.

    Args:
      splits: the data.
      test: binary images of the test split.
      real: the same images in grey.
      size: of the codes.
      components: as for `decoded`.
      count: of samples.
    """
    train = data.head(splits.train, MOST)
    principal = metrics.pca(binary(train)["image"], size)
    codes = [metrics.pca_encode(principal, each["image"]) for each in (binary(train), test)]

    def decode(z: Array) -> np.ndarray:
        made = np.asarray(z) @ principal.components + principal.mean
        return np.clip(made, 0, 1).reshape(len(made), *splits.image_shape)

    made = decoded(jax.random.key(0), codes[0], components, count, decode)
    found = coded(codes, (train, test), decode(codes[1])) | distances(made, real)
    rows = {"PCA": found, "training images": distances({"prior": train["image"][:count]}, real)}
    return [{"model": name, "seed": 0, "status": "ok", **own} for name, own in rows.items()]


def _flat(images: Array) -> np.ndarray:
    return np.asarray(images).reshape(len(images), -1)
