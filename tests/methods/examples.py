"""A small example of every method. A row here gives a method all contract tests."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from ae_jax import corruptions, losses, nets
from ae_jax.core import NOT_NEGATIVE, Method, Network, traced
from ae_jax.data import sequences
from ae_jax.data.sources import words
from ae_jax.methods import (
    boltzmann,
    bottlenecks,
    bounds,
    conditions,
    discrepancies,
    flows,
    hierarchies,
    latent_regularisers,
    penalties,
    quantisers,
    shown,
)
from ae_jax.methods.adversarial import regularisers
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
from ae_jax.methods.learners.composing import Numbers
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.views import coded
from ae_jax.methods.matching.network import matching_network
from ae_jax.methods.matching.tsne import parametric_tsne
from ae_jax.methods.parts import observations, posteriors
from ae_jax.methods.parts import priors as prior_parts
from ae_jax.methods.supervised.classifier import classifier
from ae_jax.methods.supervised.segmenter import segmenter
from ae_jax.methods.variational.density import density_model
from ae_jax.methods.variational.factor_vae import factor_vae
from ae_jax.methods.variational.hamiltonian import hamiltonian_vae
from ae_jax.methods.variational.paired import paired_vae
from ae_jax.methods.variational.semi_supervised import semi_supervised_vae
from ae_jax.methods.variational.vae import vae
from ae_jax.methods.wrappers.filmed import filmed
from ae_jax.methods.wrappers.measured import measured
from ae_jax.methods.wrappers.prepared import binarized, prepared
from ae_jax.methods.wrappers.stage import stage
from ae_jax.probability import priors
from ae_jax.recipes import samplers
from tests.methods.registered import (
    IMAGE_SHAPE,
    Registered,
    digits,
    digits_with_masks,
    evaluated,
    halves_of_digits,
    sample_discrepancy,
    some_contexts,
    two_domains,
)


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


def _regularised_autoencoder() -> Method:
    """With all that keeps codes near a prior, and the decoder smooth."""
    return autoencoder(
        nets.mlp(4, (16,)),
        nets.spectral(nets.mlp(IMAGE_SHAPE, (16,))),
        penalties=[
            penalties.latent_norm(1e-3),
            penalties.decoder_jacobian(1e-3),
            penalties.weight_decay(1e-4, "decoder"),
            penalties.matching(0.1),
        ],
    )


def _perceptual_autoencoder() -> Method:
    """A VAE, but for its likelihood and bound."""
    return autoencoder(
        nets.mlp(8, (16,)),
        nets.mlp(IMAGE_SHAPE, (), output_activation="sigmoid"),
        reconstruction=observations.multiscale_ssim(2),
        bottlenecks=[bottlenecks.gaussian()],
        penalties=[penalties.divergence(0.1)],
    )


def _two_stage() -> Method:
    return samplers.two_stage(nets.mlp(8, ()), nets.mlp(IMAGE_SHAPE, ()), 4, widths=(16,))


def _deep_clustering() -> Method:
    """On turned images, refreshed at every other step."""
    return deep_clustering(
        nets.mlp(4, (16,)),
        nets.mlp(IMAGE_SHAPE, ()),
        2,
        digits(),
        shown=shown.corrupted(corruptions.warped, 0.1),
        refresh_every=2,
        tolerance=0.0,
        learning_rate=6e-5,  # at which fewer examples change than another tolerance asks for
    )


def _domain_decoders() -> Method:
    return domain_decoders(
        nets.mlp(8, ()),
        nets.mlp(IMAGE_SHAPE, ()),
        shown=shown.corrupted(corruptions.warped, 0.1),
        matching=discrepancies.moments(),
    )


def _restorer() -> Method:
    """Of images with holes."""
    network = nets.correction(nets.unet(1, (4, 8), dropout=0.2))
    return restorer(network, shown.holed(corruptions.block, 0.4))


def _vq_vae() -> Method:
    """Of maps, in two levels, with entries that are restarted."""
    return vq_vae(
        nets.map_encoder(4, (8,), 0),
        nets.map_decoder(1, (8,), 0),
        (4, 4, 4),
        quantiser=quantisers.codebook(64, 2, decay=0.9, restart=0.95),
        reconstruction=observations.bernoulli(),
        learning_rate=3e-3,
    )


def _code_stage() -> Method:
    """A distribution of the codes of a quantiser that nobody trained."""
    networks = nets.map_encoder(2, (4,), 0), nets.map_decoder(1, (4,), 0)
    coding = quantisers.coding(*networks, quantisers.finite_scalar((3, 2)), (4, 4, 2))
    prior = prior_parts.autoregressive(nets.pixel_cnn(6, 8, 2), (4, 4, 1))
    return stage(
        coding.encoder,
        density_model(prior, (4, 4, 1), learning_rate=1e-2),
        coding.decoder,
        likelihood=observations.bernoulli(),
    )


def _classifier() -> Method:
    return classifier(nets.mlp(16, (32,), output_activation="relu"), classes=10)


def _segmenter() -> Method:
    return segmenter(nets.segnet(2, (8,), kernel=3, dropout=0.1), 2, weights=(1.0, 2.0))


def _stage() -> Method:
    above = autoencoder(nets.mlp(4, (16,)), nets.mlp(16, (16,)))
    return stage(nets.mlp(16, ()), above, nets.mlp(IMAGE_SHAPE, ()))


def _vae() -> Method:
    return vae(nets.mlp(8, (32,)), nets.mlp(IMAGE_SHAPE, (32,)), latent_size=4)


def _spherical_vae() -> Method:
    """Of binary images that every step draws anew, with latents on the sphere."""
    encoder, decoder = nets.mlp(5, (32,)), nets.mlp(IMAGE_SHAPE, (32,))
    on_sphere = {"posterior": posteriors.von_mises_fisher(), "prior": prior_parts.sphere()}
    return prepared(vae(encoder, decoder, latent_size=4, **on_sphere), binarized)


def _regularised_vae() -> Method:
    """With all regularisers at once."""
    return vae(
        nets.mlp(8, (16,)),
        nets.mlp(IMAGE_SHAPE, ()),
        latent_size=4,
        regularisers=[
            latent_regularisers.capacity(0.1, 3.0),
            latent_regularisers.total_correlation(
                0.5,
                data_size=digits().size,
                mutual_information_weight=0.1,
                dimension_wise_weight=0.1,
            ),
            latent_regularisers.dip("i", 0.1),
            latent_regularisers.dip("ii", 0.1),
            latent_regularisers.matching(0.5, discrepancies.sliced_wasserstein(8)),
        ],
    )


def _importance_weighted_vae() -> Method:
    bound = bounds.doubly_reparametrised(3)
    return vae(nets.mlp(8, (16,)), nets.mlp(IMAGE_SHAPE, ()), latent_size=4, bound=bound)


def _flow_vae() -> Method:
    """Flows on both sides, and a decoder that sees more draws at once than the encoder."""
    own = {
        "posterior": posteriors.flow(flows.inverse_autoregressive(2, (8,), 4)),
        "prior": prior_parts.flow(flows.masked_autoregressive(2, (8,))),
        "bound": bounds.partially_importance_weighted(2, 2),
    }
    return vae(nets.mlp(12, (16,)), nets.mlp(IMAGE_SHAPE, ()), latent_size=4, **own)


def _vamp_vae() -> Method:
    encoder = nets.mlp(8, (16,))
    prior = prior_parts.vamp(encoder, 5)
    return vae(encoder, nets.mlp(IMAGE_SHAPE, ()), 4, prior=prior, bound=bounds.combined(2))


def _ladder_vae() -> Method:
    """Of two levels, below a mixture of the top's posteriors of pseudo-inputs."""
    encoder = nets.mlp(10, (8,))
    top = prior_parts.vamp(nets.some_outputs(encoder, -4), 3)
    posterior, prior, levels = hierarchies.ladder((3, 2), top=top, widths=(4,))
    decoder = nets.chain(nets.part(0, 3), nets.mlp(IMAGE_SHAPE, ()))
    own = {"posterior": posterior, "prior": prior, "regularisers": [levels]}
    return vae(encoder, decoder, 5, **own, learning_rate=5e-3)


