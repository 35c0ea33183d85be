"""Holes in images, filled in every way that the library knows: closed forms and trained models.

    python experiments/inpainting.py
    python experiments/inpainting.py --dataset npz:FILE --hole 12 --components 30 --widths 512 256

Optimised until a denoising autoencoder reconstructs it, or until a VAE's bound is high, an image of
a digit comes nearer to the truth than the mean of a Gaussian given the known pixels, the best of
the closed forms. Smoothness does harm: a harmonic fill is further away than the mean image.

Reference: Yeh et al. (2017), Semantic Image Inpainting with Deep Generative Models; Alain and
Bengio (2014), What Regularized Auto-Encoders Learn from the Data-Generating Distribution.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax

from ae_jax import cli, corruptions, experiment, inversion, losses, methods, nets, plots, training
from ae_jax.core import NOT_NEGATIVE, POSITIVE, Array, HParams, Method, Network, State
from ae_jax.experiment import Count, Holes, Model, Swept
from ae_jax.inversion import Objective, fills
from ae_jax.methods import boltzmann, observations, regularisers

Positive = Annotated[float, POSITIVE]
NotNegative = Annotated[float, NOT_NEGATIVE]
#: The ways of filling by a model, and which.
WAYS = {
    "denoising error": "denoising",
    "denoising error and TV": "denoising",
    "denoising score": "denoising",
    "VAE bound": "vae",
    "VAE latents": "vae",
    "RBM free energy": "rbm",
    "RBM means": "rbm",
    "GAN latents": "gan",
    "trained on holes": "holes",
}


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """All ways fill the same holes, in the middle of test images."""

    hole: Count = 4
    """Its side in pixels."""
    test_images: Count = 300
    """That are filled, at most."""
    components: Count = 8
    """Of PCA, which is fitted to known pixels by least squares."""
    ridge: NotNegative = 1e-3
    """The variance of noise on the known pixels that the Gaussian's mean is told: of validation
    digits a smaller one fills hardly better."""
    widths: tuple[Count, ...] = (256,)
    """Hidden layers of autoencoders and the VAE; not swept."""
    latent_size: Count = 32
    """Of the autoencoders."""
    code_size: Count = 16
    """Of the VAE and the GAN."""
    hidden_size: Count = 128
    """Units of the machine."""
    noise: Positive = 0.25
    """The deviation of what the denoising autoencoder undoes."""
    variance: Positive = 0.03
    """Of a pixel given the VAE's latents."""
    tv_weight: NotNegative = 0.1
    """Of total variation, beside the denoising autoencoder's squared error."""
    fill_steps: Count = 200
    """Of descents, by Adam, and of Gibbs sampling."""
    fill_rate: Positive = 0.05
    """At first; it falls to 0 as a half cosine."""
    starts: Count = 4
    """Of a search of latents, of which the best is kept."""
    learning_rate: Swept[float] = (2e-3,)
    """At first, of the autoencoders and the VAE; all fall to 0 as a half cosine."""
    rbm_learning_rate: Positive = 0.1


PRESETS = {
    "default": Config(),
    "smoke": Config(
        test_images=20, widths=(8,), hidden_size=8, components=4, fill_steps=2, seeds=1, steps=20
    ),
    "paper": Config(
        **{"dataset": "mnist", "hole": 12, "test_images": 10_000, "components": 30},
        **{"ridge": 0.01, "widths": (512, 256), "latent_size": 64, "code_size": 100},
        **{"hidden_size": 500, "fill_steps": 1500, "steps": 50_000},
    ),
}


def inpainting(config: Config) -> None:
    """Trains models, fills holes by them and by closed forms, and measures what is in the holes."""
    splits = experiment.load_splits(config)
    same = config, "inpainting", functools.partial(build, config, splits.train.spec), splits
    phases = {name: phase(config, name) for name in dict.fromkeys(WAYS.values())}
    for values, schedules in phases.values():
        lanes = experiment.lanes(config, values)
        experiment.check(same[2], lanes, schedules, splits, config.batch_size)
    holes = experiment.holes_in(splits, config.hole, config.test_images)
    given = experiment.closed_fills(holes, config.components, config.ridge)
    measure, notes = experiment.filled_measure(config, "inpainting", splits, holes)
    rows = [{"way": way, "seed": 0, "status": "ok", **measure(x)} for way, x in given.items()]
    drawn = {"original": holes.images, "hole": jnp.where(holes.mask, holes.images, 0), **given}
    parts = {
        name: experiment.sweep(*same, values, part=name, validation=None, schedules=schedules)
        for name, (values, schedules) in phases.items()
    }
    fillers: dict[str, Callable[..., Array]] = {}

    def describe(model: Model) -> dict[str, float]:
        way, key = model.row["way"], jax.random.key(model.row["seed"])
        fill = fillers.setdefault(way, filler(config, way, model.method))
        filled = fill(key, model.state, model.hparams, holes)
        drawn.setdefault(way, filled)
        return measure(filled)

    by = ("way", *experiment.varied(config, "learning_rate"))
    sweeps = [({"way": way}, parts[kind]) for way, kind in WAYS.items()]
    rows += experiment.side_by_side(sweeps, describe, by)
    experiment.report(
        config,
        parts["holes"].out,
        f"Holes of {config.hole} pixels a side in {config.dataset}",
        experiment.numbered(rows, by),
        by,
        ("psnr", "accuracy"),
        lambda: figures(rows, drawn),
        [part.result for part in parts.values()],
        notes,
    )


