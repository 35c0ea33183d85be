"""Boltzmann machines as distributions: energies, chains, gradients, partition functions.

The restricted machine is here; `general` has the one whose units may all be connected, `belief`
the network with directed layers below one.
"""

from ae_jax.methods.boltzmann import belief, general
from ae_jax.methods.boltzmann.assessment import (
    Assessment,
    assess,
    bounds_above,
    columns,
    example_log_likelihoods,
)
from ae_jax.methods.boltzmann.energy import (
    class_logits,
    conditional_logits,
    energy,
    free_energy,
    hidden_free_energy,
    hidden_logits,
    pseudo_log_likelihood,
    reconstruction_nll,
    visible_field,
)
from ae_jax.methods.boltzmann.enumeration import draw_exact, enumerable, log_partition_exact
from ae_jax.methods.boltzmann.estimators import (
    Estimator,
    contrast,
    contrastive_divergence,
    estimator,
    exact,
    fast_persistent,
    parallel_tempering,
    persistent,
)
from ae_jax.methods.boltzmann.partition import (
    PartitionEstimate,
    check_annealing,
    log_likelihood_reverse_ais,
    log_partition_ais,
    log_partition_base,
    log_partition_reverse_ais,
)
from ae_jax.methods.boltzmann.sampling import (
    Clamp,
    base_of,
    between,
    clamped_means,
    gibbs,
    swap,
    trajectory,
)
from ae_jax.methods.boltzmann.units import (
    BERNOULLI,
    Hidden,
    RBMParams,
    Units,
    Visible,
    bernoulli,
    bernoulli_hidden,
    gaussian,
    gaussian_hidden,
    softmax,
)

__all__ = [
    "BERNOULLI",
    "Assessment",
    "Clamp",
    "Estimator",
    "Hidden",
    "PartitionEstimate",
    "RBMParams",
    "Units",
    "Visible",
    "assess",
    "base_of",
    "belief",
    "bernoulli",
    "bernoulli_hidden",
    "between",
    "bounds_above",
    "check_annealing",
    "clamped_means",
    "class_logits",
    "columns",
    "conditional_logits",
    "contrast",
    "contrastive_divergence",
    "draw_exact",
    "energy",
    "enumerable",
    "estimator",
    "exact",
    "example_log_likelihoods",
    "fast_persistent",
    "free_energy",
    "gaussian",
    "gaussian_hidden",
    "general",
    "gibbs",
    "hidden_free_energy",
    "hidden_logits",
    "log_likelihood_reverse_ais",
    "log_partition_ais",
    "log_partition_base",
    "log_partition_exact",
    "log_partition_reverse_ais",
    "parallel_tempering",
    "persistent",
    "pseudo_log_likelihood",
    "reconstruction_nll",
    "softmax",
    "swap",
    "trajectory",
    "visible_field",
]
