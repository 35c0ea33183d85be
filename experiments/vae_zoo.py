"""Every kind of autoencoder on one data set, with one size of networks: one table.

    python experiments/vae_zoo.py

By default the fifteen that few programs train, with `--preset all` every one: log-likelihood where
there is one, reconstruction, what a linear classifier makes of the codes, and how far samples are
from test images under every sampler that fits, of a model's own prior or of densities fitted to
codes of training images. Models that differ in numbers alone are lanes of one program.

Reference: Chadebec, Vincent and Allassonniere (2022), Pythae: Unifying Generative Autoencoders in
Python.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np

from ae_jax import cli, data, experiment, methods, nets, plots, training
from ae_jax.core import Array, Batch, Domain, InputError, Method
from ae_jax.experiment import Count, Model, Several, Swept, zoo
from ae_jax.methods import (
    bounds,
    flows,
    hierarchies,
    latent_regularisers,
    penalties,
    posteriors,
    priors,
    quantisers,
)

#: Of the models that differ in numbers alone, weights that are off where they do not say otherwise.
WEIGHTS = "capacity_weight", "capacity", "tc_weight", "matching_weight"
GAUSSIAN = dict.fromkeys(WEIGHTS, 0.0) | {"beta": 1.0}
PLAIN = dict.fromkeys(("latent_norm_weight", "weight_decay", "matching_weight"), 0.0)
#: Models that are programs of their own, as they are.
ALONE = ("MIWAE", "PIWAE", "FactorVAE", "planar flow", "IAF", "VampPrior", "flow prior")
ALONE += ("hyperspherical", "Poincare", "JointVAE", "Hamiltonian", "ladder", "adversarial")
ALONE += ("VAE-GAN", "VQ-VAE")
#: Programs, and the models that each trains.
PROGRAMS: dict[str, dict[str, dict[str, float]]] = {
    "gaussian": {
        "VAE": GAUSSIAN,
        "beta-VAE": GAUSSIAN | {"beta": 4.0},
        "AnnealedVAE": GAUSSIAN | {"beta": 0.0, "capacity_weight": 10.0, "capacity": 10.0},
        "beta-TCVAE": GAUSSIAN | {"tc_weight": 3.0},
        "InfoVAE": GAUSSIAN | {"matching_weight": 100.0},
    },
    "importance": {"IWAE": {"elbo_weight": 0.0}, "CIWAE": {"elbo_weight": 0.5}},
    "plain": {
        "autoencoder": PLAIN,
        "RAE-L2": PLAIN | {"latent_norm_weight": 0.05, "weight_decay": 1e-3},
        "WAE-MMD": PLAIN | {"matching_weight": 10.0},
    },
    "jacobian": {"RAE-GP": {"latent_norm_weight": 0.05, "decoder_jacobian_weight": 1e-2}},
    **{name: {name: {}} for name in ALONE},
}
#: Whose latents lie where a Gaussian's draws do not.
BOUNDED = "hyperspherical", "Poincare", "JointVAE"
#: Of the JointVAE, beside its numbers.
CATEGORIES = 10
MODELS = tuple(name for models in PROGRAMS.values() for name in models)
FEW = tuple(name for program, models in PROGRAMS.items() if program not in ALONE for name in models)
FEW += ("VampPrior", "planar flow", "hyperspherical", "VQ-VAE")
COLUMNS = ("log_likelihood", "squared_error", "probe", *(f"kernel_{name}" for name in zoo.SAMPLERS))


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Images are binary, drawn anew at every step."""

    model: Swept[Literal[MODELS]] = FEW
    """Those that few programs train; `--preset all` has every one."""
    latent_size: Annotated[int, Domain(low=2, whole=True)] = 10
    widths: Several[Count] = (64,)
    """Hidden layers of encoders, reversed in decoders; not swept."""
    importance_samples: Count = 100
    """For each test image, of the log-likelihood."""
    components: Count = 10
    """Of the mixture of Gaussians that is fitted to codes."""
    samples: Count = 500
    """Of every sampler, that are compared with test images."""
    test_images: Count = 500
    """At most."""
    steps: Count = 1000
    seeds: Count = 2


