"""Variational autoencoders by composition: posterior, prior, likelihood, bound, regularisers.

Reference:
  Kingma and Welling (2014), Auto-Encoding Variational Bayes; Rezende, Mohamed and
  Wierstra (2014); Higgins et al. (2017), beta-VAE.
"""

from collections.abc import Sequence

import optax

from ae_jax.core import Method, Network
from ae_jax.methods.learners.objective import descend
from ae_jax.methods.parts.labels import Classes
from ae_jax.methods.parts.latent_regularisers import LatentRegulariser
from ae_jax.methods.parts.observations import Observation
from ae_jax.methods.parts.posteriors import Posterior
from ae_jax.methods.parts.priors import Prior
from ae_jax.methods.variational.bounds import Bound
from ae_jax.methods.variational.model import latent_model
from ae_jax.methods.variational.objective import vae_objective
from ae_jax.methods.variational.views import vae_views


def vae(
    encoder: Network,
    decoder: Network,
    latent_size: int,
    *,
    likelihood: Observation | None = None,
    posterior: Posterior | None = None,
    prior: Prior | None = None,
    regularisers: Sequence[LatentRegulariser] = (),
    bound: Bound | None = None,
    classes: Classes = 0,
    beta: float = 1.0,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
    importance_samples: int = 100,
) -> Method:
    """Returns the VAE that lowers minus a bound on log p(x), plus regularisers of its latents.

    By default that is E_q(z|x)[-log p(x|z)] + beta KL(q(z|x) || p(z)), with one reparametrised
    sample per example; beta = 1 is the negative ELBO.

    Args:
      encoder: [B, ...] -> the posterior's outputs [B, O]; of the Gaussian one [B, 2 Z], mean and
        log-variance side by side.
      decoder: [B, Z] -> the likelihood's outputs [B, ...].
      latent_size: Z.
      likelihood: an Observation with a density; Bernoulli where None.
      posterior: `posteriors.gaussian()` where None.
      prior: `priors.normal()` where None. The parameters of one that is learned are the entry
        `prior` beside `encoder` and `decoder`.
      regularisers: terms to add, of `latent_regularisers`; each brings its own traced weights. Of
        several draws of the posterior they see the first.
      bound: of `bounds`; `bounds.elbo()` where None.
      classes: C, values of the batch's `label`, of which both networks are told one-hot: behind the
        latents, and behind a vector or as planes behind the channels of an image. p(x | label) is
        what is learned. Of several numbers each is that of the values of one of the batch's
        `factors`, all of which are told, C being their sum. 0 where nobody looks at them.
      beta: weight of the KL divergence in the bound; traced.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.
      importance_samples: samples of the `log_likelihood` view's importance-weighted bound.

    Returns:
      The method. Evaluation, per example in nats: `loss`, minus the bound, plus regularisers;
      `reconstruction` = -log p(x|z), `kl`, `elbo` = -(reconstruction + kl), means over the bound's
      draws. A regulariser that is no mean over examples is in the `loss` of a whole data set
      alone. With classes the code of `encode` and `decode` is a latent with its label one-hot
      behind, [B, Z + C]; `generate` gives examples of a batch's labels, `sample` of labels that are
      drawn, all alike. With a prior of clusters, such as `priors.gaussian_mixture()`, the view
      `predict` gives their log-probabilities at the posterior's mean, [B, K].

    Raises:
      InputError: if a network or a part is none, the likelihood has no density, two parts share a
        hyperparameter, posterior and prior lie in different places, a regulariser does not hold
        for the posterior, or there are no latents or samples; when traced, if the encoder's outputs
        are not the posterior's.

    Reference:
      Higgins et al. (2017), equation 4; Burda et al. (2016), equation 8, for the
      log-likelihood; Sohn, Lee and Yan (2015), Learning Structured Output Representation using Deep
      Conditional Generative Models, for labels.
    """
    model = latent_model(
        encoder,
        decoder,
        latent_size,
        likelihood=likelihood,
        posterior=posterior,
        prior=prior,
        classes=classes,
    )
    objective = vae_objective(model, regularisers=regularisers, bound=bound, beta=beta)
    views = vae_views(model, importance_samples)
    return descend(objective, views, optimizer=optimizer, learning_rate=learning_rate)
