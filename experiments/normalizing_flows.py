"""Posteriors and densities through invertible maps that are learned.

    python experiments/normalizing_flows.py

A decoder's posterior is no Gaussian with independent dimensions: with a covariance, or a flow of
several dimensions at a time, the bound is nearer to the likelihood of test digits, which is no
higher for it; leapfrog steps pay for their momenta. Beside it flows with an inverse are fitted to
known densities in the plane, and how far they are from these is measured beside a mixture.
Every posterior, and every flow of every density, is a compilation of its own.

Reference: Rezende and Mohamed (2015), Variational Inference with Normalizing Flows; Kingma et al.
(2016), Improved Variational Inference with Inverse Autoregressive Flow; Papamakarios, Pavlakou and
Murray (2017), Masked Autoregressive Flow for Density Estimation; Dinh, Sohl-Dickstein and Bengio
(2017), Density Estimation using Real NVP; Caterini et al. (2018), Hamiltonian Variational
Auto-Encoder.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import cli, data, experiment, methods, nets, plots, training
from ae_jax.core import Dataset, Method
from ae_jax.data.sources import densities
from ae_jax.experiment import Count, Model, Swept
from ae_jax.methods import flows, posteriors, priors

NAMES = {
    "gaussian": "Gaussian",
    "full_gaussian": "Gaussian, covariance",
    "planar": "planar",
    "radial": "radial",
    "inverse_autoregressive": "inverse autoregressive",
    "masked_autoregressive": "masked autoregressive",
    "coupling": "coupling",
    "hamiltonian": "Hamiltonian",
    "mixture": "mixture",
}
POSTERIORS = tuple(NAMES)[:-1]
FEW = ("gaussian", "full_gaussian", "planar", "inverse_autoregressive", "hamiltonian")
DENSITIES = ("mixture", "masked_autoregressive", "coupling")
BY = ("data", "form", "learning_rate")
TABLE = ("log_likelihood", "importance_error", "gap", "elbo", "kl", "divergence", "error")
POINTS, SHOWN = 10_000, 1500  # test points of a density, and points of a cloud


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept; each form is compiled on its own."""

    posterior: Swept[Literal[POSTERIORS]] = FEW
    density: Swept[Literal[DENSITIES]] = DENSITIES
    """Of points in the plane: a mixture of Gaussians, or a flow of one."""
    planes: Swept[Literal[densities.NAMES]] = ("two_moons",)
    """Densities that are known."""
    latent_size: Count = 6
    widths: tuple[Count, ...] = (128, 128)
    """Hidden layers of the encoder; the decoder's are the same, backwards."""
    flow_steps: Count = 4
    """Of a posterior's flow, or leapfrog steps."""
    flow_widths: tuple[Count, ...] = (32,)
    context: Count = 16
    """What the encoder tells flows with parameters of their own."""
    density_steps: Count = 8
    """Steps of a density's flow; of a mixture four times as many components."""
    density_widths: tuple[Count, ...] = (64, 64)
    importance_samples: Count = 200
    """Of each test image's log-likelihood."""
    test_images: Count = 300
    """How many are measured, at most."""
    learning_rate: Swept[float] = (2e-3,)
    """At first; it falls to 0 as a half cosine."""
    seeds: Count = 2
    steps: Count = 1500


PRESETS = {
    "default": Config(),
    "smoke": Config(
        posterior=("planar", "hamiltonian"),
        density=("coupling",),
        planes=("two_moons",),
        latent_size=2,
        widths=(16,),
        flow_steps=1,
        density_steps=2,
        importance_samples=5,
        test_images=40,
        seeds=1,
        steps=40,
    ),
    # Rezende and Mohamed (2015), section 6.2: 40 latents, flows of up to 80 steps.
    "paper": Config(
        dataset="mnist",
        posterior=POSTERIORS,
        planes=densities.NAMES,
        latent_size=40,
        widths=(400, 400),
        flow_steps=10,
        flow_widths=(320,),
        context=100,
        importance_samples=5000,
        test_images=10_000,
        learning_rate=(1e-3,),
        seeds=1,
        steps=500_000,
    ),
}


class Part(NamedTuple):
    """What is trained on one data set: a method of each form, which measures test data."""

    method: Callable[..., Method]
    forms: Sequence[str]
    splits: experiment.Splits
    measured: Callable[..., dict[str, float]]


