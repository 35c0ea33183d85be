"""VAEs that learn from pairs of images that have some factors in common.

Reference:
  Locatello et al. (2020), Weakly-Supervised Disentanglement Without Compromises.
"""

from collections.abc import Mapping
from typing import Any, Literal

import jax.numpy as jnp
import optax

from ae_jax.core import (
    COUNT,
    Array,
    Batch,
    HParams,
    InputError,
    Method,
    Network,
    require,
)
from ae_jax.methods.learners.objective import descend
from ae_jax.methods.parts.observations import Observation
from ae_jax.methods.parts.posteriors import Gaussian, Posterior
from ae_jax.methods.parts.priors import Prior
from ae_jax.methods.variational.bounds import Bound
from ae_jax.methods.variational.model import latent_model
from ae_jax.methods.variational.objective import vae_objective
from ae_jax.methods.variational.views import vae_views
from ae_jax.probability import gaussian as densities

Average = Literal["group", "multilevel"]


def paired_vae(
    encoder: Network,
    decoder: Network,
    latent_size: int,
    *,
    average: Average = "group",
    likelihood: Observation | None = None,
    posterior: Posterior | None = None,
    prior: Prior | None = None,
    bound: Bound | None = None,
    beta: float = 1.0,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
    importance_samples: int = 100,
) -> Method:
    """Returns the Ada-GVAE or Ada-ML-VAE: in what two images share they have one posterior.

    The batch's `image` and `other` are encoded, and in the dimensions where their posteriors are
    near each other both get the average of the two; beyond that it is a `vae` of both. Near is
    what is below the middle between the nearest and the farthest dimension, by the mean of both
    divergences. The paper takes one of the two, so that its objective changes when the images of a
    pair are exchanged.

    Args:
      encoder: as for `vae`, of each image.
      decoder: as for `vae`.
      latent_size: as for `vae`; 2 or more.
      average: `group`, means of means and of variances (Ada-GVAE); `multilevel`, the geometric mean
        of the two densities, normalised (Ada-ML-VAE). Their product would have half its variance,
        and count every image twice.
      likelihood: as for `vae`.
      posterior: Gaussian with a diagonal covariance, as `posteriors.gaussian()`.
      prior: as for `vae`.
      bound: as for `vae`.
      beta: as for `vae`.
      learning_rate: as for `vae`.
      optimizer: as for `vae`.
      importance_samples: as for `vae`.

    Returns:
      The method. Evaluation is that of `vae`, means over the two images of a pair. Views are of
      `image` alone, whose posterior is then its own.

    Raises:
      InputError: as `vae`; if there are less than 2 latents, or the average is unknown; when
        traced, if a batch has no `other`, or of other shapes, or the posterior is not Gaussian.

    Reference:
      Locatello et al. (2020), section 4; Hosoya (2019), GVAE; Bouchacourt et
      al. (2018), ML-VAE.
    """
    require(COUNT, latent_size=latent_size)
    if latent_size < 2:
        raise InputError(f"latent_size is {latent_size}: a pair shares some of 2 or more")
    if average not in ("group", "multilevel"):
        raise InputError(f"unknown average {average!r}: use group or multilevel")
    model = latent_model(
        encoder, decoder, latent_size, likelihood=likelihood, posterior=posterior, prior=prior
    )
    posterior = model.posterior
    if posterior.init is not None:
        raise InputError("pairs share dimensions of plain posteriors: use posteriors.gaussian()")

    def read(outputs: Array, latent_size: int, hparams: HParams) -> Gaussian:
        """Of all first images and all second ones, one behind the other."""
        own = posterior.read(outputs, latent_size, hparams)
        if not isinstance(own, Gaussian):
            raise InputError("pairs share dimensions of Gaussians: use posteriors.gaussian()")
        return _joined(*shared_posteriors(*_halved(own), average))

    of_both = model._replace(posterior=posterior._replace(read=read))
    objective = vae_objective(of_both, bound=bound, beta=beta)

    def terms(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], Mapping[str, Any]]:
        if "other" not in batch or batch["other"].shape != batch["image"].shape:
            raise InputError(
                "a paired VAE learns from pairs, `image` and `other` of one shape: use data such "
                "as changed:NAME"
            )
        both = {"image": jnp.concatenate([batch["image"], batch["other"]])}
        values, moved = objective.terms(key, params, both, hparams, training)
        return {name: jnp.mean(_pairs(value), axis=0) for name, value in values.items()}, moved

    views = vae_views(model, importance_samples)
    return descend(
        objective._replace(terms=terms), views, optimizer=optimizer, learning_rate=learning_rate
    )


def shared_posteriors(
    first: Gaussian, second: Gaussian, average: Average
) -> tuple[Gaussian, Gaussian]:
    """Two posteriors, with their average where they are near each other; [B, Z] each."""
    distances = densities.symmetric_kls(*first, *second)
    nearest, farthest = (f(distances, axis=1, keepdims=True) for f in (jnp.min, jnp.max))
    near = distances < (nearest + farthest) / 2
    if average == "group":
        mean = 0.5 * (first.mean + second.mean)
        log_var = jnp.logaddexp(first.log_var, second.log_var) - jnp.log(2.0).astype(mean.dtype)
    else:
        # of the product of both densities, with twice its variance: v = 2 / (1/v1 + 1/v2)
        mean, log_var = densities.product(*first, *second)
        log_var += jnp.log(2.0).astype(mean.dtype)

    def with_average(own: Gaussian) -> Gaussian:
        return Gaussian(jnp.where(near, mean, own.mean), jnp.where(near, log_var, own.log_var))

    return with_average(first), with_average(second)


def _pairs(both: Array) -> Array:
    return both.reshape(2, -1, *both.shape[1:])


def _halved(both: Gaussian) -> tuple[Gaussian, Gaussian]:
    mean, log_var = map(_pairs, both)
    return Gaussian(mean[0], log_var[0]), Gaussian(mean[1], log_var[1])


def _joined(first: Gaussian, second: Gaussian) -> Gaussian:
    return Gaussian(*(jnp.concatenate(pair) for pair in zip(first, second, strict=True)))
