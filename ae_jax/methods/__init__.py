"""Learning methods: factories that return a `Method`, by family; their parts, by module."""

from ae_jax.methods import boltzmann
from ae_jax.methods.adversarial import regularisers
from ae_jax.methods.adversarial.cycle_gan import cycle_gan
from ae_jax.methods.adversarial.gan import gan
from ae_jax.methods.adversarial.image_to_image import image_to_image
from ae_jax.methods.autoencoders.autoencoder import autoencoder
from ae_jax.methods.autoencoders.embedding import skip_gram
from ae_jax.methods.autoencoders.recurrent import recurrent_autoencoder
from ae_jax.methods.boltzmann.boltzmann_machine import boltzmann_machine
from ae_jax.methods.boltzmann.deep_belief_network import deep_belief_network
from ae_jax.methods.boltzmann.rbm import rbm
from ae_jax.methods.parts import bottlenecks, observations, penalties
from ae_jax.methods.supervised.classifier import classifier
from ae_jax.methods.variational.vae import vae
from ae_jax.methods.wrappers.selection import few_labels, one_of_several
from ae_jax.methods.wrappers.stage import stage

__all__ = [
    "autoencoder",
    "boltzmann",
    "boltzmann_machine",
    "bottlenecks",
    "classifier",
    "cycle_gan",
    "deep_belief_network",
    "few_labels",
    "gan",
    "image_to_image",
    "observations",
    "one_of_several",
    "penalties",
    "rbm",
    "recurrent_autoencoder",
    "regularisers",
    "skip_gram",
    "stage",
    "vae",
]
