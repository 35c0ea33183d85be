"""Deep clustering begins where an autoencoder ends: its networks, and k-means on its latents."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import data, training
from ae_jax.core import COUNT, Dataset, require


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

    Reference:
      Xie, Girshick and Farhadi (2016), Unsupervised Deep Embedding for Clustering Analysis,
      section 3.3.
    """
    from sklearn.cluster import KMeans

    require(COUNT, clusters=clusters, restarts=restarts)
    found: list[dict[str, Any] | None] = [None] * len(result.rows)
    for index in training.known_lanes(result):
        model = training.model(result, index)
        means = KMeans(clusters, n_init=restarts, random_state=int(model.row["seed"]))
        latent = latents(model, dataset)
        params = model.state.params
        start = {name: params[name] for name in ("encoder", "decoder")}
        start["centres"] = means.fit(latent).cluster_centers_.astype(latent.dtype)
        found[index] = jax.tree.map(np.asarray, start)
    return found


def latents(model: training.Model, dataset: Dataset) -> np.ndarray:
    """Returns what a trained lane makes of all examples of a data set, [N, Z]."""
    x = jnp.asarray(data.all_images(dataset))
    # the function itself is compiled, once for all lanes of a method
    encode = jax.jit(model.method.views.encode)
    return np.asarray(encode(model.state, {"image": x}, model.hparams))
