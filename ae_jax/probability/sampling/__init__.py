"""Samples of densities that are known: inverse transform, rejection, and pushing noise on."""

from ae_jax.probability.sampling.inverse import (
    discrete_quantile,
    grid_distribution,
    grid_quantile,
    inverse_transform,
    uniform,
)
from ae_jax.probability.sampling.pushing import pushed, pushed_density
from ae_jax.probability.sampling.rejection import (
    Drawn,
    Envelope,
    Proposed,
    checked,
    propose,
    reject,
)

__all__ = [
    "Drawn",
    "Envelope",
    "Proposed",
    "checked",
    "discrete_quantile",
    "grid_distribution",
    "grid_quantile",
    "inverse_transform",
    "propose",
    "pushed",
    "pushed_density",
    "reject",
    "uniform",
]
