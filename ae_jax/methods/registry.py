"""A small example of every method. A row here gives a method all contract tests."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp

from ae_jax import losses, nets
from ae_jax.core import Array, Batch, HParams, Method, State
from ae_jax.methods.autoencoder import autoencoder, contractive
from ae_jax.methods.gan import gan
from ae_jax.methods.rbm import rbm
from ae_jax.methods.vae import vae

#: The images that the examples are built for.
IMAGE_SHAPE = (8, 8, 1)


def evaluated_loss(
    method: Method, key: Array, state: State, batch: Batch, hparams: HParams
) -> Array:
    """The mean evaluation loss."""
    return jnp.mean(method.evaluate(key, state, batch, hparams)["loss"])


def sample_discrepancy(
    method: Method, key: Array, state: State, batch: Batch, hparams: HParams
) -> Array:
    """Squared maximum mean discrepancy between samples and data."""
    x = batch["image"]
    samples = method.views.sample(key, state, x.shape[0], hparams)

    def flat(images):
        return images.reshape(images.shape[0], -1)

    return losses.mmd2(flat(samples), flat(x), losses.gaussian_kernel(2.0))


class Registered(NamedTuple):
    """An example of a method and the figure that learning lowers.

    Attributes:
      example: returns the method, for images of IMAGE_SHAPE.
      score: (method, key, state, batch, hparams) -> scalar.
      steps: how many steps of the example, at batch 32, are enough to lower it.
      improvement: the fraction of the first score that is then left, at most.
    """

    example: Callable[[], Method]
    score: Callable[[Method, Array, State, Batch, HParams], Array] = evaluated_loss
    steps: int = 200
    improvement: float = 0.8


def _autoencoder() -> Method:
    return autoencoder(
        nets.mlp(4, (32,)), nets.mlp(IMAGE_SHAPE, (32,)), penalties=[contractive(1e-3)]
    )


def _vae() -> Method:
    return vae(nets.mlp(8, (32,)), nets.mlp(IMAGE_SHAPE, (32,)), latent_size=4)


def _gan() -> Method:
    generator = nets.mlp(IMAGE_SHAPE, (32,))
    return gan(generator, nets.mlp(1, (32,)), latent_size=4, learning_rate=1e-3)


REGISTRY: Mapping[str, Registered] = {
    "autoencoder": Registered(_autoencoder),
    "vae": Registered(_vae),
    "rbm": Registered(lambda: rbm(16, learning_rate=0.5), steps=400, improvement=0.85),
    "gan": Registered(_gan, sample_discrepancy),
}
