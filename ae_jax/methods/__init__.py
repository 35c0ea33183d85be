"""Learning methods: factories that return a `Method`, by family; their parts, by module."""

from ae_jax.methods import boltzmann
from ae_jax.methods.adversarial import conditions, regularisers
from ae_jax.methods.adversarial.adversarial_autoencoder import adversarial_autoencoder
from ae_jax.methods.adversarial.bigan import bigan
from ae_jax.methods.adversarial.context_encoder import context_encoder
from ae_jax.methods.adversarial.cycle_gan import cycle_gan
from ae_jax.methods.adversarial.gan import gan
from ae_jax.methods.adversarial.image_to_image import image_to_image
from ae_jax.methods.adversarial.progressive import progressive_gan
from ae_jax.methods.adversarial.semi_supervised import semi_supervised_adversarial_autoencoder
from ae_jax.methods.adversarial.vae_gan import vae_gan
from ae_jax.methods.autoencoders.autoencoder import autoencoder
from ae_jax.methods.autoencoders.clustering import deep_clustering
from ae_jax.methods.autoencoders.domain_decoders import domain_decoders
from ae_jax.methods.autoencoders.embedding import skip_gram
from ae_jax.methods.autoencoders.recurrent import recurrent_autoencoder
from ae_jax.methods.autoencoders.restorer import restorer
from ae_jax.methods.autoencoders.vq_vae import vq_vae
from ae_jax.methods.boltzmann.boltzmann_machine import boltzmann_machine
from ae_jax.methods.boltzmann.deep_belief_network import deep_belief_network
from ae_jax.methods.boltzmann.rbm import rbm
from ae_jax.methods.matching.network import matching_network
from ae_jax.methods.matching.tsne import parametric_tsne
from ae_jax.methods.parts import (
    bottlenecks,
    discrepancies,
    flows,
    hierarchies,
    latent_regularisers,
    observations,
    penalties,
    posteriors,
    priors,
    quantisers,
    shown,
)
from ae_jax.methods.supervised.classifier import classifier
from ae_jax.methods.supervised.segmenter import segmenter
from ae_jax.methods.variational import bounds
from ae_jax.methods.variational.density import density_model
from ae_jax.methods.variational.factor_vae import factor_vae
from ae_jax.methods.variational.hamiltonian import hamiltonian_vae
from ae_jax.methods.variational.paired import paired_vae
from ae_jax.methods.variational.semi_supervised import semi_supervised_vae
from ae_jax.methods.variational.vae import vae
from ae_jax.methods.wrappers.filmed import filmed
from ae_jax.methods.wrappers.measured import measured
from ae_jax.methods.wrappers.prepared import binarized, prepared
from ae_jax.methods.wrappers.selection import few_labels, one_of_several, partly_labelled
from ae_jax.methods.wrappers.stage import stage

__all__ = [
    "adversarial_autoencoder",
    "autoencoder",
    "bigan",
    "binarized",
    "boltzmann",
    "boltzmann_machine",
    "bottlenecks",
    "bounds",
    "classifier",
    "conditions",
    "context_encoder",
    "cycle_gan",
    "deep_belief_network",
    "deep_clustering",
    "density_model",
    "discrepancies",
    "domain_decoders",
    "factor_vae",
    "few_labels",
    "filmed",
    "flows",
    "gan",
    "hamiltonian_vae",
    "hierarchies",
    "image_to_image",
    "latent_regularisers",
    "matching_network",
    "measured",
    "observations",
    "one_of_several",
    "paired_vae",
    "parametric_tsne",
    "partly_labelled",
    "penalties",
    "posteriors",
    "prepared",
    "priors",
    "progressive_gan",
    "quantisers",
    "rbm",
    "recurrent_autoencoder",
    "regularisers",
    "restorer",
    "segmenter",
    "semi_supervised_adversarial_autoencoder",
    "semi_supervised_vae",
    "shown",
    "skip_gram",
    "stage",
    "vae",
    "vae_gan",
    "vq_vae",
]