def normalizing_flows(config: Config) -> None:
    """Trains VAEs of all posteriors, and densities of all planes, and measures both."""
    parts = {"images": Part(build, config.posterior, experiment.load_splits(config), of_images)}
    for name in config.planes:
        named = dataclasses.replace(config, dataset=name)
        points = experiment.load_splits(named, held_out=1000, kinds=("point",))
        parts[name] = Part(density, config.density, points, of_points)

    def sweep(name: str, **options: Any) -> experiment.Sweep:
        method, forms, splits, _ = parts[name]
        options |= {"part": name, "schedules": [training.warmup_cosine(config.steps)]}
        given = functools.partial(method, config, splits.train.spec), splits, {"form": forms}
        return experiment.sweep(config, "normalizing_flows", *given, **options)

    for name in parts:
        sweep(name, dry=True)
    shown: dict[str, dict[str, Any]] = {name: {} for name in parts}

    def describe(model: Model) -> dict[str, float]:
        name, form = model.row["data"], model.row["form"]
        count = 16 if name == "images" else SHOWN
        if NAMES[form] not in shown[name]:
            shown[name][NAMES[form]] = model.sample(jax.random.key(0), count)
        return parts[name].measured(config, model, parts[name].splits.test)

    trained = [({"data": name}, sweep(name)) for name in parts]
    rows = experiment.side_by_side(trained, describe, BY)
    tests = {name: part.splits.test for name, part in parts.items()}
    experiment.report(
        config,
        cli.directory(config, "normalizing_flows"),
        f"Normalizing flows on {config.dataset} and in the plane",
        rows,
        BY,
        TABLE,
        lambda: figures(config, rows, shown, tests),
        [found.result for _, found in trained],
        [
            "log_likelihood of images is by importance samples, and importance_error the standard "
            "error that they leave to its mean; gap is the posterior's divergence from the exact "
            "one (Hamiltonian: with its momenta). Of points it is exact; divergence is that from "
            "the density itself, nats, and error its standard error over test points."
        ],
    )


def build(config: Config, spec: Mapping[str, Any], form: str) -> Method:
    """Returns the VAE of binary images that are drawn anew at every step."""
    return methods.prepared(vae(config, spec["image"].shape, form), methods.binarized)


@functools.cache
def vae(config: Config, shape: Sequence[int], form: str) -> Method:
    """Returns the VAE of images as they are, whose likelihood has one importance sample."""
    size, decoder = config.latent_size, nets.mlp(shape, config.widths[::-1])
    if form == "hamiltonian":
        encoder = nets.mlp(2 * size, config.widths)
        given = {"steps": config.flow_steps, "importance_samples": 1}
        return methods.hamiltonian_vae(encoder, decoder, size, **given)
    if form in ("gaussian", "full_gaussian"):
        posterior = getattr(posteriors, form)()
    else:
        told = () if form in ("planar", "radial") else (config.flow_widths, config.context)
        posterior = posteriors.flow(getattr(flows, form)(config.flow_steps, *told))
    encoder = nets.mlp(posterior.outputs(size), config.widths)
    return methods.vae(encoder, decoder, size, posterior=posterior, importance_samples=1)


def density(config: Config, spec: Mapping[str, Any], form: str) -> Method:
    """Returns a density of points in the plane."""
    if form == "mixture":
        prior = priors.gaussian_mixture(4 * config.density_steps)
    else:
        prior = priors.flow(getattr(flows, form)(config.density_steps, config.density_widths))
    return methods.density_model(prior, spec["image"].shape)


def of_images(config: Config, model: Model, test: Dataset) -> dict[str, float]:
    """Returns how likely test images are."""
    drawn = methods.binarized(jax.random.key(0), data.head(test, config.test_images))["image"]
    view = vae(config, drawn.shape[1:], model.row["form"]).views.log_likelihood
    key, samples = jax.random.key(model.row["seed"]), config.importance_samples
    return experiment.importance_likelihood(view, model, key, {"image": drawn}, samples)


def of_points(config: Config, model: Model, test: Dataset) -> dict[str, float]:
    """Returns how likely test points are, and how far that is from the density's own."""
    seen = data.head(test, POINTS)
    found = model.log_likelihood(jax.random.key(0), seen)
    away = densities.density(model.row["data"]).log_prob(seen["image"]) - found
    return {
        "log_likelihood": float(jnp.mean(found)),
        "divergence": float(jnp.mean(away)),
        "error": float(jnp.std(away)) / len(away) ** 0.5,
    }


def figures(
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    shown: Mapping[str, Mapping[str, Any]],
    tests: Mapping[str, Dataset],
) -> dict[str, Any]:
    """Draws likelihoods, gaps, points of each density beside its models', and samples."""
    found = [row for row in experiment.where(rows, data="images") if "gap" in row]

    def dots(column: str) -> Any:
        table = plots.mean_table(found, lambda row: NAMES[row["form"]], {column: "test images"})
        return plots.dots(table, f"{column.replace('_', '-')} (nats)")

    points = {
        f"{name.replace('_', ' ')}, {form}": {
            "data": data.head(tests[name], SHOWN)["image"],
            "model": made,
        }
        for name in config.planes
        for form, made in shown[name].items()
    }
    return {
        "Log-likelihood of test images, by posterior.": dots("log_likelihood"),
        "What the bound is below the log-likelihood, by posterior.": dots("gap"),
        "Points of densities, and samples of each model.": plots.clouds(points),
        "Test images, and samples of each posterior's VAE.": plots.reconstructions(
            data.head(tests["images"], 16)["image"], shown["images"], first="test"
        ),
    }


if __name__ == "__main__":
    cli.main(normalizing_flows, PRESETS)