PRESETS = {
    "default": Config(),
    "all": Config(model=MODELS),
    "smoke": Config(
        model=("VAE", "RAE-L2", "VQ-VAE"), latent_size=2, widths=(8,), importance_samples=3,
        components=2, samples=10, test_images=20, seeds=1, steps=3,
    ),
    # Chadebec et al. (2022), section 4.2
    "paper": Config(
        dataset="mnist", model=MODELS, latent_size=16, widths=(512, 256), importance_samples=1000,
        samples=10_000, test_images=10_000, batch_size=100, steps=50_000, seeds=5,
    ),
}  # fmt: skip


def vae_zoo(config: Config) -> None:
    """Trains every model, and measures all in the same way."""
    splits = experiment.load_splits(config)
    shown, count = data.head(splits.test, config.test_images), config.samples
    train, test, real = data.head(splits.train, zoo.MOST), zoo.binary(shown), shown["image"]
    experiment.check_generated(count, len(real))
    if config.components > splits.train.size:
        raise InputError(f"there are no {config.components} training images, as many as components")
    programs = {
        program: chosen
        for program, models in PROGRAMS.items()
        if (chosen := [own for name, own in models.items() if name in config.model])
    }
    built = {program: build(config, splits.train.spec, program) for program in programs}
    for program, chosen in programs.items():
        experiment.check(built[program], experiment.lanes(config, chosen))

    classical = zoo.classical(splits, test, real, config.latent_size, config.components, count)

    def sweep(program: str) -> experiment.Sweep:
        given, half = (built[program], splits, programs[program]), config.steps // 2
        # capacities that are there at once are filled by one category for all images
        names = ("numbers", "kind") if program == "JointVAE" else ()
        rising = [training.ramp(half, f"{name}_capacity") for name in names]
        return experiment.sweep(config, "vae_zoo", *given, part=program, schedules=rising)

    parts = [({"program": program}, sweep(program)) for program in programs]
    drawn: dict[str, dict[str, Any]] = {name: {} for name in zoo.SAMPLERS}
    rows = experiment.side_by_side(
        parts, lambda model: describe(config, train, test, real, model, drawn), ("program",)
    )
    by = ("model", *experiment.varied(config, "learning_rate"))
    rows = experiment.numbered([*classical, *map(named, rows)], by)
    experiment.report(
        config,
        parts[0][1].out,
        f"Autoencoders of {config.dataset}",
        rows,
        by,
        COLUMNS,
        lambda: figures(rows, drawn),
        [trained.result for _, trained in parts],
        [
            "log_likelihood: of test images drawn once as zeros and ones, nats; squared_error: of "
            "what is made of them; probe: test images (%) that logistic regression on codes is "
            "right about; kernel_: distance from test images of samples of a model's own prior, or "
            "of a Gaussian, a mixture and kernels fitted to codes of training images.",
        ],
    )