def build(config: Config, spec: Mapping[str, Any], model: str) -> Method:
    """Returns the method of a model."""
    shape, size = spec["image"].shape, config.code_size
    decoder = nets.mlp(shape, config.widths[::-1])
    if model == "vae":
        likelihood = observations.gaussian(config.variance)
        return methods.vae(nets.mlp(2 * size, config.widths), decoder, size, likelihood=likelihood)
    if model == "rbm":
        estimator = boltzmann.persistent(chains=config.batch_size)
        return methods.rbm(config.hidden_size, estimator=estimator)
    if model == "gan":
        generator = nets.mlp(shape, (128, 128), "leaky_relu")
        own = {"average": True, "ema_decay": 0.99, "regularisers": [regularisers.r1(1.0)]}
        own["optimizer"] = optax.scale_by_adam(b1=0.0, b2=0.99)
        return methods.gan(generator, discriminator(), size, **own)
    corruption, level = corruptions.gaussian_noise, config.noise
    if model == "holes":  # as large as those that are filled, anywhere
        corruption, level = corruptions.occlusion, config.hole / min(shape[:2])
    encoder = nets.mlp(config.latent_size, config.widths)
    return methods.autoencoder(encoder, decoder, corruption=corruption, corruption_level=level)


def discriminator() -> Network:
    """Returns the GAN's."""
    return nets.mlp(1, (128, 128), "leaky_relu")


def phase(config: Config, name: str) -> tuple[dict[str, Any], list[training.Schedule]]:
    """Returns what of a model is trained, and how its rates fall."""
    both = dict.fromkeys(("learning_rate", "discriminator_learning_rate"), 1e-3)
    own = {"rbm": {"learning_rate": config.rbm_learning_rate}, "gan": both}
    rates = both if name == "gan" else ("learning_rate",)
    falling = [training.warmup_cosine(config.steps, name=rate) for rate in rates]
    return {"model": name, **own.get(name, {})}, falling


def filler(config: Config, way: str, method: Method) -> Callable[..., Array]:
    """Returns what fills the holes by any lane of a model, as one compiled program."""
    falling = optax.cosine_decay_schedule(1.0, config.fill_steps)
    optimizer = optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(falling))
    how = {"steps": config.fill_steps, "optimizer": optimizer}

    @jax.jit
    def fill(key: Array, state: State, hparams: HParams, holes: Holes) -> Array:
        images, mask = holes.images, holes.mask

        def optimised(key: Array, prior: Objective) -> Array:
            start = jnp.broadcast_to(holes.average[None], images.shape)
            return inversion.inpainting(prior, **how)(key, images, mask, config.fill_rate, start).x

        def searched(key: Array, generate: Callable[[Array], Array], **options: Any) -> Array:
            start_key, key = jax.random.split(key)
            shape = config.starts, len(images), config.code_size
            search = inversion.latent_search(generate, **how, **options)
            starts = jax.random.normal(start_key, shape, images.dtype)
            return generate(search(key, images, mask, starts, config.fill_rate).x)

        def reconstruct(x: Array) -> Array:
            return method.views.reconstruct(state, {"image": x}, hparams)

        def generate(z: Array) -> Array:
            return method.views.decode(state, z, hparams)

        def bound(key: Array, x: Array) -> Array:
            return method.evaluate(key, state, {"image": x}, hparams)["loss"]

        def improbable(images: Array, mask: Array) -> Objective:
            error = inversion.squared_context_error(images, mask, generate, config.variance**0.5)
            return inversion.weighted((error, 1.0), (inversion.normal_prior, 1.0))

        def energy(x: Array) -> Array:
            return boltzmann.free_energy(state.params, x.reshape(len(x), -1))

        def real(x: Array) -> Array:
            return discriminator().apply(state.params["discriminator"], x)

        known = jnp.broadcast_to(mask, images.shape[1:]).ravel()
        blended = functools.partial(fills.poisson, images, mask)
        held = boltzmann.Clamp(images.reshape(len(images), -1), known)
        error = inversion.reconstruction_error(reconstruct)
        smooth = inversion.keyless(losses.total_variation)
        smoothed = inversion.weighted((error, 1.0), (smooth, config.tv_weight))
        score = inversion.denoising_score(reconstruct, config.noise)
        ways = {
            "denoising error": lambda: optimised(key, error),
            "denoising error and TV": lambda: optimised(key, smoothed),
            "denoising score": lambda: optimised(key, score),
            "VAE bound": lambda: optimised(key, bound),
            "VAE latents": lambda: searched(key, generate, objective=improbable),
            "RBM free energy": lambda: optimised(key, inversion.keyless(energy)),
            "RBM means": lambda: boltzmann.clamped_means(key, state.params, held, how["steps"]),
            "GAN latents": lambda: blended(searched(key, generate, logits=real)),
            "trained on holes": lambda: reconstruct(jnp.where(mask[None], images, 0)),
        }
        return inversion.composed(images, mask, jnp.clip(ways[way](), 0, 1).reshape(images.shape))

    return fill


def figures(rows: Sequence[Mapping[str, Any]], drawn: Mapping[str, Array]) -> dict[str, Any]:
    """Draws filled images, decibels and accuracies."""
    shown = {way: x[:16] for way, x in drawn.items()}
    found = {"Holes in test images, filled in each way.": plots.image_rows(shown)}
    for column, what in (("psnr", "PSNR in the hole (dB)"), ("accuracy", "read rightly (%)")):
        if any(column in row for row in rows):
            table = plots.mean_table(rows, lambda row: row["way"], {column: what})
            found[f"Filled holes by the way: {what}."] = plots.dots(table, what)
    return found


if __name__ == "__main__":
    cli.main(inpainting, PRESETS)
