"""Every kind of autoencoder on one data set, with one size of networks: one table.

    python experiments/vae_zoo.py

Log-likelihood where there is one, reconstruction, what a linear classifier makes of the codes, and
how far samples are from test images under every sampler that fits: a model's own prior, and
densities that are fitted to the codes of training images. Models that differ in numbers alone are
lanes of one program.

Reference: Chadebec, Vincent and Allassonniere (2022), Pythae: Unifying Generative Autoencoders in
Python.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots
from ae_jax.core import Domain, InputError, Method
from ae_jax.experiment import Count, Model, Splits, Swept, zoo
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
GAUSSIAN = dict.fromkeys(("capacity_weight", "tc_weight", "matching_weight"), 0.0) | {"beta": 1.0}
PLAIN = dict.fromkeys(("latent_norm_weight", "weight_decay", "matching_weight"), 0.0)
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
    "miwae": {"MIWAE": {}},
    "piwae": {"PIWAE": {}},
    "factor": {"FactorVAE": {}},
    "planar": {"planar flow": {}},
    "iaf": {"IAF": {}},
    "vamp": {"VampPrior": {}},
    "flow_prior": {"flow prior": {}},
    "sphere": {"hyperspherical": {}},
    "ball": {"Poincare": {}},
    "hamiltonian": {"Hamiltonian": {}},
    "ladder": {"ladder": {}},
    "plain": {
        "autoencoder": PLAIN,
        "RAE-L2": PLAIN | {"latent_norm_weight": 0.05, "weight_decay": 1e-3},
        "WAE-MMD": PLAIN | {"matching_weight": 10.0},
    },
    "jacobian": {"RAE-GP": {"latent_norm_weight": 0.05, "decoder_jacobian_weight": 1e-2}},
    "adversarial": {"adversarial": {}},
    "vae_gan": {"VAE-GAN": {}},
    "vq": {"VQ-VAE": {}},
}
MODELS = tuple(name for models in PROGRAMS.values() for name in models)
PCA, IMAGES = "PCA", "training images"
COLUMNS = ("log_likelihood", "squared_error", "probe", *(f"kernel_{name}" for name in zoo.SAMPLERS))


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Images are binary, drawn anew at every step."""

    model: Swept[Literal[MODELS]] = MODELS
    latent_size: Annotated[int, Domain(low=2, whole=True)] = 10
    widths: tuple[Count, ...] = (64,)
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
    seeds: Count = 3


PRESETS = {
    "default": Config(),
    "smoke": Config(
        model=("VAE", "RAE-L2", "VQ-VAE"), latent_size=2, widths=(8,), importance_samples=3,
        components=2, samples=10, test_images=20, seeds=1, steps=3,
    ),
    # Chadebec et al. (2022), section 4.2: 16 latents, 100 epochs of 50,000 images
    "paper": Config(
        dataset="mnist", latent_size=16, widths=(512, 256), importance_samples=1000,
        samples=10_000, test_images=10_000, batch_size=100, steps=50_000, seeds=5,
    ),
}  # fmt: skip


def vae_zoo(config: Config) -> None:
    """Trains every model, and measures all in the same way."""
    splits = experiment.load_splits(config)
    test = zoo.binary(data.head(splits.test, config.test_images))
    experiment.check_generated(config.samples, len(test["image"]))
    if config.components > splits.train.size:
        raise InputError(f"there are no {config.components} training images, as many as components")
    programs = {
        program: {name: own for name, own in models.items() if name in config.model}
        for program, models in PROGRAMS.items()
    }
    programs = {program: models for program, models in programs.items() if models}
    built = {program: build(config, splits.train.spec, program) for program in programs}
    for program, models in programs.items():
        experiment.check(built[program], experiment.lanes(config, [*models.values()]))
    parts = [
        (
            {"program": program},
            experiment.sweep(
                config, "vae_zoo", built[program], splits, [*models.values()], part=program
            ),
        )
        for program, models in programs.items()
    ]
    drawn: dict[str, dict[str, Any]] = {name: {} for name in zoo.SAMPLERS}
    rows = experiment.side_by_side(
        parts, lambda model: describe(config, splits, test, model, drawn), ("program",)
    )
    by = ("model", *experiment.varied(config, "learning_rate"))
    rows = experiment.numbered([*classical(config, splits, test), *map(named, rows)], by)
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
            f"{config.latent_size} latents, networks of {config.widths}. log_likelihood: of test "
            "images drawn once as zeros and ones, nats; squared_error: of what is reconstructed of "
            "them; probe: test images (%) that logistic regression on codes is right about; "
            "kernel_: distance of samples from test images, of a model's own prior, or of a "
            "Gaussian, a mixture and kernels fitted to codes of training images.",
        ],
    )