def _hamiltonian_vae() -> Method:
    return hamiltonian_vae(nets.mlp(8, (8,)), nets.mlp(IMAGE_SHAPE, ()), 4, steps=2)


def _density_model() -> Method:
    return density_model(prior_parts.flow(flows.coupling(2, (8,))), IMAGE_SHAPE)


def _conditional_vae() -> Method:
    return vae(nets.mlp(8, (8,)), nets.mlp(IMAGE_SHAPE, ()), 4, classes=10)


def _semi_supervised_vae() -> Method:
    networks = nets.mlp(8, (8,)), nets.mlp(IMAGE_SHAPE, ()), nets.mlp(10, ())
    return semi_supervised_vae(*networks, 4, 10)


def _mixture_vae() -> Method:
    """Whose prior has clusters: VaDE."""
    mixture = prior_parts.gaussian_mixture(3)
    return vae(nets.mlp(8, (32,)), nets.mlp(IMAGE_SHAPE, (32,)), latent_size=4, prior=mixture)


def _compressing_vae() -> Method:
    """Latents for a coder: noise in the place of rounding, and a learned prior."""
    coded = {"posterior": posteriors.uniform(), "prior": prior_parts.factorised(2)}
    encoder, decoder = nets.mlp(4, (32,)), nets.mlp(IMAGE_SHAPE, (32,))
    return vae(encoder, decoder, 4, **coded, likelihood=observations.gaussian(0.05))


