"""Posteriors and priors of categories, relaxed or not, for `posteriors` and `priors`.

Of what is drawn and what is compared there are three pairs, two of which are bounds:

- relaxed draws, and their density compared with a relaxed prior's, `concrete()` of both: a bound on
  log p(x) of the model whose latents are relaxed.
- categories themselves, one-hot, and KL(q(y | x) || uniform) in closed form, `categorical()` of
  both: a bound on log p(x) of the discrete model. The encoder's gradient is biased.
- relaxed draws, and the divergence of the categories that they relax: a bound on neither, as a
  decoder may tell by values that no category has. No prior here gives it. A JointVAE is trained so,
  by `latent_regularisers.capacities` and a `beta` of 0; what it reports remains the first pair's.

Temperatures are numbers that schedules change: `training.geometric(steps, "temperature")` anneals.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import COUNT, POSITIVE, Array, Domain, HParams, InputError, require, traced
from ae_jax.methods.parts.latents import Posterior, Prior, Simplex, Vertices
from ae_jax.probability import categorical, concrete


class Categories(NamedTuple):
    """Parameters of categorical variables, relaxed or not.

    Attributes:
      logits: [B, V, K].
      temperature: [B], of the relaxation.
    """

    logits: Array
    temperature: Array


def concrete_posterior(
    categories: int, variables: int = 1, temperature: float = 2 / 3
) -> Posterior:
    """Relaxed categories: outputs are logits of one variable after the other, as latents are.

    Its density goes with `priors.concrete()`, and with that alone the bound is one; `kl_standard`
    is the divergence of the categories themselves from uniform ones, which bounds nothing here.

    Args:
      categories: K of each variable; static.
      variables: V; there are V K latents.
      temperature: traced. 2/3 is the authors' for two categories.

    Raises:
      InputError: if there are fewer than two categories, or no variable.

    Reference:
      Maddison, Mnih and Teh (2017), The Concrete Distribution, equations 20 to 24.
    """
    return Posterior(
        **_logits(categories, variables, temperature),
        sample=lambda key, own: _flat(concrete.sample(key, *own)),
        log_prob=lambda z, own: concrete.log_prob(z.reshape(own.logits.shape), *own),
        mean=lambda own: _flat(jax.nn.softmax(own.logits)),
        support=Simplex(categories),
    )


def categorical_posterior(
    categories: int, variables: int = 1, temperature: float = 1.0
) -> Posterior:
    """Categories, one-hot, whose gradient is that of relaxed ones; outputs are logits.

    Where one latent is asked for it is the likeliest category.

    Args:
      categories: K of each variable; static.
      variables: V; there are V K latents.
      temperature: of the relaxation that gradients pass through; traced.

    Raises:
      InputError: if there are fewer than two categories, or no variable.

    Reference:
      Jang, Gu and Poole (2017), Categorical Reparameterization with Gumbel-Softmax, section 2.2.
    """
    return Posterior(
        **_logits(categories, variables, temperature),
        sample=lambda key, own: _flat(categorical.sample(key, *own)),
        log_prob=lambda z, own: categorical.log_prob(z.reshape(own.logits.shape), own.logits),
        mean=lambda own: _flat(categorical.likeliest(jax.nn.softmax(own.logits))),
        support=Vertices(categories),
    )


def concrete_prior(categories: int, variables: int = 1, temperature: float = 0.5) -> Prior:
    """Relaxed categories that are as likely as each other.

    Args:
      categories: K of each variable, the posterior's.
      variables: V.
      temperature: swept as `prior_temperature`.

    Raises:
      InputError: as `posteriors.concrete`.

    Reference:
      Maddison, Mnih and Teh (2017), equation 24 and appendix C.3, for a lower temperature than the
      posterior's.
    """

    def draw(key: Array, logits: Array, hparams: HParams) -> Array:
        return concrete.sample(key, logits, hparams["prior_temperature"])

    def density(z: Array, logits: Array, hparams: HParams) -> Array:
        return concrete.log_prob(z, logits, hparams["prior_temperature"])

    numbers = traced(prior_temperature=(temperature, POSITIVE))
    return _alike(categories, variables, draw, density)._replace(
        support=Simplex(categories), **numbers
    )


def categorical_prior(categories: int, variables: int = 1) -> Prior:
    """Categories that are as likely as each other.

    Args:
      categories: K of each variable, the posterior's.
      variables: V.

    Raises:
      InputError: as `posteriors.categorical`.
    """

    def draw(key: Array, logits: Array, hparams: HParams) -> Array:
        return categorical.sample(key, logits)

    def density(z: Array, logits: Array, hparams: HParams) -> Array:
        return categorical.log_prob(z, logits)

    return _alike(categories, variables, draw, density)._replace(
        support=Vertices(categories), standard=True
    )


def largest_kl(posterior: Posterior) -> float:
    """The most that a posterior's `kl_standard` can be, nats: V log K of V variables."""
    if isinstance(posterior.support, (Simplex, Vertices)):
        categories = posterior.support.categories
        return posterior.size // categories * math.log(categories)
    return math.inf


def _require(categories: int, variables: int) -> None:
    require(Domain(2, whole=True), categories=categories)
    require(COUNT, variables=variables)


def _flat(z: Array) -> Array:
    return z.reshape(len(z), -1)


def _logits(categories: int, variables: int, temperature: float) -> dict[str, Any]:
    """What a posterior is whose outputs are logits."""
    _require(categories, variables)
    size = categories * variables

    def read(outputs: Array, latent_size: int, hparams: HParams) -> Categories:
        if latent_size != size or outputs.shape[1:] != (size,):
            raise InputError(
                f"{variables} variable(s) of {categories} categories are {size} latents, whose "
                f"logits the encoder gives, [B, {size}]: got {latent_size} latents and "
                f"{list(outputs.shape)}"
            )
        logits = outputs.reshape(-1, variables, categories)
        own = jnp.asarray(hparams["temperature"], outputs.dtype)
        return Categories(logits, jnp.broadcast_to(own, outputs.shape[:1]))

    return {
        "outputs": lambda latent_size: latent_size,
        "read": read,
        "kl_standard": lambda own: categorical.kl_uniform(own.logits),
        "size": size,
        **traced(temperature=(temperature, POSITIVE)),
    }


def _alike(categories: int, variables: int, draw, density) -> Prior:
    """A prior of zero logits."""
    _require(categories, variables)
    size = categories * variables

    def logits(count: int, dtype: jnp.dtype) -> Array:
        return jnp.zeros((count, variables, categories), dtype)

    def sample(
        key: Array, params: Mapping[str, Any], shape: tuple[int, int], hparams: HParams
    ) -> Array:
        if shape[1] != size:
            raise InputError(f"a prior of {size} latents is asked for {shape[1]}")
        return _flat(draw(key, logits(shape[0], jnp.result_type(float)), hparams))

    def log_prob(z: Array, params: Mapping[str, Any], hparams: HParams) -> Array:
        own = logits(len(z), z.dtype)
        return density(z.reshape(own.shape), own, hparams)

    return Prior(sample, log_prob, size=size)