def named(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a row with the name of the model whose numbers it has."""
    models = PROGRAMS[row["program"]]
    return {"model": name_of(models, row), **row}


def name_of(models: Mapping[str, Mapping[str, float]], row: Mapping[str, Any]) -> str:
    """Returns the model of a program that has a row's numbers."""
    fits = [
        name
        for name, own in models.items()
        if all(np.isclose(row[key], value) for key, value in own.items())
    ]
    return fits[0]


def build(config: Config, spec: Mapping[str, Any], program: str) -> Method:
    """Returns what a program trains."""
    size, shape, widths = config.latent_size, spec["image"].shape, config.widths
    two = nets.mlp(2 * size, widths)
    decoder = nets.mlp(shape, widths[::-1])
    shown = nets.mlp(shape, widths[::-1], output_activation="sigmoid")
    judge = nets.mlp(1, (*widths, *widths), "leaky_relu_0.2")
    halves = (size - size // 2, size // 2)

    def vae(posterior: Any = None, **options: Any) -> Method:
        posterior = posterior or posteriors.gaussian()
        encoder = nets.mlp(posterior.outputs(size), widths)
        samples = {"importance_samples": config.importance_samples}
        return methods.vae(encoder, decoder, size, posterior=posterior, **samples, **options)

    def plain(*parts: Any) -> Method:
        return methods.autoencoder(nets.mlp(size, widths), shown, penalties=parts)

    def laddered() -> Method:
        ladder = hierarchies.ladder(halves, widths=widths)
        return vae(ladder.posterior, prior=ladder.prior)

    regularisers = [
        latent_regularisers.capacity(),
        latent_regularisers.total_correlation(data_size=1000),
        latent_regularisers.matching(),
    ]
    makers = {
        "gaussian": lambda: vae(regularisers=regularisers),
        "importance": lambda: vae(bound=bounds.combined(5)),
        "miwae": lambda: vae(bound=bounds.multiply_importance_weighted(3, 3)),
        "piwae": lambda: vae(bound=bounds.partially_importance_weighted(3, 3)),
        "factor": lambda: methods.factor_vae(
            two, decoder, judge, size, importance_samples=config.importance_samples
        ),
        "planar": lambda: vae(posteriors.flow(flows.planar())),
        "iaf": lambda: vae(posteriors.flow(flows.inverse_autoregressive())),
        "vamp": lambda: vae(prior=priors.vamp(two)),
        "flow_prior": lambda: vae(prior=priors.flow(flows.coupling())),
        "sphere": lambda: vae(posteriors.von_mises_fisher(), prior=priors.sphere()),
        "ball": lambda: vae(posteriors.wrapped_normal(), prior=priors.wrapped_normal()),
        "hamiltonian": lambda: methods.hamiltonian_vae(
            two, decoder, size, importance_samples=config.importance_samples
        ),
        "ladder": laddered,
        "plain": lambda: plain(
            penalties.latent_norm(), penalties.weight_decay(of="decoder"), penalties.matching()
        ),
        "jacobian": lambda: plain(penalties.latent_norm(), penalties.decoder_jacobian()),
        "adversarial": lambda: methods.adversarial_autoencoder(
            nets.mlp(size, widths), shown, judge, size
        ),
        "vae_gan": lambda: methods.vae_gan(
            two, decoder, nets.mlp(widths[-1], widths[:-1]), nets.mlp(1, ()), size
        ),
        "vq": lambda: methods.vq_vae(
            nets.mlp(size, widths), shown, size, quantiser=quantisers.codebook(64)
        ),
    }
    return methods.prepared(makers[program](), methods.binarized)


def describe(
    config: Config,
    splits: Splits,
    test: Mapping[str, Any],
    model: Model,
    drawn: dict[str, dict[str, Any]],
) -> dict[str, float]:
    """Returns what a model's bound, codes and samples are worth; keeps some of the samples."""
    key, views = jax.random.key(model.row["seed"]), model.method.views
    name = name_of(PROGRAMS[model.row["program"]], model.row)
    train, made = data.head(splits.train, zoo.MOST), {}
    codes = [np.asarray(model.encode(batch)) for batch in (zoo.binary(train), test)]
    found = zoo.coded(codes, (train, test), model.reconstruct(test))
    if views.log_likelihood is not None:
        found["log_likelihood"] = float(np.mean(model.log_likelihood(key, test)))
    if views.sample is not None:
        made["prior"] = model.sample(key, config.samples)
    if model.row["program"] not in ("sphere", "ball"):  # where a Gaussian's draws do not lie
        made |= zoo.decoded(key, codes[0], config.components, config.samples, model.decode)
    for way, images in made.items():
        drawn[way].setdefault(name, images[:10])
    return found | zoo.distances(made, data.head(splits.test, config.test_images)["image"])


def classical(config: Config, splits: Splits, test: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns PCA in the place of an autoencoder, and training images in that of samples."""
    train = data.head(splits.train, zoo.MOST)
    principal = metrics.pca(zoo.binary(train)["image"], config.latent_size)
    codes = [metrics.pca_encode(principal, x["image"]) for x in (zoo.binary(train), test)]

    def decode(z: Any) -> np.ndarray:
        made = np.asarray(z) @ principal.components + principal.mean
        return np.clip(made, 0, 1).reshape(len(made), *splits.image_shape)

    key, real = jax.random.key(0), data.head(splits.test, config.test_images)["image"]
    made = zoo.decoded(key, codes[0], config.components, config.samples, decode)
    found = zoo.coded(codes, (train, test), decode(codes[1])) | zoo.distances(made, real)
    seen = zoo.distances({"prior": train["image"][: config.samples]}, real)
    rows = {PCA: found, IMAGES: seen}
    return [{"model": name, "seed": 0, "status": "ok", **own} for name, own in rows.items()]


def figures(
    rows: Sequence[Mapping[str, Any]], drawn: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Draws likelihoods, distances of samples, and samples."""
    distances = {f"kernel_{name}": name for name in zoo.SAMPLERS}

    def dots(columns: Mapping[str, str], words: str) -> Any:
        found = [row for row in rows if not columns.keys().isdisjoint(row)]
        return plots.dots(plots.mean_table(found, lambda row: row["model"], columns), words)

    pictures = {
        "Log-likelihood of test images, by importance sampling.": dots(
            {"log_likelihood": "log-likelihood"}, "log-likelihood (nats)"
        ),
        "Kernel distance of samples from test images, by sampler.": dots(
            distances, "kernel distance"
        ),
        "Test images that logistic regression on codes is right about.": dots(
            {"probe": "codes"}, "test images (%)"
        ),
    }
    for way, words in (("prior", "their own priors"), ("mixture", "mixtures of Gaussians")):
        if drawn[way]:
            pictures[f"Samples by {words}; first seed."] = plots.image_rows(drawn[way])
    return pictures


if __name__ == "__main__":
    cli.main(vae_zoo, PRESETS)
