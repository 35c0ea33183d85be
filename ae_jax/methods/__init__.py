"""Learning methods: factories that return a `Method`, and the registry of their examples."""

from ae_jax.methods.autoencoder import Penalty, autoencoder, contractive, sparsity
from ae_jax.methods.gan import gan
from ae_jax.methods.observation import (
    OBSERVATIONS,
    Observation,
    absolute_error,
    bernoulli,
    correntropy,
    gaussian,
    squared_error,
)
from ae_jax.methods.rbm import rbm
from ae_jax.methods.registry import REGISTRY, Registered
from ae_jax.methods.vae import vae

__all__ = [
    "OBSERVATIONS",
    "REGISTRY",
    "Observation",
    "Penalty",
    "Registered",
    "absolute_error",
    "autoencoder",
    "bernoulli",
    "contractive",
    "correntropy",
    "gan",
    "gaussian",
    "rbm",
    "sparsity",
    "squared_error",
    "vae",
]
