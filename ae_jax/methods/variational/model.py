"""What a variational autoencoder is made of, for its objective and its views alike."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ae_jax.core import (
    COUNT,
    Array,
    Batch,
    HParams,
    InputError,
    Network,
    require,
    require_kind,
    require_networks,
)
from ae_jax.methods.parts.labels import Classes, given_one_hot, require_classes, same_classes
from ae_jax.methods.parts.latents import parameters_of, require_size
from ae_jax.methods.parts.observations import Observation, bernoulli
from ae_jax.methods.parts.posteriors import Posterior, gaussian
from ae_jax.methods.parts.priors import Prior, fitting_prior, normal


class LatentModel(NamedTuple):
    """A density of images and latents, p(x|z) p(z), with the posterior that is inferred, q(z|x).

    Attributes:
      encoder: [B, ...] -> the posterior's outputs.
      decoder: [B, Z] -> the likelihood's outputs.
      latent_size: Z.
      likelihood: an Observation with a density.
      posterior: of each example.
      prior: of latents.
      classes: of labels, or of factors, that all of them are told; 0 where nothing is.
    """

    encoder: Network
    decoder: Network
    latent_size: int
    likelihood: Observation
    posterior: Posterior
    prior: Prior
    classes: Classes = 0

    def given(self, batch: Batch) -> Any:
        """Returns what all parts are told, one-hot [B, C], or ()."""
        return given_one_hot(batch, self.classes)

    def prior_of(self, given: Any) -> Prior:
        """Returns the prior of examples of which that is told."""
        return self.prior if self.prior.of is None else self.prior.of(given)

    def parameters(
        self, outputs: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams
    ) -> Any:
        """Returns the posterior's parameters, of an encoder's outputs for a batch."""
        return parameters_of(self.posterior, outputs, self.latent_size, params, batch, hparams)


def latent_model(
    encoder: Network,
    decoder: Network,
    latent_size: int,
    *,
    likelihood: Observation | None = None,
    posterior: Posterior | None = None,
    prior: Prior | None = None,
    classes: Classes = 0,
) -> LatentModel:
    """Returns a model of parts that fit each other; its arguments are those of `vae`.

    Raises:
      InputError: as `vae`.
    """
    likelihood = bernoulli() if likelihood is None else likelihood
    posterior = gaussian() if posterior is None else posterior
    prior = normal() if prior is None else prior
    require_networks(encoder=encoder, decoder=decoder)
    require(COUNT, latent_size=latent_size)
    require_classes(classes)
    require_kind(Observation, "observations.bernoulli()", likelihood=likelihood)
    if likelihood.sample is None:
        raise InputError(
            "a VAE needs a likelihood, and this is a plain error: use gaussian(0.5) for the "
            "squared error, student() where the best variance is not known"
        )
    require_kind(Posterior, "posteriors.gaussian()", posterior=posterior)
    require_kind(Prior, "priors.normal()", prior=prior)
    if posterior.support != prior.support:
        raise InputError(
            f"a posterior on the {posterior.support} needs a prior there, and this one is on the "
            f"{prior.support}: {fitting_prior(posterior)}"
        )
    for name, part in (("posterior", posterior), ("prior", prior)):
        require_size(name, part, latent_size, "use latent_size, or the part's own sizes, to fit")
    if prior.of is not None and not same_classes(prior.classes, classes):
        raise InputError(
            f"the prior is of {prior.classes} classes, and the VAE is told {classes}: give it "
            f"classes={prior.classes}"
        )
    if prior.reads_encoder and classes:
        raise InputError(
            "the encoder is told classes, which the pseudo-inputs of a VampPrior do not have: use "
            "priors.by_class(), or no classes"
        )
    return LatentModel(encoder, decoder, latent_size, likelihood, posterior, prior, classes)
