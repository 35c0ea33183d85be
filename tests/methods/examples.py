"""A small example of every method. A row here gives a method all contract tests."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import corruptions, data, losses, nets, testing
from ae_jax.core import NOT_NEGATIVE, Array, Batch, Dataset, HParams, Method, State, traced
from ae_jax.data import sequences
from ae_jax.data.sources import words
from ae_jax.methods import boltzmann, bottlenecks, penalties
from ae_jax.methods.adversarial.cycle_gan import cycle_gan
from ae_jax.methods.adversarial.gan import gan
from ae_jax.methods.adversarial.image_to_image import image_to_image
from ae_jax.methods.autoencoders.autoencoder import autoencoder
from ae_jax.methods.autoencoders.embedding import skip_gram
from ae_jax.methods.autoencoders.recurrent import recurrent_autoencoder
from ae_jax.methods.boltzmann.boltzmann_machine import boltzmann_machine
from ae_jax.methods.boltzmann.deep_belief_network import deep_belief_network
from ae_jax.methods.boltzmann.rbm import rbm
from ae_jax.methods.learners.composing import Numbers
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.views import coded
from ae_jax.methods.supervised.classifier import classifier
from ae_jax.methods.variational.vae import vae
from ae_jax.methods.wrappers.stage import stage

#: The images that the examples are built for.
IMAGE_SHAPE = (8, 8, 1)


def sample_discrepancy(
    method: Method, key: Array, state: State, batch: Batch, hparams: HParams
) -> Array:
    """Squared maximum mean discrepancy between samples and data."""
    x = batch["image"]
    samples = method.views.sample(key, state, x.shape[0], hparams)

    def flat(images):
        return images.reshape(images.shape[0], -1)

    return losses.mmd2(flat(samples), flat(x), losses.gaussian_kernel(2.0))


def digits() -> Dataset:
    """The training digits, of IMAGE_SHAPE."""
    return data.load("digits", "train")


def some_contexts() -> Dataset:
    """A few of the training words with the words around them."""
    return data.subset(words.contexts("train"), slice(0, 2000))


def halves_of_digits() -> Dataset:
    """Their left halves and, as targets, the right ones."""
    return data.load("halves:digits")


def two_domains() -> Dataset:
    """Digits, and others turned by a right angle."""
    upright = data.subset(digits(), slice(0, None, 2))
    turned = data.pairs_of(data.subset(digits(), slice(1, None, 2)), data.PAIRINGS["turned"])
    return data.unpaired(upright, data.swapped(turned))


def evaluated(name: str) -> Callable[[Method, Array, State, Batch, HParams], Array]:
    """A score: the mean of a value that is evaluated."""
    return lambda method, key, state, batch, hparams: jnp.mean(
        method.evaluate(key, state, batch, hparams)[name]
    )


class Registered(NamedTuple):
    """An example of a method and the figure that learning lowers.

    Attributes:
      example: returns the method.
      data: returns what it learns from.
      entry: of a batch, what its reconstructions and samples have the shape of.
      score: (method, key, state, batch, hparams) -> scalar.
      steps: how many steps of the example, at batch 32, are enough to lower it.
      improvement: the fraction of the first score that is then left, at most.
      no_step: hyperparameters that change no step, but evaluation or views alone.
      tier: "full" for one example of every kind of step, which is tried in sweeps; the others
        are so only with --full.
    """

    example: Callable[[], Method]
    data: Callable[[], Dataset] = digits
    entry: str = "image"
    score: Callable[[Method, Array, State, Batch, HParams], Array] = testing.evaluated_loss
    steps: int = 200
    improvement: float = 0.8
    no_step: tuple[str, ...] = ()
    tier: Literal["cheap", "full"] = "cheap"


def _autoencoder() -> Method:
    """Tied, contractive, denoising and sparse, with dropout: everything at once."""
    return autoencoder(
        nets.mlp(16, (), output_activation="sigmoid"),
        nets.mlp(IMAGE_SHAPE, ()),
        penalties=[
            penalties.contractive(1e-3),
            penalties.sparsity(1e-2, 0.2, momentum=0.9),
            penalties.l1(1e-4),
            penalties.weight_decay(1e-5),
        ],
        corruption=corruptions.masking,
        bottlenecks=[bottlenecks.k_sparse(12), bottlenecks.dropout(0.1)],
        tie=nets.transposed,
    )


def _classifier() -> Method:
    return classifier(nets.mlp(16, (32,), output_activation="relu"), classes=10)


def _stage() -> Method:
    above = autoencoder(nets.mlp(4, (16,)), nets.mlp(16, (16,)))
    return stage(nets.mlp(16, ()), above, nets.mlp(IMAGE_SHAPE, ()))


def _vae() -> Method:
    return vae(nets.mlp(8, (32,)), nets.mlp(IMAGE_SHAPE, (32,)), latent_size=4)


def _rbm() -> Method:
    """With chains at several temperatures, which go on from step to step."""
    return rbm(
        16,
        estimator=boltzmann.parallel_tempering(chains=8, temperatures=3),
        sparsity_weight=0.01,
        learning_rate=0.3,
    )


def _boltzmann_machine() -> Method:
    estimator = boltzmann.general.persistent(chains=8, clamped_sweeps=2)
    return boltzmann_machine(4, estimator=estimator, sample_sweeps=10)


def _deep_belief_network() -> Method:
    return deep_belief_network((16, 8), classes=10, learning_rate=0.3)


def _gan() -> Method:
    generator = nets.mlp(IMAGE_SHAPE, (32,))
    return gan(generator, nets.mlp(1, (32,)), latent_size=4, learning_rate=1e-3)


def _image_to_image() -> Method:
    return image_to_image(
        nets.mlp((8, 4, 1), (32,)), nets.mlp(1, (32,)), l1_weight=10.0, learning_rate=1e-3
    )


def _cycle_gan() -> Method:
    generators = [nets.mlp(IMAGE_SHAPE, (16,)) for _ in range(2)]
    discriminators = [nets.mlp(1, (16,)) for _ in range(2)]
    return cycle_gan(*generators, *discriminators, pool_size=4, learning_rate=1e-3)


def _adversarial_autoencoder() -> Method:
    """A game with a move that is made twice, a running mean and an average of weights.

    Latents about their running mean are to look like a Gaussian's, to a discriminator:
    Makhzani et al. (2016), Adversarial Autoencoders.
    """
    encoder, decoder = nets.mlp(2, (32,)), nets.mlp(IMAGE_SHAPE, (32,))
    discriminator = nets.mlp(1, (16,))

    def logits(params, latent):
        return discriminator.apply(params["discriminator"], latent)[:, 0]

    def centred(params, batch):
        return encoder.apply(params["encoder"], batch["image"]) - params["centre"][None]

    def reconstructing(key, params, batch, hparams, training):
        latent = encoder.apply(params["encoder"], batch["image"])
        error = losses.squared_error(decoder.apply(params["decoder"], latent), batch["image"])
        mean = jax.lax.stop_gradient(jnp.mean(latent, axis=0))
        return {"loss": error}, {"centre": 0.9 * params["centre"] + 0.1 * mean}

    def discriminating(key, params, batch, hparams, training):
        latent = centred(params, batch)
        real = jax.random.normal(key, latent.shape, latent.dtype)
        loss = jax.nn.softplus(-logits(params, real)) + jax.nn.softplus(logits(params, latent))
        return {"loss": loss}, {}

    def deceiving(key, params, batch, hparams, training):
        loss = jax.nn.softplus(-logits(params, centred(params, batch)))
        return {"loss": hparams["adversarial_weight"] * loss}, {}

    def init(key, batch, hparams):
        keys, x = jax.random.split(key, 3), batch["image"]
        latent = jnp.zeros((len(x), 2), x.dtype)
        return {
            "encoder": encoder.init(keys[0], x),
            "decoder": decoder.init(keys[1], latent),
            "discriminator": discriminator.init(keys[2], latent),
        }

    def evaluate(key, state, batch, hparams):
        return reconstructing(key, state.running | state.params, batch, hparams, False)[0]

    return game(
        init,
        [
            [Move("autoencoder", ("encoder", "decoder"), reconstructing, learning_rate=1e-3)],
            [Move("discriminator", ("discriminator",), discriminating, repeats=2)],
            [Move("encoder", ("encoder",), deceiving)],
        ],
        evaluate,
        coded(
            lambda state, batch, hparams: encoder.apply(state.params["encoder"], batch["image"]),
            lambda state, latent, hparams: decoder.apply(state.params["decoder"], latent),
        ),
        parts=[Numbers(**traced(adversarial_weight=(0.1, NOT_NEGATIVE)))],
        running=lambda params, batch, hparams: {"centre": jnp.zeros(2, batch["image"].dtype)},
        average=["encoder", "decoder"],
        ema_decay=0.9,
    )


def _recurrent_autoencoder() -> Method:
    return recurrent_autoencoder(
        nets.recurrent_encoder(8, 12), nets.recurrent_decoder((8, 8), 12, cell="gru")
    )


def _skip_gram() -> Method:
    return skip_gram(len(words.vocabulary()), 4, learning_rate=0.03)


REGISTRY: Mapping[str, Registered] = {
    "autoencoder": Registered(_autoencoder, tier="full"),
    "classifier": Registered(_classifier),
    "stage": Registered(_stage),
    "vae": Registered(_vae),
    "rbm": Registered(_rbm, steps=400, improvement=0.85, tier="full"),
    "boltzmann_machine": Registered(_boltzmann_machine, steps=400, improvement=0.85, tier="full"),
    "deep_belief_network": Registered(
        _deep_belief_network, steps=600, improvement=0.85, tier="full"
    ),
    "gan": Registered(_gan, score=sample_discrepancy, tier="full"),
    "image_to_image": Registered(
        _image_to_image, halves_of_digits, "target", evaluated("absolute_error")
    ),
    "cycle_gan": Registered(_cycle_gan, two_domains, score=evaluated("cycle_error")),
    "adversarial_autoencoder": Registered(_adversarial_autoencoder),
    "recurrent_autoencoder": Registered(
        _recurrent_autoencoder, lambda: sequences.row_sequences(digits()), "sequence"
    ),
    "skip_gram": Registered(_skip_gram, some_contexts, "centre"),
}
