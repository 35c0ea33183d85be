"""General Boltzmann machines: energies and what is exact, chains, gradients."""

from ae_jax.methods.boltzmann.general.chains import blocks, clamped, gibbs, propagate, start
from ae_jax.methods.boltzmann.general.distribution import (
    BoltzmannParams,
    Connections,
    conditional_logits,
    draw_exact,
    energy,
    free_energy,
    full,
    hidden_mean,
    log_likelihood_exact,
    log_partition_exact,
    of_rbm,
    probabilities,
    restricted,
    semi_restricted,
)
from ae_jax.methods.boltzmann.general.estimators import (
    Estimator,
    contrast,
    estimator,
    exact,
    persistent,
)
from ae_jax.methods.boltzmann.general.mixing import distances_to_model

__all__ = [
    "BoltzmannParams",
    "Connections",
    "Estimator",
    "blocks",
    "clamped",
    "conditional_logits",
    "contrast",
    "distances_to_model",
    "draw_exact",
    "energy",
    "estimator",
    "exact",
    "free_energy",
    "full",
    "gibbs",
    "hidden_mean",
    "log_likelihood_exact",
    "log_partition_exact",
    "of_rbm",
    "persistent",
    "probabilities",
    "propagate",
    "restricted",
    "semi_restricted",
    "start",
]
