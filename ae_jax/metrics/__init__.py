"""Evaluation of what was learned, by pure functions of arrays.

Probes, subspaces, matchings and the test by a classifier are computed by libraries on the host; the
others can be jitted and vmapped.
"""

from ae_jax.metrics.comparison import Mean, mean_over_draws, paired_difference
from ae_jax.metrics.disentanglement import mig, mutual_information
from ae_jax.metrics.fit import KS_1_PERCENT, kolmogorov_smirnov
from ae_jax.metrics.generation import (
    frechet_distance,
    frechet_distance_of_samples,
    inception_score,
    kernel_distance,
    mode_coverage,
)
from ae_jax.metrics.image import psnr, restoration_gain, ssim
from ae_jax.metrics.likelihood import (
    best_log_likelihood,
    bound_name,
    importance_bounds,
    parzen_deviation,
    parzen_log_likelihood,
)
from ae_jax.metrics.neighbourhoods import (
    density_coverage,
    memorisation,
    nearest_examples,
    precision_recall,
)
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
from ae_jax.metrics.transport import (
    optimal_matching,
    sliced_wasserstein,
    wasserstein_distance,
)
from ae_jax.metrics.two_sample import (
    TwoSampleTest,
    classifier_two_sample_test,
    kernel_two_sample_test,
)

__all__ = [
    "KS_1_PERCENT",
    "Mean",
    "PrincipalComponents",
    "TwoSampleTest",
    "active_fraction",
    "active_units",
    "best_log_likelihood",
    "bound_name",
    "classifier_two_sample_test",
    "density_coverage",
    "fisher_separability",
    "frechet_distance",
    "frechet_distance_of_samples",
    "importance_bounds",
    "inception_score",
    "kernel_distance",
    "kernel_two_sample_test",
    "knn_accuracy",
    "kolmogorov_smirnov",
    "latent_summary",
    "linear_probe",
    "mean_over_draws",
    "memorisation",
    "mig",
    "mode_coverage",
    "mutual_information",
    "nearest_examples",
    "nearest_neighbours",
    "optimal_matching",
    "paired_difference",
    "parzen_deviation",
    "parzen_log_likelihood",
    "pca",
    "pca_encode",
    "pca_reconstruct",
    "precision_recall",
    "principal_angles",
    "probed",
    "psnr",
    "representation_quality",
    "restoration_gain",
    "seconds",
    "silhouette",
    "sliced_wasserstein",
    "ssim",
    "svm_accuracy",
    "wasserstein_distance",
]
