"""Densities as pure functions of arrays: sample, log_prob, kl, entropy; in nats.

Of parameters in half precision, nats are computed and returned in float32.
"""

from ae_jax.probability import (
    bernoulli,
    categorical,
    concrete,
    continuous_bernoulli,
    discretised_logistic,
    flows,
    gaussian,
    gaussian_mixture,
    hamiltonian,
    poincare,
    power_spherical,
    priors,
    riemannian_normal,
    rounded_logistic,
    sampling,
    sphere,
    von_mises_fisher,
    wrapped_normal,
)

__all__ = [
    "bernoulli",
    "categorical",
    "concrete",
    "continuous_bernoulli",
    "discretised_logistic",
    "flows",
    "gaussian",
    "gaussian_mixture",
    "hamiltonian",
    "poincare",
    "power_spherical",
    "priors",
    "riemannian_normal",
    "rounded_logistic",
    "sampling",
    "sphere",
    "von_mises_fisher",
    "wrapped_normal",
]
