"""Deep clustering begins where an autoencoder ends: its networks, and clusters of its latents."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ae_jax import data, training
from ae_jax.core import COUNT, Dataset, InputError, require


def begun(
    result: training.Result, dataset: Dataset, clusters: int, restarts: int = 20
) -> list[dict[str, Any] | None]:
    """Returns what lanes of `methods.deep_clustering` begin with, of lanes of an autoencoder.

    Args:
      result: of an autoencoder's training.
      dataset: all that is clustered; labels are not looked at.
      clusters: K.
      restarts: of k-means, of which the one with the smallest sum of squares is kept.

    Returns:
      For each lane, what to give `training.run` as `start`: `encoder`, `decoder` and `centres`
      [K, Z]. None for lanes of processes that died.

    Raises:
      InputError: if there are more clusters than examples, or none.

    Reference:
      Xie, Girshick and Farhadi (2016), Unsupervised Deep Embedding for Clustering Analysis,
      section 3.3.
    """
    from sklearn.cluster import KMeans

    _require_enough(dataset, restarts, clusters=clusters)

    def centres(latent: np.ndarray, seed: int) -> dict[str, Any]:
        means = KMeans(clusters, n_init=restarts, random_state=seed).fit(latent)
        return {"centres": means.cluster_centers_.astype(latent.dtype)}

    return _begun(result, dataset, centres)


def begun_mixture(
    result: training.Result, dataset: Dataset, components: int, restarts: int = 10
) -> list[dict[str, Any] | None]:
    """Returns what VAEs with `priors.gaussian_mixture` begin with, of lanes of a VAE.

    One of beta 0 is an autoencoder, whose latents the authors begin with.

    Args:
      result: of the training of a VAE with Gaussian posteriors, whatever its prior.
      dataset: all that the mixture is of; labels are not looked at.
      components: K.
      restarts: of the mixture's fit, of which the likeliest is kept.

    Returns:
      For each lane, what to give `training.run` as `start`: `encoder`, `decoder` and `prior`, the
      mixture of the means of the posteriors. None for lanes of processes that died.

    Raises:
      InputError: if there are more components than examples, or none.

    Reference:
      Jiang, Zheng, Tan, Tang and Zhou (2017), Variational Deep Embedding, section 4.
    """
    from sklearn.mixture import GaussianMixture

    _require_enough(dataset, restarts, components=components)

    def prior(latent: np.ndarray, seed: int) -> dict[str, Any]:
        mixture = GaussianMixture(
            components, covariance_type="diag", n_init=restarts, random_state=seed
        ).fit(latent.astype(np.float64))
        found = {
            "mean": mixture.means_,
            "log_var": np.log(mixture.covariances_),
            "logits": np.log(mixture.weights_),
        }
        return {"prior": {name: value.astype(latent.dtype) for name, value in found.items()}}

    return _begun(result, dataset, prior)


def _require_enough(dataset: Dataset, restarts: int, **several: int) -> None:
    require(COUNT, **several, restarts=restarts)
    for name, count in several.items():
        if count > dataset.size:
            raise InputError(f"{name} is {count}, and of {dataset.size} examples: use fewer")


def _begun(
    result: training.Result,
    dataset: Dataset,
    found: Callable[[np.ndarray, int], dict[str, Any]],
) -> list[dict[str, Any] | None]:
    """Returns each lane's networks, and what is found in its latents [N, Z] by its seed."""
    starts: list[dict[str, Any] | None] = [None] * len(result.rows)
    for index in training.known_lanes(result):
        model = training.model(result, index)
        params = model.state.params
        networks = {name: params[name] for name in ("encoder", "decoder")}
        clusters = found(latents(model, dataset), int(model.row["seed"]))
        starts[index] = jax.tree.map(np.asarray, networks | clusters)
    return starts


def latents(model: training.Model, dataset: Dataset) -> np.ndarray:
    """Returns what a trained lane makes of all examples of a data set, [N, Z]."""
    batch = data.head(dataset, dataset.size)
    # the function itself is compiled, once for all lanes of a method
    encode = jax.jit(model.method.views.encode)
    return np.asarray(encode(model.state, batch, model.hparams))
