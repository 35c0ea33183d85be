"""Learning methods: factories that return a `Method`, and the registry of their examples."""

from ae_jax.methods import boltzmann, bottlenecks, penalties
from ae_jax.methods.autoencoder import autoencoder
from ae_jax.methods.boltzmann_machine import boltzmann_machine
from ae_jax.methods.bottlenecks import Bottleneck
from ae_jax.methods.classifier import classifier
from ae_jax.methods.deep_belief_network import deep_belief_network
from ae_jax.methods.embedding import skip_gram
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
from ae_jax.methods.penalties import Penalty
from ae_jax.methods.rbm import rbm
from ae_jax.methods.recurrent import categorical, recurrent_autoencoder
from ae_jax.methods.registry import REGISTRY, Registered
from ae_jax.methods.selection import few_labels, one_of_several
from ae_jax.methods.stage import stage
from ae_jax.methods.vae import vae

__all__ = [
    "OBSERVATIONS",
    "REGISTRY",
    "Bottleneck",
    "Observation",
    "Penalty",
    "Registered",
    "absolute_error",
    "autoencoder",
    "bernoulli",
    "boltzmann",
    "boltzmann_machine",
    "bottlenecks",
    "categorical",
    "classifier",
    "correntropy",
    "deep_belief_network",
    "few_labels",
    "gan",
    "gaussian",
    "one_of_several",
    "penalties",
    "rbm",
    "recurrent_autoencoder",
    "skip_gram",
    "squared_error",
    "stage",
    "vae",
]