def named(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a row with the name of the model whose numbers it has."""
    names = (
        name
        for name, own in PROGRAMS[row["program"]].items()
        if all(np.isclose(row[key], value) for key, value in own.items())
    )
    return {"model": next(names), **row}


def build(config: Config, spec: Mapping[str, Any], program: str) -> Method:
    """Returns what a program trains."""
    size, shape, widths = config.latent_size, spec["image"].shape, config.widths
    one, two = (nets.mlp(outputs, widths) for outputs in (size, 2 * size))
    decoder = nets.mlp(shape, widths[::-1])
    shown = nets.mlp(shape, widths[::-1], output_activation="sigmoid")
    judge = nets.mlp(1, (*widths, *widths), "leaky_relu_0.2")
    features = nets.mlp(widths[-1], widths[:-1])
    ladder = hierarchies.ladder((size - size // 2, size // 2), widths=widths)
    samples = {"importance_samples": config.importance_samples}

    def vae(posterior: Any = None, size: int = size, **options: Any) -> Method:
        posterior = posterior or posteriors.gaussian()
        encoder = nets.mlp(posterior.outputs(size), widths)
        return methods.vae(encoder, decoder, size, posterior=posterior, **samples, **options)

    def joint() -> Method:
        # for each pixel the paper's weight, which is of images of 32x32
        weight, most = 30 * math.prod(shape) / 1024, math.log(CATEGORIES)
        held = latent_regularisers.capacities(weight, numbers=5.0, kind=most)
        own = posteriors.joint(numbers=posteriors.gaussian(), kind=posteriors.concrete(CATEGORIES))
        prior = priors.joint(numbers=priors.normal(), kind=priors.concrete(CATEGORIES))
        return vae(own, size + CATEGORIES, prior=prior, regularisers=[held], beta=0.0)

    def plain(*parts: Any) -> Method:
        return methods.autoencoder(one, shown, penalties=parts)

    regularisers = [
        latent_regularisers.capacity(),
        latent_regularisers.total_correlation(data_size=1000),
        latent_regularisers.matching(),
    ]
    makers = {
        "gaussian": lambda: vae(regularisers=regularisers),
        "importance": lambda: vae(bound=bounds.combined(5)),
        "plain": lambda: plain(
            penalties.latent_norm(), penalties.weight_decay(of="decoder"), penalties.matching()
        ),
        "jacobian": lambda: plain(penalties.latent_norm(), penalties.decoder_jacobian()),
        "MIWAE": lambda: vae(bound=bounds.multiply_importance_weighted(3, 3)),
        "PIWAE": lambda: vae(bound=bounds.partially_importance_weighted(3, 3)),
        "FactorVAE": lambda: methods.factor_vae(two, decoder, judge, size, **samples),
        "planar flow": lambda: vae(posteriors.flow(flows.planar())),
        "IAF": lambda: vae(posteriors.flow(flows.inverse_autoregressive())),
        "VampPrior": lambda: vae(prior=priors.vamp(two)),
        "flow prior": lambda: vae(prior=priors.flow(flows.coupling())),
        "hyperspherical": lambda: vae(posteriors.von_mises_fisher(), prior=priors.sphere()),
        "Poincare": lambda: vae(posteriors.wrapped_normal(), prior=priors.wrapped_normal()),
        "JointVAE": joint,
        "Hamiltonian": lambda: methods.hamiltonian_vae(two, decoder, size, **samples),
        "ladder": lambda: vae(ladder.posterior, prior=ladder.prior),
        "adversarial": lambda: methods.adversarial_autoencoder(one, shown, judge, size),
        "VAE-GAN": lambda: methods.vae_gan(two, decoder, features, nets.mlp(1, ()), size),
        "VQ-VAE": lambda: methods.vq_vae(one, shown, size, quantiser=quantisers.codebook(64)),
    }
    return methods.prepared(makers[program](), methods.binarized)


def describe(
    config: Config, train: Batch, test: Batch, real: Array, model: Model, drawn: dict[str, Any]
) -> dict[str, float]:
    """Returns what a model's bound, codes and samples are worth; keeps some of the samples."""
    fitted = model.row["program"] not in BOUNDED
    found, made = zoo.measured(model, (train, test), config.components, config.samples, fitted)
    for way, images in made.items():
        drawn[way].setdefault(named(model.row)["model"], images[:10])
    return found | zoo.distances(made, real)


def figures(
    rows: Sequence[Mapping[str, Any]], drawn: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Draws likelihoods, distances of samples, and samples."""
    distances = {f"kernel_{name}": name for name in zoo.SAMPLERS}

    def dots(words: str, **columns: str) -> Any:
        found = [row for row in rows if not columns.keys().isdisjoint(row)]
        return plots.dots(plots.mean_table(found, lambda row: row["model"], columns), words)

    pictures = {
        "Log-likelihood of test images, by importance sampling.": dots(
            "log-likelihood (nats)", log_likelihood="log-likelihood"
        ),
        "Kernel distance of samples from test images.": dots("kernel distance", **distances),
        "Test images that a linear probe is right about.": dots("test images (%)", probe="codes"),
    }
    for way, words in (("prior", "their own priors"), ("mixture", "mixtures of Gaussians")):
        if drawn[way]:
            pictures[f"Samples by {words}; first seed."] = plots.image_rows(drawn[way])
    return pictures


if __name__ == "__main__":
    cli.main(vae_zoo, PRESETS)
