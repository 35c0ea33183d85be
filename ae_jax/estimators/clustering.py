"""Clusters of tables' rows, and the latents that they are found in, learned together."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from ae_jax import data, losses, training
from ae_jax.core import COUNT, InputError, require
from ae_jax.estimators.tables import TableEstimator, mapped, trained
from ae_jax.methods import deep_clustering
from ae_jax.recipes import clustering

_log_assignments = jax.jit(losses.log_assignments)


class DeepClustering(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, TableEstimator
):
    """Finds clusters of rows in latents that an autoencoder learns together with them.

    An autoencoder of standardised rows is trained, k-means finds centres among its latents, and
    both are trained further: rows are drawn to centres by targets that are surer of themselves,
    and are reconstructed all the while. A row's cluster is that of the nearest centre.

    Every parameter is a choice made before any label is seen.

    Args:
      n_clusters: how many.
      latent_size: numbers that a row is encoded by; as many as columns, but no more than clusters,
        where None.
      widths: hidden layers of the encoder, reversed in the decoder.
      n_init: restarts of k-means.
      pretraining_steps: of the autoencoder alone; its learning rate falls to 0 as a half cosine.
      steps: of both together, at most.
      refresh_every: steps between new targets.
      tolerance: training ends when fewer than this share of the rows change their cluster between
        two refreshes; 0 takes all steps.
      clustering_weight: of the divergence from the targets, beside the mean squared error over
        columns.
      batch_size: rows in a step; all of them where there are fewer.
      learning_rate: of both trainings.
      random_state: draws the seed of both: an int repeats them.

    Attributes:
      labels_: int [N], of the rows of `fit`, from 0; a cluster may have lost all its rows.
      cluster_centers_: [n_clusters, Z], among the latents.
      prototypes_: [n_clusters, D], what the decoder makes of the centres, in the columns' units.
      n_iter_: the steps that both were trained for together.
      n_features_in_: the number of columns.

    Reference:
      Guo, Gao, Liu and Yin, 2017, "Improved deep embedded clustering with local structure
      preservation"; `methods.deep_clustering`.
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_size: int | None = None,
        widths: Sequence[int] = (64,),
        n_init: int = 20,
        pretraining_steps: int = 1000,
        steps: int = 1000,
        refresh_every: int = 50,
        tolerance: float = 0.001,
        clustering_weight: float = 0.1,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_clusters = n_clusters
        self.latent_size = latent_size
        self.widths = widths
        self.n_init = n_init
        self.pretraining_steps = pretraining_steps
        self.steps = steps
        self.refresh_every = refresh_every
        self.tolerance = tolerance
        self.clustering_weight = clustering_weight
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "DeepClustering":
        """Learns latents and clusters.

        Args:
          X: [N, D], of which `n_clusters` rows or more differ.
          y: is not looked at.

        Returns:
          The clusterer.

        Raises:
          ValueError: if rows or parameters cannot be used.
        """
        counts = ("n_clusters", "n_init", "pretraining_steps", "steps", "batch_size")
        require(COUNT, **{name: getattr(self, name) for name in counts})
        if self.latent_size is not None:
            require(COUNT, latent_size=self.latent_size)
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        seed = int(check_random_state(self.random_state).randint(2**31))
        size = self.latent_size or min(X.shape[1], self.n_clusters)
        dataset = data.stored(self._begin(X, size, self.widths), origin="X")
        if (different := len(np.unique(data.all_images(dataset), axis=0))) < self.n_clusters:
            raise InputError(
                f"n_clusters={self.n_clusters} needs as many different rows, got {different} of "
                f"n_samples={len(X)}"
            )

        rows = self._rows()
        numbers = {"batch_size": self.batch_size, "learning_rate": self.learning_rate, "seed": seed}
        falling = training.warmup_cosine(self.pretraining_steps)
        alone = trained(
            rows.method, dataset, self.pretraining_steps, **numbers, schedules=[falling]
        )
        both = deep_clustering(
            rows.encoder,
            rows.decoder,
            self.n_clusters,
            dataset,
            clustering_weight=self.clustering_weight,
            reconstruction_weight=1 / X.shape[1],
            refresh_every=self.refresh_every,
            tolerance=self.tolerance,
        )
        start = clustering.begun(alone, dataset, self.n_clusters, self.n_init)
        _, state, _ = training.lane(trained(both, dataset, self.steps, **numbers, start=start), 0)
        self._params = state.params
        self.n_iter_ = int(state.running["steps"])
        self.cluster_centers_ = np.asarray(state.params["centres"], np.float64)
        decoded = mapped(lambda block: rows.decode(self._params, block), self._params["centres"])
        self.prototypes_ = self._in_units(decoded)
        self.labels_ = np.argmin(self._distances(X), axis=1)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Returns the clusters of rows [N, D], int [N]: those of the nearest centres."""
        return np.argmin(self.transform(X), axis=1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Returns how much of rows [N, D] is of each cluster, [N, n_clusters], by Student's t."""
        latent, centres = self.encode(X), self._params["centres"]
        return np.exp(mapped(lambda block: _log_assignments(block, centres), latent))

    def transform(self, X: Any) -> np.ndarray:
        """Returns distances of rows [N, D] from the centres, among latents, [N, n_clusters]."""
        return self._distances(self._checked(X))

    def encode(self, X: Any) -> np.ndarray:
        """Returns the latents of rows [N, D], [N, Z]."""
        return self._latents(self._checked(X))

    def _distances(self, X: np.ndarray) -> np.ndarray:
        away = self._latents(X)[:, None] - self.cluster_centers_
        return np.sqrt(np.sum(away**2, axis=2))

    def _latents(self, X: np.ndarray) -> np.ndarray:
        rows = self._rows()
        return mapped(lambda block: rows.encode(self._params, block), self._standardised(X))

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)
