"""What happens to a latent on its way from the encoder to the decoder."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from ae_jax import corruptions
from ae_jax.core import BELOW_ONE, COUNT, NOT_NEGATIVE, Array, Domain, HParams, InputError, traced
from ae_jax.probability import gaussian as normal


class Bottleneck(NamedTuple):
    """A map of latents [B, Z] -> [B, Z], or to fewer numbers.

    Attributes:
      hparams: its traced hyperparameters and their defaults.
      train: (key, latent, hparams) -> latent, in a training step.
      apply: (latent, hparams) -> latent, deterministic.
      domains: the values that each of them may take.
    """

    hparams: Mapping[str, float]
    train: Callable[[Array, Array, HParams], Array]
    apply: Callable[[Array, HParams], Array]
    domains: Mapping[str, Domain] = {}


def k_sparse(k: int) -> Bottleneck:
    """Only the k largest units of each example pass, the others are 0; swept as `k`.

    Units that equal the k-th largest pass as well; all do where k is their number or more.

    Reference:
      Makhzani and Frey (2014), k-Sparse Autoencoders, section 2.
    """

    def apply(latent: Array, hparams: HParams) -> Array:
        size = latent.shape[-1]
        k = jnp.minimum(jnp.asarray(hparams["k"]), size).astype(int)
        threshold = jnp.take(jnp.sort(latent, axis=-1), size - k, axis=-1)
        return jnp.where(latent >= threshold[..., None], latent, jnp.zeros_like(latent))

    return Bottleneck(
        **traced(k=(k, COUNT)),
        train=lambda key, latent, hparams: apply(latent, hparams),
        apply=apply,
    )


def dropout(rate: float = 0.5) -> Bottleneck:
    """Units are dropped in training, the others scaled by 1 / (1 - rate).

    Swept as `dropout_rate`.

    Reference:
      Srivastava et al. (2014), Dropout, section 4.
    """
    return Bottleneck(
        **traced(dropout_rate=(rate, BELOW_ONE)),
        train=lambda key, latent, hparams: corruptions.dropout(
            key, latent, hparams["dropout_rate"]
        ),
        apply=lambda latent, hparams: latent,
    )


def noise(level: float = 0.1) -> Bottleneck:
    """Gaussian noise of a standard deviation, in training; swept as `latent_noise`.

    Reference:
      Poole, Sohl-Dickstein and Ganguli (2014), Analyzing noise in autoencoders and deep
      networks, section 3.
    """
    return Bottleneck(
        **traced(latent_noise=(level, NOT_NEGATIVE)),
        train=lambda key, latent, hparams: corruptions.gaussian_noise(
            key, latent, hparams["latent_noise"]
        ),
        apply=lambda latent, hparams: latent,
    )


def gaussian() -> Bottleneck:
    """Latents [B, 2 Z] are means and log-variances, side by side, of which training draws [B, Z].

    Otherwise the means pass. Beside `penalties.divergence()` it is what a VAE has between its
    networks. Other penalties of latents see both halves.

    Raises:
      InputError: when traced, if a latent is of an odd number.

    Reference:
      Kingma and Welling (2014), Auto-Encoding Variational Bayes, section 2.4.
    """
    return Bottleneck(
        hparams={},
        train=lambda key, latent, hparams: normal.sample(key, *halves(latent)),
        apply=lambda latent, hparams: halves(latent)[0],
    )


def halves(latent: Array) -> Sequence[Array]:
    """Means and log-variances, [B, Z] each, of [B, 2 Z].

    Raises:
      InputError: if that is an odd number.
    """
    if latent.shape[-1] % 2:
        raise InputError(
            f"the encoder must give means and log-variances, side by side, and gives "
            f"{list(latent.shape)}"
        )
    return jnp.split(latent, 2, axis=-1)
