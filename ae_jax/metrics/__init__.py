"""Evaluation of what was learned, by pure functions of arrays.

Probes and subspaces are computed by libraries on the host; the others can be jitted and vmapped.
"""

from ae_jax.metrics.comparison import Mean, mean_over_draws, paired_difference
from ae_jax.metrics.disentanglement import mig, mutual_information
from ae_jax.metrics.image import psnr, restoration_gain, ssim
from ae_jax.metrics.likelihood import best_log_likelihood, bound_name, importance_bounds
from ae_jax.metrics.neighbours import nearest_neighbours
from ae_jax.metrics.probes import (
    fisher_separability,
    knn_accuracy,
    linear_probe,
    probed,
    representation_quality,
    silhouette,
    svm_accuracy,
)
from ae_jax.metrics.subspace import (
    PrincipalComponents,
    pca,
    pca_encode,
    pca_reconstruct,
    principal_angles,
)
from ae_jax.metrics.summary import active_fraction, active_units, latent_summary
from ae_jax.metrics.timing import seconds

__all__ = [
    "Mean",
    "PrincipalComponents",
    "active_fraction",
    "active_units",
    "best_log_likelihood",
    "bound_name",
    "fisher_separability",
    "importance_bounds",
    "knn_accuracy",
    "latent_summary",
    "linear_probe",
    "mean_over_draws",
    "mig",
    "mutual_information",
    "nearest_neighbours",
    "paired_difference",
    "pca",
    "pca_encode",
    "pca_reconstruct",
    "principal_angles",
    "probed",
    "psnr",
    "representation_quality",
    "restoration_gain",
    "seconds",
    "silhouette",
    "ssim",
    "svm_accuracy",
]
