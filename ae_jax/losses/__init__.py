"""Objectives and penalties: pure functions of arrays, in nats or squared units.

Each is summed over an example's dimensions and gives one value per example, [B], unless
it says otherwise; the caller takes the mean over the batch. Of arrays in half precision,
they are computed and returned in float32.
"""

from ae_jax.losses import adversarial
from ae_jax.losses.bounds import beta_elbo, class_marginal, elbo, iwae_bound
from ae_jax.losses.clustering import (
    assignment_divergence,
    log_assignments,
    log_frequencies,
    log_targets,
)
from ae_jax.losses.disentanglement import (
    aggregate_log_prob,
    aggregate_weights,
    covariance_penalties,
    density_ratio_loss,
    permuted_dimensions,
)
from ae_jax.losses.embedding import (
    conditional_neighbours,
    joint_neighbours,
    neighbour_divergence,
)
from ae_jax.losses.images import total_variation
from ae_jax.losses.moments import (
    covariance,
    gaussian_kernel,
    gaussian_mixture_kernel,
    inverse_multiquadric_kernel,
    inverse_multiquadric_mixture_kernel,
    linear_kernel,
    mmd,
    mmd2,
    moment_distance,
    polynomial_kernel,
)
from ae_jax.losses.penalties import (
    activation_rate,
    contractive_hutchinson,
    contractive_penalty,
    contractive_sigmoid,
    jacobian_singular_values,
    kl_sparsity,
    l1,
)
from ae_jax.losses.reconstruction import (
    absolute_error,
    bernoulli_nll,
    continuous_bernoulli_nll,
    correntropy,
    discretised_logistic_nll,
    gaussian_nll,
    optimal_gaussian_nll,
    squared_error,
    student_nll,
)
from ae_jax.losses.similarity import multiscale_ssim, ssim
from ae_jax.losses.transport import random_directions, sinkhorn_divergence, sliced_wasserstein

__all__ = [
    "absolute_error",
    "activation_rate",
    "adversarial",
    "aggregate_log_prob",
    "aggregate_weights",
    "assignment_divergence",
    "bernoulli_nll",
    "beta_elbo",
    "class_marginal",
    "conditional_neighbours",
    "continuous_bernoulli_nll",
    "contractive_hutchinson",
    "contractive_penalty",
    "contractive_sigmoid",
    "correntropy",
    "covariance",
    "covariance_penalties",
    "density_ratio_loss",
    "discretised_logistic_nll",
    "elbo",
    "gaussian_kernel",
    "gaussian_mixture_kernel",
    "gaussian_nll",
    "inverse_multiquadric_kernel",
    "inverse_multiquadric_mixture_kernel",
    "iwae_bound",
    "jacobian_singular_values",
    "joint_neighbours",
    "kl_sparsity",
    "l1",
    "linear_kernel",
    "log_assignments",
    "log_frequencies",
    "log_targets",
    "mmd",
    "mmd2",
    "moment_distance",
    "multiscale_ssim",
    "neighbour_divergence",
    "optimal_gaussian_nll",
    "permuted_dimensions",
    "polynomial_kernel",
    "random_directions",
    "sinkhorn_divergence",
    "sliced_wasserstein",
    "squared_error",
    "ssim",
    "student_nll",
    "total_variation",
]
