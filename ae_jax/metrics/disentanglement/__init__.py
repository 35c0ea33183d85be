"""How well latents separate the factors that generated the data.

Scores take plain arrays: latents [N, Z], factors int [N, K]. Those that are defined by a classifier
and those of several models are computed on the host (`classifiers`, `agreement`,
`beta_vae_score`); the others can be jitted and vmapped.
"""

from ae_jax.metrics.disentanglement.agreement import Agreement, rank_correlations, udr
from ae_jax.metrics.disentanglement.classifiers import dci, explicitness, sap_svc
from ae_jax.metrics.disentanglement.groups import (
    Groups,
    beta_vae_score,
    beta_vae_score_of_groups,
    factor_vae_score,
    factor_vae_score_of_groups,
    fixed_factor_groups,
    fixed_factor_pairs,
)
from ae_jax.metrics.disentanglement.importance import (
    disentanglement_completeness,
    mi_completeness,
    mi_disentanglement,
)
from ae_jax.metrics.disentanglement.independence import (
    gaussian_total_correlation,
    wasserstein_correlation,
)
from ae_jax.metrics.disentanglement.information import mig, modularity, mutual_information
from ae_jax.metrics.disentanglement.robustness import irs
from ae_jax.metrics.disentanglement.scores import disentanglement_scores
from ae_jax.metrics.disentanglement.separation import sap, sap_r2

__all__ = [
    "Agreement",
    "Groups",
    "beta_vae_score",
    "beta_vae_score_of_groups",
    "dci",
    "disentanglement_completeness",
    "disentanglement_scores",
    "explicitness",
    "factor_vae_score",
    "factor_vae_score_of_groups",
    "fixed_factor_groups",
    "fixed_factor_pairs",
    "gaussian_total_correlation",
    "irs",
    "mi_completeness",
    "mi_disentanglement",
    "mig",
    "modularity",
    "mutual_information",
    "rank_correlations",
    "sap",
    "sap_r2",
    "sap_svc",
    "udr",
    "wasserstein_correlation",
]