def _factor_vae() -> Method:
    networks = nets.mlp(8, (16,)), nets.mlp(IMAGE_SHAPE, ()), nets.mlp(1, (8,))
    return factor_vae(*networks, latent_size=4, tc_weight=2.0, discriminator_learning_rate=1e-3)


def _paired_vae() -> Method:
    return paired_vae(nets.mlp(8, (16,)), nets.mlp(IMAGE_SHAPE, ()), latent_size=4)


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


def _conditional_gan() -> Method:
    """Its discriminator tells classes as well."""
    features, condition = nets.mlp(16, (32,)), conditions.auxiliary(10)
    generator = nets.mlp(IMAGE_SHAPE, (32,))
    return gan(generator, features, latent_size=4, condition=condition, learning_rate=1e-3)


def _measured() -> Method:
    def compare(real, samples):
        return {"excess": jnp.mean(samples) - jnp.mean(real)}

    return measured(_vae(), compare, count=4)


def _filmed() -> Method:
    return filmed(_matching_network(), 2, [0, 3])


def _progressive_gan() -> Method:
    """A second stage of dense blocks, half faded in."""

    def convolution(features: int) -> Network:
        return nets.flax_network(nets.EqualisedConv(features, (1, 1)))

    compared = nets.flax_network(nets.MinibatchStddev(4))
    return progressive_gan(
        nets.Growing(
            {"generator_4": nets.mlp((4, 4, 2), (16,)), "generator_8": nets.mlp((8, 8, 2), (16,))},
            {
                "to_image_4": nets.mlp((4, 4, 1), (), output_activation="sigmoid"),
                "to_image_8": convolution(1),
            },
        ),
        nets.Growing(
            {
                "discriminator_8": nets.mlp((4, 4, 2), (16,)),
                "discriminator_4": nets.chain(compared, nets.mlp(1, (16,), "tanh")),
            },
            {"from_image_4": convolution(2), "from_image_8": convolution(2)},
        ),
        latent_size=4,
        objective=losses.adversarial.least_squares(),
        regularisers=(),
        average=True,
        ema_decay=0.9,
        fade=0.5,
    )


def _image_to_image() -> Method:
    return image_to_image(
        nets.mlp((8, 4, 1), (32,)), nets.mlp(1, (32,)), l1_weight=10.0, learning_rate=1e-3
    )


def _context_encoder() -> Method:
    """Of holes anywhere, with pixels around them."""
    return context_encoder(
        nets.mlp(IMAGE_SHAPE, (32,)),
        nets.mlp(1, (16,)),
        shown.holed(corruptions.block, 0.4),
        overlap=1,
        adversarial_weight=0.01,
    )


def _cycle_gan() -> Method:
    generators = [nets.mlp(IMAGE_SHAPE, (16,)) for _ in range(2)]
    discriminators = [nets.mlp(1, (16,)) for _ in range(2)]
    return cycle_gan(*generators, *discriminators, pool_size=4, learning_rate=1e-3)


def _game() -> Method:
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


def _matching_network() -> Method:
    return matching_network(nets.mlp(IMAGE_SHAPE, (32,)), latent_size=4, learning_rate=3e-3)


def _parametric_tsne() -> Method:
    return parametric_tsne(nets.mlp(2, (32,)), perplexity=5.0, learning_rate=1e-2)


def _adversarial_autoencoder() -> Method:
    """With a place for each class, and a slope that is penalised."""
    return adversarial_autoencoder(
        nets.mlp(2, (16,)),
        nets.mlp(IMAGE_SHAPE, ()),
        nets.mlp(1, (8,)),
        2,
        prior=priors.ring(10),
        classes=10,
        regularisers=[regularisers.r1(0.1)],
        learning_rate=1e-2,
    )


def _semi_supervised_adversarial_autoencoder() -> Method:
    return semi_supervised_adversarial_autoencoder(
        nets.mlp(10 + 2, (16,)),
        nets.mlp(IMAGE_SHAPE, ()),
        nets.mlp(1, ()),
        nets.mlp(1, ()),
        10,
        2,
        regularisers=[regularisers.instance_noise(0.1)],
    )


