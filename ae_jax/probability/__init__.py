"""Densities as pure functions of arrays: sample, log_prob, kl, entropy; in nats.

Of parameters in half precision, nats are computed and returned in float32.
"""

from ae_jax.probability import (
    bernoulli,
    continuous_bernoulli,
    discretised_logistic,
    flows,
    gaussian,
    gaussian_mixture,
    hamiltonian,
    power_spherical,
    priors,
    rounded_logistic,
    sampling,
    sphere,
    von_mises_fisher,
)

__all__ = [
    "bernoulli",
    "continuous_bernoulli",
    "discretised_logistic",
    "flows",
    "gaussian",
    "gaussian_mixture",
    "hamiltonian",
    "power_spherical",
    "priors",
    "rounded_logistic",
    "sampling",
    "sphere",
    "von_mises_fisher",
]