def _vae_gan() -> Method:
    return vae_gan(
        nets.mlp(8, ()),
        nets.mlp(IMAGE_SHAPE, ()),
        nets.mlp(16, (), output_activation="tanh"),
        nets.mlp(1, ()),
        4,
        learning_rate=1e-3,
        encoder_learning_rate=1e-3,
    )


def _bigan() -> Method:
    return bigan(
        nets.mlp(4, ()),
        nets.mlp(IMAGE_SHAPE, ()),
        nets.mlp(1, ()),
        4,
        features=nets.mlp(16, (), output_activation="relu"),
        learning_rate=1e-2,
        discriminator_learning_rate=1e-2,
    )


def _recurrent_autoencoder() -> Method:
    return recurrent_autoencoder(
        nets.recurrent_encoder(8, 12), nets.recurrent_decoder((8, 8), 12, cell="gru")
    )


def _skip_gram() -> Method:
    return skip_gram(len(words.vocabulary()), 4, learning_rate=0.03)


REGISTRY: Mapping[str, Registered] = {
    "autoencoder": Registered(_autoencoder, tier="full"),
    "regularised_autoencoder": Registered(_regularised_autoencoder, tier="composed"),
    "perceptual_autoencoder": Registered(_perceptual_autoencoder, tier="composed"),
    "deep_clustering": Registered(_deep_clustering, steps=400, improvement=0.8),
    "domain_decoders": Registered(_domain_decoders, two_domains),
    "restorer": Registered(_restorer, tier="composed"),
    "vq_vae": Registered(_vq_vae),
    "code_stage": Registered(_code_stage, tier="composed"),
    "classifier": Registered(_classifier),
    "segmenter": Registered(_segmenter, digits_with_masks, tier="composed"),
    "stage": Registered(_stage),
    # of draws of an encoder that is not trained, whose noise nobody can explain
    "two_stage": Registered(_two_stage, tier="composed", steps=600, improvement=0.85),
    "vae": Registered(_vae),
    "regularised_vae": Registered(_regularised_vae, tier="composed"),
    "importance_weighted_vae": Registered(_importance_weighted_vae, tier="composed"),
    "flow_vae": Registered(_flow_vae, tier="composed"),
    "density_model": Registered(_density_model, tier="composed"),
    "conditional_vae": Registered(_conditional_vae, tier="composed"),
    "semi_supervised_vae": Registered(_semi_supervised_vae),
    "vamp_vae": Registered(_vamp_vae, tier="composed"),
    "ladder_vae": Registered(_ladder_vae, tier="composed"),
    "hamiltonian_vae": Registered(_hamiltonian_vae, tier="composed"),
    "mixture_vae": Registered(_mixture_vae, tier="composed"),
    "compressing_vae": Registered(_compressing_vae, tier="composed"),
    "factor_vae": Registered(_factor_vae),
    "paired_vae": Registered(_paired_vae, two_domains, tier="composed"),
    "spherical_vae": Registered(_spherical_vae, tier="composed"),
    "rbm": Registered(_rbm, steps=400, improvement=0.85, tier="full"),
    "boltzmann_machine": Registered(_boltzmann_machine, steps=400, improvement=0.85),
    "deep_belief_network": Registered(_deep_belief_network, steps=600, improvement=0.85),
    "gan": Registered(_gan, score=sample_discrepancy, tier="full"),
    "conditional_gan": Registered(
        _conditional_gan, score=sample_discrepancy, steps=400, tier="composed"
    ),
    "matching_network": Registered(_matching_network),
    "parametric_tsne": Registered(_parametric_tsne),
    "game": Registered(_game),
    "adversarial_autoencoder": Registered(
        _adversarial_autoencoder, score=evaluated("squared_error")
    ),
    "semi_supervised_adversarial_autoencoder": Registered(
        _semi_supervised_adversarial_autoencoder, score=evaluated("squared_error")
    ),
    "vae_gan": Registered(_vae_gan, score=evaluated("squared_error"), tier="composed"),
    "bigan": Registered(_bigan, score=sample_discrepancy, tier="composed"),
    "measured": Registered(_measured, tier="composed"),
    "filmed": Registered(_filmed, tier="composed"),
    "progressive_gan": Registered(_progressive_gan, score=sample_discrepancy),
    "image_to_image": Registered(
        _image_to_image, halves_of_digits, "target", evaluated("absolute_error")
    ),
    "context_encoder": Registered(_context_encoder, score=evaluated("squared_error")),
    "cycle_gan": Registered(_cycle_gan, two_domains, score=evaluated("cycle_error")),
    "recurrent_autoencoder": Registered(
        _recurrent_autoencoder, lambda: sequences.row_sequences(digits()), "sequence"
    ),
    "skip_gram": Registered(_skip_gram, some_contexts, "centre"),
}
